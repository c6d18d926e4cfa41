"""Stock as people see and change it, and how it begins."""

import asyncio

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from mesh.errors import FailedPrecondition, InvalidArgument, NotFound, PermissionDenied, Unauthenticated
from mesh.ids import uuid7
from mesh.paging import next_token
from tests.fixtures.servers import until
from tests.harness import refused
from tests.inventory.conftest import Warehouse, key, line
from zoco.inventory.v1 import inventory_service_pb2 as service
from zoco.inventory.v1 import stock_pb2

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_everyone_sees_what_is_available_and_administrators_see_the_rest(warehouse: Warehouse) -> None:
    product_id = await warehouse.product(10)
    await warehouse.reserve(uuid7(), line(product_id, 3))
    for stub in (warehouse.anyone, warehouse.customer):
        stock = await stub.GetStock(service.GetStockRequest(product_id=product_id))
        assert (stock.product_id, stock.available) == (product_id, 7)
        assert not stock.HasField("reserved")
        assert not stock.HasField("sold")
    stock = await warehouse.admin.GetStock(service.GetStockRequest(product_id=product_id.upper()))
    assert (stock.available, stock.reserved, stock.sold, stock.HasField("sold")) == (7, 3, 0, True)


async def test_a_product_without_stock_is_not_found(warehouse: Warehouse) -> None:
    product_id = uuid7()
    error = await refused(warehouse.anyone.GetStock(service.GetStockRequest(product_id=product_id)))
    assert isinstance(error, NotFound)
    assert error.metadata["id"] == product_id


async def test_several_stocks_come_in_the_order_asked_for_and_missing_ones_are_named(warehouse: Warehouse) -> None:
    first, second = await warehouse.products_with(1, 2)
    missing = uuid7()
    asked = [second, missing, first, second]
    response = await warehouse.anyone.BatchGetStock(service.BatchGetStockRequest(product_ids=asked))
    assert [stock.product_id for stock in response.stocks] == [second, first]
    assert list(response.missing_ids) == [missing]


async def test_a_repeated_announcement_of_a_product_makes_its_stock_once(warehouse: Warehouse) -> None:
    product_id, event_id, later = uuid7(), uuid7(), uuid7()
    await warehouse.announce((product_id, 5), event_ids=[event_id])
    await warehouse.announce((product_id, 9))
    await warehouse.announce((product_id, 5), event_ids=[event_id])
    await warehouse.announce((later, 1))
    await until(lambda: _has_stock(warehouse, later))
    assert await warehouse.pieces(product_id) == (5, 0, 0)
    assert len(await warehouse.events(product_id)) == 1


async def test_of_two_announcements_of_a_product_in_one_batch_the_first_makes_its_stock(warehouse: Warehouse) -> None:
    ids = [uuid7() for _ in range(50)]
    later = uuid7()
    await warehouse.announce(*((product_id, pieces) for product_id in ids for pieces in (5, 9)), (later, 1))
    await until(lambda: _has_stock(warehouse, later))
    assert {await warehouse.pieces(product_id) for product_id in ids} == {(5, 0, 0)}


async def test_a_catalog_file_of_products_gets_its_stock_by_the_batch(warehouse: Warehouse) -> None:
    pieces = {uuid7(): number % 7 for number in range(3000)}
    await warehouse.announce(*pieces.items())
    last = list(pieces)[-100:]

    async def all_there() -> bool:
        response = await warehouse.anyone.BatchGetStock(service.BatchGetStockRequest(product_ids=last))
        return not response.missing_ids

    await until(all_there, seconds=30)
    async with warehouse.running.database.reading() as connection:
        count = "SELECT count(*), sum(available) FROM stock WHERE product_id = ANY(CAST(:ids AS uuid[]))"
        rows = await connection.execute(text(count), {"ids": list(pieces)})
    assert tuple(rows.one()) == (3000, sum(pieces.values()))


async def test_an_administrator_adds_and_takes_pieces(warehouse: Warehouse) -> None:
    product_id = await warehouse.product(10)
    await warehouse.adjust(product_id, 5, "delivery")
    stock = await warehouse.adjust(product_id, -15, "water damage")
    assert (stock.available, stock.reserved, stock.sold) == (0, 0, 0)


