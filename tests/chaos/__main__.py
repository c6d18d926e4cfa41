"""`make chaos` and `make chaos-short`: breaks a shop in every way there is a name for, and counts what it lost."""

import asyncio
import sys
from pathlib import Path
from typing import Final

from tests.chaos.report import Report
from tests.chaos.run import plan_of, run

REPORT: Final = Path(__file__).parents[2] / ".zoco" / "chaos" / "report.md"


def main() -> None:
    """Runs, prints the closing line last, and exits with 1 if anything was wrong."""
    plan = plan_of(short="--short" in sys.argv[1:])
    what = " and ".join([*(["crashes"] if plan.crashes else []), f"{len(plan.faults())} faults"])
    print(f"seed {plan.seed}; {what}; report: {REPORT}", flush=True)
    report = Report(REPORT, plan.seed, left_out=[fault.name for fault in plan.left_out()])
    if report.left_out:
        print(f"left out, because only root may do it: {', '.join(report.left_out)}", flush=True)
    try:
        asyncio.run(run(plan, report))
    finally:
        report.write()
    for line in report.unproven:
        print(line)
    print(report.closing_line)
    sys.exit(1 if report.failed else 0)


if __name__ == "__main__":
    main()
