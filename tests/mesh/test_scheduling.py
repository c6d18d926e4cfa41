"""How the operating system shares the processor among a service's threads."""

import os
import subprocess
import sys

import pytest

from mesh.scheduling import run_in_batches

THREAD = (
    "import os, threading; t = threading.Thread(target=lambda: print(os.sched_getscheduler(0))); t.start(); t.join()"
)


@pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="only Linux knows of batches")
def test_threads_that_are_started_later_run_in_batches() -> None:
    code = f"from mesh.scheduling import run_in_batches; run_in_batches(); {THREAD}"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert int(done.stdout) == os.SCHED_BATCH


def test_where_it_is_forbidden_all_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbid(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", forbid, raising=False)

    run_in_batches()


def test_where_there_is_no_such_thing_all_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_setscheduler", raising=False)

    run_in_batches()
