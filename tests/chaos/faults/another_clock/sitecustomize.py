"""Lets the process of one service begin anew under libfaketime, before it does anything else.

Every Python of the shop finds this file by its PYTHONPATH (https://docs.python.org/3/library/site.html). What follows
concerns only the one that `CHAOS_CLOCK_OF` names; its id, its parent and its files stay what they were.
"""

import os
import sys
from pathlib import Path

if sys.orig_argv[1:] == ["-m", f"services.{os.environ.get('CHAOS_CLOCK_OF')}"] and "LD_PRELOAD" not in os.environ:
    its_own = {
        "LD_PRELOAD": os.environ["CHAOS_CLOCK_LIBRARY"],
        "FAKETIME_TIMESTAMP_FILE": str(Path(os.environ["ZOCO_CRASH_POINTS"]).with_name("clock")),
    }
    os.execve(sys.executable, sys.orig_argv, {**os.environ, **its_own})  # noqa: S606 - to replace this process
