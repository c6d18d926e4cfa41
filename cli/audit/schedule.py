"""The audit on a schedule: each in a process of its own, whose memory goes when it ends; the figures stay here."""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cli.audit.metrics import AuditMetrics
from mesh.logs import logger

PROJECT: Final = Path(__file__).parents[2]
"""Where the command line is run; what else would tell it costs this small process some megabytes."""

SHARE: Final = 0.1
"""Of the time, how much is spent on audits at most: one that takes 20 s comes every 200 s."""

FIRST: Final = 15.0
"""Seconds, at most, before the first audit: a start has other things to do."""

LONGEST: Final = 600.0
"""Seconds after which an audit is given up."""

Look = Callable[[], Awaitable[Mapping[str, Any]]]
"""Makes one audit; returns it as `zoco audit --json` prints it."""


class CannotLook(Exception):
    """There was no audit; the text says why."""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Audits again and again, and tells what it finds."""

    look: Look
    metrics: AuditMetrics
    every: float
    """Seconds from one audit to the next."""

    async def run(self) -> None:
        """Audits until cancelled."""
        await asyncio.sleep(min(self.every, FIRST))
        while True:
            began = time.monotonic()
            await self.once()
            took = time.monotonic() - began
            await asyncio.sleep(max(self.every - took, took / SHARE - took))

    async def once(self) -> None:
        """Audits, sets the metrics, and logs every breach as an error."""
        log = logger("audit")
        began = time.monotonic()
        try:
            found = await self.look()
        except CannotLook as failed:
            self.metrics.failures.inc()
            log.warning("the audit cannot look", reason=str(failed))
            return
        seconds = time.monotonic() - began
        self.metrics.ended(found, at=time.time(), seconds=seconds)
        for verdict in found["invariants"]:
            if verdict["breaches"]:
                log.error(
                    "an invariant is broken",
                    invariant=verdict["id"],
                    what=verdict["title"],
                    breaches=verdict["breaches"],
                    examples=verdict["details"],
                )
        log.info("audited", clean=found["clean"], seconds=round(seconds, 2))


async def look_in_a_process() -> Mapping[str, Any]:
    """One `zoco audit --json` of the shop that our environment names.

    Raises:
        CannotLook: It could not, or took too long.
    """
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli", "audit", "--json"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=PROJECT,
    )
    try:
        async with asyncio.timeout(LONGEST):
            output, errors = await child.communicate()
    except TimeoutError:
        raise CannotLook(f"it took longer than {LONGEST:.0f} s") from None
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode not in {0, 1} or not output:
        lines = errors.decode(errors="replace").strip().splitlines()
        raise CannotLook(lines[-1] if lines else f"exit code {child.returncode}")
    found: Mapping[str, Any] = json.loads(output)
    return found