async def test_pieces_that_are_not_there_cannot_be_taken(warehouse: Warehouse) -> None:
    product_id = await warehouse.product(10)
    await warehouse.reserve(uuid7(), line(product_id, 7))
    error = await refused(warehouse.adjust(product_id, -4))
    assert isinstance(error, FailedPrecondition)
    assert (error.reason, error.metadata) == ("STOCK_BELOW_ZERO", {"available": "3"})
    assert await warehouse.pieces(product_id) == (3, 7, 0)


async def test_more_pieces_than_can_be_counted_are_refused(warehouse: Warehouse) -> None:
    product_id = await warehouse.product(1_000_000_000)
    await warehouse.adjust(product_id, 1_000_000_000)
    error = await refused(warehouse.adjust(product_id, 1))
    assert isinstance(error, InvalidArgument)
    assert [each.field for each in error.field_violations] == ["delta"]


async def test_an_adjustment_under_one_key_happens_once(warehouse: Warehouse) -> None:
    product_id = await warehouse.product(10)
    admin = warehouse.admin
    request = service.AdjustStockRequest(product_id=product_id, delta=5, request_id=uuid7())
    answers = {(await admin.AdjustStock(request)).SerializeToString() for _ in range(3)}
    assert len(answers) == 1
    assert await warehouse.pieces(product_id) == (15, 0, 0)
    request.delta = 6
    assert (await refused(admin.AdjustStock(request))).reason == "IDEMPOTENCY_KEY_REUSED"


@pytest.mark.parametrize(("delta", "reason", "field"), [(0, "", "delta"), (1, "a\0b", "reason")])
async def test_an_adjustment_has_a_delta_and_a_plain_reason(
    warehouse: Warehouse, delta: int, reason: str, field: str
) -> None:
    product_id = await warehouse.product(10)
    error = await refused(warehouse.adjust(product_id, delta, reason))
    assert error.reason == "INVALID_FIELD"
    assert [each.field for each in error.field_violations] == [field]


async def test_an_unknown_product_cannot_be_adjusted(warehouse: Warehouse) -> None:
    assert isinstance(await refused(warehouse.adjust(uuid7(), 1)), NotFound)


async def test_only_administrators_adjust_and_see_movements(warehouse: Warehouse) -> None:
    product_id = await warehouse.product(10)
    adjust = service.AdjustStockRequest(product_id=product_id, delta=1)
    movements = service.ListStockMovementsRequest(product_id=product_id)
    for stub, error in ((warehouse.anyone, Unauthenticated), (warehouse.customer, PermissionDenied)):
        assert isinstance(await refused(stub.AdjustStock(adjust, metadata=key())), error)
        assert isinstance(await refused(stub.ListStockMovements(movements)), error)


async def test_movements_come_newest_first_a_page_at_a_time_and_add_up(warehouse: Warehouse) -> None:
    product_id, order_id = await warehouse.product(6), uuid7()
    await warehouse.adjust(product_id, 2, "delivery")
    await warehouse.reserve(order_id, line(product_id, 5))
    await warehouse.commit(order_id)
    await warehouse.adjust(product_id, -1, "broken")
    seen: list[stock_pb2.StockMovement] = []
    request = service.ListStockMovementsRequest(product_id=product_id, page_size=2)
    while True:
        page = await warehouse.admin.ListStockMovements(request)
        assert page.total_size == 5
        seen += page.movements
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    kind = stock_pb2.StockMovement.Kind.Name
    assert [(kind(each.kind), each.quantity, each.order_id, each.reason) for each in seen] == [
        ("ADJUSTED", -1, "", "broken"),
        ("COMMITTED", 5, order_id, ""),
        ("RESERVED", 5, order_id, ""),
        ("ADJUSTED", 2, "", "delivery"),
        ("ADJUSTED", 6, "", "first stock"),
    ]
    assert len({each.id for each in seen}) == 5
    received = sum(each.quantity for each in seen if each.kind == stock_pb2.StockMovement.ADJUSTED)
    assert received == sum(await warehouse.pieces(product_id))


