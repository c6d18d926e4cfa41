"""Reserving, selling and giving back: all lines or none, once, whoever comes first."""

import asyncio
import random

import pytest
from google.protobuf.message import Message
from sqlalchemy import text

from mesh.errors import FailedPrecondition, InvalidArgument, MeshError, PermissionDenied
from mesh.ids import uuid7
from tests.harness import refused
from tests.inventory.conftest import Warehouse, key, line, persistently
from zoco.inventory.v1 import inventory_events_pb2 as events
from zoco.inventory.v1 import inventory_service_pb2 as service

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_an_order_reserves_all_of_its_lines(warehouse: Warehouse) -> None:
    first, second = await warehouse.products_with(10, 20)
    await warehouse.reserve(uuid7(), line(first, 3), line(second, 20))
    assert await warehouse.pieces(first) == (7, 3, 0)
    assert await warehouse.pieces(second) == (0, 20, 0)


async def test_one_line_too_many_reserves_nothing_and_names_each_product_that_lacks(warehouse: Warehouse) -> None:
    enough, few = await warehouse.products_with(10, 2)
    unknown, order_id = uuid7(), uuid7()
    error = await refused(warehouse.reserve(order_id, line(enough, 3), line(few, 3), line(unknown, 1)))
    assert isinstance(error, FailedPrecondition)
    assert error.reason == "INSUFFICIENT_STOCK"
    assert error.metadata == {"order_id": order_id}
    assert {(each.type, each.subject, each.description) for each in error.preconditions} == {
        ("STOCK", few, "2 available, 3 wanted"),
        ("STOCK", unknown, "0 available, 1 wanted"),
    }
    assert await warehouse.pieces(enough) == (10, 0, 0)
    assert await warehouse.pieces(few) == (2, 0, 0)


async def test_an_order_that_was_refused_may_try_again(warehouse: Warehouse) -> None:
    product_id, order_id = await warehouse.product(1), uuid7()
    await refused(warehouse.reserve(order_id, line(product_id, 2)))
    await warehouse.adjust(product_id, 1)
    await warehouse.reserve(order_id, line(product_id, 2))
    assert await warehouse.pieces(product_id) == (0, 2, 0)


async def test_a_refusal_is_the_answer_to_its_key_for_good(warehouse: Warehouse) -> None:
    product_id = await warehouse.product(1)
    request = service.ReserveStockRequest(order_id=uuid7(), lines=[line(product_id, 2)])
    same = key(f"{request.order_id}:reserve")
    first = await refused(warehouse.order.ReserveStock(request, metadata=same))
    await warehouse.adjust(product_id, 5)
    again = await refused(warehouse.order.ReserveStock(request, metadata=same))
    assert (again.reason, again.preconditions) == (first.reason, first.preconditions)
    assert await warehouse.pieces(product_id) == (6, 0, 0)


@pytest.mark.parametrize("same_key", [True, False])
async def test_a_repeated_reservation_takes_effect_once(warehouse: Warehouse, same_key: bool) -> None:
    product_id, order_id = await warehouse.product(10), uuid7()
    request = service.ReserveStockRequest(order_id=order_id, lines=[line(product_id, 2)])
    for _ in range(3):
        await warehouse.order.ReserveStock(request, metadata=key(f"{order_id}:reserve" if same_key else ""))
    assert await warehouse.pieces(product_id) == (8, 2, 0)


async def test_the_same_reservation_many_times_at_once_takes_effect_once(warehouse: Warehouse) -> None:
    product_id, order_id = await warehouse.product(10), uuid7()
    order = warehouse.order
    request = service.ReserveStockRequest(order_id=order_id, lines=[line(product_id, 2)])
    await asyncio.gather(*(order.ReserveStock(request, metadata=key()) for _ in range(20)))
    assert await warehouse.pieces(product_id) == (8, 2, 0)


async def test_an_order_cannot_reserve_something_else(warehouse: Warehouse) -> None:
    product_id, order_id = await warehouse.product(10), uuid7()
    await warehouse.reserve(order_id, line(product_id, 2))
    error = await refused(warehouse.reserve(order_id, line(product_id, 3)))
    assert (error.reason, error.metadata["state"]) == ("STATE_CONFLICT", "RESERVED")
    assert await warehouse.pieces(product_id) == (8, 2, 0)


async def test_fifty_buyers_for_ten_pieces_end_with_ten(warehouse: Warehouse) -> None:
    product_id = await warehouse.product(10)
    order = warehouse.order

    async def buy() -> MeshError | None:
        request = service.ReserveStockRequest(order_id=uuid7(), lines=[line(product_id, 1)])
        return await persistently(lambda: order.ReserveStock(request, metadata=key(request.order_id)))

    outcomes = await asyncio.gather(*(buy() for _ in range(50)))
    assert outcomes.count(None) == 10
    assert {outcome.reason for outcome in outcomes if outcome} == {"INSUFFICIENT_STOCK"}
    assert await warehouse.pieces(product_id) == (0, 10, 0)


