"""`run.json`: the ports of the system and the processes it started, for the next start and for cleaning up."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from cli.failures import CorruptState
from cli.local.home import write_private
from cli.local.ports import Ports

_VERSION = 1


@dataclass(frozen=True)
class Recorded:
    """A process we started: enough to know it again and not to mistake another for it."""

    name: str
    pid: int
    started: float
    executable: str

    @classmethod
    def of(cls, name: str, pid: int, executable: str) -> "Recorded | None":
        """Return the record of the living process `pid`, or None if it is gone already."""
        try:
            return cls(name, pid, psutil.Process(pid).create_time(), executable)
        except psutil.NoSuchProcess:
            return None

    def process(self) -> psutil.Process | None:
        """Return the living process this record tells of, or None; a reused pid is not it."""
        try:
            found = psutil.Process(self.pid)
            if abs(found.create_time() - self.started) > 1.0 or found.status() == psutil.STATUS_ZOMBIE:
                return None
            line = found.cmdline()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return None
        # PostgreSQL rewrites its command line, and our launcher precedes the program in its own: look anywhere in it.
        return found if any(_same_program(self.executable, part) for part in line) else None


def _same_program(executable: str, argument: str) -> bool:
    return executable in argument or (argument.startswith("/") and argument in executable)


@dataclass(frozen=True)
class RunState:
    """The content of `run.json`."""

    ports: Ports
    supervisor: Recorded | None
    processes: tuple[Recorded, ...]


def read_run_state(path: Path) -> RunState | None:
    """Return what `path` holds, or None if there is no such file.

    Raises:
        CorruptState: the file cannot be understood.
    """
    try:
        content: dict[str, Any] = json.loads(path.read_text())
        {_VERSION: None}[content["version"]]
        supervisor = content["supervisor"]
        return RunState(
            ports=Ports(**content["ports"]),
            supervisor=Recorded(**supervisor) if supervisor else None,
            processes=tuple(Recorded(**item) for item in content["processes"]),
        )
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged(path, error) from None


def write_run_state(path: Path, state: RunState) -> None:
    """Replace `path` in one step."""
    write_private(path, json.dumps({"version": _VERSION, **asdict(state)}, indent=2) + "\n")


def damaged(path: Path, error: Exception) -> CorruptState:
    """Return the failure for a file of the local state that cannot be read."""
    reason = " ".join(f"{type(error).__name__}: {error}".split())
    return CorruptState(
        f"{path} is damaged ({reason}); `make reset` deletes the local state, its data included, "
        f"and the next start makes it anew."
    )
