"""One supervised process: started, asked for its health, restarted with backoff when it dies, stopped with patience."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from cli.failures import Unhealthy as UnhealthyFailure
from cli.local.logs import open_log, rotate, tail
from cli.local.probes import Probe
from cli.local.settings import LONGEST_BACKOFF_SECONDS
from cli.local.spawning import Child, Program, Spawner
from cli.local.states import Healthy, Restarting, Starting, State, Stopped, Stopping, Unhealthy

_POLL_SECONDS = 0.05
_FIRST_BACKOFF_SECONDS = 0.5
_STEADY_SECONDS = 60.0
_START_ATTEMPTS = 2


@dataclass(frozen=True)
class ProcessSpec:
    """What to start, how to know that it is well, and how to stop it."""

    name: str
    program: Program
    log: Path
    probe: Probe
    port: int = 0
    start_seconds: float = 60.0
    """How long it may take to become healthy."""
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 20.0
    """How long it may take to stop before it is killed."""
    before_stop: Callable[[], Awaitable[None]] | None = None
    """Called before the stop signal, to let work in flight finish."""
    probe_seconds: float = 2.0
    """How often a healthy process is asked."""
    unhealthy_seconds: float | None = None
    """How long it may stay unhealthy, once it was healthy (before that, `start_seconds`), before it is started anew;
    None where a new start would not help."""


class ManagedProcess:
    """A process under supervision. `started` and `ended` are told of each life's beginning and end."""

    def __init__(
        self,
        spec: ProcessSpec,
        *,
        spawner: Spawner,
        spawned: Callable[[str, int, str], None],
        longest_backoff: float = LONGEST_BACKOFF_SECONDS,
    ) -> None:
        """Supervise `spec`, started by `spawner`; `spawned(name, pid, executable)` is called after every start."""
        self.spec = spec
        self.state: State = Stopped()
        self.pid: int | None = None
        self.restarts = 0
        self.last_exit = ""
        self.started_at = 0.0
        self._spawner = spawner
        self._spawned = spawned
        self._longest_backoff = longest_backoff
        self._stop = asyncio.Event()
        self._given_up = asyncio.Event()
        self._changed = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start it and keep it running until `stop`."""
        self._stop.clear()
        self._task = asyncio.create_task(self._supervise(), name=f"supervise {self.spec.name}")

    async def healthy(self) -> None:
        """Wait until it is healthy.

        Raises:
            Unhealthy: it died twice before that, or took longer than `start_seconds`.
        """
        try:
            async with asyncio.timeout(self.spec.start_seconds), self._changed:
                await self._changed.wait_for(self._settled)
        except TimeoutError:
            state = self.state
            reason = state.reason if isinstance(state, Starting | Restarting | Unhealthy) else ""
            raise self._failure(
                f"did not become healthy within {self.spec.start_seconds:.0f} s ({reason or 'no answer'})"
            ) from None
        if not isinstance(self.state, Healthy):
            raise self._failure(f"dies at start ({self.last_exit})")

    async def stop(self) -> None:
        """Stop it: drain, signal, wait, and kill it if it does not listen. A stopped one stays as it is."""
        if self._task is None:
            return
        if self.pid is not None:
            await self._become(Stopping())
            if self.spec.before_stop is not None:
                await self.spec.before_stop()
        self._stop.set()
        await self._task
        self._task = None

    def _settled(self) -> bool:
        match self.state:
            case Healthy():
                return True
            case Restarting(attempt):
                return attempt >= _START_ATTEMPTS and self.last_exit != ""
            case Stopped():
                return True
            case _:
                return False

    def _failure(self, what: str) -> UnhealthyFailure:
        lines = tail(self.spec.log)
        where = "its last log lines follow" if lines else "it wrote no log"
        return UnhealthyFailure(f"{self.spec.name} {what}; {where} ({self.spec.log}).", details=lines)

    async def _become(self, state: State) -> None:
        async with self._changed:
            self.state = state
            self._changed.notify_all()

    async def _supervise(self) -> None:
        attempt = 0
        while not self._stop.is_set():
            await self._become(Starting())
            self._given_up.clear()
            born = time.monotonic()
            child = await self._spawn()
            health = asyncio.create_task(self._watch_health(), name=f"health {self.spec.name}")
            try:
                code = await self._life(child)
            finally:
                health.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await health
                self.pid = None
            self.last_exit = f"{_exit_words(code)}{', for it stayed unhealthy' if self._given_up.is_set() else ''}"
            if self._stop.is_set():
                break
            attempt = 1 if time.monotonic() - born > _STEADY_SECONDS else attempt + 1
            delay = min(_FIRST_BACKOFF_SECONDS * 2 ** (attempt - 1), self._longest_backoff)
            await self._become(Restarting(attempt, time.time() + delay, self.last_exit))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), delay)
            if not self._stop.is_set():
                self.restarts += 1
        await self._become(Stopped(self.last_exit))

    async def _spawn(self) -> Child:
        rotate(self.spec.log)
        log = open_log(self.spec.log)
        try:
            child = await self._spawner.spawn(self.spec.program, log)
        finally:
            os.close(log)
        self.pid = child.pid
        self.started_at = time.time()
        self._spawned(self.spec.name, child.pid, self.spec.program.command[0])
        return child

    async def _life(self, child: Child) -> int:
        """Wait for the child's end, bringing it about when `stop` was asked for, or when it does not recover."""
        ended = asyncio.create_task(child.wait())
        reasons = {asyncio.create_task(event.wait()) for event in (self._stop, self._given_up)}
        await asyncio.wait({ended, *reasons}, return_when=asyncio.FIRST_COMPLETED)
        for reason in reasons:
            reason.cancel()
        if not ended.done():
            _signal(child.pid, self.spec.stop_signal, group=False)
            await asyncio.wait({ended}, timeout=self.spec.stop_seconds)
        # Whatever it left behind in its session goes with it.
        _signal(child.pid, signal.SIGKILL, group=True)
        return await ended

    async def _watch_health(self) -> None:
        was_healthy, last_healthy = False, time.monotonic()
        while True:
            reason = await self.spec.probe()
            if isinstance(self.state, Stopping):
                return
            if reason is None:
                was_healthy, last_healthy = True, time.monotonic()
                if not isinstance(self.state, Healthy):
                    await self._become(Healthy())
            elif was_healthy:
                await self._become(Unhealthy(reason))
            else:
                await self._become(Starting(reason))
            patience = self.spec.unhealthy_seconds if was_healthy else self.spec.start_seconds
            if self.spec.unhealthy_seconds is not None and time.monotonic() - last_healthy > (patience or 0.0):
                self._given_up.set()
            await asyncio.sleep(self.spec.probe_seconds if was_healthy else _POLL_SECONDS)


def _signal(pid: int, number: signal.Signals, *, group: bool) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, number) if group else os.kill(pid, number)


def _exit_words(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"
