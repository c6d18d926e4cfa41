"""Ends what a supervisor that was killed left running, after making sure that it is really ours."""

import contextlib
import signal

import psutil

from cli.local.runfile import RunState

_PATIENCE_SECONDS = 10.0


def end_leftovers(state: RunState) -> list[str]:
    """End every recorded process that still lives; return their names.

    Each is asked first (SIGTERM; PostgreSQL: SIGINT, its fast shutdown) and killed after ten seconds.
    """
    found = [(record.name, process) for record in state.processes if (process := record.process()) is not None]
    family = [process for _, process in found]
    for _, process in found:
        with contextlib.suppress(psutil.NoSuchProcess):
            family += process.children(recursive=True)
    for name, process in found:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGINT if name == "postgres" else signal.SIGTERM)
            process.resume()  # one that was stopped would never hear of it
    _, stubborn = psutil.wait_procs(family, timeout=_PATIENCE_SECONDS)
    for process in stubborn:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(stubborn, timeout=_PATIENCE_SECONDS)
    return [name for name, _ in found]
