"""Snapshots of orders: to bytes and back. What is read equals what was written, in every field."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, assert_never

from mesh.money import Money
from mesh.wire import timestamp_from_proto, timestamp_to_proto
from services.order.events import Cause, Line, Shipment, Shortage
from services.order.state import (
    CalledOff,
    Declined,
    Ending,
    Order,
    OutOfStock,
    Payment,
    Refund,
    RefundState,
    State,
    Stock,
    TimedOut,
)
from zoco.order.storage.v1 import events_pb2, snapshot_pb2

SCHEMA: Final = 1
"""Rises with every change of what is written here, and of what `evolve` makes of events: then the snapshots of the code
before are passed over and made anew. A test holds it against committed ones."""

EVERY: Final = 50
"""How many events pass between two snapshots of an order. One with some ten events has none at all. The fifty behind a
snapshot are folded in less than a millisecond, and a thousand events leave twenty copies."""

_CAUSES: Final[Mapping[Cause, str]] = MappingProxyType({Cause.DECISION: "D", Cause.CANCELLATION: "C"})
_STATES: Final[Mapping[RefundState, str]] = MappingProxyType(
    {RefundState.OPEN: "O", RefundState.MADE: "M", RefundState.REFUSED: "R"}
)
_CAUSES_BACK: Final = MappingProxyType({letter: cause for cause, letter in _CAUSES.items()})
_STATES_BACK: Final = MappingProxyType({letter: state for state, letter in _STATES.items()})


def is_due(before: int, after: int) -> bool:
    """Whether a stream that went from one version to another is to have a snapshot there."""
    return after // EVERY > before // EVERY


def write(order: Order) -> bytes:
    """An order as a snapshot holds it."""
    message = snapshot_pb2.OrderSnapshot(
        order_id=order.id,
        user_id=order.user_id,
        currency=order.total.currency,
        lines=[
            snapshot_pb2.SnapshotLine(
                product_id=line.product_id, name=line.name, unit_price=line.unit_price.minor, quantity=line.quantity
            )
            for line in order.lines
        ],
        version=order.version,
        place_time=timestamp_to_proto(order.placed_at),
        update_time=timestamp_to_proto(order.updated_at),
        state=order.state.value,
        stock=order.stock.value,
        payment=order.payment.value,
        payment_id=order.payment_id,
        captured=order.captured.minor,
        refund_ids=[refund.id for refund in order.refunds],
        refund_amounts=[refund.amount.minor for refund in order.refunds],
        refund_reasons=[refund.reason for refund in order.refunds],
        refund_requesters=[refund.requested_by for refund in order.refunds],
        refund_causes="".join(_CAUSES[refund.cause] for refund in order.refunds),
        refund_states="".join(_STATES[refund.state] for refund in order.refunds),
    )
    _write_ending(message, order.ending)
    if order.shipment is not None:
        message.shipment.carrier = order.shipment.carrier
        message.shipment.tracking_number = order.shipment.tracking_number
        message.shipment.SetInParent()
    return message.SerializeToString(deterministic=True)


def read(state: bytes) -> Order:
    """The order that a snapshot of this schema holds.

    Raises:
        google.protobuf.message.DecodeError: Its bytes are damaged.
        ValueError: Likewise: it holds what no snapshot holds.
    """
    message = snapshot_pb2.OrderSnapshot.FromString(state)
    currency = message.currency
    lines = tuple(
        Line(line.product_id, line.name, Money(currency, line.unit_price), line.quantity) for line in message.lines
    )
    return Order(
        id=message.order_id,
        user_id=message.user_id,
        lines=lines,
        total=sum((line.unit_price * line.quantity for line in lines), start=Money.zero(currency)),
        version=message.version,
        placed_at=timestamp_from_proto(message.place_time),
        updated_at=timestamp_from_proto(message.update_time),
        state=State(message.state),
        stock=Stock(message.stock),
        payment=Payment(message.payment),
        payment_id=message.payment_id,
        captured=Money(currency, message.captured),
        refunds=_refunds(message, currency),
        ending=_ending(message),
        shipment=Shipment(message.shipment.carrier, message.shipment.tracking_number)
        if message.HasField("shipment")
        else None,
    )


def _refunds(message: snapshot_pb2.OrderSnapshot, currency: str) -> tuple[Refund, ...]:
    # Many refunds have few amounts, and an amount is checked when it is made: each is made once.
    amounts = {minor: Money(currency, minor) for minor in set(message.refund_amounts)}
    columns = zip(
        message.refund_ids,
        range(1, len(message.refund_ids) + 1),
        map(amounts.__getitem__, message.refund_amounts),
        message.refund_reasons,
        map(_CAUSES_BACK.__getitem__, message.refund_causes),
        message.refund_requesters,
        map(_STATES_BACK.__getitem__, message.refund_states),
        strict=True,
    )
    return tuple(Refund(*column) for column in columns)


def _write_ending(message: snapshot_pb2.OrderSnapshot, ending: Ending | None) -> None:
    match ending:
        case None:
            pass
        case OutOfStock(shortages):
            message.out_of_stock.SetInParent()
            message.out_of_stock.shortages.extend(
                events_pb2.Shortage(product_id=each.product_id, description=each.description) for each in shortages
            )
        case Declined(reason):
            message.declined = reason
        case TimedOut():
            message.timed_out.SetInParent()
        case CalledOff(reason, was_confirmed, requested_by):
            message.called_off.SetInParent()
            message.called_off.reason = reason
            message.called_off.was_confirmed = was_confirmed
            message.called_off.requested_by = requested_by
        case _:
            assert_never(ending)


def _ending(message: snapshot_pb2.OrderSnapshot) -> Ending | None:
    match message.WhichOneof("ending"):
        case None:
            return None
        case "out_of_stock":
            shortages = message.out_of_stock.shortages
            return OutOfStock(tuple(Shortage(each.product_id, each.description) for each in shortages))
        case "declined":
            return Declined(message.declined)
        case "timed_out":
            return TimedOut()
        case "called_off":
            called_off = message.called_off
            return CalledOff(called_off.reason, called_off.was_confirmed, called_off.requested_by)
