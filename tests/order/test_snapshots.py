"""A snapshot saves work and changes nothing: an order read from one is the order its events tell."""

import dataclasses
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from mesh.money import Money
from services.order import snapshots, store
from services.order.domain import Cancel, Command, Deliver, GiveUp, RefundMoney, Refused, Ship, decide
from services.order.events import Change, Event, Shipment, Shortage
from services.order.saga import (
    Authorize,
    Authorized,
    Capture,
    Captured,
    CardDeclined,
    Commit,
    Committed,
    Refund,
    RefundDenied,
    Refunded,
    Release,
    Released,
    Reply,
    Reserve,
    Reserved,
    Step,
    TooFew,
    Void,
    Voided,
    next_step,
    react,
)
from services.order.state import Order, begin, evolve, fold
from tests.order.conftest import Shop
from tests.order.given import BUYER, NOON, PLACED

ADMIN = "0192f0c1-0000-7000-8000-0000000000ad"


def replies(step: Step, text: str) -> Sequence[Reply]:
    """Whatever a neighbour may say for sure; the happy answer twice, so that histories get long."""
    match step:
        case Reserve():
            return Reserved(), Reserved(), TooFew((Shortage("p1", text), Shortage("p2", "")))
        case Authorize():
            return Authorized("p1"), Authorized("p1"), CardDeclined(text)
        case Capture():
            return Captured(), Captured(), CardDeclined(text)
        case Commit():
            return (Committed(),)
        case Void():
            return (Voided(),)
        case Release():
            return (Released(),)
        case Refund(number=number):
            return Refunded(number), Refunded(number), RefundDenied(number, text)


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[Event, datetime]]:
    """What may happen to an order in any sequence of replies and commands."""
    at = NOON
    order = begin(PLACED, at)
    history: list[tuple[Event, datetime]] = [(PLACED, at)]
    texts = st.text(max_size=5)

    def happen(changes: tuple[Change, ...]) -> None:
        nonlocal order, at
        at += timedelta(microseconds=draw(st.integers(0, 10_000_000)))
        for change in changes:
            order = evolve(order, change, at)
            history.append((change, at))

    for _ in range(draw(st.integers(0, 40))):
        step = next_step(order)
        if step is not None and draw(st.integers(0, 3)):
            happen(react(order, draw(st.sampled_from(replies(step, draw(texts))))))
            continue
        by = draw(st.sampled_from([BUYER, ADMIN]))
        commands: list[Command] = [
            RefundMoney(f"r{len(order.refunds)}", Money("EUR", draw(st.integers(1, 400))), draw(texts), by),
            RefundMoney(f"r{len(order.refunds)}", Money("EUR", draw(st.integers(1, 400))), draw(texts), by),
            Ship(Shipment(draw(texts), "42")),
            Deliver(),
            GiveUp(),
            Cancel(draw(texts), by),
        ]
        try:
            happen(decide(order, draw(st.sampled_from(commands))))
        except Refused:
            continue
    return history


@settings(max_examples=200, deadline=None)
@for_all(histories())
def test_at_every_version_a_snapshot_and_the_rest_tell_what_all_events_tell(
    history: list[tuple[Event, datetime]],
) -> None:
    whole = fold(history)
    for version in range(1, len(history) + 1):
        before = fold(history[:version])
        assert before is not None
        copied = snapshots.read(snapshots.write(before))
        assert copied == before
        assert fold(history[version:], copied) == whole


def test_every_field_of_an_order_is_in_its_snapshot() -> None:
    """What is added to an order and forgotten in its snapshot would come back as its default."""
    known = {
        *("id", "user_id", "lines", "total", "version", "placed_at", "updated_at", "state", "stock", "payment"),
        *("payment_id", "captured", "refunds", "ending", "shipment"),
    }
    assert {field.name for field in dataclasses.fields(Order)} == known


@pytest.mark.parametrize(
    ("before", "after", "due"),
    [(0, 1, False), (0, 50, True), (48, 49, False), (49, 50, True), (48, 51, True), (50, 51, False), (99, 101, True)],
)
def test_a_snapshot_is_due_wherever_a_stream_passes_a_multiple(before: int, after: int, due: bool) -> None:
    assert snapshots.EVERY == 50
    assert snapshots.is_due(before, after) is due


async def loaded(shop: Shop, order_id: str, *, until: datetime | None = None) -> tuple[Order | None, Order | None]:
    """An order as it is loaded, and as its events alone tell it."""
    async with shop.order.database.reading() as connection:
        return (
            await store.load(connection, order_id, until=until),
            await store.replay(connection, order_id, until=until),
        )


async def kept(shop: Shop) -> list[Any]:
    return [tuple(row) for row in await shop.rows("SELECT version, schema FROM snapshots ORDER BY version")]


async def refund_often(shop: Shop, order_id: str, times: int) -> None:
    admin = shop.admin()
    for _ in range(times):
        await admin.refund(order_id, Money("EUR", 1))


@pytest.mark.asyncio(loop_scope="module")
async def test_a_long_order_is_read_from_its_snapshot_now_and_as_it_was(shop: Shop) -> None:
    buyer = shop.customer()
    order = await buyer.create((shop.cup, 2))
    await refund_often(shop, order.id, 54)
    await buyer.cancel(order.id, "enough")
    assert await kept(shop) == [(50, snapshots.SCHEMA), (100, snapshots.SCHEMA)]
    from_snapshot, from_events = await loaded(shop, order.id)
    assert from_snapshot == from_events
    assert from_events is not None
    assert len(from_events.refunds) == 55
    times = await shop.rows("SELECT DISTINCT time FROM events ORDER BY time")
    for (moment,) in times:
        past, told = await loaded(shop, order.id, until=moment)
        assert past == told
        assert past is not None


@pytest.mark.asyncio(loop_scope="module")
async def test_loading_starts_at_the_snapshot(shop: Shop) -> None:
    """Seen by breaking what lies before it: who folds all events cannot read them any more."""
    buyer = shop.customer()
    order = await buyer.create((shop.cup, 2))
    await refund_often(shop, order.id, 25)
    before, _ = await loaded(shop, order.id)
    await shop.change("UPDATE events SET type = 'zoco.order.storage.v9.Lost' WHERE version = 20")
    async with shop.order.database.reading() as connection:
        assert await store.load(connection, order.id) == before
        with pytest.raises(ValueError, match=r"event 20: zoco\.order\.storage\.v9\.Lost"):
            await store.replay(connection, order.id)


@pytest.mark.asyncio(loop_scope="module")
async def test_snapshots_of_another_schema_are_passed_over_and_older_ones_replaced(shop: Shop) -> None:
    buyer = shop.customer()
    order = await buyer.create((shop.cup, 2))
    await refund_often(shop, order.id, 25)
    older, newer = snapshots.SCHEMA - 1, snapshots.SCHEMA + 1
    for schema in (older, newer):
        await shop.change("UPDATE snapshots SET schema = :schema, state = 'nothing we can read'", schema=schema)
        from_snapshot, from_events = await loaded(shop, order.id)
        assert from_snapshot == from_events
    await shop.change("UPDATE snapshots SET schema = :schema", schema=older)
    await refund_often(shop, order.id, 25)
    assert await kept(shop) == [(100, snapshots.SCHEMA)]


@pytest.mark.asyncio(loop_scope="module")
async def test_an_order_of_ten_events_has_no_snapshot(shop: Shop) -> None:
    await shop.customer().create((shop.cup, 2))
    assert await kept(shop) == []