async def test_orders_that_name_the_same_products_in_any_order_all_get_through(
    warehouse: Warehouse, rng: random.Random
) -> None:
    products = await warehouse.products_with(*[1000] * 6)
    order = warehouse.order

    async def buy_and_perhaps_give_back() -> None:
        order_id, sold = uuid7(), rng.random() < 0.5
        chosen = [line(product_id, rng.randint(1, 3)) for product_id in rng.sample(products, 4)]
        reserve = service.ReserveStockRequest(order_id=order_id, lines=chosen)
        commit, release = (
            service.CommitStockRequest(order_id=order_id),
            service.ReleaseStockRequest(order_id=order_id),
        )
        assert not await persistently(lambda: order.ReserveStock(reserve, metadata=key()))
        if sold:
            assert not await persistently(lambda: order.CommitStock(commit, metadata=key()))
        else:
            assert not await persistently(lambda: order.ReleaseStock(release, metadata=key()))

    await asyncio.gather(*(buy_and_perhaps_give_back() for _ in range(40)))
    for product_id in products:
        available, reserved, sold = await warehouse.pieces(product_id)
        assert (available + sold, reserved) == (1000, 0)


async def test_selling_moves_pieces_once(warehouse: Warehouse) -> None:
    product_id, order_id = await warehouse.product(10), uuid7()
    await warehouse.reserve(order_id, line(product_id, 4))
    await warehouse.commit(order_id)
    await warehouse.commit(order_id)
    assert await warehouse.pieces(product_id) == (6, 0, 4)


async def test_a_repeated_reservation_after_the_sale_changes_nothing(warehouse: Warehouse) -> None:
    product_id, order_id = await warehouse.product(10), uuid7()
    await warehouse.reserve(order_id, line(product_id, 4))
    await warehouse.commit(order_id)
    await warehouse.reserve(order_id, line(product_id, 4))
    assert await warehouse.pieces(product_id) == (6, 0, 4)


async def test_what_was_not_reserved_cannot_be_sold(warehouse: Warehouse) -> None:
    error = await refused(warehouse.commit(uuid7()))
    assert (error.reason, error.metadata["state"]) == ("STATE_CONFLICT", "NOTHING_RESERVED")


@pytest.mark.parametrize("sold", [False, True])
async def test_a_release_gives_back_what_was_reserved_or_sold_once(warehouse: Warehouse, sold: bool) -> None:
    product_id, order_id = await warehouse.product(10), uuid7()
    await warehouse.reserve(order_id, line(product_id, 4))
    if sold:
        await warehouse.commit(order_id)
    await warehouse.release(order_id)
    await warehouse.release(order_id)
    assert await warehouse.pieces(product_id) == (10, 0, 0)
    error = await refused(warehouse.commit(order_id))
    assert (error.reason, error.metadata["state"]) == ("STATE_CONFLICT", "RELEASED")


async def test_a_release_that_overtakes_its_reservation_is_final(warehouse: Warehouse) -> None:
    product_id, order_id = await warehouse.product(10), uuid7()
    await warehouse.release(order_id)
    error = await refused(warehouse.reserve(order_id, line(product_id, 1)))
    assert (error.reason, error.metadata) == ("RESERVATION_RELEASED", {"order_id": order_id})
    assert await warehouse.pieces(product_id) == (10, 0, 0)


async def test_a_release_that_races_its_reservation_leaves_nothing_held(warehouse: Warehouse) -> None:
    product_id = await warehouse.product(100)
    order = warehouse.order

    async def race() -> None:
        order_id = uuid7()
        reserve = service.ReserveStockRequest(order_id=order_id, lines=[line(product_id, 1)])
        release = service.ReleaseStockRequest(order_id=order_id)
        refusal, released = await asyncio.gather(
            persistently(lambda: order.ReserveStock(reserve, metadata=key())),
            persistently(lambda: order.ReleaseStock(release, metadata=key())),
        )
        assert released is None
        assert refusal is None or refusal.reason == "RESERVATION_RELEASED"

    await asyncio.gather(*(race() for _ in range(25)))
    assert await warehouse.pieces(product_id) == (100, 0, 0)


async def test_a_cancel_that_races_the_sale_leaves_nothing_held(warehouse: Warehouse) -> None:
    product_id = await warehouse.product(100)
    order = warehouse.order

    async def race() -> None:
        order_id = uuid7()
        await warehouse.reserve(order_id, line(product_id, 2))
        commit, release = (
            service.CommitStockRequest(order_id=order_id),
            service.ReleaseStockRequest(order_id=order_id),
        )
        conflict, released = await asyncio.gather(
            persistently(lambda: order.CommitStock(commit, metadata=key())),
            persistently(lambda: order.ReleaseStock(release, metadata=key())),
        )
        assert released is None
        assert conflict is None or conflict.reason == "STATE_CONFLICT"

    await asyncio.gather(*(race() for _ in range(25)))
    assert await warehouse.pieces(product_id) == (100, 0, 0)


