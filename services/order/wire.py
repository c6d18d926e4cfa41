"""Between the contract and the domain: requests, orders, the events that others may know, and the audit trail."""

from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import Enum
from typing import Any, Final

from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from google.type.money_pb2 import Money as MoneyMessage
from google.type.postal_address_pb2 import PostalAddress

from mesh.errors import invalid_field
from mesh.money import Money
from mesh.wire import canonical_id, money_from_proto, money_to_proto, timestamp_to_proto
from services.order.events import (
    Cause,
    Event,
    Line,
    OrderCancelled,
    OrderConfirmed,
    OrderDelivered,
    OrderPlaced,
    OrderRejected,
    OrderShipped,
    RefundMade,
    Shipment,
)
from services.order.projections import View, view_of
from services.order.state import CalledOff, Declined, Order, OutOfStock, RefundState, Rejection, State, TimedOut
from zoco.order.v1 import order_events_pb2, order_pb2
from zoco.order.v1.order_service_pb2 import LineItem

LONGEST_ADDRESS: Final = 16_384
"""Bytes of an address in all: its ten lines in any script, and as much again for its other fields."""

_STATES: Final = {state: order_pb2.Order.State.Value(state.value) for state in State}
_STATES_BACK: Final = {value: state for state, value in _STATES.items()}


def quantities_from_proto(items: Sequence[LineItem]) -> dict[str, int]:
    """Pieces by product; validation has seen to it that each stands there once, and in one spelling it still does.

    Raises:
        InvalidArgument: A product stands in two lines, in two spellings.
    """
    wanted: dict[str, int] = {}
    for index, item in enumerate(items):
        if canonical_id(item.product_id) in wanted:
            raise invalid_field(f"items[{index}].product_id", "must name a product once")
        wanted[canonical_id(item.product_id)] = item.quantity
    return wanted


def address_from_proto(address: PostalAddress) -> PostalAddress:
    """An address that a parcel can carry; validation has looked at its lines.

    Raises:
        InvalidArgument: It is longer than LONGEST_ADDRESS.
    """
    if address.ByteSize() > LONGEST_ADDRESS:
        raise invalid_field("shipping_address", f"must have at most {LONGEST_ADDRESS} bytes in all")
    return address


def state_from_proto(state: order_pb2.Order.State.ValueType) -> State | None:
    """The state a filter names; None where it names none."""
    return _STATES_BACK.get(state)


def amount_from_proto(message: MoneyMessage) -> Money:
    """The amount of a refund.

    Raises:
        InvalidArgument: It is not more than zero, or no amount.
    """
    amount = money_from_proto(message, field="amount")
    if amount.minor <= 0:
        raise invalid_field("amount", "must be more than zero")
    return amount


def position_from_text(position: str) -> int:
    """The version a watch has seen; 0 before everything.

    Raises:
        InvalidArgument: It is none of ours.
    """
    if not position:
        return 0
    if not (position.isascii() and position.isdigit() and len(position) <= 10):
        raise invalid_field("position", "must be one that a message of this stream carried")
    return int(position)


def order_to_proto(view: View, address: PostalAddress | None) -> order_pb2.Order:
    """Renders an order; the address may have been erased."""
    return order_pb2.Order(
        id=view.id,
        user_id=view.user_id,
        state=_STATES[view.state],
        items=items_to_proto(view.lines),
        total_amount=money_to_proto(view.total),
        refunded_amount=money_to_proto(view.refunded),
        payment_id=view.payment_id,
        shipping_address=address,
        rejection=rejection_to_proto(view.rejection) if view.rejection else None,
        shipment=_shipment_to_proto(view.shipment) if view.shipment else None,
        cancel_reason=view.cancel_reason,
        create_time=timestamp_to_proto(view.placed_at),
        update_time=timestamp_to_proto(view.updated_at),
        version=view.version,
    )


def items_to_proto(lines: Sequence[Line]) -> list[order_pb2.OrderItem]:
    """Renders the lines of an order."""
    return [
        order_pb2.OrderItem(
            product_id=line.product_id,
            name=line.name,
            unit_price=money_to_proto(line.unit_price),
            quantity=line.quantity,
        )
        for line in lines
    ]


