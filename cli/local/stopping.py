"""Stopping what runs under a home, whatever became of its supervisor, and forgetting it."""

import contextlib
import time

import psutil

from cli.failures import CorruptState, Failure, NotRunning
from cli.local.control import ask
from cli.local.home import Home
from cli.local.leftovers import end_leftovers
from cli.local.lock import holder
from cli.local.runfile import read_run_state

_PATIENCE_SECONDS = 90.0
_POLL_SECONDS = 0.05


def stop(home: Home) -> str:
    """Stop what runs under `home` and return a sentence about it.

    Raises:
        Failure: the supervisor does not come to an end.
    """
    pid = holder(home.lock_file)
    if pid is None:
        state = read_run_state(home.run_file)
        ended = end_leftovers(state) if state else []
        if ended:
            return f"The supervisor was gone; ended what it left: {', '.join(ended)}."
        return "Nothing was running."
    _tell(home, pid)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while holder(home.lock_file) is not None:
        if time.monotonic() > deadline:
            raise Failure(f"The supervisor (pid {pid}) did not stop within {_PATIENCE_SECONDS:.0f} s; see {home.logs}.")
        time.sleep(_POLL_SECONDS)
    return "Stopped."


def reset(home: Home) -> None:
    """Stop what runs and delete everything under `home`, however damaged."""
    # What cannot be read cannot be stopped either; what it names can only have died with its supervisor.
    with contextlib.suppress(CorruptState):
        stop(home)
    home.delete()


def _tell(home: Home, pid: int) -> None:
    try:
        ask(home.control_socket, {"request": "stop"})
    except NotRunning:
        # It starts up and does not listen yet, or its socket was deleted: a signal says the same.
        if pid and psutil.pid_exists(pid):
            psutil.Process(pid).terminate()
