"""Processes that may open nothing more: no file, no connection."""

import asyncio
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import httpx

from tests.chaos.faults.fault import Fault, Inflict
from tests.chaos.house import House
from tests.chaos.load import Load
from tests.chaos.outcome import Outcome

BETWEEN: Final = 4
"""Orders that are acknowledged before and after."""

SECONDS: Final = 15.0
"""For how long nothing can be opened."""


def exhausted(process: str, neighbour: str) -> Inflict:
    """Lowers a process's limit to what it has open, and kills a neighbour, so that it needs a new connection."""

    async def inflict(house: House, load: Load, outcome: Outcome) -> None:
        await load.until(BETWEEN)
        pid = int((await asyncio.to_thread(house.shop.status))[process]["pid"])
        with _nothing_to_open(pid) as opened:
            await asyncio.to_thread(house.shop.kill, neighbour)
            refused = await _strangers_refused(house)
        outcome.notes.append(f"{opened} open, {refused} strangers had no answer in {SECONDS:.0f} s")
        began = asyncio.get_running_loop().time()
        await load.until(1)
        outcome.notes.append(f"next order after {asyncio.get_running_loop().time() - began:.1f} s")
        await asyncio.to_thread(house.shop.wait_until_healthy, 120)
        await load.until(BETWEEN)
        now = int((await asyncio.to_thread(house.shop.status))[process]["pid"])
        if now != pid:
            outcome.wrong.append(f"{process} died of it")

    return inflict


@contextmanager
def _nothing_to_open(pid: int) -> Iterator[int]:
    """Takes every free descriptor away from a process; tells how many it has open."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    # The limit is one above the highest number that may be given out; a free number below it is one too many.
    opened = sorted(int(each) for each in os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208 - numbers, no files
    first_free = next(number for number in range(len(opened) + 1) if number not in opened)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (first_free, before[1]))
    try:
        yield len(opened)
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


async def _strangers_refused(house: House) -> int:
    """Lets somebody new come to the edge once a second; how many of them got no answer that is one."""
    refused = 0
    loop = asyncio.get_running_loop()
    end = loop.time() + SECONDS
    while loop.time() < end:
        async with httpx.AsyncClient(base_url=f"http://{house.shop.address}", timeout=1) as stranger:
            try:
                answer = await stranger.get("/v1/products", params={"pageSize": 1})
                refused += answer.status_code != httpx.codes.OK
            except httpx.TransportError:
                refused += 1
        await asyncio.sleep(1)
    return refused


FAULTS: Final = (
    Fault(
        "order-descriptors-exhausted",
        "order may open no more descriptors, and loses its connection to payment",
        exhausted("order", "payment"),
    ),
    Fault(
        "edge-descriptors-exhausted",
        "Envoy may open no more descriptors, and loses its connection to order",
        exhausted("edge", "order"),
    ),
)
