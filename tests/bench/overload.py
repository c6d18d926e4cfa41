"""Three times the load that the shop can serve: who is let in is served as ever, who is not is told so at once.

Orders come in an open loop from this process, so that nobody's waiting slows the others down. First at the order
process's own door, with the edge's certificate, then through the edge.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import grpc
import httpx
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub

from mesh.credentials import client_credentials
from tests.bench.figure import SECONDS, SHORT, Figure, figure
from tests.bench.orders import Buyers, Call, Door, RestDoor, arrived, milliseconds, open_shop, own_door
from tests.journeys.running import RunningShop

TIMES: Final = 3.0
CLIENTS: Final = 8
"""How many clients bring a door to its capacity: more of them are refused now and then, come back later, and leave it
idle meanwhile."""
CAPACITY_SECONDS: Final = 2 * SECONDS
OVERLOAD_SECONDS: Final = 3.0 if SHORT else 20.0
REFUSED_WITHIN: Final = 50.0
"""Milliseconds."""
ADMITTED_WITHIN: Final = 2.0
"""Times the latency at capacity."""
LOOK_SECONDS: Final = 0.5


@dataclass
class Watch:
    """Looks whether the shop calls itself healthy while it is overloaded."""

    looks: int = 0
    red: list[str] = field(default_factory=list)

    async def keep(self, looking: Callable[[], Awaitable[str]]) -> None:
        """Looks for ever; run it as a task."""
        while True:
            said = await looking()
            self.looks += 1
            if said:
                self.red.append(said)
            await asyncio.sleep(LOOK_SECONDS)


def measure() -> list[Figure]:
    """Gives, for either door, what became of the admitted and of the refused, and what was lost."""
    with open_shop() as shop:
        return asyncio.run(_measure(shop))


async def _measure(shop: RunningShop) -> list[Figure]:
    async with arrived(shop) as buyers, own_door(shop) as own:
        figures = await _at(shop, buyers, own, "at the door", target=True)
        await asyncio.to_thread(shop.wait_until_healthy)
        return figures + await _at(shop, buyers, RestDoor(buyers.rest), "through the edge", target=False)


async def _at(shop: RunningShop, buyers: Buyers, door: Door, where: str, *, target: bool) -> list[Figure]:
    """Measures a door at its capacity and beyond it.

    Args:
        shop: The shop.
        buyers: Who orders.
        door: Where.
        where: The same in words.
        target: Whether refusals are held to their limit here.
    """
    await buyers.closed_loop(door, CLIENTS, SECONDS)
    at_capacity, rate = await buyers.closed_loop(door, CLIENTS, CAPACITY_SECONDS)
    watch = Watch()
    async with Look(shop) as look:
        watching = asyncio.create_task(watch.keep(look))
        calls = await buyers.open_loop(door, TIMES * rate, OVERLOAD_SECONDS)
        watching.cancel()
    admitted, shed = [each for each in calls if each.admitted], [each for each in calls if each.shed]
    lost = await buyers.settled([*at_capacity, *calls])
    other = Counter(each.state for each in calls if not each.admitted and not each.shed)
    for what in (*lost, *watch.red, *(f"{count} calls ended {state}" for state, count in other.items())):
        print(f"{where}: {what}", flush=True)
    before = milliseconds([each for each in at_capacity if each.admitted], 95)
    during, refused = milliseconds(admitted, 95), milliseconds(shed, 95)

    def told(name: str, value: float, unit: str = "", target: float | None = None) -> Figure:
        return figure(f"{where}: {name}", [value], unit=unit, target=target)

    return [
        told("capacity", rate, "orders/s"),
        told("p95 at capacity", before, "ms"),
        told("orders sent", len(calls) / OVERLOAD_SECONDS, "orders/s"),
        told("orders admitted", len(admitted) / OVERLOAD_SECONDS, "orders/s"),
        told("admitted, p95", during, "ms"),
        told("p95 at capacity / admitted, p95", _ratio(before, during), target=1 / ADMITTED_WITHIN),
        told("refused", _share(shed, calls)),
        told("refused, p95", refused, "ms"),
        told(f"{REFUSED_WITHIN:.0f} ms / refused, p95", _ratio(REFUSED_WITHIN, refused), target=1 if target else None),
        told("refusals that say when to come back", _share([each for each in shed if each.pushback], shed), target=1),
        told("answered with an order or such a refusal", 1 - sum(other.values()) / len(calls), target=1),
        told("looks at health that were green", 1 - len(watch.red) / max(watch.looks, 1), target=1),
        told("acknowledged orders that were kept", 1 - len(lost) / max(len(admitted), 1), target=1),
    ]


class Look:
    """Asks the order process and the page of the whole system how they are."""

    def __init__(self, shop: RunningShop) -> None:
        self._channel = grpc.aio.secure_channel(
            f"127.0.0.1:{shop.port('order')}",
            client_credentials(shop.home / "pki" / "cli"),
            options=(("grpc.ssl_target_name_override", "order"), ("grpc.use_local_subchannel_pool", 1)),
        )
        self._client = httpx.AsyncClient(base_url=f"http://{shop.address}", timeout=10)

    async def __aenter__(self) -> Callable[[], Awaitable[str]]:
        """Gives the looking itself: empty if all is well, else what is not."""
        return self._look

    async def __aexit__(self, *_: object) -> None:
        """Ends the connections."""
        await self._client.aclose()
        await self._channel.close()

    async def _look(self) -> str:
        began = time.perf_counter()
        try:
            status = (await HealthStub(self._channel).Check(health_pb2.HealthCheckRequest(), timeout=10)).status
            page = (await self._client.get("/healthz")).status_code
        except (grpc.aio.AioRpcError, httpx.TransportError) as error:
            return f"health after {time.perf_counter() - began:.1f} s: {error!r}"
        if status != health_pb2.HealthCheckResponse.SERVING or page != httpx.codes.OK:
            return f"health: order {status}, page {page}"
        return ""


def _ratio(one: float, other: float) -> float:
    """The ratio; 0 where nothing was measured: where nobody was refused, the load was none, and misses its targets."""
    return one / other if other else 0.0


def _share(part: Sequence[Call], whole: Sequence[Call]) -> float:
    return len(part) / len(whole) if whole else 0.0
