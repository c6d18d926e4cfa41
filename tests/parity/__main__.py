"""`python -m tests.parity`: every method and identity, in every layer; the figure is the last line."""

import asyncio
import logging
import sys
import tempfile
from pathlib import Path

import structlog

from tests.parity.matrix import run


def main() -> int:
    """Print the report; the exit code is 1 if a layer decides otherwise than the contract."""
    # Three thousand lines of access log would hide the report.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with tempfile.TemporaryDirectory(prefix="zoco-parity-", ignore_cleanup_errors=True) as directory:
        report = asyncio.run(run(Path(directory)))
    print("\n".join(report.lines()))
    return 1 if report.disagreements else 0


if __name__ == "__main__":
    sys.exit(main())
