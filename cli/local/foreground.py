"""`zoco up`, in its two forms: staying in the foreground, and returning when ready."""

import asyncio
import json
import os
import subprocess
import sys
import time

from rich.console import Console
from rich.table import Table

from cli.failures import Failure, NotRunning, Unhealthy
from cli.local.control import ask
from cli.local.home import Home
from cli.local.lock import HomeLock, holder
from cli.local.logs import open_log, rotate, tail
from cli.local.ports import Ports
from cli.local.progress import replay
from cli.local.settings import PROJECT, LocalSettings
from cli.local.summary import addresses, first_order
from cli.local.terminal import progress_for

_OTHER_START_SECONDS = 120.0


def start_attached(settings: LocalSettings, home: Home, console: Console) -> None:
    """Start everything and stay until Ctrl-C, SIGTERM or `zoco down`.

    Raises:
        Failure: it cannot be started.
    """
    from cli.local.machine import Machine  # noqa: PLC0415 - half a second that whoever waits for a daemon is spared

    begun = time.monotonic()
    home.create()
    lock = HomeLock.take(home.lock_file)
    if lock is None:
        _show_running(settings, home, console)
        return
    progress = progress_for(console)

    def when_ready(ports: Ports) -> None:
        show_summary(home, ports, console, time.monotonic() - begun)
        console.print("Ctrl-C stops it.")

    def when_stopping() -> None:
        progress.clear()
        console.print("Stopping: edge, services, broker, database.")

    try:
        asyncio.run(Machine(settings, home, progress).run(when_ready, when_stopping))
        console.print("Stopped.")
    finally:
        progress.clear()
        lock.release()


def start_detached(settings: LocalSettings, home: Home, console: Console) -> None:
    """Start everything in a process of its own and return when it is ready.

    Raises:
        Failure: it cannot be started.
    """
    begun = time.monotonic()
    home.create()
    if holder(home.lock_file) is not None:
        _show_running(settings, home, console)
        return
    log = home.log("supervisor")
    rotate(log)
    errors = open_log(log)
    try:
        child = subprocess.Popen(
            [sys.executable, "-m", "cli.local.daemon"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=PROJECT,
            env={**os.environ, "ZOCO_HOME": str(home.root)},
            start_new_session=True,
            text=True,
        )
    finally:
        os.close(errors)
    progress = progress_for(console)
    try:
        for line in child.stdout or ():
            match json.loads(line):
                case {"ready": True, "ports": ports}:
                    progress.clear()
                    show_summary(home, Ports(**ports), console, time.monotonic() - begun)
                    console.print("It runs in the background; `make down` stops it.")
                    return
                case {"another": True}:
                    child.wait()
                    _show_running(settings, home, console)
                    return
                case {"failure": str(sentence), "details": list(details)}:
                    child.wait()
                    raise Failure(sentence, details=tuple(details))
                case event:
                    replay(event, progress)
    except KeyboardInterrupt:
        child.terminate()
        child.wait()
        raise Failure("Interrupted; what had been started is stopped.") from None
    finally:
        progress.clear()
    raise Unhealthy(f"The supervisor ended before it was ready; see {log}.", details=tail(log))


def show_summary(home: Home, ports: Ports, console: Console, seconds: float | None) -> None:
    """Print the addresses and a first order to paste."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, address in addresses(home, ports):
        table.add_row(name, address)
    console.print()
    if seconds is not None:
        console.print(f"Ready after {seconds:.1f} s.", highlight=False)
    console.print(table, highlight=False)
    console.print("\nA first order, to paste:\n")
    # Not through rich: it would wrap lines and read brackets as markup.
    print(first_order(ports), flush=True)


def _show_running(settings: LocalSettings, home: Home, console: Console) -> None:
    """Tell that it runs already, once it does.

    Raises:
        Failure: the start that is under way does not come to an end.
    """
    deadline = time.monotonic() + _OTHER_START_SECONDS
    while time.monotonic() < deadline:
        try:
            answer = ask(home.control_socket, {"request": "status"})
        except NotRunning:
            answer = {"phase": "starting"}
        phase = answer["phase"]
        if phase == "running":
            console.print(f"It already runs (supervisor pid {answer['pid']}).", highlight=False)
            if answer["mesh"] != settings.mesh:
                console.print(f"It runs with MESH={answer['mesh']}; `make down` it to start it with {settings.mesh}.")
            show_summary(home, Ports(**answer["ports"]), console, None)
            return
        if phase == "stopping" or holder(home.lock_file) is None:
            raise Failure("It is just being stopped; start it again in a moment.")
        time.sleep(0.1)
    raise Failure(f"Another start (pid {holder(home.lock_file)}) is under way and does not come to an end.")
