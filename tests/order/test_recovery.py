"""Nothing is lost and nothing happens twice, wherever a process ends and however many drive one order."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest

from services.order.projections import rebuild
from tests.fixtures.servers import until
from tests.harness import refused
from tests.order.conftest import Person, Shop, State
from tests.order.neighbours import AWAY, Disturbed

pytestmark = pytest.mark.asyncio(loop_scope="module")


ABRUPT: Final = {"ZOCO_GRACE_SECONDS": 0}
"""A process that ends in the middle of what it does."""

HAPPY: Final = [
    "OrderPlaced",
    "StockReserved",
    "PaymentAuthorized",
    "PaymentCaptured",
    "StockCommitted",
    "OrderConfirmed",
]


@asynccontextmanager
async def abandoned() -> AsyncIterator[list[asyncio.Task[Any]]]:
    """Callers whose process ends before it answers: what they are told does not matter."""
    callers: list[asyncio.Task[Any]] = []
    yield callers
    await asyncio.gather(*callers, return_exceptions=True)


async def stuck(
    shop: Shop, buyer: Person, callers: list[asyncio.Task[Any]], neighbour: Disturbed, method: str, *, effect: bool
) -> str:
    """An order whose driver waits in vain for a neighbour's answer; its id."""

    async def buy() -> None:
        order = await buyer.create((shop.tea, 1))
        if method in {"Refund", "ReleaseStock"}:
            await buyer.cancel(order.id)

    known = await ids(shop)
    gate = neighbour.stop_at(method, effect=effect)
    callers.append(asyncio.create_task(buy()))
    await gate.reached.wait()
    [order_id] = await ids(shop) - known
    return order_id


async def ids(shop: Shop) -> set[str]:
    return {row.id for row in await shop.rows("SELECT id::text AS id FROM orders")}


async def test_a_process_may_end_at_any_step_before_or_after_its_effect(neighbourhood: Shop) -> None:
    shop = neighbourhood
    shop.inventory.available[shop.tea] = 100
    confirmed: list[str] = []
    cancelled: list[str] = []
    async with abandoned() as callers, shop.open(**ABRUPT):
        buyer = shop.customer()
        for effect in (False, True):
            for neighbour, method, ends in (
                (shop.inventory, "ReserveStock", confirmed),
                (shop.payment, "Authorize", confirmed),
                (shop.payment, "Capture", confirmed),
                (shop.inventory, "CommitStock", confirmed),
                (shop.payment, "Refund", cancelled),
                (shop.inventory, "ReleaseStock", cancelled),
            ):
                ends.append(await stuck(shop, buyer, callers, neighbour, method, effect=effect))

    async with shop.open():
        buyer = shop.customer(buyer.user_id)
        for order_id in confirmed:
            assert (await buyer.settled(order_id, State.CONFIRMED)).refunded_amount.units == 0
            assert await buyer.trail(order_id) == HAPPY
        for order_id in cancelled:
            order = await buyer.settled(order_id, State.CANCELLED)
            assert order.refunded_amount == order.total_amount
        assert shop.payment.charges == dict.fromkeys(confirmed + cancelled, 1)
        assert shop.inventory.sold[shop.tea] == len(confirmed)
        assert shop.inventory.available[shop.tea] == 100 - len(confirmed)
        assert not +shop.inventory.reserved
        await shop.at_rest()


async def test_a_process_goes_on_with_more_orders_than_it_takes_over_at_once(neighbourhood: Shop) -> None:
    shop = neighbourhood
    shop.inventory.available[shop.tea] = 100
    async with abandoned() as callers, shop.open(**ABRUPT):
        buyer = shop.customer()
        left = [await stuck(shop, buyer, callers, shop.inventory, "ReserveStock", effect=False) for _ in range(7)]

    async with shop.open(ZOCO_ORDER_AT_ONCE=2):
        await shop.change("UPDATE saga SET next_at = clock_timestamp()")  # all come due before it looks again
        buyer = shop.customer(buyer.user_id)
        for order_id in left:
            await buyer.settled(order_id, State.CONFIRMED)


async def test_what_was_called_off_before_the_capture_is_undone_after_a_restart(neighbourhood: Shop) -> None:
    shop = neighbourhood
    async with abandoned() as callers, shop.open(**ABRUPT, ZOCO_ORDER_ANSWER_WITHIN=0.1):
        buyer = shop.customer()
        held = await stuck(shop, buyer, callers, shop.payment, "Authorize", effect=True)
        shop.payment.disturb("Void", always=AWAY)
        await buyer.cancel(held)
    async with shop.open():
        buyer = shop.customer(buyer.user_id)
        assert (await buyer.get(held)).state == State.PENDING
        shop.payment.disturb("Void")
        await buyer.settled(held, State.CANCELLED)
        assert shop.payment.accounts[held].state == "VOIDED"
        assert shop.inventory.available[shop.tea] == 10


async def test_of_two_processes_that_drive_one_order_one_stops(neighbourhood: Shop) -> None:
    shop = neighbourhood
    async with shop.open() as one, shop.open():
        buyer = shop.customer(at=one)
        gate = shop.payment.stop_at("Capture", effect=True)
        creating = asyncio.create_task(buyer.create((shop.tea, 1)))
        await gate.reached.wait()
        [order_id] = await ids(shop)

        async def taken_over() -> bool:
            """The first one still waits for its answer when its lease is over: the second asks again."""
            await shop.change("UPDATE saga SET next_at = now() - interval '1 second'")
            return shop.payment.calls["Capture"] == 2

        await until(taken_over)
        await buyer.settled(order_id, State.CONFIRMED)
        gate.opened.set()
        assert (await creating).state == State.CONFIRMED
        assert await buyer.trail(order_id) == HAPPY
        assert shop.payment.charges == {order_id: 1}
        assert (shop.payment.calls["Capture"], shop.inventory.calls["CommitStock"]) == (2, 1)


