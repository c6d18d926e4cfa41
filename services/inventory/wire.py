"""Between the contract and the domain: messages, events, and the resume position of a watch."""

import base64
import struct
import uuid
from collections.abc import Mapping
from typing import Final

from google.protobuf.message import Message

from mesh.errors import invalid_field
from mesh.wire import timestamp_to_proto
from services.inventory.domain import Change, Kind, Movement, Stock
from zoco.inventory.v1 import inventory_events_pb2 as events
from zoco.inventory.v1 import stock_pb2

_KINDS: Final = {
    Kind.ADJUSTED: stock_pb2.StockMovement.ADJUSTED,
    Kind.RESERVED: stock_pb2.StockMovement.RESERVED,
    Kind.COMMITTED: stock_pb2.StockMovement.COMMITTED,
    Kind.RELEASED: stock_pb2.StockMovement.RELEASED,
}

_SEEN: Final = struct.Struct(">16sI")
"""One product in a position: its id and the version last seen."""


def stock_to_proto(stock: Stock, *, whole: bool) -> stock_pb2.Stock:
    """Renders a stock; `reserved` and `sold` only where the whole may be seen."""
    return stock_pb2.Stock(
        product_id=stock.product_id,
        available=stock.available,
        reserved=stock.reserved if whole else None,
        sold=stock.sold if whole else None,
        update_time=timestamp_to_proto(stock.update_time),
    )


def movement_to_proto(movement: Movement) -> stock_pb2.StockMovement:
    """Renders a movement."""
    return stock_pb2.StockMovement(
        id=movement.id,
        product_id=movement.product_id,
        kind=_KINDS[movement.kind],
        quantity=movement.quantity,
        order_id=movement.order_id,
        reason=movement.reason,
        create_time=timestamp_to_proto(movement.create_time),
    )


def change_to_event(change: Change) -> Message:
    """The event of a movement."""
    stock = stock_to_proto(change.stock, whole=True)
    match change.kind:
        case Kind.ADJUSTED:
            return events.StockAdjusted(stock=stock, delta=change.quantity, reason=change.reason)
        case Kind.RESERVED:
            return events.StockReserved(stock=stock, order_id=change.order_id, quantity=change.quantity)
        case Kind.COMMITTED:
            return events.StockCommitted(stock=stock, order_id=change.order_id, quantity=change.quantity)
        case Kind.RELEASED:
            return events.StockReleased(stock=stock, order_id=change.order_id, quantity=change.quantity)


def low_to_event(change: Change, *, threshold: int) -> events.StockLow:
    """The second event of a movement that took a stock below the threshold."""
    return events.StockLow(stock=stock_to_proto(change.stock, whole=True), threshold=threshold)


def position_to_text(versions: Mapping[str, int]) -> str:
    """A watch's position: the stock version last seen of each product, 27 characters a product."""
    seen = b"".join(_SEEN.pack(uuid.UUID(product).bytes, version) for product, version in sorted(versions.items()))
    return base64.urlsafe_b64encode(seen).decode().rstrip("=")


def position_from_text(position: str) -> dict[str, int]:
    """Reads what `position_to_text` wrote; the empty text is the position before everything.

    Raises:
        InvalidArgument: It is none of ours.
    """
    try:
        seen = base64.b64decode(position + "=" * (-len(position) % 4), altchars=b"-_", validate=True)
        return {str(uuid.UUID(bytes=product)): version for product, version in _SEEN.iter_unpack(seen)}
    except (ValueError, struct.error) as damaged:
        raise invalid_field("position", "must be one that a message of this stream carried") from damaged
