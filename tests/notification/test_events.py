"""From events through the broker to people, in the shop and by mail."""

import asyncio
from typing import Any

import pytest
from google.protobuf.message import Message
from google.type.money_pb2 import Money
from sqlalchemy import select, text

from mesh.ids import uuid7
from services.notification.tables import contact, mail, mailbox, notification
from tests.fixtures.servers import until
from tests.notification.conftest import Desk, now
from zoco.inventory.v1 import inventory_events_pb2, stock_pb2
from zoco.notification.v1 import notification_pb2
from zoco.notification.v1.notification_pb2 import Notification
from zoco.order.v1 import order_events_pb2, order_pb2
from zoco.user.v1 import user_events_pb2, user_pb2

pytestmark = pytest.mark.asyncio(loop_scope="module")


def euros(units: int) -> Money:
    return Money(currency_code="EUR", units=units)


async def handled(desk: Desk, event_id: str) -> None:
    """Waits until an event has taken effect."""

    async def noted() -> bool:
        async with desk.service.database.reading() as connection:
            rows = await connection.execute(text("SELECT 1 FROM inbox WHERE event_id = :id"), {"id": event_id})
            return bool(rows.all())

    await until(noted)


async def test_a_newcomer_is_welcomed_in_the_shop_and_by_mail(desk: Desk) -> None:
    alice = desk.reader()
    await desk.neighbours.register(alice.user_id, email="alice@example.com", display_name="Alice")

    (welcome,) = await alice.having(1)

    assert (welcome.kind, welcome.user_id, welcome.read) == (Notification.WELCOME, alice.user_id, False)
    message = await desk.mail_of(welcome.id)
    assert message["To"] == "Alice <alice@example.com>"
    assert message["Subject"] == welcome.title
    assert message["Message-ID"] == f"<{welcome.id}@zoco.local>"
    assert "Hello Alice," in message.get_content()


@pytest.mark.parametrize(
    ("kind", "event", "said"),
    [
        (
            Notification.ORDER_REJECTED,
            order_events_pb2.OrderRejected(rejection=order_pb2.Rejection(reason="PAYMENT_DECLINED")),
            "The payment was declined.",
        ),
        (
            Notification.ORDER_SHIPPED,
            order_events_pb2.OrderShipped(shipment=order_pb2.Shipment(carrier="DHL", tracking_number="42")),
            "Carrier: DHL",
        ),
        (
            Notification.ORDER_CANCELLED,
            order_events_pb2.OrderCancelled(reason="changed my mind", refunded_amount=euros(7)),
            "Given back: 7.00 EUR",
        ),
        (Notification.ORDER_CANCELLED, order_events_pb2.OrderCancelled(), "Nothing was charged."),
        (
            Notification.ORDER_REFUNDED,
            order_events_pb2.OrderRefunded(amount=euros(2), refunded_amount=euros(3)),
            "In all so far: 3.00 EUR",
        ),
    ],
)
async def test_a_buyer_is_told_what_became_of_an_order(
    desk: Desk, kind: Notification.Kind.ValueType, event: Any, said: str
) -> None:
    buyer, order_id = desk.reader(), uuid7()
    event.order_id, event.user_id = order_id, buyer.user_id
    await desk.neighbours.publish(event, aggregate_id=order_id, version=3)

    (told,) = await buyer.having(1)

    assert (told.kind, told.order_id) == (kind, order_id)
    assert said in told.body


async def test_a_confirmed_order_is_told_with_its_lines(desk: Desk) -> None:
    buyer = desk.reader()
    order_id = await desk.neighbours.confirm(buyer.user_id)

    (told,) = await buyer.having(1)

    assert (told.kind, told.order_id) == (Notification.ORDER_CONFIRMED, order_id)
    assert told.body.splitlines()[:2] == ["2 x Mug", "Total: 25.50 EUR"]


async def test_an_order_that_is_known_before_its_buyer_is_not_lost(desk: Desk) -> None:
    buyer = desk.reader()
    await desk.neighbours.confirm(buyer.user_id)
    (confirmed,) = await buyer.having(1)
    assert not (desk.mail / f"{confirmed.id}.eml").exists()

    await desk.neighbours.register(buyer.user_id, email="late@example.com")

    assert (await desk.mail_of(confirmed.id))["To"] == "Alice <late@example.com>"
    assert [told.kind for told in await buyer.having(2)] == [Notification.WELCOME, Notification.ORDER_CONFIRMED]


async def test_an_event_that_comes_twice_is_told_once(desk: Desk) -> None:
    buyer = desk.reader()
    event_id = uuid7()
    order_id = await desk.neighbours.confirm(buyer.user_id, event_id=event_id)
    await buyer.having(1)

    await desk.neighbours.confirm(buyer.user_id, order_id, event_id=event_id)
    last = await desk.neighbours.confirm(buyer.user_id)

    assert [each.order_id for each in await buyer.having(2)] == [last, order_id]


async def test_the_administrators_are_told_when_stock_is_low(desk: Desk) -> None:
    boss, second, customer, retired = (desk.reader() for _ in range(4))
    for admin in (boss, second, retired):
        await desk.neighbours.register(admin.user_id, role=user_pb2.User.ADMIN)
    await desk.neighbours.register(customer.user_id)
    for reader in (boss, second, customer, retired):
        await reader.having(1)
    disabled = user_events_pb2.UserDisabled(user_id=retired.user_id)
    await handled(desk, await desk.neighbours.publish(disabled, aggregate_id=retired.user_id, version=2))

    product_id = uuid7()
    low = inventory_events_pb2.StockLow(stock=stock_pb2.Stock(product_id=product_id, available=3), threshold=5)
    await handled(desk, await desk.neighbours.publish(low, aggregate_id=product_id, version=9))

    for admin in (boss, second):
        told, _ = await admin.having(2)
        assert (told.kind, told.product_id) == (Notification.STOCK_LOW, product_id)
    assert len(await customer.all()) == 1
    assert len(await desk.reader(retired.user_id).all()) == 1  # with a later token: the first one was revoked


