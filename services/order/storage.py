"""Events as they are stored: to bytes and back, whatever version they were written in.

The type of a stored event is its message's full name, so the version stands in it: `zoco.order.storage.v1.OrderPlaced`.
What is written is always the newest version. What was written once is read for ever: upcasters.py lifts it to the
newest message, and `_EVENTS` makes the event of that one.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, Protocol, assert_never

from google.protobuf.message import DecodeError, Message

from mesh.data.upcasting import NO_METADATA, Metadata
from mesh.errors import MeshError
from mesh.wire import money_from_proto, money_to_proto
from services.order.events import (
    CancellationRequested,
    Cause,
    CheckoutTimedOut,
    Event,
    Line,
    OrderCancelled,
    OrderConfirmed,
    OrderDelivered,
    OrderPlaced,
    OrderRejected,
    OrderShipped,
    PaymentAuthorized,
    PaymentCaptured,
    PaymentDeclined,
    PaymentVoided,
    RefundMade,
    RefundRefused,
    RefundRequested,
    Shipment,
    Shortage,
    StockCommitted,
    StockRefused,
    StockReleased,
    StockReserved,
)
from services.order.upcasters import upcasters
from zoco.order.storage.v1 import events_pb2 as v1
from zoco.order.storage.v2 import events_pb2 as v2

_UPCASTERS: Final = upcasters()


class UnreadableEvent(ValueError):
    """A stored event of which this process can make nothing.

    UnreadableEvent
    ├── UnknownEvent   of a type or version it does not know: it was written by newer code
    └── DamagedEvent   its bytes are not what its type says
    """


class UnknownEvent(UnreadableEvent):
    """A stored event of a type or version that this process does not know: it was written by a newer one."""

    def __init__(self, type_name: str) -> None:
        super().__init__(f"{type_name} is no event this process knows")


class DamagedEvent(UnreadableEvent):
    """The bytes of a stored event are not what its type says."""

    def __init__(self, type_name: str) -> None:
        super().__init__(f"these bytes are no {type_name}")


class UnreadableHistory(ValueError):
    """An order cannot be folded, because of one of its events."""

    def __init__(self, order_id: str, version: int, why: UnreadableEvent) -> None:
        super().__init__(f"order {order_id}, event {version}: {why}")
        self.order_id = order_id


class Stored(Protocol):
    """What a row of `events` says."""

    @property
    def version(self) -> int: ...  # noqa: D102 - as in StoredEvent
    @property
    def type(self) -> str: ...  # noqa: D102
    @property
    def payload(self) -> bytes: ...  # noqa: D102
    @property
    def metadata(self) -> Metadata | None: ...  # noqa: D102
    @property
    def time(self) -> datetime: ...  # noqa: D102


def read(type_name: str, payload: bytes, metadata: Metadata) -> Event:
    """The event that was stored under a type in these bytes, with this beside it.

    Raises:
        UnknownEvent: Its type is not known here.
        DamagedEvent: Its bytes are damaged.
    """
    message_class = _MESSAGES.get(type_name)
    if message_class is None:
        raise UnknownEvent(type_name)
    try:
        message = _UPCASTERS.lift(message_class.FromString(payload), metadata)
        return _EVENTS[type(message)](message)
    except (DecodeError, MeshError, ValueError) as damage:
        raise DamagedEvent(type_name) from damage


def read_history(order_id: str, stored: Iterable[Stored]) -> Iterator[tuple[Event, datetime]]:
    """The events of an order with their times, as `fold` takes them.

    Raises:
        UnreadableHistory: One of them cannot be read; says which and why.
    """
    for each in stored:
        try:
            event = read(each.type, each.payload, each.metadata or NO_METADATA)
        except UnreadableEvent as why:
            raise UnreadableHistory(order_id, each.version, why) from why
        yield event, each.time


def write(event: Event) -> tuple[str, bytes]:
    """Type and bytes under which an event is stored."""
    message = _message(event)
    return message.DESCRIPTOR.full_name, message.SerializeToString(deterministic=True)


def _message(event: Event) -> Message:  # noqa: C901, PLR0911, PLR0912 - one case an event
    match event:
        case OrderPlaced(order_id, user_id, lines):
            return v1.OrderPlaced(order_id=order_id, user_id=user_id, lines=map(_line, lines))
        case StockReserved():
            return v1.StockReserved()
        case StockRefused(shortages):
            return v1.StockRefused(
                shortages=[v1.Shortage(product_id=each.product_id, description=each.description) for each in shortages]
            )
        case PaymentAuthorized(payment_id):
            return v1.PaymentAuthorized(payment_id=payment_id)
        case PaymentDeclined(reason):
            return v1.PaymentDeclined(decline_reason=reason)
        case PaymentCaptured(amount):
            return v1.PaymentCaptured(amount=money_to_proto(amount))
        case PaymentVoided():
            return v1.PaymentVoided()
        case StockCommitted():
            return v1.StockCommitted()
        case StockReleased():
            return v1.StockReleased()
        case CheckoutTimedOut():
            return v1.CheckoutTimedOut()
        case CancellationRequested(reason, requested_by):
            return v2.CancellationRequested(reason=reason, requested_by=requested_by)
        case RefundRequested(refund_id, number, amount, reason, cause, requested_by):
            return v2.RefundRequested(
                refund_id=refund_id,
                number=number,
                amount=money_to_proto(amount),
                reason=reason,
                cause=v2.RefundRequested.Cause.Value(f"CAUSE_{cause}"),
                requested_by=requested_by,
            )
        case RefundMade(number):
            return v1.RefundMade(number=number)
        case RefundRefused(number, reason):
            return v1.RefundRefused(number=number, reason=reason)
        case OrderConfirmed():
            return v1.OrderConfirmed()
        case OrderRejected():
            return v1.OrderRejected()
        case OrderCancelled():
            return v1.OrderCancelled()
        case OrderShipped(shipment):
            return v1.OrderShipped(carrier=shipment.carrier, tracking_number=shipment.tracking_number)
        case OrderDelivered():
            return v1.OrderDelivered()
        case _:
            assert_never(event)


def _line(line: Line) -> v1.Line:
    return v1.Line(
        product_id=line.product_id,
        name=line.name,
        unit_price=money_to_proto(line.unit_price),
        quantity=line.quantity,
    )


def _placed(message: v1.OrderPlaced) -> OrderPlaced:
    lines = (
        Line(line.product_id, line.name, money_from_proto(line.unit_price, field="unit_price"), line.quantity)
        for line in message.lines
    )
    return OrderPlaced(message.order_id, message.user_id, tuple(lines))


def _refused(message: v1.StockRefused) -> StockRefused:
    return StockRefused(tuple(Shortage(each.product_id, each.description) for each in message.shortages))


def _refund_requested(message: v2.RefundRequested) -> RefundRequested:
    cause = Cause(v2.RefundRequested.Cause.Name(message.cause).removeprefix("CAUSE_"))
    amount = money_from_proto(message.amount, field="amount")
    return RefundRequested(message.refund_id, message.number, amount, message.reason, cause, message.requested_by)


_EVENTS: Final[Mapping[type[Message], Callable[[Any], Event]]] = MappingProxyType(
    {
        v1.OrderPlaced: _placed,
        v1.StockReserved: lambda _: StockReserved(),
        v1.StockRefused: _refused,
        v1.PaymentAuthorized: lambda message: PaymentAuthorized(message.payment_id),
        v1.PaymentDeclined: lambda message: PaymentDeclined(message.decline_reason),
        v1.PaymentCaptured: lambda message: PaymentCaptured(money_from_proto(message.amount, field="amount")),
        v1.PaymentVoided: lambda _: PaymentVoided(),
        v1.StockCommitted: lambda _: StockCommitted(),
        v1.StockReleased: lambda _: StockReleased(),
        v1.CheckoutTimedOut: lambda _: CheckoutTimedOut(),
        v2.CancellationRequested: lambda message: CancellationRequested(message.reason, message.requested_by),
        v2.RefundRequested: _refund_requested,
        v1.RefundMade: lambda message: RefundMade(message.number),
        v1.RefundRefused: lambda message: RefundRefused(message.number, message.reason),
        v1.OrderConfirmed: lambda _: OrderConfirmed(),
        v1.OrderRejected: lambda _: OrderRejected(),
        v1.OrderCancelled: lambda _: OrderCancelled(),
        v1.OrderShipped: lambda message: OrderShipped(Shipment(message.carrier, message.tracking_number)),
        v1.OrderDelivered: lambda _: OrderDelivered(),
    }
)
"""The newest version of each event, and what it says."""

OLD: Final[tuple[type[Message], ...]] = (v1.CancellationRequested, v1.RefundRequested)
"""Versions that are not written any more. Databases hold them; each has its step in upcasters.py."""

OLD_TYPES: Final = tuple(message_class.DESCRIPTOR.full_name for message_class in OLD)

_MESSAGES: Final[Mapping[str, type[Message]]] = MappingProxyType(
    {message_class.DESCRIPTOR.full_name: message_class for message_class in (*_EVENTS, *OLD)}
)
