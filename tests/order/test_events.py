"""What others hear of orders, what order hears of others, and what it counts."""

import asyncio

import pytest
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.message import Message
from prometheus_client import generate_latest

from mesh.money import Money
from mesh.wire import money_to_proto
from tests.fixtures.events import Announced, announcing
from tests.fixtures.servers import until
from tests.harness import refused
from tests.order.conftest import ADDRESS, Shop
from zoco.order.v1 import order_events_pb2 as events
from zoco.user.v1.user_events_pb2 import UserDeleted

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def published(shop: Shop, order_id: str) -> list[Message]:
    """The events of an order that were published, in their order."""
    rows = await shop.rows(
        "SELECT version, type, payload FROM outbox WHERE aggregate_id = :id ORDER BY version", id=order_id
    )
    history = await shop.rows("SELECT max(version) AS last FROM events WHERE stream_id = :id", id=order_id)
    assert all(row.version <= history[0].last for row in rows), "a public event has the version of its stored one"
    types = [descriptor_pool.Default().FindMessageTypeByName(row.type) for row in rows]
    classes = [message_factory.GetMessageClass(each) for each in types]
    return [message.FromString(row.payload) for message, row in zip(classes, rows, strict=True)]


async def test_others_hear_of_an_order_from_its_placing_to_its_delivery(shop: Shop) -> None:
    buyer, admin = shop.customer(), shop.admin()
    order = await buyer.create((shop.tea, 2))
    await admin.ship(order.id)
    await admin.deliver(order.id)

    placed, confirmed, shipped, delivered = await published(shop, order.id)
    assert isinstance(placed, events.OrderPlaced)
    assert (placed.order_id, placed.user_id, placed.total_amount) == (order.id, buyer.user_id, order.total_amount)
    assert list(placed.items) == list(order.items)
    assert placed.place_time == order.create_time
    assert isinstance(confirmed, events.OrderConfirmed)
    assert (confirmed.total_amount, confirmed.confirm_time) == (order.total_amount, order.update_time)
    assert isinstance(shipped, events.OrderShipped)
    assert (shipped.shipment.carrier, shipped.shipment.tracking_number) == ("DHL", "42")
    assert isinstance(delivered, events.OrderDelivered)


async def test_others_hear_why_an_order_was_rejected(shop: Shop) -> None:
    error = await refused(shop.customer().create((shop.tea, 1), card="tok_declined"))
    _, rejected = await published(shop, error.metadata["order_id"])
    assert isinstance(rejected, events.OrderRejected)
    assert (rejected.rejection.reason, rejected.rejection.decline_reason) == ("PAYMENT_DECLINED", "card_declined")


async def test_refunds_and_cancellation_together_say_what_was_given_back(shop: Shop) -> None:
    buyer, admin = shop.customer(), shop.admin()
    order = await buyer.create((shop.cup, 1))
    await admin.refund(order.id, Money("EUR", 500), reason="scratched")
    await buyer.cancel(order.id, "no")
    _, _, refunded, cancelled = await published(shop, order.id)
    assert isinstance(refunded, events.OrderRefunded)
    assert (refunded.amount, refunded.refunded_amount, refunded.reason) == (
        money_to_proto(Money("EUR", 500)),
        money_to_proto(Money("EUR", 500)),
        "scratched",
    )
    assert isinstance(cancelled, events.OrderCancelled)
    assert (cancelled.refunded_amount, cancelled.was_confirmed, cancelled.reason) == (
        money_to_proto(Money("EUR", 700)),
        True,
        "no",
    )


async def test_events_reach_the_broker(shop: Shop) -> None:
    order = await shop.customer().create((shop.tea, 1))
    await until(
        lambda: shop.rows(
            "SELECT 1 FROM outbox WHERE aggregate_id = :id HAVING count(*) = 2 AND count(published_at) = 2", id=order.id
        )
    )


async def test_where_orders_go_is_erased_with_the_account(shop: Shop) -> None:
    buyer, other = shop.customer(), shop.customer()
    order, kept = await buyer.create((shop.tea, 1), key="k1"), await other.create((shop.tea, 1), key="k1")
    async with announcing(shop.harness.nats_url, "user") as announcer:
        await announcer.publish([Announced(UserDeleted(user_id=buyer.user_id), aggregate_id=buyer.user_id)])

        async def erased() -> bool:
            return not (await shop.admin().get(order.id)).HasField("shipping_address")

        await until(erased)
    assert (await shop.admin().get(order.id)).user_id == buyer.user_id
    answers = await shop.rows("SELECT principal FROM idempotency")
    assert [row.principal for row in answers] == [f"user:{other.user_id}"]
    assert (await other.get(kept.id)).shipping_address == ADDRESS


async def test_the_business_is_counted(neighbourhood: Shop) -> None:
    shop = neighbourhood
    async with shop.open() as running:

        def counted() -> str:
            return generate_latest(running.running.runtime.registry).decode()

        buyer = shop.customer()
        await buyer.cancel((await buyer.create((shop.tea, 1))).id)
        await refused(buyer.create((shop.tea, 1), card="tok_declined"))
        for line in (
            "orders_created_total 2.0",
            "orders_cancelled_total 1.0",
            'order_processing_time_seconds_count{outcome="CONFIRMED"} 1.0',
            'order_processing_time_seconds_count{outcome="REJECTED"} 1.0',
        ):
            assert line in counted()
        gate = shop.payment.stop_at("Capture", effect=False)
        creating = asyncio.create_task(buyer.create((shop.tea, 1)))
        await gate.reached.wait()
        await until(lambda: 'order_saga_age_seconds{step="capture"}' in counted())
        assert "active_orders 1.0" in counted()
        gate.opened.set()
        await creating
        await until(lambda: "active_orders 0.0" in counted())
