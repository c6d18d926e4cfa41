"""Dead letters come back when somebody asks for them, and a database from the past is noticed."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial

import psycopg
import pytest
from sqlalchemy import text

from mesh.bus import Received, Subscription, on, relay
from mesh.bus.relay import Relay
from mesh.bus.retries import Retries
from mesh.clock import utc_now
from mesh.data import Transaction, dead_letters
from mesh.data.dead_letters import DeadLetter
from tests.fixtures.servers import Postgres, until
from tests.mesh.bus_side import Side, a_side, event, publish
from tests.mesh.ledger import add, balance, prepare, scalar
from zoco.order.v1.order_events_pb2 import OrderPlaced


@pytest.fixture
async def side(postgres: Postgres, nats: str) -> AsyncIterator[Side]:
    async with a_side(await postgres.prepared("ledger", prepare), nats) as side:
        yield side


class Handler:
    """Refuses what it is told to, until it is mended."""

    def __init__(self) -> None:
        self.broken = True

    async def __call__(self, tx: Transaction, received: Received[OrderPlaced]) -> None:
        await add(tx, received.aggregate_id)
        if self.broken and received.aggregate_id.startswith("poison"):
            raise ValueError("indigestible")


def retrying(side: Side, *subscriptions: Subscription) -> None:
    retries = Retries(side.database, workload="ledger", subscriptions=subscriptions, metrics=side.metrics)
    side.loops.append(asyncio.create_task(retries.run()))


async def dead(side: Side) -> Sequence[DeadLetter]:
    async with side.database.reading() as connection:
        return await dead_letters.dead(connection)


async def given_up(side: Side, handler: Handler, *names: str) -> list[str]:
    side.consume(on(OrderPlaced, handler))
    retrying(side, on(OrderPlaced, handler))
    await publish(side, *(event(name) for name in names))

    async def all_are_dead() -> bool:
        return len(await dead(side)) == len(names)

    await until(all_are_dead)
    return [letter.event_id for letter in await dead(side)]


async def ask(side: Side, event_ids: Sequence[str] | None = None) -> Sequence[str]:
    return await side.database.transact(partial(dead_letters.ask_again, event_ids=event_ids))


async def test_a_letter_that_was_mended_takes_effect_and_is_gone(side: Side) -> None:
    handler = Handler()
    ids = await given_up(side, handler, "poison")
    handler.broken = False
    assert await ask(side, ids) == ids
    await until(lambda: balance(side.database, "poison"))
    assert await dead(side) == []
    assert await scalar(side.database, "SELECT count(*) FROM inbox WHERE event_id::text = :id", id=ids[0]) == 1


async def test_a_letter_that_fails_again_is_dead_with_its_new_reason(side: Side) -> None:
    async def refuse(_: Transaction, __: Received[OrderPlaced]) -> None:
        raise ValueError("still indigestible")

    handler = Handler()
    ids = await given_up(side, handler, "poison")
    await side.halt()
    retrying(side, on(OrderPlaced, refuse))
    assert await ask(side) == ids
    await until(lambda: _is_tried(side))
    assert [(letter.event_id, letter.reason) for letter in await dead(side)] == [
        (ids[0], "ValueError: still indigestible")
    ]
    assert await balance(side.database, "poison") == 0


async def _is_tried(side: Side) -> bool:
    return all(letter.tries for letter in await dead(side))


async def test_only_what_was_asked_for_is_tried(side: Side) -> None:
    handler = Handler()
    ids = await given_up(side, handler, "poison-1", "poison-2")
    handler.broken = False
    await ask(side, [ids[0]])
    await until(lambda: _count_is(side, 1))
    assert [letter.event_id for letter in await dead(side)] == [ids[1]]


async def _count_is(side: Side, count: int) -> bool:
    return len(await dead(side)) == count


async def test_a_letter_whose_event_took_effect_by_another_way_has_no_second_one(side: Side) -> None:
    handler = Handler()
    await side.halt()
    good = event("poison")
    side.consume(on(OrderPlaced, handler))
    retrying(side, on(OrderPlaced, handler))
    await publish(side, replace(good, id="1", payload=b"\xff\xff"))
    await until(lambda: _count_is(side, 1))
    handler.broken = False
    await publish(side, replace(good, id="2"))
    await until(lambda: balance(side.database, "poison"))
    await side.database.transact(partial(_mend, payload=good.payload))
    await ask(side)
    await until(lambda: _count_is(side, 0))
    assert await balance(side.database, "poison") == 1


async def _mend(tx: Transaction, *, payload: bytes) -> None:
    await tx.execute(text("UPDATE dead_letter SET payload = :payload"), {"payload": payload})


async def test_two_processes_that_find_the_same_letter_give_it_one_effect(side: Side) -> None:
    handler = Handler()
    await given_up(side, handler, *(f"poison-{number}" for number in range(10)))
    handler.broken = False
    for _ in range(3):
        retrying(side, on(OrderPlaced, handler))
    await ask(side)
    await until(lambda: _count_is(side, 0))
    assert await scalar(side.database, "SELECT count(*) FROM account WHERE balance = 1") == 10


async def test_a_letter_nobody_handles_any_more_says_so(side: Side) -> None:
    handler = Handler()
    await given_up(side, handler, "poison")
    await side.halt()
    retrying(side)
    await ask(side)
    await until(lambda: _is_tried(side))
    assert "not handled here any more" in (await dead(side))[0].reason


async def test_a_database_older_than_the_broker_is_told_about_and_stops_nobody(side: Side) -> None:
    handler = Handler()
    side.consume(on(OrderPlaced, handler))
    side.relay()
    await side.place("a", "b", "c")
    await until(lambda: balance(side.database, "c"))
    await side.halt()

    async def restore(tx: Transaction) -> None:
        """As the backup has it that was taken after the first event."""
        await tx.execute(text("DELETE FROM outbox WHERE aggregate_id <> 'a'"))
        await tx.execute(text("UPDATE relay SET last_sequence = 1"))

    await side.database.transact(restore)
    side.consume(on(OrderPlaced, handler))
    side.relay()
    await until(lambda: side.figure("events_unknown_to_outbox_total") == 2)
    await side.place("d")
    await until(lambda: balance(side.database, "d"))
    assert side.figure("events_unknown_to_outbox_total") == 2


async def test_a_crash_between_acknowledgement_and_mark_is_no_database_from_the_past(side: Side) -> None:
    handler = Handler()
    side.consume(on(OrderPlaced, handler))
    side.relay()
    await side.place("a", "b")
    await until(lambda: balance(side.database, "b"))
    await side.halt()

    async def forget_the_mark(tx: Transaction) -> None:
        await tx.execute(text("UPDATE outbox SET published_at = NULL WHERE aggregate_id = 'b'"))
        await tx.execute(text("UPDATE relay SET last_sequence = 1"))

    await side.database.transact(forget_the_mark)
    side.relay()
    await until(lambda: _all_published(side))
    assert side.figure("events_unknown_to_outbox_total") == 0


async def _all_published(side: Side) -> bool:
    return await side.unpublished() == 0


async def test_events_told_again_reach_who_lost_them_however_soon(side: Side) -> None:
    handler = Handler()
    side.consume(on(OrderPlaced, handler))
    side.relay()
    await side.place("a", "b")
    await until(lambda: balance(side.database, "b"))

    async def lose(tx: Transaction) -> None:
        await tx.execute(text("DELETE FROM inbox"))
        await tx.execute(text("DELETE FROM account"))

    await side.database.transact(lose)
    async with await psycopg.AsyncConnection.connect(side.url, autocommit=True) as connection:
        assert await Relay.republish(connection, utc_now() - timedelta(minutes=1)) == 2
    await until(lambda: balance(side.database, "b"))
    assert await balance(side.database, "a") == 1


async def test_what_the_broker_has_and_a_crashed_relay_did_not_mark_is_stored_once(
    side: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as crashing:
        crashing.setattr(relay, "_MARK", "SELECT 1 / 0, %(ids)s::bigint[], %(last)s::bigint, %(stream)s::text")
        side.relay()
        await side.place("a", "b")
        await until(lambda: _stored(side, 2))
        await side.halt()
    side.relay()
    await until(lambda: _all_published(side))
    assert (await side.bus.ensure_stream("order")).last_sequence == 2


async def _stored(side: Side, count: int) -> bool:
    return side.bus.connected and (await side.bus.ensure_stream("order")).last_sequence == count