async def test_movements_of_an_unknown_product_are_not_found(warehouse: Warehouse) -> None:
    call = warehouse.admin.ListStockMovements(service.ListStockMovementsRequest(product_id=uuid7()))
    assert isinstance(await refused(call), NotFound)


async def test_a_page_token_belongs_to_its_product(warehouse: Warehouse) -> None:
    first, second = await warehouse.products_with(1, 1)
    await warehouse.adjust(first, 1)
    page = await warehouse.admin.ListStockMovements(service.ListStockMovementsRequest(product_id=first, page_size=1))
    foreign = next_token(service.ListStockMovementsRequest(product_id=second), [2**70])
    for token in (page.next_page_token, foreign, "rubbish"):
        request = service.ListStockMovementsRequest(product_id=second, page_token=token)
        assert (await refused(warehouse.admin.ListStockMovements(request))).reason == "INVALID_PAGE_TOKEN"


async def test_the_database_itself_refuses_a_stock_that_does_not_add_up(warehouse: Warehouse) -> None:
    product_id = await warehouse.product(10)

    async def write(available: int, received: int) -> None:
        update = "UPDATE stock SET available = :available, received = :received WHERE product_id = CAST(:id AS uuid)"
        async with warehouse.running.database.engine.begin() as connection:
            await connection.execute(text(update), {"id": product_id, "available": available, "received": received})

    with pytest.raises(IntegrityError):
        await write(-1, -1)
    with pytest.raises(IntegrityError):
        await write(11, 10)


async def test_a_watch_tells_the_stock_now_and_at_each_change(warehouse: Warehouse) -> None:
    first, second = await warehouse.products_with(10, 20)
    watch = warehouse.anyone.WatchStock(service.WatchStockRequest(product_ids=[first, second]))
    now = {(message := await watch.read()).stock.product_id: message.stock.available for _ in range(2)}
    assert now == {first: 10, second: 20}
    await warehouse.reserve(uuid7(), line(second, 5))
    async with asyncio.timeout(1.5):  # by the wake, not by the poll
        message = await watch.read()
    assert (message.stock.product_id, message.stock.available) == (second, 15)
    assert not message.stock.HasField("reserved")
    watch.cancel()


async def test_a_watch_resumes_behind_its_position(warehouse: Warehouse) -> None:
    first, second = await warehouse.products_with(10, 20)
    request = service.WatchStockRequest(product_ids=[first, second])
    watch = warehouse.anyone.WatchStock(request)
    await watch.read()
    request.position = (await watch.read()).position
    watch.cancel()
    await warehouse.adjust(first, 1)
    resumed = warehouse.admin.WatchStock(request)
    message = await resumed.read()
    assert (message.stock.product_id, message.stock.available, message.stock.reserved) == (first, 11, 0)
    resumed.cancel()


async def test_a_watch_of_a_hundred_products_keeps_its_position_small(warehouse: Warehouse) -> None:
    products = await warehouse.products_with(*[1] * 100)
    request = service.WatchStockRequest(product_ids=products)
    watch = warehouse.anyone.WatchStock(request)
    positions = [(await watch.read()).position for _ in products]
    watch.cancel()
    assert len(positions[-1]) <= 8192
    request.position = positions[-2]
    resumed = warehouse.anyone.WatchStock(request)
    assert (await resumed.read()).position == positions[-1]
    resumed.cancel()


@pytest.mark.parametrize("position", ["rubbish", "ünlesbar", "AAAA"])
async def test_a_damaged_position_is_refused(warehouse: Warehouse, position: str) -> None:
    watch = warehouse.anyone.WatchStock(service.WatchStockRequest(product_ids=[uuid7()], position=position))
    error = await refused(anext(aiter(watch)))
    assert [each.field for each in error.field_violations] == ["position"]


async def _has_stock(warehouse: Warehouse, product_id: str) -> bool:
    response = await warehouse.anyone.BatchGetStock(service.BatchGetStockRequest(product_ids=[product_id]))
    return not response.missing_ids
