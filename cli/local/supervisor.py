"""Starts processes in stages, each healthy before the next begins, and stops them in the opposite order."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from cli.local.logs import rotate
from cli.local.ports import Ports
from cli.local.process import ManagedProcess, ProcessSpec
from cli.local.runfile import Recorded, RunState, write_run_state
from cli.local.settings import LONGEST_BACKOFF_SECONDS
from cli.local.spawning import Orphanage, Spawner
from cli.local.states import Healthy, describe

_HOUSEKEEPING_SECONDS = 10.0


@dataclass(frozen=True)
class ProcessReport:
    """What `zoco status` shows of one process."""

    process: str
    state: str
    reason: str
    pid: int | None
    port: int
    uptime_seconds: float
    restarts: int
    last_exit: str


class Supervisor:
    """Owns every process of one home."""

    def __init__(
        self,
        run_file: Path,
        ports: Ports,
        supervisor: Recorded | None,
        spawner: Spawner,
        longest_backoff: float = LONGEST_BACKOFF_SECONDS,
    ) -> None:
        """Record what `spawner` starts in `run_file`, together with the ports and the supervisor's own record."""
        self._run_file = run_file
        self._ports = ports
        self._supervisor = supervisor
        self._spawner = spawner
        self._longest_backoff = longest_backoff
        self._stages: list[list[ManagedProcess]] = []
        self._recorded: dict[str, Recorded] = {}
        self._housekeeping: asyncio.Task[None] | None = None
        self._record()

    async def start(self, *stages: Sequence[ProcessSpec]) -> None:
        """Start the processes of all `stages` at once and return when every one is healthy.

        Stages matter at the end: `drain` stops a later one before an earlier one.

        Raises:
            Unhealthy: of the first that does not become healthy.
        """
        added = [
            [
                ManagedProcess(
                    spec, spawner=self._spawner, spawned=self._spawned, longest_backoff=self._longest_backoff
                )
                for spec in specs
            ]
            for specs in stages
        ]
        self._stages += added
        started = [process for stage in added for process in stage]
        for process in started:
            process.start()
        if self._housekeeping is None:
            self._housekeeping = asyncio.create_task(self._keep_house(), name="keep house")
        waits = [asyncio.create_task(process.healthy()) for process in started]
        try:
            await asyncio.gather(*waits)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    async def drain(self) -> None:
        """Stop everything, the stage started last first; within a stage all at once."""
        if self._housekeeping is not None:
            self._housekeeping.cancel()
        for stage in reversed(self._stages):
            await asyncio.gather(*(process.stop() for process in stage))
        self._recorded.clear()
        self._supervisor = None
        self._record()

    @property
    def healthy(self) -> int:
        """How many processes are healthy now."""
        return sum(isinstance(process.state, Healthy) for process in self._processes())

    def report(self) -> list[ProcessReport]:
        """Return a row a process, in the order of start."""
        now = time.time()
        rows = []
        for process in self._processes():
            state, reason = describe(process.state, now)
            rows.append(
                ProcessReport(
                    process=process.spec.name,
                    state=state,
                    reason=reason,
                    pid=process.pid,
                    port=process.spec.port,
                    uptime_seconds=round(now - process.started_at, 1) if process.pid else 0.0,
                    restarts=process.restarts,
                    last_exit=process.last_exit,
                )
            )
        return rows

    def _processes(self) -> list[ManagedProcess]:
        return [process for stage in self._stages for process in stage]

    def _spawned(self, name: str, pid: int, executable: str) -> None:
        record = Recorded.of(name, pid, executable)
        if record is not None:
            self._recorded[name] = record
        self._record()

    def _record(self) -> None:
        write_run_state(self._run_file, RunState(self._ports, self._supervisor, tuple(self._recorded.values())))

    async def _keep_house(self) -> None:
        orphanage = Orphanage()
        while True:
            await asyncio.sleep(_HOUSEKEEPING_SECONDS)
            for process in self._processes():
                rotate(process.spec.log)
            orphanage.visit()


def as_rows(reports: Sequence[ProcessReport]) -> list[dict[str, object]]:
    """Return the reports in the form in which they travel and in which `zoco status --json` prints them."""
    return [asdict(report) for report in reports]
