"""What receivers read: an order event of the contract as JSON, in the envelope of Standard Webhooks."""

import json
from collections.abc import Mapping
from datetime import UTC
from typing import Any, Final, TypeVar

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from mesh.bus import Received
from services.notification.webhooks.domain import EventType
from zoco.order.v1.order_events_pb2 import (
    OrderCancelled,
    OrderConfirmed,
    OrderDelivered,
    OrderPlaced,
    OrderRefunded,
    OrderRejected,
    OrderShipped,
)

OrderEvent = TypeVar(
    "OrderEvent",
    OrderPlaced,
    OrderConfirmed,
    OrderRejected,
    OrderCancelled,
    OrderShipped,
    OrderDelivered,
    OrderRefunded,
)

_TYPES: Final[Mapping[type[Message], EventType]] = {
    OrderPlaced: EventType.PLACED,
    OrderConfirmed: EventType.CONFIRMED,
    OrderRejected: EventType.REJECTED,
    OrderCancelled: EventType.CANCELLED,
    OrderShipped: EventType.SHIPPED,
    OrderDelivered: EventType.DELIVERED,
    OrderRefunded: EventType.REFUNDED,
}


def type_of(event: Message) -> EventType:
    """What receivers call an event."""
    return _TYPES[type(event)]


def body_of(received: Received[Any]) -> str:
    """The body that tells of an event. It is kept, so that each attempt sends the same bytes.

    `data` is the event as REST would answer it (proto3 JSON, with the fields that are empty); `orderVersion` says which
    of two messages about one order is the later one.
    """
    time = received.time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    body = {
        "type": type_of(received.event).value,
        "timestamp": time,
        "orderVersion": received.version,
        "data": MessageToDict(received.event, always_print_fields_with_no_presence=True),
    }
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"))
