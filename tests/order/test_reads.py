"""Looking at orders: one, many, as they were, what happened to them, and as they change."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from mesh.errors import NotFound
from mesh.ids import uuid7
from mesh.money import Money
from mesh.wire import money_to_proto, timestamp_from_proto, timestamp_to_proto
from tests.harness import refused
from tests.order.conftest import Person, Shop, State
from tests.order.neighbours import AWAY
from zoco.order.v1 import order_service_pb2 as service

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def events_of(person: Person, order_id: str, **page: object) -> service.ListOrderEventsResponse:
    request = service.ListOrderEventsRequest(id=order_id, **page)  # type: ignore[arg-type]
    response: service.ListOrderEventsResponse = await person.stub.ListOrderEvents(request)
    return response


async def list_of(person: Person, **filters: object) -> service.ListOrdersResponse:
    request = service.ListOrdersRequest(**filters)  # type: ignore[arg-type]
    response: service.ListOrdersResponse = await person.stub.ListOrders(request)
    return response


async def test_an_administrator_sees_every_order(shop: Shop) -> None:
    order = await shop.customer().create((shop.tea, 1))
    assert await shop.admin().get(order.id) == order


async def test_an_order_that_does_not_exist_is_not_found(shop: Shop) -> None:
    error = await refused(shop.customer().get(uuid7()))
    assert isinstance(error, NotFound)
    assert (error.reason, error.metadata["resource"]) == ("RESOURCE_NOT_FOUND", "order")


async def test_an_id_may_be_spelled_in_capitals(shop: Shop) -> None:
    buyer = shop.customer()
    order = await buyer.create((shop.tea, 1))
    assert await buyer.get(order.id.upper()) == order


async def test_the_past_can_be_read(shop: Shop) -> None:
    buyer, admin = shop.customer(), shop.admin()
    order = await buyer.create((shop.tea, 1))
    await admin.refund(order.id, Money("EUR", 100))
    await admin.ship(order.id)
    events = (await events_of(buyer, order.id, page_size=100)).events

    for event in events:
        past = await buyer.get(order.id, as_of=event.time)
        # Events of one append share their moment.
        assert past.version == max(each.version for each in events if each.time == event.time)
    confirmed = next(event for event in events if event.type == "OrderConfirmed")
    past = await buyer.get(order.id, as_of=confirmed.time)
    assert (past.state, past.refunded_amount.units, past.shipment.carrier) == (State.CONFIRMED, 0, "")
    assert past == order
    long_after = timestamp_to_proto(datetime.now(UTC) + timedelta(days=1))
    assert await buyer.get(order.id, as_of=long_after) == await buyer.get(order.id)


async def test_before_it_was_placed_there_was_no_order(shop: Shop) -> None:
    buyer = shop.customer()
    order = await buyer.create((shop.tea, 1))
    before = timestamp_to_proto(timestamp_from_proto(order.create_time) - timedelta(seconds=1))
    assert isinstance(await refused(buyer.get(order.id, as_of=before)), NotFound)
    assert isinstance(await refused(shop.customer().get(order.id, as_of=order.create_time)), NotFound)


async def test_a_list_shows_one_s_own_orders_newest_first(shop: Shop) -> None:
    buyer = shop.customer()
    placed = [(await buyer.create((shop.tea, 1))).id for _ in range(3)]
    await shop.customer().create((shop.tea, 1))
    found = await list_of(buyer)
    assert [order.id for order in found.orders] == placed[::-1]
    assert (found.total_size, found.next_page_token) == (3, "")
    assert found.orders[0] == await buyer.get(placed[-1])
    assert [order.id for order in (await list_of(buyer, user_id=buyer.user_id.upper())).orders] == placed[::-1]


async def test_a_list_comes_in_pages_that_new_orders_do_not_move(shop: Shop) -> None:
    buyer = shop.customer()
    placed = [(await buyer.create((shop.tea, 1))).id for _ in range(5)]
    first = await list_of(buyer, page_size=2)
    await buyer.create((shop.tea, 1))
    second = await list_of(buyer, page_size=2, page_token=first.next_page_token)
    third = await list_of(buyer, page_size=100, page_token=second.next_page_token)
    pages = [[order.id for order in page.orders] for page in (first, second, third)]
    assert pages == [[placed[4], placed[3]], [placed[2], placed[1]], [placed[0]]]
    assert (first.total_size, third.total_size, third.next_page_token) == (5, 6, "")


async def test_a_page_token_belongs_to_its_query(shop: Shop) -> None:
    buyer = shop.customer()
    for _ in range(2):
        await buyer.create((shop.tea, 1))
    token = (await list_of(buyer, page_size=1)).next_page_token
    error = await refused(list_of(buyer, page_size=1, page_token=token, state=State.CONFIRMED))
    assert error.reason == "INVALID_PAGE_TOKEN"
    assert (await refused(list_of(buyer, page_token="garbage"))).reason == "INVALID_PAGE_TOKEN"
    assert (await refused(list_of(buyer, page_size=-1))).reason == "INVALID_FIELD"


async def test_a_customer_cannot_list_somebody_else_s_orders(shop: Shop) -> None:
    error = await refused(list_of(shop.customer(), user_id=uuid7()))
    assert (error.code.name, error.reason) == ("PERMISSION_DENIED", "NOT_YOURS")


async def test_an_administrator_lists_by_user_and_state(shop: Shop) -> None:
    buyer, admin = shop.customer(), shop.admin()
    order = await buyer.create((shop.tea, 1))
    rejected = (await refused(buyer.create((shop.tea, 1), card="tok_declined"))).metadata["order_id"]
    await shop.customer().create((shop.tea, 1))
    assert (await list_of(admin)).total_size == 3
    assert [each.id for each in (await list_of(admin, user_id=buyer.user_id)).orders] == [rejected, order.id]
    assert [each.id for each in (await list_of(admin, state=State.REJECTED)).orders] == [rejected]
    both = await list_of(admin, user_id=buyer.user_id, state=State.CONFIRMED)
    assert ([each.id for each in both.orders], both.total_size) == ([order.id], 1)


async def test_the_audit_trail_tells_what_happened_and_who_did_it(shop: Shop) -> None:
    buyer, admin = shop.customer(), shop.admin()
    order = await buyer.create((shop.tea, 2))
    await admin.refund(order.id, Money("EUR", 100), reason="scratched")
    trail = await events_of(buyer, order.id, page_size=100)

    assert [event.version for event in trail.events] == list(range(1, trail.total_size + 1))
    by_type = {event.type: event for event in trail.events}
    assert by_type["OrderPlaced"].actor == buyer.user_id
    assert by_type["OrderPlaced"].detail["lines"][0]["unitPrice"] == "4.50 EUR"  # type: ignore[index]
    assert by_type["PaymentCaptured"].actor == "order"
    assert by_type["PaymentCaptured"].detail["amount"] == "9.00 EUR"
    assert by_type["RefundRequested"].actor == admin.user_id
    assert dict(by_type["RefundRequested"].detail)["reason"] == "scratched"
    assert by_type["RefundRequested"].detail["cause"] == "DECISION"


async def test_the_audit_trail_comes_in_pages(shop: Shop) -> None:
    buyer = shop.customer()
    order = await buyer.create((shop.tea, 1))
    first = await events_of(buyer, order.id, page_size=4)
    second = await events_of(buyer, order.id, page_size=4, page_token=first.next_page_token)
    assert [event.version for event in (*first.events, *second.events)] == [1, 2, 3, 4, 5, 6]
    assert (first.total_size, second.next_page_token) == (6, "")


async def test_a_preview_costs_and_holds_nothing(shop: Shop) -> None:
    items = [
        service.LineItem(product_id=shop.tea, quantity=2),
        service.LineItem(product_id=shop.cup, quantity=11),
    ]
    preview = await shop.customer().stub.PreviewOrder(service.PreviewOrderRequest(items=items))
    assert preview.total_amount == money_to_proto(Money("EUR", 14100))
    assert [item.name for item in preview.items] == ["Tea", "Cup"]
    assert (preview.available, list(preview.unavailable_product_ids)) == (False, [shop.cup])
    assert shop.inventory.available[shop.tea] == 10
    assert await shop.rows("SELECT 1 FROM events") == []


async def test_a_preview_of_what_is_there_is_available(shop: Shop) -> None:
    items = [service.LineItem(product_id=shop.tea, quantity=10)]
    assert (await shop.customer().stub.PreviewOrder(service.PreviewOrderRequest(items=items))).available
    missing = [service.LineItem(product_id=uuid7(), quantity=1)]
    error = await refused(shop.customer().stub.PreviewOrder(service.PreviewOrderRequest(items=missing)))
    assert error.reason == "RESOURCE_NOT_FOUND"
    shop.inventory.disturb("BatchGetStock", always=AWAY)
    error = await refused(shop.customer().stub.PreviewOrder(service.PreviewOrderRequest(items=items)))
    assert error.reason == "DEPENDENCY_UNAVAILABLE"


async def test_a_watch_follows_an_order_to_its_end(shop: Shop) -> None:
    buyer, admin = shop.customer(), shop.admin()
    order = await buyer.create((shop.tea, 1))
    seen: list[str] = []

    async def follow() -> None:
        async for message in buyer.stub.WatchOrder(service.WatchOrderRequest(id=order.id)):
            if message.HasField("order"):
                assert message.position == str(message.order.version)
                seen.append(State.Name(message.order.state))
                if message.order.state == State.CONFIRMED:
                    following.set()
            assert not message.HasField("end") or message.end.status.code == 0

    following = asyncio.Event()
    watching = asyncio.create_task(follow())
    await following.wait()
    await admin.ship(order.id)
    await admin.deliver(order.id)
    async with asyncio.timeout(10):
        await watching
    assert seen[0] == "CONFIRMED"
    assert seen[-1] == "DELIVERED"


async def test_a_watch_resumes_behind_the_version_it_has_seen(shop: Shop) -> None:
    buyer, admin = shop.customer(), shop.admin()
    order = await buyer.create((shop.tea, 1))
    for by_version in (True, False):
        seen = {"version": order.version} if by_version else {"position": str(order.version)}
        stream = buyer.stub.WatchOrder(service.WatchOrderRequest(id=order.id, **seen))
        reading = asyncio.ensure_future(stream.read())
        done, _ = await asyncio.wait([reading], timeout=0.3)
        assert not done
        await admin.refund(order.id, Money("EUR", 100))
        async with asyncio.timeout(10):
            newer = (await reading).order
        assert newer.version > order.version
        stream.cancel()
        order = await buyer.get(order.id)


async def test_a_watch_of_an_order_that_has_ended_says_so_and_ends(shop: Shop) -> None:
    buyer = shop.customer()
    order = await buyer.cancel((await buyer.create((shop.tea, 1))).id)
    request = service.WatchOrderRequest(id=order.id, version=order.version)
    async with asyncio.timeout(10):
        messages = [message async for message in buyer.stub.WatchOrder(request)]
    assert messages[-1].HasField("end")


@pytest.mark.parametrize("position", ["x", "-1", "1.5", "9" * 20])
async def test_a_position_that_was_never_given_is_refused(shop: Shop, position: str) -> None:
    buyer = shop.customer()
    order = await buyer.create((shop.tea, 1))
    stream = buyer.stub.WatchOrder(service.WatchOrderRequest(id=order.id, position=position))
    assert (await refused(stream.read())).reason == "INVALID_FIELD"


async def test_nobody_watches_somebody_else_s_order(shop: Shop) -> None:
    order = await shop.customer().create((shop.tea, 1))
    stream = shop.customer().stub.WatchOrder(service.WatchOrderRequest(id=order.id))
    assert isinstance(await refused(stream.read()), NotFound)
