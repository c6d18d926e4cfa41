"""The short form of the chaos run: every crash point once, five processes killed under load, and nothing is lost."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.usefixtures("takes_minutes")
def test_nothing_is_lost_whichever_process_dies_at_whichever_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.chaos", "--short"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=1500,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-20_000:]
    assert done.stdout.splitlines()[-1].endswith(" 0 lost, 0 charged twice, 0 oversold")
