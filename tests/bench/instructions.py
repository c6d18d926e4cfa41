"""What the pipeline costs in instructions of the processor: they are the same whatever else the machine does.

A server runs some fifty times slower while valgrind counts, but its clock does not: what is done every so often, such
as writing the log, is done after fewer calls, and weighs more than it would. System calls are not looked into.
"""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.bench.echo import EchoServers, echo_servers
from tests.bench.echo_server import Way
from tests.bench.figure import SHORT, Figure, figure

CALLS: Final = 100 if SHORT else 1000
WARM_UP: Final = 200


def measure() -> Sequence[Figure]:
    """Instructions a request, bare and behind the pipeline, over plaintext. Nothing where there is no valgrind."""
    if shutil.which("valgrind") is None:
        print("instructions: valgrind, which counts them, is not installed; nothing is measured")
        return []
    with echo_servers() as servers:
        behind, bare = _count(servers, "pipeline"), _count(servers, "bare")
    return [
        figure("instructions: bare against the pipeline", [bare / behind]),
        figure("  behind the pipeline", [behind], unit="a request"),
        figure("  bare", [bare], unit="a request"),
        figure("  added by the pipeline", [behind - bare], unit="a request"),
    ]


def _count(servers: EchoServers, way: Way) -> float:
    with tempfile.TemporaryDirectory(prefix="zoco-callgrind-") as directory:
        counts = Path(directory) / "counts"
        watched = ("valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={counts}")
        server = servers.start(way, "plaintext", under=watched)
        server.call(WARM_UP)
        _control("--instr=on", server.process.pid)
        server.call(WARM_UP)  # to begin to count takes longer than to go on
        _control("--zero", server.process.pid)
        server.call(CALLS)
        _control("--dump", server.process.pid)
        (dump,) = Path(directory).glob("counts.*")
        (total,) = re.findall(r"^totals: (\d+)", dump.read_text(errors="replace"), re.MULTILINE)
        server.process.kill()
        return int(total) / CALLS


def _control(order: str, pid: int) -> None:
    subprocess.run(["callgrind_control", order, str(pid)], check=True, capture_output=True)
