"""How long a buyer waits: CreateOrder over REST until the order is confirmed, by one, eight and 32 clients."""

import asyncio
import time
from collections.abc import Sequence
from typing import Final

from tests.bench.figure import ROUNDS, SECONDS, Figure, figure
from tests.bench.orders import Buyers, Call, Door, RestDoor, arrived, milliseconds, open_shop
from tests.journeys.running import RunningShop
from tests.journeys.transports import Json

CLIENTS: Final = (1, 8, 32)
PERCENTILES: Final = (50, 95, 99)
POLL_SECONDS: Final = 0.02
WARM_UP_SECONDS: Final = 2.0


def measure() -> list[Figure]:
    """Gives percentiles in milliseconds for each number of clients, and orders a second of the most."""
    with open_shop() as shop:
        return asyncio.run(_measure(shop))


async def _measure(shop: RunningShop) -> list[Figure]:
    async with arrived(shop) as buyers:
        door = UntilConfirmed(buyers)
        await buyers.closed_loop(door, max(CLIENTS), WARM_UP_SECONDS)
        figures: list[Figure] = []
        for clients in CLIENTS:
            rounds = [await buyers.closed_loop(door, clients, SECONDS) for _ in range(ROUNDS)]
            _require_confirmed([call for calls, _ in rounds for call in calls])
            for percent in PERCENTILES:
                values = [milliseconds(calls, percent) for calls, _ in rounds]
                figures.append(figure(f"order to CONFIRMED, {clients} clients, p{percent}", values, unit="ms"))
            rates = [rate for _, rate in rounds]
            figures.append(figure(f"orders, {clients} clients", rates, unit="orders/s"))
        return figures


class UntilConfirmed:
    """Over REST, as a buyer sees it.

    Who is refused for want of room comes back when they may, and what is PENDING is asked for until it is decided. All
    of that counts.
    """

    def __init__(self, buyers: Buyers) -> None:
        self._buyers = buyers
        self._door: Door = RestDoor(buyers.rest)

    async def create(self, token: str, request: Json) -> Call:
        """Places an order and waits for its end."""
        began = time.perf_counter()
        while (call := await self._door.create(token, request)).shed:  # noqa: ASYNC110 - it happens in other processes
            await asyncio.sleep(call.pushback or 0)
        state = call.state
        while state == "PENDING":
            await asyncio.sleep(POLL_SECONDS)
            state = await self._buyers.state_of(call.order_id)
        return Call(time.perf_counter() - began, state, call.order_id, call.pushback)


def _require_confirmed(calls: Sequence[Call]) -> None:
    other = {call.state for call in calls} - {"CONFIRMED"}
    if other:
        raise RuntimeError(f"orders came to another end: {', '.join(sorted(other))}")
