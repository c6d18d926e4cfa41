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


async def test_rows_can_be_rebuilt_while_orders_are_placed(shop: Shop) -> None:
    shop.inventory.available[shop.tea] = 1000
    buyer = await some_orders(shop)
    building = True

    async def keep_rebuilding() -> int:
        rounds = 0
        while building:
            await projections.rebuild(shop.order.database)
            rounds += 1
        return rounds

    rebuilding = asyncio.create_task(keep_rebuilding())
    for _ in range(5):
        await asyncio.gather(*(buyer.create((shop.tea, 1)) for _ in range(6)))
    building = False
    assert await rebuilding > 1
    await shop.at_rest()
    live = await rows(shop)
    await projections.rebuild(shop.order.database)
    assert await rows(shop) == live
