"""What pipeline and edge cost in instructions of the processor: they are the same whatever else the machine does.

A server runs some fifty times slower while valgrind counts, but its clock does not: what is done every so often, such
as writing the log, is done after fewer calls, and weighs more than it would. System calls are not looked into.
"""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from tests.bench.echo import EchoServers, echo_servers
from tests.bench.echo_server import Way
from tests.bench.edge_echo import echo_behind_edge
from tests.bench.figure import SHORT, Figure, figure

CALLS: Final = 100 if SHORT else 1000
WARM_UP: Final = 200


def measure() -> Sequence[Figure]:
    """Instructions a request: bare and behind the pipeline, over plaintext, and at the edge over REST with a token.

    Nothing where there is no valgrind.
    """
    if shutil.which("valgrind") is None:
        print("instructions: valgrind, which counts them, is not installed; nothing is measured")
        return []
    with echo_servers() as servers:
        behind, bare = _served(servers, "pipeline"), _served(servers, "bare")
    return [
        figure("instructions: bare against the pipeline", [bare / behind]),
        figure("  behind the pipeline", [behind], unit="a request"),
        figure("  bare", [bare], unit="a request"),
        figure("  added by the pipeline", [behind - bare], unit="a request"),
        figure("instructions: at the edge", [_at_the_edge()], unit="a request"),
    ]


def _served(servers: EchoServers, way: Way) -> float:
    with _counter() as counter:
        server = servers.start(way, "plaintext", under=counter.command)
        return counter.count(server.process, server.call)


def _at_the_edge() -> float:
    with _counter() as counter, echo_behind_edge(under=counter.command) as doors:
        return counter.count(doors.edge, doors.read)


@dataclass(frozen=True)
class _Counter:
    """Counts what one process does."""

    directory: Path

    @property
    def command(self) -> Sequence[str]:
        """Runs it."""
        counts = self.directory / "counts"
        return ("valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={counts}")

    def count(self, process: psutil.Process, call: Callable[[int], None]) -> float:
        """Instructions a call; the process ends with it."""
        call(WARM_UP)
        _control("--instr=on", process.pid)
        call(WARM_UP)  # to begin to count takes longer than to go on
        _control("--zero", process.pid)
        call(CALLS)
        _control("--dump", process.pid)
        (dump,) = self.directory.glob("counts.*")
        (total,) = re.findall(r"^totals: (\d+)", dump.read_text(errors="replace"), re.MULTILINE)
        process.kill()
        return int(total) / CALLS


@contextmanager
def _counter() -> Iterator[_Counter]:
    with tempfile.TemporaryDirectory(prefix="zoco-callgrind-") as directory:
        yield _Counter(Path(directory))


def _control(order: str, pid: int) -> None:
    subprocess.run(["callgrind_control", order, str(pid)], check=True, capture_output=True)
