"""What happened: events as the order and the user service publish them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.message import Message
from google.type.money_pb2 import Money as MoneyMessage

from mesh.bus import Received
from mesh.ids import uuid7
from mesh.money import Money
from mesh.wire import money_to_proto, timestamp_to_proto
from zoco.order.v1.order_events_pb2 import OrderCancelled, OrderConfirmed, OrderPlaced, OrderRefunded
from zoco.order.v1.order_pb2 import OrderItem
from zoco.user.v1.user_events_pb2 import UserRegistered

NOON = datetime(2025, 6, 18, 12, 0, tzinfo=UTC)
"""A Wednesday."""
MINUTE = timedelta(minutes=1)


def at(text: str) -> datetime:
    """A time, in UTC unless it says otherwise."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def amount(text: str) -> MoneyMessage:
    """Money as it travels, from `12.50 EUR`; without a currency, EUR."""
    number, _, currency = text.partition(" ")
    return money_to_proto(Money.from_decimal(currency or "EUR", number))


def received(event: Message, aggregate_id: str, *, version: int = 1, time: datetime = NOON) -> Received[Any]:
    """An event as a consumer gets it."""
    return Received(event, uuid7(), aggregate_id, version, time, correlation_id=uuid7())


def item(price: str = "10", quantity: int = 1, *, product_id: str = "", name: str = "Lamp") -> OrderItem:
    """A line of an order."""
    return OrderItem(product_id=product_id or uuid7(), name=name, unit_price=amount(price), quantity=quantity)


@dataclass
class Buyer:
    """An order, and the events it gives rise to."""

    items: Sequence[OrderItem] = field(default_factory=lambda: [item()])
    order_id: str = field(default_factory=uuid7)
    user_id: str = field(default_factory=uuid7)
    version: int = 0

    @property
    def total(self) -> MoneyMessage:
        """What it costs."""
        currency = self.items[0].unit_price.currency_code
        prices = (Money.from_decimal(currency, _decimal(each.unit_price)) * each.quantity for each in self.items)
        return money_to_proto(sum(prices, start=Money.zero(currency)))

    def places(self, time: datetime = NOON) -> Received[Any]:
        """OrderPlaced."""
        return self._says(
            OrderPlaced(items=self.items, total_amount=self.total, place_time=timestamp_to_proto(time)), time
        )

    def is_confirmed(self, time: datetime = NOON) -> Received[Any]:
        """OrderConfirmed."""
        return self._says(
            OrderConfirmed(items=self.items, total_amount=self.total, confirm_time=timestamp_to_proto(time)), time
        )

    def buys(self, time: datetime = NOON) -> list[Received[Any]]:
        """Both."""
        return [self.places(time), self.is_confirmed(time)]

    def cancels(self, given_back: str | None, time: datetime = NOON) -> Received[Any]:
        """OrderCancelled, with what was given back or without."""
        money = amount(given_back) if given_back else None
        return self._says(OrderCancelled(refunded_amount=money, cancel_time=timestamp_to_proto(time)), time)

    def is_refunded(self, given_back: str, time: datetime = NOON) -> Received[Any]:
        """OrderRefunded."""
        return self._says(OrderRefunded(amount=amount(given_back), refund_time=timestamp_to_proto(time)), time)

    def _says(self, event: Any, time: datetime) -> Received[Any]:
        self.version += 1
        event.order_id, event.user_id = self.order_id, self.user_id
        return received(event, self.order_id, version=self.version, time=time)


def registers(time: datetime = NOON) -> Received[Any]:
    """UserRegistered."""
    user_id = uuid7()
    event = UserRegistered(
        user_id=user_id, email="a@example.com", display_name="A", register_time=timestamp_to_proto(time)
    )
    return received(event, user_id, time=time)


def _decimal(money: MoneyMessage) -> str:
    return f"{money.units}.{money.nanos // 10_000_000:02d}" if money.nanos else str(money.units)
