"""Measures: `make bench`, or `make bench NAME=pipeline`. Prints a table and writes `.zoco/bench.json`.

Nothing else should run on the machine. Every target is a ratio between two things that are run alternately in one
session, the median of five rounds of twelve slices; BENCH_SHORT=1 makes one short round, to see that measuring works.
"""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Final

import grpc

from tests.bench.figure import ROUNDS, SHORT, Figure
from tests.bench.load import GeneratorMissing

ROOT: Final = Path(__file__).parents[2]
RESULTS: Final = ROOT / ".zoco" / "bench.json"

BENCHES: Final[Mapping[str, str]] = {
    "pipeline": "tests.bench.pipeline",
    "mtls": "tests.bench.mtls",
    "edge": "tests.bench.edge",
    "tracing": "tests.bench.tracing",
    "instructions": "tests.bench.instructions",
    "decisions": "tests.bench.decisions",
    "turnaround": "tests.bench.edge_turnaround",
    "growth": "tests.bench.growth",
    "checkout-latency": "tests.bench.checkout_latency",
    "overload": "tests.bench.overload",
    "relay": "tests.bench.relay",
}
"""Modules with a `measure()`, by the name they are asked for with."""


def main(names: Sequence[str]) -> int:
    """Measures what is named, or everything; 1 if a target was missed, 2 if a name or a load generator is not there."""
    unknown = set(names) - set(BENCHES)
    if unknown:
        print(f"NAME: no such bench: {', '.join(sorted(unknown))}; there are {', '.join(BENCHES)}", file=sys.stderr)
        return 2
    print(_machine(), flush=True)
    missed = False
    for name in names or BENCHES:
        measure: Callable[[], Sequence[Figure]] = import_module(BENCHES[name]).measure
        try:
            figures = measure()
        except GeneratorMissing as missing:
            print(missing, file=sys.stderr)
            return 2
        print(*(_line(each) for each in figures), sep="\n", flush=True)
        _write(name, figures)
        missed |= any(each.verdict == "MISSED" for each in figures)
    print(f"load average {_load_average()}")
    return int(missed and not SHORT)


def _line(figure: Figure) -> str:
    low, high = figure.spread
    form = f".{_decimals(figure)}f"
    target = "" if figure.target is None else f"   must reach {figure.target:.2f}: {figure.verdict}"
    return f"{figure.name:44}{figure.value:>8{form}} {figure.unit:11} ({low:{form}} to {high:{form}}){target}"


def _decimals(figure: Figure) -> int:
    """Three digits say all that such a machine can."""
    if not figure.unit or abs(figure.value) < 10:
        return 2
    return 1 if abs(figure.value) < 100 else 0


def _machine() -> str:
    return (
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, grpcio {grpc.__version__}; "
        f"{'one short round' if SHORT else f'medians of {ROUNDS} rounds'}; load average {_load_average()}"
    )


def _load_average() -> str:
    return ", ".join(f"{each:.1f}" for each in os.getloadavg())


def _write(name: str, figures: Sequence[Figure]) -> None:
    """Puts a bench's figures into the results, in place of what it measured before."""
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    measured = {
        "bench": name,
        "commit": commit.stdout.strip(),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "short": SHORT,
    }
    others = [each for each in json.loads(RESULTS.read_text()) if each["bench"] != name] if RESULTS.exists() else []
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps([*others, *({**asdict(each), **measured} for each in figures)], indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
