"""What the tests of the command line share: a home with its command line, free ports, waiting for a condition."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import psutil

from cli.local.home import Home
from cli.local.settings import PROJECT

_PATIENCE_SECONDS = 30.0


def lives(pid: int) -> bool:
    """Whether the process runs; one that has ended and waits to be collected does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        await asyncio.sleep(0.01)


def until_now(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.02)


@dataclass(frozen=True)
class Checkout:
    """One home with the command line, as a person has it, on ports of its own; by default database and broker only."""

    home: Home
    edge_port: int
    services: str = "none"

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        theirs = {
            name: value for name, value in os.environ.items() if not name.startswith(("ZOCO_", "DATABASE_", "NATS_"))
        }
        ours = {
            "ZOCO_HOME": str(self.home.root),
            "ZOCO_EDGE_PORT": str(self.edge_port),
            "ZOCO_SERVICES": self.services,
        }
        return {**theirs, **ours, **(extra or {})}

    def zoco(self, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "cli", *arguments],
            env=self.environment(extra),
            cwd=PROJECT,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "cli", *arguments],
            env=self.environment(),
            cwd=PROJECT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