def rejection_to_proto(rejection: Rejection) -> order_pb2.Rejection:
    """Renders why an order could not be."""
    match rejection:
        case OutOfStock(shortages):
            return order_pb2.Rejection(
                reason="INSUFFICIENT_STOCK",
                message=f"There are too few pieces of {len(shortages)} of the products.",
                product_ids=[shortage.product_id for shortage in shortages],
            )
        case Declined(reason):
            return order_pb2.Rejection(
                reason="PAYMENT_DECLINED", message="The card was declined.", decline_reason=reason
            )
        case TimedOut():
            return order_pb2.Rejection(
                reason="TIMED_OUT", message="The order could not be decided in time; nothing was charged."
            )


def _shipment_to_proto(shipment: Shipment) -> order_pb2.Shipment:
    return order_pb2.Shipment(carrier=shipment.carrier, tracking_number=shipment.tracking_number)


def public_event(order: Order, event: Event) -> Message | None:
    """What others may know of an event, `order` being the state after it; None where it is nobody else's business."""
    at = timestamp_to_proto(order.updated_at)
    whose = {"order_id": order.id, "user_id": order.user_id}
    match event:
        case OrderPlaced():
            return order_events_pb2.OrderPlaced(
                **whose, items=items_to_proto(order.lines), total_amount=money_to_proto(order.total), place_time=at
            )
        case OrderConfirmed():
            return order_events_pb2.OrderConfirmed(
                **whose,
                items=items_to_proto(order.lines),
                total_amount=money_to_proto(order.captured),
                confirm_time=at,
            )
        case OrderRejected():
            rejection = view_of(order).rejection
            return order_events_pb2.OrderRejected(
                **whose, rejection=rejection_to_proto(rejection) if rejection else None, reject_time=at
            )
        case OrderCancelled():
            return _cancelled(order)
        case OrderShipped(shipment):
            return order_events_pb2.OrderShipped(**whose, shipment=_shipment_to_proto(shipment), ship_time=at)
        case OrderDelivered():
            return order_events_pb2.OrderDelivered(**whose, deliver_time=at)
        case RefundMade(number):
            return _refunded(order, number)
        case _:
            return None


def _cancelled(order: Order) -> order_events_pb2.OrderCancelled:
    """Its refund is the cancellation's own: what administrators had given back before, OrderRefunded has said."""
    given_back = (
        refund.amount
        for refund in order.refunds
        if refund.cause is Cause.CANCELLATION and refund.state is RefundState.MADE
    )
    ending = order.ending
    return order_events_pb2.OrderCancelled(
        order_id=order.id,
        user_id=order.user_id,
        reason=ending.reason if isinstance(ending, CalledOff) else "",
        refunded_amount=money_to_proto(sum(given_back, start=Money.zero(order.total.currency))),
        items=items_to_proto(order.lines),
        was_confirmed=isinstance(ending, CalledOff) and ending.was_confirmed,
        cancel_time=timestamp_to_proto(order.updated_at),
    )


def _refunded(order: Order, number: int) -> order_events_pb2.OrderRefunded | None:
    refund = order.refunds[number - 1]
    if refund.cause is Cause.CANCELLATION:
        return None
    return order_events_pb2.OrderRefunded(
        order_id=order.id,
        user_id=order.user_id,
        amount=money_to_proto(refund.amount),
        refunded_amount=money_to_proto(order.refunded),
        reason=refund.reason,
        refund_time=timestamp_to_proto(order.updated_at),
    )


def trail_to_proto(version: int, event: Event, at: datetime, actor: str) -> order_pb2.OrderEvent:
    """Renders one entry of the audit trail in plain terms."""
    detail = Struct()
    detail.update(_plain(event))
    return order_pb2.OrderEvent(
        version=version, type=type(event).__name__, time=timestamp_to_proto(at), actor=actor, detail=detail
    )


def _plain(value: Any) -> Any:
    """An event as JSON shows it: names in camelCase, money as `12.50 EUR`."""
    match value:
        case Money():
            return str(value)
        case Enum():
            return value.value
        case tuple():
            return [_plain(each) for each in value]
        case _ if is_dataclass(value):
            return {_camel(field.name): _plain(getattr(value, field.name)) for field in fields(value)}
        case _:
            return value


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)
