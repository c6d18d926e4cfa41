"""A network that delays, loses answers and falls silent, between the shop and what it stands on."""

import asyncio
from typing import Final

from tests.chaos.faults.fault import Fault, Inflict
from tests.chaos.house import House
from tests.chaos.load import Load
from tests.chaos.outcome import Outcome
from tests.chaos.outside import Outside

BETWEEN: Final = 4
"""Orders that are acknowledged before and after, so that what is broken is in use, and is of use again."""

DELAY: Final = (0.05, 0.2)
"""Seconds by which a piece is late, at least and at most."""

TORN: Final = 0.15
"""Share of the commits whose connection is reset."""

TEARS: Final = 60
BRIEF_TEARS: Final = 20
"""How many commits are torn."""

SILENCE: Final = 20.0
"""Seconds without a word: longer than any limit that the shop has for a statement or a transaction."""

PATIENCE: Final = 180.0


async def delayed(house: House, load: Load, outcome: Outcome) -> None:
    """Everything to and from PostgreSQL is late, for as long as customers are served so."""
    proxy = house.proxies[Outside.POSTGRES]
    await load.until(BETWEEN)
    loop = asyncio.get_running_loop()
    began = loop.time()
    proxy.delay(*DELAY)
    try:
        await load.until(BETWEEN if house.brief else 5 * BETWEEN)
        took = loop.time() - began
    finally:
        proxy.heal()
    outcome.notes.append(f"{proxy.seen['delayed']} pieces late in {took:.0f} s")
    await load.until(BETWEEN)


async def torn_at_commit(house: House, load: Load, outcome: Outcome) -> None:
    """Some commits lose their connection: half of them before PostgreSQL hears of it, half after it has done it."""
    proxy = house.proxies[Outside.POSTGRES]
    tears = BRIEF_TEARS if house.brief else TEARS
    await load.until(BETWEEN)
    proxy.tear_commits(TORN)
    try:
        async with asyncio.timeout(PATIENCE):
            while proxy.seen["reset before"] + proxy.seen["reset after"] < tears:  # noqa: ASYNC110 - customers do it
                await asyncio.sleep(0.1)
    finally:
        proxy.heal()
    outcome.notes.append(
        f"{proxy.seen['reset before']} commits torn before and {proxy.seen['reset after']} after they took effect"
    )
    await load.until(BETWEEN)


def silent(server: Outside) -> Inflict:
    """Nothing goes through any more, and no connection ends: neither side is told that the other is gone."""

    async def inflict(house: House, load: Load, outcome: Outcome) -> None:
        proxy = house.proxies[server]
        await load.until(BETWEEN)
        before = proxy.seen["connections"]
        proxy.keep_silent()
        try:
            await asyncio.sleep(SILENCE)  # how long it keeps silent is the fault itself
        finally:
            proxy.heal()
        began = asyncio.get_running_loop().time()
        await load.until(1)
        took = asyncio.get_running_loop().time() - began
        outcome.notes.append(
            f"{SILENCE:.0f} s, {proxy.seen['connections'] - before} new connections, next order after {took:.1f} s"
        )
        await load.until(BETWEEN)

    return inflict


FAULTS: Final = (
    Fault(
        "database-delayed",
        "50 to 200 ms a direction between the services and PostgreSQL",
        delayed,
        through=(Outside.POSTGRES,),
    ),
    Fault(
        "commit-reset",
        "connections to PostgreSQL reset at COMMIT, before and after it takes effect",
        torn_at_commit,
        through=(Outside.POSTGRES,),
    ),
    Fault(
        "database-half-open",
        "PostgreSQL falls silent, and no connection ends",
        silent(Outside.POSTGRES),
        through=(Outside.POSTGRES,),
    ),
    Fault(
        "broker-half-open",
        "NATS falls silent, and no connection ends",
        silent(Outside.NATS),
        through=(Outside.NATS,),
    ),
)
