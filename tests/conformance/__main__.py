"""`make conformance`: asks a shop of its own every case of the table; the figure is the last line."""

import os
import sys

from tests.bench.orders import open_shop
from tests.conformance.report import Report
from tests.conformance.runner import run
from tests.conformance.table import CASES
from tests.conformance.world import make_world


def main() -> int:
    """Prints the report; 1 if a case failed, 2 if none is called as asked for. ONLY picks cases by subject or name."""
    only = os.environ.get("ONLY", "").lower()
    chosen = [each for each in CASES if only in f"{each.subject}: {each.name}".lower()]
    if not chosen:
        print(f"ONLY: no case has {only!r} in its subject or name", file=sys.stderr)
        return 2
    print(f"{len(chosen)} cases, against a shop of their own", flush=True)
    with open_shop() as shop:
        report = Report(list(run(make_world(shop), chosen)))
    print("\n".join(report.lines()))
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
