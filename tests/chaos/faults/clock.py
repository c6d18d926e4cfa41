"""One service's clock is an hour off: it jumps there under load, and back.

The library in the process (libfaketime) reads its offset from a file, again every second. Only what the time of day is
changes; how long something takes is measured by another clock, which nobody sets.
"""

import asyncio
import os
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Final

import grpc

from tests.chaos.faults.fault import Fault, Inflict
from tests.chaos.house import House
from tests.chaos.load import Load
from tests.chaos.outcome import Outcome
from tests.journeys.running import wait_for

BETWEEN: Final = 4
"""Orders that are acknowledged before, meanwhile and after."""

HOUR: Final = 3600
SECONDS: Final = 15.0
"""For how long the clock is wrong, at least."""

FOLLOWED_SECONDS: Final = 30.0
"""Within which a process's log shows its new time."""


def ahead(workload: str, *, refuses_people: bool) -> Inflict:
    """Sets a service's clock an hour ahead.

    Args:
        workload: The service.
        refuses_people: Whether people call it with their tokens, which have expired by its clock. That is right, and
            so the customers come again until it is well; orders under way are what is tried then.
    """

    async def inflict(house: House, load: Load, outcome: Outcome) -> None:
        if refuses_people:
            load.bear(grpc.StatusCode.UNAUTHENTICATED)
        await load.until(BETWEEN)
        before = len(load.repeated)
        _set(house, HOUR)
        try:
            if not refuses_people:
                await load.until(BETWEEN)
            await asyncio.sleep(SECONDS)  # how long it is wrong is the fault itself
            await asyncio.to_thread(wait_for, lambda: _ahead(house, workload) > HOUR / 2, FOLLOWED_SECONDS, "jump")
        finally:
            _set(house, 0)
        await asyncio.to_thread(wait_for, lambda: _ahead(house, workload) < HOUR / 2, FOLLOWED_SECONDS, "jump back")
        await load.until(2 * BETWEEN)
        refused = sum("UNAUTHENTICATED" in each for each in load.repeated[before:])
        outcome.notes.append(f"{SECONDS:.0f} s, {refused} calls refused because their token had expired")

    return inflict


def _set(house: House, seconds: int) -> None:
    """Puts the new offset where the process looks for it, in one step: a file that is half written is no offset."""
    unfinished = _clock_of(house).with_suffix(".new")
    unfinished.write_text(f"{seconds:+d}\n")
    unfinished.rename(_clock_of(house))


def _clock_of(house: House) -> Path:
    return house.sentences.with_name("clock")


def _ahead(house: House, workload: str) -> float:
    """Seconds by which the newest line of a service's log is ahead of the time; each call writes one."""
    with suppress(IndexError):
        written = datetime.fromisoformat(str(house.shop.logs(workload)[-1]["time"]))
        return (written - datetime.now(UTC)).total_seconds()
    return 0.0


def _settings(workload: str) -> Mapping[str, str]:
    here = Path(__file__).parent
    return {
        # Forked from a process that has a clock already, it would get no other.
        "ZOCO_PRELOAD": "false",
        "PYTHONPATH": os.pathsep.join(filter(None, (str(here / "another_clock"), os.environ.get("PYTHONPATH")))),
        "CHAOS_CLOCK_OF": workload,
        "CHAOS_CLOCK_LIBRARY": str(files("libfaketime") / "vendor" / "libfaketime" / "src" / "libfaketime.so.1"),
        "DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_CACHE_DURATION": "1",
    }


FAULTS: Final = (
    Fault(
        "payment-clock-ahead",
        "payment's clock jumps an hour ahead, and back",
        ahead("payment", refuses_people=False),
        settings=_settings("payment"),
    ),
    Fault(
        "order-clock-ahead",
        "order's clock jumps an hour ahead, and back: it refuses people meanwhile, and finishes what it began",
        ahead("order", refuses_people=True),
        settings=_settings("order"),
    ),
)
