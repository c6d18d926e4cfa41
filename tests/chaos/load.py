"""Customers without a pause, while something is broken around them."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import grpc

from tests.chaos.customers import Customers, GaveUp
from tests.chaos.ledger import Ledger
from tests.chaos.points import Flow

MIX: Final[Sequence[Flow]] = (
    *[Flow.BUY] * 6,
    *[Flow.DECLINED] * 2,
    Flow.SOLD_OUT,
    Flow.LOST_ANSWER,
    Flow.STUMBLE,
    Flow.CANCEL_EARLY,
    *[Flow.CANCEL_LATE] * 2,
    *[Flow.REFUND] * 2,
)
"""What customers under load do, in these shares."""


class Load:
    """Customers under way.

    Args:
        customers: Who they are.
        ledger: What they write down.
        clients: How many at a time.
        seed: Of what each does next.
    """

    def __init__(self, customers: Customers, ledger: Ledger, *, clients: int, seed: int) -> None:
        self._customers = customers
        self._ledger = ledger
        self._clients = clients
        self.seed = seed
        """Of what they do by chance."""
        self._chance = random.Random(seed)
        self._stopping = asyncio.Event()
        self.gave_up: list[str] = []
        """Customers who were never answered."""

    @property
    def acknowledged(self) -> int:
        """How many orders are acknowledged by now."""
        return len(self._ledger.orders)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Customers come and go within the block; at its end each goes through to the end of what it began."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._clients):
                group.create_task(self._come_and_go())
            try:
                yield
            finally:
                self._stopping.set()

    @property
    def repeated(self) -> Sequence[str]:
        """Calls that were not answered at a try, of all customers so far."""
        return self._ledger.repeated

    def bear(self, code: grpc.StatusCode) -> None:
        """From now on customers repeat what is refused so, too: that it is refused is right, and passes."""
        self._customers.passing.add(code)

    async def until(self, more: int, limit: float = 120) -> None:
        """Waits until so many more orders are acknowledged, or the time is over."""
        enough = len(self._ledger.orders) + more
        loop = asyncio.get_running_loop()
        end = loop.time() + limit
        while len(self._ledger.orders) < enough and loop.time() < end:  # noqa: ASYNC110 - other processes do it
            await asyncio.sleep(0.1)

    async def _come_and_go(self) -> None:
        while not self._stopping.is_set():
            try:
                await self._customers.go_through(self._chance.choice(MIX))
            except GaveUp as error:
                self.gave_up.append(str(error))