async def test_an_order_that_is_being_driven_stays_with_its_driver(neighbourhood: Shop) -> None:
    shop = neighbourhood
    async with shop.open(ZOCO_ORDER_LEASE=2.0) as one, shop.open(ZOCO_ORDER_LEASE=2.0):
        gate = shop.payment.stop_at("Capture", effect=True)
        creating = asyncio.create_task(shop.customer(at=one).create((shop.tea, 1)))
        await gate.reached.wait()
        first = (await shop.rows("SELECT next_at FROM saga"))[0].next_at
        await until(lambda: shop.rows("SELECT 1 FROM saga WHERE next_at > :first + interval '2.5 s'", first=first))
        gate.opened.set()
        assert (await creating).state == State.CONFIRMED
        assert shop.payment.calls["Capture"] == 1


async def test_an_order_of_unknown_events_is_set_aside_and_others_go_on(neighbourhood: Shop) -> None:
    """A newer process wrote it, and this one took it over; when one comes that knows the event, it goes on."""
    shop = neighbourhood
    async with abandoned() as callers, shop.open(**ABRUPT, ZOCO_ORDER_ANSWER_WITHIN=0.1):
        buyer = shop.customer()
        foreign = await stuck(shop, buyer, callers, shop.payment, "Capture", effect=False)
        plain = await stuck(shop, buyer, callers, shop.payment, "Capture", effect=False)
        newer = "UPDATE events SET type = 'zoco.order.storage.v9.StockReserved' WHERE version = 2 AND stream_id = :id"
        await shop.change(newer, id=foreign)

    async with shop.open(ZOCO_ORDER_SET_ASIDE=600) as old:
        buyer = shop.customer(buyer.user_id)
        await buyer.settled(plain, State.CONFIRMED)
        [aside] = await until(lambda: shop.rows("SELECT order_id::text AS id, step, error FROM saga WHERE set_aside"))
        assert (aside.id, aside.step) == (foreign, "capture")
        why = f"order {foreign}, event 2: zoco.order.storage.v9.StockReserved is no event this process knows"
        assert aside.error == why
        assert await shop.rows("SELECT 1 FROM saga WHERE next_at > clock_timestamp() + interval '9 minutes'")
        registry = old.running.runtime.registry
        await until(lambda: registry.get_sample_value("orders_set_aside") == 1)
        # It holds up nobody: what is placed now is decided, and the order itself can still be looked at.
        assert (await buyer.create((shop.tea, 1))).state == State.CONFIRMED
        assert (await buyer.get(foreign)).state == State.PENDING
        assert (await refused(buyer.cancel(foreign))).reason == "INTERNAL_ERROR"
        assert foreign not in shop.payment.charges

    async with shop.open() as newer_code:
        known = "UPDATE events SET type = 'zoco.order.storage.v1.StockReserved' WHERE version = 2 AND stream_id = :id"
        await shop.change(known, id=foreign)
        await shop.change("UPDATE saga SET next_at = clock_timestamp()")
        await shop.customer(buyer.user_id).settled(foreign, State.CONFIRMED)
        registry = newer_code.running.runtime.registry
        await until(lambda: registry.get_sample_value("orders_set_aside") == 0)
        assert shop.payment.charges[foreign] == shop.payment.charges[plain] == 1
        await shop.at_rest()


async def test_forty_orders_are_shared_by_two_processes(neighbourhood: Shop) -> None:
    shop = neighbourhood
    shop.inventory.available[shop.tea] = 100
    async with abandoned() as callers, shop.open(**ABRUPT, ZOCO_ORDER_ANSWER_WITHIN=0.1):
        buyer = shop.customer()
        shop.payment.disturb("Authorize", always=AWAY)
        for _ in range(40):
            callers.append(asyncio.create_task(buyer.create((shop.tea, 1))))
        await until(lambda: shop.rows("SELECT 1 FROM saga HAVING count(*) = 40"))
    shop.payment.disturb("Authorize")
    async with shop.open(), shop.open():
        await shop.at_rest()
        assert len(shop.payment.charges) == 40
        assert set(shop.payment.charges.values()) == {1}
        states = await shop.rows("SELECT state, count(*) AS n FROM orders GROUP BY 1")
        assert [(row.state, row.n) for row in states] == [("CONFIRMED", 40)]


async def test_an_order_whose_row_does_not_fit_its_history_waits_for_a_rebuild_and_keeps_nobody_busy(
    neighbourhood: Shop,
) -> None:
    shop = neighbourhood
    shop.inventory.available[shop.tea] = 100
    async with abandoned() as callers, shop.open(ZOCO_ORDER_BACK_OFF_MOST=0.2):
        buyer = shop.customer()
        known = await ids(shop)
        gate = shop.inventory.stop_at("ReserveStock", effect=True)
        callers.append(asyncio.create_task(buyer.create((shop.tea, 1))))
        await gate.reached.wait()
        [order_id] = await ids(shop) - known
        await shop.change("UPDATE orders SET version = version + 7 WHERE id::text = :id", id=order_id)
        gate.opened.set()

        async def put_off() -> bool:
            return bool(await shop.rows("SELECT 1 FROM saga WHERE attempts > 1 AND error = 'STATE_CONFLICT'"))

        await until(put_off)
        other = await buyer.create((shop.tea, 1))
        assert other.state == State.CONFIRMED

        await rebuild(shop.order.database)
        await buyer.settled(order_id, State.CONFIRMED)
        await shop.at_rest()
