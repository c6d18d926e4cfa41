"""How much memory a process and its children hold: the proportional set size, in which shared pages count once."""

from pathlib import Path

import psutil


def pss_bytes(pid: int, *, family: bool = True) -> int | None:
    """Return the PSS of `pid`, with its descendants if `family`, in bytes, or None where the kernel does not tell.

    Source: /proc/PID/smaps_rollup (Linux); PostgreSQL's shared buffers are divided among its processes by it.
    """
    try:
        children = psutil.Process(pid).children(recursive=True) if family else []
        return sum(_pss(member) for member in (pid, *(child.pid for child in children)))
    except (psutil.NoSuchProcess, FileNotFoundError, PermissionError):
        return None


def _pss(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except ProcessLookupError:  # it went away between the listing and the reading
        return 0
    return next(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Pss:"))
