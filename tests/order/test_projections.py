"""What is read is what happened: rows rebuilt from history equal those written along with it."""

import asyncio
from typing import Any, Final

import pytest

from mesh.money import Money
from services.order import projections, store
from services.order.projections import view_of
from services.order.saga import next_step
from tests.harness import refused
from tests.order.conftest import Person, Shop
from tests.order.neighbours import AWAY

pytestmark = pytest.mark.asyncio(loop_scope="module")


STRANGERS: Final = """
    INSERT INTO orders
    SELECT gen_random_uuid(), user_id, state, lines, currency, total, refunded, payment_id, rejection, cancel_reason,
        shipment, create_time, update_time, version
    FROM orders
"""
"""Rows without a history."""


async def rows(shop: Shop) -> list[Any]:
    return [tuple(row) for row in await shop.rows("SELECT * FROM orders ORDER BY id")]


async def some_orders(shop: Shop) -> Person:
    """Orders of every kind."""
    buyer, admin = shop.customer(), shop.admin()
    await buyer.create((shop.tea, 1), (shop.cup, 1))
    order = await buyer.create((shop.cup, 1))
    await admin.refund(order.id, Money("EUR", 100))
    await admin.ship(order.id)
    await buyer.cancel((await buyer.create((shop.tea, 1))).id, "no")
    await refused(buyer.create((shop.cup, 100)))
    await refused(buyer.create((shop.tea, 1), card="tok_declined"))
    shop.payment.disturb("Authorize", always=AWAY)
    pending = await buyer.create((shop.tea, 1))
    await buyer.cancel(pending.id)
    shop.payment.disturb("Authorize")
    return buyer


async def test_each_row_is_the_fold_of_its_events(shop: Shop) -> None:
    await some_orders(shop)
    async with shop.order.database.reading() as connection:
        for order_id in [row.id for row in await shop.rows("SELECT id::text AS id FROM orders")]:
            order = await store.load(connection, order_id)
            shown = await store.find(connection, order_id)
            assert order is not None
            assert shown is not None
            assert shown.view == view_of(order)
            assert next_step(order) is None


async def test_rebuilt_rows_equal_the_live_ones(shop: Shop) -> None:
    await some_orders(shop)
    live = await rows(shop)
    for damage in (
        "UPDATE orders SET state = 'PENDING', lines = '[]', version = 1, refunded = 0, update_time = now()",
        "DELETE FROM orders",
        STRANGERS,
    ):
        await shop.change(damage)
        assert await rows(shop) != live
        assert await projections.rebuild(shop.order.database) == len(live)
        assert await rows(shop) == live


async def test_rows_rebuilt_while_orders_are_placed_equal_the_live_ones(shop: Shop) -> None:
    """What a rebuild leaves behind is what the live writing left: seen by rebuilding once more when all is at rest."""
    shop.inventory.available[shop.tea] = 1000
    buyer = await some_orders(shop)
    admin, building = shop.admin(), True

    async def keep_rebuilding() -> int:
        rounds = 0
        while building:
            await projections.rebuild(shop.order.database)
            rounds += 1
        return rounds

    async def one_of_each() -> None:
        """A whole life each, so that a rebuild meets rows in every state and in the middle of a change."""
        shipped, called_off = await asyncio.gather(buyer.create((shop.tea, 2)), buyer.create((shop.tea, 1)))
        await asyncio.gather(admin.refund(shipped.id, Money("EUR", 100)), buyer.cancel(called_off.id, "no"))
        await admin.ship(shipped.id)
        await asyncio.gather(admin.deliver(shipped.id), refused(buyer.create((shop.tea, 1), card="tok_declined")))

    rebuilding = asyncio.create_task(keep_rebuilding())
    for _ in range(5):
        await asyncio.gather(*(one_of_each() for _ in range(3)))
    building = False
    assert await rebuilding > 1
    await shop.at_rest()
    live = await rows(shop)
    assert len(live) >= 45
    await projections.rebuild(shop.order.database)
    assert await rows(shop) == live


async def test_damaged_rows_are_put_right_while_orders_are_placed(shop: Shop) -> None:
    """A rebuild that begins with wrong rows ends with right ones, those included that were placed meanwhile."""
    shop.inventory.available[shop.tea] = 1000
    buyer = await some_orders(shop)
    for _ in range(3):
        await asyncio.gather(*(buyer.create((shop.tea, 1)) for _ in range(5)))
    await shop.at_rest()
    before = await rows(shop)
    await shop.change("UPDATE orders SET total = total + 1, lines = '[]', cancel_reason = 'damaged'")

    async def keep_buying() -> None:
        for _ in range(5):
            await asyncio.gather(*(buyer.create((shop.tea, 1)) for _ in range(4)))

    buying = asyncio.create_task(keep_buying())
    await projections.rebuild(shop.order.database)
    await buying
    await shop.at_rest()
    rebuilt = await rows(shop)
    assert [row for row in rebuilt if row in before] == before
    async with shop.order.database.reading() as connection:
        for row in rebuilt:
            order, shown = await store.replay(connection, str(row[0])), await store.find(connection, str(row[0]))
            assert order is not None
            assert shown is not None
            assert shown.view == view_of(order)


async def test_an_order_that_cannot_be_read_keeps_its_row_and_the_others_are_rebuilt(shop: Shop) -> None:
    await some_orders(shop)
    live = await rows(shop)
    foreign = str(live[0][0])
    await shop.change(
        "UPDATE events SET type = 'zoco.order.storage.v9.X' WHERE version = 2 AND stream_id = :id", id=foreign
    )
    await shop.change("UPDATE orders SET state = 'PENDING', lines = '[]', refunded = 0 WHERE id <> :id", id=foreign)
    with pytest.raises(
        projections.HistoriesUnreadable, match=rf"{foreign}, event 2: zoco\.order\.storage\.v9\.X"
    ) as told:
        await projections.rebuild(shop.order.database)
    assert ([each.order_id for each in told.value.unreadable], told.value.rebuilt) == ([foreign], len(live) - 1)
    assert await rows(shop) == live


async def test_a_rebuild_does_not_ask_snapshots(shop: Shop) -> None:
    buyer = shop.customer()
    order = await buyer.create((shop.cup, 2))
    for _ in range(25):
        await shop.admin().refund(order.id, Money("EUR", 1))
    live = await rows(shop)
    assert await shop.rows("SELECT 1 FROM snapshots")
    await shop.change("UPDATE snapshots SET state = 'damaged'")
    await shop.change("UPDATE orders SET refunded = 0")
    await projections.rebuild(shop.order.database)
    assert await rows(shop) == live
