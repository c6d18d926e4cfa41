"""Events outlive the code that wrote them: every kind survives, and histories once committed still tell the same."""

import base64
import json
from datetime import datetime
from pathlib import Path
from typing import Any, get_args

import pytest

from services.order import storage
from services.order.events import (
    CancellationRequested,
    Cause,
    CheckoutTimedOut,
    Event,
    OrderCancelled,
    OrderConfirmed,
    OrderDelivered,
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
from services.order.projections import view_of
from services.order.state import fold
from services.order.wire import order_to_proto, trail_to_proto
from tests.order.given import NOON, PLACED, TOTAL

ONE_OF_EACH: list[Event] = [
    PLACED,
    StockReserved(),
    StockRefused((Shortage("p1", "1 available, 2 wanted"), Shortage("p2", "0 available, 1 wanted"))),
    PaymentAuthorized("pay1"),
    PaymentDeclined("insufficient_funds"),
    PaymentCaptured(TOTAL),
    PaymentVoided(),
    StockCommitted(),
    StockReleased(),
    CheckoutTimedOut(),
    CancellationRequested("changed my mind"),
    RefundRequested("r1", 1, TOTAL, "broken", Cause.DECISION),
    RefundRequested("", 2, TOTAL, "no", Cause.CANCELLATION),
    RefundMade(1),
    RefundRefused(2, "STATE_CONFLICT"),
    OrderConfirmed(),
    OrderRejected(),
    OrderCancelled(),
    OrderShipped(Shipment("DHL", "42")),
    OrderDelivered(),
]

HISTORIES = sorted((Path(__file__).parent / "histories").glob("*.json"))


def test_there_is_one_of_each() -> None:
    assert {type(event) for event in ONE_OF_EACH} == set(get_args(Event))


@pytest.mark.parametrize("event", ONE_OF_EACH, ids=lambda event: type(event).__name__)
def test_an_event_is_read_as_it_was_written(event: Event) -> None:
    type_name, payload = storage.write(event)
    assert type_name == f"zoco.order.storage.v1.{type(event).__name__}"
    assert storage.read(type_name, payload) == event


@pytest.mark.parametrize("event", ONE_OF_EACH, ids=lambda event: type(event).__name__)
def test_every_event_has_its_place_in_the_audit_trail(event: Event) -> None:
    assert trail_to_proto(1, event, NOON, "order").type == type(event).__name__


def test_an_event_of_a_newer_version_is_named() -> None:
    with pytest.raises(storage.UnknownEvent, match=r"zoco\.order\.storage\.v9\.OrderPlaced"):
        storage.read("zoco.order.storage.v9.OrderPlaced", b"")


def read_history(stored: list[dict[str, Any]]) -> list[tuple[Event, datetime]]:
    return [
        (storage.read(each["type"], base64.b64decode(each["payload"])), datetime.fromisoformat(each["time"]))
        for each in stored
    ]


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
def test_a_committed_history_still_tells_the_same(path: Path) -> None:
    """Never change these files: they are what stands in databases. A new version of an event gets a new file."""
    for story in json.loads(path.read_text()):
        order = fold(read_history(story["events"]))
        assert order is not None
        told = order_to_proto(view_of(order), None)
        assert base64.b64encode(told.SerializeToString(deterministic=True)).decode() == story["tells"], story["story"]


def test_every_stored_type_stands_in_a_committed_history() -> None:
    committed = {
        each["type"] for path in HISTORIES for story in json.loads(path.read_text()) for each in story["events"]
    }
    assert committed >= {storage.write(event)[0] for event in ONE_OF_EACH}
