"""Places where a process can be told to die, for the proof that nothing is lost there (`make chaos`).

Whoever starts a process arms it: `ZOCO_CRASH_POINTS` names a directory. A file in it that has a point's name is a
death sentence: the process that reaches the point first takes the file away and ends as by `kill -9`. One sentence, one
death, however many processes there are, and the one started in its place goes on. Unarmed, a point costs one call.

`tests/chaos/points.py` lists every point there is; a test compares it with the calls in the code.
"""

import os
import signal
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final

VARIABLE: Final = "ZOCO_CRASH_POINTS"

REACHED: Final = "reached"
"""Directory beside the sentences: in it an empty one for each point that was ever reached."""


def crashpoint(name: str) -> None:
    """A place that may be the last one this process comes to.

    Args:
        name: `<workload>.<what is done>.<how far it is>`, such as `order.capture.after_reply`.
    """
    directory = _armed()
    if directory is not None:
        _pass(directory, name)


def _pass(directory: Path, name: str) -> None:
    with suppress(FileExistsError):
        os.mkdir(directory / REACHED / name)  # noqa: PTH102 - no file: a process that may open none gets here, too
    try:
        os.unlink(directory / name)  # noqa: PTH108 - of two that come here at once, one alone can take it away
    except FileNotFoundError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


@cache
def _armed() -> Path | None:
    """The directory of sentences; asked once, for this is passed several times a call."""
    named = os.environ.get(VARIABLE)
    if not named:
        return None
    directory = Path(named)
    (directory / REACHED).mkdir(parents=True, exist_ok=True)
    return directory
