"""Events as they are stored: to bytes and back, whatever version they were written in.

The type of a stored event is its message's full name, so the version stands in it: `zoco.order.storage.v1.OrderPlaced`.
What is written is always the newest version. What was written once is read for ever: a newer version adds its own entry
to `_READERS`, and the entry of the old one then makes today's event of it (an upcaster).
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, TypeVar, assert_never

from google.protobuf.message import Message

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
from zoco.order.storage.v1 import events_pb2 as v1

M = TypeVar("M", bound=Message)


class UnknownEvent(ValueError):
    """A stored event of a type or version that this process does not know: it was written by a newer one."""


def read(type_name: str, payload: bytes) -> Event:
    """The event that was stored under a type in these bytes.

    Raises:
        UnknownEvent: Its type is not known here.
        google.protobuf.message.DecodeError: Its bytes are damaged.
    """
    reader = _READERS.get(type_name)
    if reader is None:
        raise UnknownEvent(f"{type_name} is no event this process knows")
    return reader(payload)


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
        case CancellationRequested(reason):
            return v1.CancellationRequested(reason=reason)
        case RefundRequested(refund_id, number, amount, reason, cause):
            return v1.RefundRequested(
                refund_id=refund_id,
                number=number,
                amount=money_to_proto(amount),
                reason=reason,
                cause=v1.RefundRequested.Cause.Value(f"CAUSE_{cause}"),
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


def _refund_requested(message: v1.RefundRequested) -> RefundRequested:
    cause = Cause(v1.RefundRequested.Cause.Name(message.cause).removeprefix("CAUSE_"))
    amount = money_from_proto(message.amount, field="amount")
    return RefundRequested(message.refund_id, message.number, amount, message.reason, cause)


def _reader(message_class: type[M], to_event: Callable[[M], Event]) -> tuple[str, Callable[[bytes], Event]]:
    def parse(payload: bytes) -> Event:
        message = message_class()
        message.ParseFromString(payload)
        return to_event(message)

    return message_class.DESCRIPTOR.full_name, parse


def _bare(message_class: type[Message], event: Event) -> tuple[str, Callable[[bytes], Event]]:
    return message_class.DESCRIPTOR.full_name, lambda _: event


_READERS: Final[Mapping[str, Callable[[bytes], Event]]] = MappingProxyType(
    dict(
        (
            _reader(v1.OrderPlaced, _placed),
            _bare(v1.StockReserved, StockReserved()),
            _reader(v1.StockRefused, _refused),
            _reader(v1.PaymentAuthorized, lambda message: PaymentAuthorized(message.payment_id)),
            _reader(v1.PaymentDeclined, lambda message: PaymentDeclined(message.decline_reason)),
            _reader(
                v1.PaymentCaptured, lambda message: PaymentCaptured(money_from_proto(message.amount, field="amount"))
            ),
            _bare(v1.PaymentVoided, PaymentVoided()),
            _bare(v1.StockCommitted, StockCommitted()),
            _bare(v1.StockReleased, StockReleased()),
            _bare(v1.CheckoutTimedOut, CheckoutTimedOut()),
            _reader(v1.CancellationRequested, lambda message: CancellationRequested(message.reason)),
            _reader(v1.RefundRequested, _refund_requested),
            _reader(v1.RefundMade, lambda message: RefundMade(message.number)),
            _reader(v1.RefundRefused, lambda message: RefundRefused(message.number, message.reason)),
            _bare(v1.OrderConfirmed, OrderConfirmed()),
            _bare(v1.OrderRejected, OrderRejected()),
            _bare(v1.OrderCancelled, OrderCancelled()),
            _reader(v1.OrderShipped, lambda message: OrderShipped(Shipment(message.carrier, message.tracking_number))),
            _bare(v1.OrderDelivered, OrderDelivered()),
        )
    )
)
