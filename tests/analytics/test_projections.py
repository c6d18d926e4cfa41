"""The read tables are a function of the set of events: order, repeats and company make no difference."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from random import Random
from typing import Any

import pytest
from sqlalchemy import select, text

from mesh.bus import Received
from mesh.data import Database, Transaction
from mesh.ids import uuid7
from services.analytics import projections
from services.analytics.projections import WORKLOAD, forget, project, rebuild
from services.analytics.tables import placement, refund, registration, sale, sale_line
from tests.analytics.conftest import Shop
from tests.analytics.given import NOON, Buyer, amount, item, received, registers
from tests.fixtures.servers import Postgres, until
from zoco.order.v1.order_events_pb2 import OrderRejected, OrderShipped

Rows = dict[str, list[tuple[Any, ...]]]
FACTS = (placement, sale, sale_line, refund, registration)
DAYS = 40


@pytest.fixture
async def database(postgres: Postgres) -> AsyncIterator[Database]:
    database = Database(await postgres.database("analytics"), workload=WORKLOAD)
    yield database
    await database.drain()


def history(rng: Random, orders: int) -> list[Received[Any]]:
    """Months of a shop: orders that end in every way, several times refunded, in two currencies, and people."""

    def some_time() -> Any:
        return NOON + timedelta(seconds=rng.randrange(DAYS * 86400), microseconds=rng.randrange(10**6))

    products = [uuid7() for _ in range(5)]
    events: list[Received[Any]] = [registers(some_time()) for _ in range(orders // 3)]
    for _ in range(orders):
        currency = rng.choice(["EUR", "EUR", "EUR", "USD"])
        buyer = Buyer(
            [
                item(
                    f"{rng.randrange(100)}.{rng.randrange(100):02d} {currency}",
                    rng.randrange(1, 9),
                    product_id=rng.choice(products),
                    name=rng.choice(["Lamp", "Lámpara 'grande'", 'Lamp "2"', "灯 \\n :x"]),
                )
                for _ in range(rng.randrange(1, 4))
            ]
        )
        events.append(buyer.places(some_time()))
        if rng.random() < 0.8:
            events.append(buyer.is_confirmed(some_time()))
        events.extend(
            buyer.is_refunded(f"{rng.randrange(1, 9)} {currency}", some_time()) for _ in range(rng.randrange(3))
        )
        if rng.random() < 0.3:
            events.append(buyer.cancels(rng.choice([None, f"0 {currency}", f"5.05 {currency}"]), some_time()))
    return events


def shuffled(events: Sequence[Received[Any]], rng: Random) -> list[Received[Any]]:
    """All of them in any order, some of them again and again."""
    chosen = [*events, *rng.choices(events, k=len(events) // 2)]
    rng.shuffle(chosen)
    return chosen


def batches(events: Sequence[Received[Any]], rng: Random) -> list[Sequence[Received[Any]]]:
    """Any part of them at a time."""
    parts, start = [], 0
    while start < len(events):
        size = rng.choice([1, 2, 7, 50])
        parts.append(events[start : start + size])
        start += size
    return parts


async def note(database: Database, events: Sequence[Received[Any]]) -> None:
    async def work(tx: Transaction) -> None:
        await project(tx, events)

    await database.transact(work)


async def rows(database: Database) -> Rows:
    found: Rows = {}
    async with database.reading() as connection:
        for table in FACTS:
            statement = select(table).order_by(*table.primary_key)
            found[table.name] = [tuple(row) for row in await connection.execute(statement)]
    return found


async def one_by_one(events: Sequence[Received[Any]]) -> AsyncIterator[Received[Any]]:
    for each in events:
        yield each


async def test_any_order_with_any_repeats_ends_with_the_same_rows(database: Database, rng: Random) -> None:
    events = history(rng, orders=40)
    await note(database, events)
    expected = await rows(database)
    assert all(expected.values())

    for _ in range(12):
        await forget(database)
        assert not any((await rows(database)).values())
        for part in batches(shuffled(events, rng), rng):
            await note(database, part)
        assert await rows(database) == expected


async def test_two_processes_with_the_same_events_end_with_the_same_rows(database: Database, rng: Random) -> None:
    events = history(rng, orders=40)
    await note(database, events)
    expected = await rows(database)
    await forget(database)

    async def process(own: list[Received[Any]]) -> None:
        for part in batches(own, rng):
            await note(database, part)

    await asyncio.gather(*(process(shuffled(events, rng)) for _ in range(3)))

    assert await rows(database) == expected


async def test_a_rebuild_from_history_ends_with_the_rows_there_were(
    database: Database, rng: Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projections, "BATCH", 16)
    events = history(rng, orders=40)
    await note(database, events)
    expected = await rows(database)

    repeated = shuffled(events, rng)
    assert await rebuild(database, one_by_one(repeated)) == len(repeated)
    assert await rows(database) == expected


async def test_a_rebuild_drops_what_no_event_says(database: Database, rng: Random) -> None:
    true, untrue = history(rng, orders=5), history(rng, orders=5)
    await note(database, true)
    expected = await rows(database)
    await note(database, untrue)
    async with database.reading() as connection:
        await connection.execute(text("UPDATE sale SET amount = amount + 1"))

    await rebuild(database, one_by_one(true))

    assert await rows(database) == expected


async def test_a_rebuild_that_was_interrupted_can_be_repeated(
    database: Database, rng: Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projections, "BATCH", 16)
    events = history(rng, orders=20)
    await note(database, events)
    expected = await rows(database)

    async def interrupted() -> AsyncIterator[Received[Any]]:
        for each in events[:40]:
            yield each
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await rebuild(database, interrupted())
    assert await rows(database) != expected

    await rebuild(database, one_by_one(events))
    assert await rows(database) == expected


async def test_a_history_is_read_when_everything_has_been_dropped(database: Database, rng: Random) -> None:
    """Otherwise what is noted between the reading and the dropping would be lost."""
    events = history(rng, orders=3)
    await note(database, events)

    async def looking() -> AsyncIterator[Received[Any]]:
        assert not any((await rows(database)).values())
        for each in events:
            yield each

    await rebuild(database, looking())


async def test_events_that_no_report_needs_are_passed_over(database: Database) -> None:
    order_id = uuid7()
    others = [received(OrderShipped(order_id=order_id), order_id), received(OrderRejected(order_id=order_id), order_id)]

    assert await rebuild(database, one_by_one(others)) == 2
    assert not any((await rows(database)).values())


async def test_a_service_can_be_rebuilt_while_it_hears_more(shop: Shop, rng: Random) -> None:
    past, present = history(rng, orders=60), history(rng, orders=60)
    await shop.hear(*past)

    rebuilding = asyncio.create_task(rebuild(shop.service.database, one_by_one(past + present)))
    await shop.publish(*present)
    await rebuilding
    await shop.hear(*present)
    live = await rows(shop.service.database)

    await rebuild(shop.service.database, one_by_one(past + present))
    assert await rows(shop.service.database) == live


async def test_what_was_forgotten_takes_effect_again_when_it_is_delivered_again(shop: Shop, rng: Random) -> None:
    events = history(rng, orders=10)
    await shop.hear(*events)
    expected = await rows(shop.service.database)

    await forget(shop.service.database)
    await shop.hear(*shuffled(events, rng))

    assert await rows(shop.service.database) == expected


async def test_an_event_that_is_delivered_twice_counts_once(shop: Shop) -> None:
    buyer = Buyer([item("10")])
    events = [*buyer.buys(), buyer.is_refunded("1"), buyer.is_refunded("1")]
    end = registers()

    await shop.hear(*events, *events)
    await shop.hear(*events, end)

    summary = await shop.summary(NOON, NOON + timedelta(days=1))
    assert (summary.orders, summary.revenue, summary.refunds) == (1, amount("10"), amount("2"))


async def test_one_bad_event_is_set_aside_and_the_others_are_reported(shop: Shop) -> None:
    bad, good = Buyer(), Buyer()
    events = bad.buys()
    events[1].event.total_amount.currency_code = "no currency"

    await shop.publish(*events, *good.buys())

    async def reported() -> bool:
        return (await shop.summary(NOON, NOON + timedelta(days=1))).orders == 1

    await until(reported)
    summary = await shop.summary(NOON, NOON + timedelta(days=1))
    assert (summary.placed_orders, summary.conversion) == (2, 0.5)
