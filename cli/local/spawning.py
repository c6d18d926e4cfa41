"""Two ways to start a child: by exec, for every program, and by a fork of a process that has imported already."""

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import psutil

from cli.local.account import Account
from cli.local.forkserver import TITLE_ROOM
from cli.local.settings import PROJECT

_LAUNCH = Path(__file__).with_name("launch.py")
_PR_SET_CHILD_SUBREAPER = 36
_READY_SECONDS = 30.0
_ANSWER_SECONDS = 5.0


@dataclass(frozen=True)
class Program:
    """What to run."""

    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    account: Account | None = None
    death_signal: signal.Signals = signal.SIGKILL
    """What the kernel sends it when the supervisor dies (Linux)."""

    @property
    def module(self) -> str | None:
        """The module, if this is `python -m MODULE` under our own account."""
        match self.command:
            case (sys.executable, "-m", module) if self.account is None:
                return module
            case _:
                return None


class Child(Protocol):
    """A running child."""

    @property
    def pid(self) -> int:
        """Its process id."""

    async def wait(self) -> int:
        """Return its exit code once it has ended: negative, the number of the signal that killed it."""


class Spawner(Protocol):
    """Starts children."""

    async def spawn(self, program: Program, log: int) -> Child:
        """Start `program` in a session of its own, its output to the descriptor `log`."""


class ExecSpawner:
    """Starts a child as a program of its own, through `launch.py`."""

    async def spawn(self, program: Program, log: int) -> Child:
        """Start `program`."""
        return await asyncio.create_subprocess_exec(
            *launched(program),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=dict(program.environment),
            cwd=PROJECT,
            # A session of its own: a Ctrl-C meant for us must not reach it before we drain.
            start_new_session=True,
        )


def launched(program: Program) -> list[str]:
    """Return the command line that makes `launch.py` become `program`."""
    options = ["--parent", str(os.getpid()), "--death-signal", str(int(program.death_signal))]
    if program.account is not None:
        options += ["--uid", str(program.account.uid), "--gid", str(program.account.gid)]
        options += ["--traverse"] if program.account.traverse else []
    return [sys.executable, "-I", "-S", str(_LAUNCH), *options, "--", *program.command]


class ForkSpawner:
    """Starts our own Python programs by a fork, the rest by exec; off Linux, where nobody adopts orphans, all so."""

    def __init__(self, environment: Mapping[str, str], log: Path) -> None:
        """Prepare to start the fork server with `environment`, its complaints to `log`."""
        self._environment = environment
        self._log = log
        self._exec = ExecSpawner()
        self._server: asyncio.subprocess.Process | None = None
        self._connection: socket.socket | None = None
        self._ready: asyncio.Task[bool] | None = None
        self._one_at_a_time = asyncio.Lock()

    @property
    def pid(self) -> int | None:
        """The fork server's process id, while it runs."""
        return self._server.pid if self._server is not None and self._server.returncode is None else None

    async def open(self) -> None:
        """Start the fork server; it imports while the caller goes on."""
        if sys.platform != "linux":
            return
        adopt_orphans(yes=True)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        room = "-" * TITLE_ROOM
        command = (sys.executable, "-m", "cli.local.forkserver", str(theirs.fileno()), str(os.getpid()), room)
        log = os.open(self._log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with theirs:
            try:
                self._server = await asyncio.create_subprocess_exec(
                    *launched(Program(command)),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=dict(self._environment),
                    cwd=PROJECT,
                    start_new_session=True,
                    pass_fds=(theirs.fileno(),),
                )
            finally:
                os.close(log)
        self._connection = ours
        self._ready = asyncio.create_task(self._receive_ready(), name="fork server")

    async def close(self) -> None:
        """End the fork server; its children live on."""
        if self._ready is not None:
            self._ready.cancel()
            await asyncio.gather(self._ready, return_exceptions=True)
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._server is not None:
            with contextlib.suppress(ProcessLookupError):
                self._server.kill()
            await self._server.wait()

    async def spawn(self, program: Program, log: int) -> Child:
        """Start `program`; by exec where it is not ours, or where the fork server does not answer."""
        if program.module is not None and self._ready is not None and await asyncio.shield(self._ready):
            try:
                async with self._one_at_a_time:
                    return await self._fork(program, log)
            except (OSError, ValueError, TimeoutError):
                self._ready = None  # it is gone; what is restarted from now on is restarted the slower way
        return await self._exec.spawn(program, log)

    async def _receive_ready(self) -> bool:
        try:
            return await self._answer(_READY_SECONDS) == b"ready"
        except (OSError, TimeoutError):
            return False

    async def _fork(self, program: Program, log: int) -> Child:
        request = {
            "module": program.module,
            "environment": dict(program.environment),
            "directory": str(PROJECT),
            "death_signal": int(program.death_signal),
        }
        connection = self._connected()
        socket.send_fds(connection, [json.dumps(request).encode()], [log])
        return AdoptedChild(int(await self._answer(_ANSWER_SECONDS)))

    async def _answer(self, seconds: float) -> bytes:
        async with asyncio.timeout(seconds):
            return await asyncio.get_running_loop().sock_recv(self._connected(), 64)

    def _connected(self) -> socket.socket:
        if self._connection is None:
            raise ConnectionError("the fork server is closed")
        return self._connection


def adopt_orphans(*, yes: bool) -> None:
    """Say whether the orphans of our children become our children, or those of the system's first process (Linux)."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, int(yes), 0, 0, 0)


class AdoptedChild:
    """A child that another process forked for us."""

    def __init__(self, pid: int) -> None:
        """Watch `pid`, which must be a child of ours.

        Raises:
            OSError: it is not.
        """
        self.pid = pid
        self._descriptor = os.pidfd_open(pid)
        self._ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().add_reader(self._descriptor, self._reap)

    async def wait(self) -> int:
        """Return its exit code once it has ended."""
        return await asyncio.shield(self._ended)

    def _reap(self) -> None:
        _, status = os.waitpid(self.pid, 0)
        asyncio.get_running_loop().remove_reader(self._descriptor)
        os.close(self._descriptor)
        self._ended.set_result(os.waitstatus_to_exitcode(status))


class Orphanage:
    """Collects ended children that nobody waits for: a subreaper adopts the orphans of its children too."""

    def __init__(self) -> None:
        """Nothing was seen yet."""
        self._seen: set[int] = set()

    def visit(self) -> int:
        """Collect the children that had ended at the last visit and still wait to be collected; return how many."""
        ended = {child.pid for child in psutil.Process().children() if _is_zombie(child)}
        # Of ours, whoever waits for it has collected it long before a second visit.
        strangers = ended & self._seen
        for pid in strangers:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        self._seen = ended - strangers
        return len(strangers)


def _is_zombie(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
