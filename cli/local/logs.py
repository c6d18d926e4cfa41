"""Log files of supervised processes: bounded in size, and their last lines for a failure's report.

Each process writes to its file itself, without us in between, so that a busy service costs the supervisor nothing. A
file that grows past its limit is copied aside and emptied in place, because a process keeps its file open; lines
written between the copy's last read and the emptying, microseconds, are lost.
"""

import os
import shutil
from pathlib import Path

LIMIT_BYTES = 64 * 1024 * 1024
_TAIL_BYTES = 64 * 1024


def open_log(path: Path) -> int:
    """Return a descriptor that appends to `path`."""
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


def rotate(path: Path, limit: int = LIMIT_BYTES) -> bool:
    """Move what `path` holds to `path.1` if it is larger than `limit` bytes; return whether it was."""
    try:
        if path.stat().st_size <= limit:
            return False
    except FileNotFoundError:
        return False
    shutil.copyfile(path, path.with_name(f"{path.name}.1"))
    os.truncate(path, 0)
    return True


def tail(path: Path, lines: int = 12) -> tuple[str, ...]:
    """Return the last lines of `path`; none if there is no such file."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - _TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ()
    return tuple(text.splitlines()[-lines:])
