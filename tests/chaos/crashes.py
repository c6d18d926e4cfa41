"""Crashes at named points: customers come by, a process dies, and all get what they came for."""

import asyncio
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import chain
from operator import or_
from typing import Final

from tests.chaos.customers import Customers, GaveUp
from tests.chaos.house import House
from tests.chaos.ledger import Ledger
from tests.chaos.outcome import Outcome
from tests.chaos.points import CHECKOUTS, DELICATE, POINTS, Flow

TOGETHER: Final = 3
"""Points of one workload that are armed together in the short form: it dies as often."""

COMES_BY: Final = 30.0
"""Seconds within which what goes on behind a flow (events, mail) comes by its points."""


@dataclass(frozen=True)
class Round:
    """Points that are armed together, and the flows that go by meanwhile."""

    points: Sequence[str]
    flows: Sequence[Flow]

    @property
    def name(self) -> str:
        """What it is called in the report, and by `ONLY`."""
        return f"{' + '.join(self.points)} / {', '.join(flow.value for flow in dict.fromkeys(self.flows))}"


def every_point_once() -> Iterator[Round]:
    """Each point once, some of each workload at a time, and as many customers as it takes for each to be reached.

    A delicate flow meets one point only.
    """
    waiting: dict[str, list[str]] = {}
    for point, flow in POINTS.items():
        if flow in DELICATE:
            yield Round([point], [flow])
        else:
            waiting.setdefault(point.partition(".")[0], []).append(point)
    while waiting:
        armed = [queue[:TOGETHER] for queue in waiting.values()]
        waiting = {workload: queue[TOGETHER:] for workload, queue in waiting.items() if queue[TOGETHER:]}
        # A customer for each point of a workload; those of another workload come by with the same ones.
        customers = reduce(or_, (Counter(POINTS[point] for point in points) for points in armed))
        yield Round(list(chain(*armed)), list(customers.elements()))


def every_point_with_every_checkout(reach: Mapping[Flow, frozenset[str]]) -> Iterator[Round]:
    """Each point, alone, with the flow that is sure to come by, and with each kind of checkout that comes by at all.

    Args:
        reach: Which points each flow comes by; see `walk`.
    """
    for point, own in POINTS.items():
        for flow in dict.fromkeys((own, *CHECKOUTS)):
            if flow is own or point in reach[flow]:
                yield Round([point], [flow])


async def walk(house: House, customers: Customers, ledger: Ledger) -> Mapping[Flow, frozenset[str]]:
    """Which points each kind of checkout comes by while nothing goes wrong, with all that goes on behind it."""
    reach = {}
    for flow in CHECKOUTS:
        await house.audit(ledger.order_ids)
        before = house.forget_reached()
        await customers.go_through(flow)
        await house.audit(ledger.order_ids)
        reach[flow] = house.reached
        house.remember_reached(before)
    return reach


def pairs(count: int, seed: int) -> Iterator[Round]:
    """Two points at a time: the second death meets what the first left behind."""
    chance = random.Random(seed)
    names = sorted(POINTS)
    for _ in range(count):
        first, second = chance.sample(names, 2)
        yield Round([first, second], list(dict.fromkeys((POINTS[first], POINTS[second]))))


async def play(house: House, customers: Customers, ledger: Ledger, each: Round) -> Outcome:
    """Plays a round. What is pending at its end was not reached by these flows, and is pardoned."""
    loop = asyncio.get_running_loop()
    began, before, wrong_before = loop.time(), len(ledger.orders), len(ledger.wrong)
    for point in each.points:
        house.sentence(point)
    came = await asyncio.gather(*(customers.go_through(flow) for flow in each.flows), return_exceptions=True)
    trouble = [f"{flow.value}: {error!r}" for flow, error in zip(each.flows, came, strict=True) if error is not None]
    for error in came:
        if isinstance(error, BaseException) and not isinstance(error, Exception):
            raise error
    alone = len(each.points) == 1
    sure = [point for point in each.points if POINTS[point] in each.flows and (alone or POINTS[point] not in DELICATE)]
    missed = [f"{point} was not reached" for point in await _still_pending(house, sure)]
    for point in each.points:
        house.pardon(point)
    orders = ledger.orders[before:]
    if not trouble:
        try:
            await customers.check_repeats(orders)
            await customers.check_ends(orders)
        except GaveUp as error:
            trouble.append(repr(error))
    return Outcome(
        each.name, len(orders), loop.time() - began, wrong=trouble + ledger.wrong[wrong_before:], unproven=missed
    )


async def _still_pending(house: House, points: Iterable[str]) -> Sequence[str]:
    async def gone() -> None:
        while any(house.is_pending(point) for point in points):  # noqa: ASYNC110 - it happens in other processes
            await asyncio.sleep(0.05)

    points = list(points)
    try:
        async with asyncio.timeout(COMES_BY):
            await gone()
    except TimeoutError:
        return [point for point in points if house.is_pending(point)]
    return []