async def test_what_was_known_of_an_account_follows_its_versions(desk: Desk) -> None:
    alice = desk.reader()
    newer = user_events_pb2.UserUpdated(
        user_id=alice.user_id,
        email="new@example.com",
        display_name="Al",
        role=user_pb2.User.CUSTOMER,
        state=user_pb2.User.ACTIVE,
        update_time=now(),
    )
    await handled(desk, await desk.neighbours.publish(newer, aggregate_id=alice.user_id, version=2))
    await desk.neighbours.register(alice.user_id, email="old@example.com")

    (welcome,) = await alice.having(1)

    assert (await desk.mail_of(welcome.id))["To"] == "Al <new@example.com>"


async def test_a_deleted_account_leaves_nothing_and_gets_nothing(desk: Desk) -> None:
    alice = desk.reader()
    await desk.neighbours.register(alice.user_id)
    await desk.neighbours.confirm(alice.user_id)
    await alice.having(2)

    deleted = user_events_pb2.UserDeleted(user_id=alice.user_id, delete_time=now())
    await handled(desk, await desk.neighbours.publish(deleted, aggregate_id=alice.user_id, version=3))
    late = user_events_pb2.UserUpdated(user_id=alice.user_id, email="alice@example.com", display_name="Alice")
    await handled(desk, await desk.neighbours.publish(late, aggregate_id=alice.user_id, version=2))
    event_id = uuid7()
    await desk.neighbours.confirm(alice.user_id, event_id=event_id)
    await handled(desk, event_id)

    assert await desk.reader(alice.user_id).all() == []  # with a later token: the first one was revoked
    async with desk.service.database.reading() as connection:
        stone = (await connection.execute(select(contact).where(contact.c.user_id == alice.user_id))).one()
        assert (stone.email, stone.display_name, stone.state, stone.version) == (None, "", "DELETED", 3)
        assert (await connection.execute(select(mail).where(mail.c.user_id == alice.user_id))).all() == []


async def test_a_disabled_account_gets_its_mail_once_it_is_enabled(desk: Desk) -> None:
    alice = desk.reader()
    await desk.neighbours.register(alice.user_id)
    await alice.having(1)
    disabled = user_events_pb2.UserDisabled(user_id=alice.user_id)
    await handled(desk, await desk.neighbours.publish(disabled, aggregate_id=alice.user_id, version=2))
    await desk.neighbours.confirm(alice.user_id)
    confirmed, _ = await desk.reader(alice.user_id).having(2)  # with a later token: the first one was revoked
    assert not (desk.mail / f"{confirmed.id}.eml").exists()

    enabled = user_events_pb2.UserUpdated(
        user_id=alice.user_id, email="alice@example.com", display_name="Alice", state=user_pb2.User.ACTIVE
    )
    await desk.neighbours.publish(enabled, aggregate_id=alice.user_id, version=3)

    assert (await desk.mail_of(confirmed.id))["To"] == "Alice <alice@example.com>"


async def test_html_and_line_breaks_of_others_stay_text(desk: Desk) -> None:
    buyer, order_id = desk.reader(), uuid7()
    await desk.neighbours.register(buyer.user_id, display_name="<b>Bob</b>\r\nBcc: x@example.com")
    event = order_events_pb2.OrderCancelled(
        order_id=order_id, user_id=buyer.user_id, reason="<script>alert(1)</script>\r\nSubject: \0 other"
    )
    await desk.neighbours.publish(event, aggregate_id=order_id, version=3)

    told, _ = sorted(await buyer.having(2), key=lambda each: each.kind, reverse=True)

    assert told.body.splitlines()[0] == "Reason: <script>alert(1)</script> Subject: other"
    message = await desk.mail_of(told.id)
    assert message.get_content_type() == "text/plain"
    assert message["Bcc"] is None
    assert message["Subject"] == "Your order was cancelled"


async def test_numbers_have_no_gaps_however_many_events_come_at_once(desk: Desk) -> None:
    buyers = [desk.reader() for _ in range(3)]
    await asyncio.gather(*(desk.neighbours.confirm(buyer.user_id) for _ in range(20) for buyer in buyers))

    for buyer in buyers:
        await buyer.having(20)
        async with desk.service.database.reading() as connection:
            numbers = await connection.execute(
                select(notification.c.sequence)
                .where(notification.c.user_id == buyer.user_id)
                .order_by(notification.c.sequence)
            )
            assert list(numbers.scalars()) == list(range(1, 21))
            last = select(mailbox.c.last_sequence).where(mailbox.c.user_id == buyer.user_id)
            assert (await connection.execute(last)).scalar_one() == 20


async def test_an_event_that_cannot_be_told_stops_no_other(desk: Desk) -> None:
    buyer, order_id = desk.reader(), uuid7()
    broken: Message = order_events_pb2.OrderConfirmed(
        order_id=order_id, user_id=buyer.user_id, total_amount=Money(currency_code="nonsense")
    )
    await desk.neighbours.publish(broken, aggregate_id=order_id, version=2)
    await desk.neighbours.confirm(buyer.user_id)

    (told,) = await buyer.having(1)

    assert isinstance(told, notification_pb2.Notification)