async def test_an_order_that_waits_for_a_delivery_sees_all_of_it(warehouse: Warehouse) -> None:
    first, second = await warehouse.products_with(5, 0)
    async with warehouse.changing(second, available=4, received=4):
        waiting = asyncio.create_task(warehouse.reserve(uuid7(), line(first, 5), line(second, 4)))
        await warehouse.somebody_waits()
    await waiting
    assert await warehouse.pieces(first) == (0, 5, 0)
    assert await warehouse.pieces(second) == (0, 4, 0)


async def test_an_adjustment_that_waits_for_a_delivery_counts_it(warehouse: Warehouse) -> None:
    product_id = await warehouse.product(0)
    async with warehouse.changing(product_id, available=4, received=4):
        waiting = asyncio.create_task(warehouse.adjust(product_id, -3))
        await warehouse.somebody_waits()
    assert (await waiting).available == 1


async def test_an_order_that_waits_for_the_last_piece_does_not_get_it(warehouse: Warehouse) -> None:
    product_id = await warehouse.product(1)
    async with warehouse.changing(product_id, available=0, sold=1):
        waiting = asyncio.create_task(refused(warehouse.reserve(uuid7(), line(product_id, 1))))
        await warehouse.somebody_waits()
    error = await waiting
    assert [each.description for each in error.preconditions] == ["0 available, 1 wanted"]


async def test_a_release_that_waits_for_the_sale_gives_sold_pieces_back(warehouse: Warehouse) -> None:
    product_id, order_id = await warehouse.product(5), uuid7()
    await warehouse.reserve(order_id, line(product_id, 2))
    sale = "UPDATE hold SET state = 'COMMITTED' WHERE order_id = CAST(:order_id AS uuid)"
    async with warehouse.changing(product_id, reserved=0, sold=2) as connection:
        await connection.execute(text(sale), {"order_id": order_id})
        waiting = asyncio.create_task(warehouse.release(order_id))
        await warehouse.somebody_waits()
    await waiting
    assert await warehouse.pieces(product_id) == (5, 0, 0)


async def test_a_product_in_two_lines_is_refused(warehouse: Warehouse) -> None:
    product_id = await warehouse.product(10)
    error = await refused(warehouse.reserve(uuid7(), line(product_id, 1), line(product_id.upper(), 1)))
    assert isinstance(error, InvalidArgument)
    assert [each.field for each in error.field_violations] == ["lines[1].product_id"]


async def test_only_the_order_service_may_reserve(warehouse: Warehouse) -> None:
    for stub in (warehouse.anyone, warehouse.customer, warehouse.admin):
        error = await refused(stub.ReleaseStock(service.ReleaseStockRequest(order_id=uuid7()), metadata=key()))
        assert isinstance(error, PermissionDenied)


async def test_each_movement_is_an_event_that_carries_the_stock_after_it(warehouse: Warehouse) -> None:
    product_id, order_id = await warehouse.product(10), uuid7()
    await warehouse.reserve(order_id, line(product_id, 2))
    await warehouse.commit(order_id)
    await warehouse.release(order_id)
    told = await warehouse.events(product_id)
    assert [version for version, _ in told] == [1, 2, 3, 4]
    assert [_summary(event) for _, event in told] == [
        ("StockAdjusted", 10, 0, 0),
        ("StockReserved", 8, 2, 0),
        ("StockCommitted", 8, 0, 2),
        ("StockReleased", 10, 0, 0),
    ]


async def test_stock_is_low_once_when_it_falls_below_the_threshold(warehouse: Warehouse) -> None:
    product_id, order_id = await warehouse.product(7), uuid7()
    counted = warehouse.counted("stock_low_total")
    await warehouse.reserve(uuid7(), line(product_id, 2))  # 5: not below
    await warehouse.reserve(order_id, line(product_id, 1))  # 4
    await warehouse.reserve(uuid7(), line(product_id, 1))  # 3: low already
    await warehouse.release(order_id)
    await warehouse.adjust(product_id, 2)  # 6
    await warehouse.adjust(product_id, -3)  # 3: low again
    told = await warehouse.events(product_id)
    assert [version for version, _ in told] == list(range(1, len(told) + 1))
    low = [event for _, event in told if isinstance(event, events.StockLow)]
    assert [(event.stock.available, event.threshold) for event in low] == [(4, 5), (3, 5)]
    assert warehouse.counted("stock_low_total") - counted == 2


def _summary(event: Message) -> tuple[str, int, int, int]:
    assert isinstance(event, events.StockAdjusted | events.StockReserved | events.StockCommitted | events.StockReleased)
    stock = event.stock
    return event.DESCRIPTOR.name, stock.available, stock.reserved, stock.sold
