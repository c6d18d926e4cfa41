"""Events outlive the code that wrote them: every kind survives, and histories once committed still tell the same."""

import base64
import hashlib
import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any, get_args

import pytest

from mesh.data.event_store import StoredEvent
from mesh.data.upcasting import NO_METADATA
from services.order import snapshots, storage
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
from services.order.state import CalledOff, fold
from services.order.upcasters import upcasters
from services.order.wire import order_to_proto, trail_to_proto
from tests.order.given import BUYER, NOON, ORDER, PLACED, TOTAL

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
    CancellationRequested("changed my mind", BUYER),
    RefundRequested("r1", 1, TOTAL, "broken", Cause.DECISION, BUYER),
    RefundRequested("", 2, TOTAL, "no", Cause.CANCELLATION, BUYER),
    RefundMade(1),
    RefundRefused(2, "STATE_CONFLICT"),
    OrderConfirmed(),
    OrderRejected(),
    OrderCancelled(),
    OrderShipped(Shipment("DHL", "42")),
    OrderDelivered(),
]

HISTORIES = sorted((Path(__file__).parent / "histories").glob("*.json"))
STORIES = [story for path in HISTORIES for story in json.loads(path.read_text())]
SNAPSHOTS = Path(__file__).parent / "snapshots.json"
ADMIN = "0192f0c1-0000-7000-8000-0000000000ad"


def test_there_is_one_of_each() -> None:
    assert {type(event) for event in ONE_OF_EACH} == set(get_args(Event))


@pytest.mark.parametrize("event", ONE_OF_EACH, ids=lambda event: type(event).__name__)
def test_an_event_is_read_as_it_was_written(event: Event) -> None:
    type_name, payload = storage.write(event)
    assert re.fullmatch(rf"zoco\.order\.storage\.v\d+\.{type(event).__name__}", type_name)
    assert storage.read(type_name, payload, NO_METADATA) == event


@pytest.mark.parametrize("event", ONE_OF_EACH, ids=lambda event: type(event).__name__)
def test_every_event_has_its_place_in_the_audit_trail(event: Event) -> None:
    assert trail_to_proto(1, event, NOON, "order").type == type(event).__name__


def test_an_event_of_a_newer_version_is_named() -> None:
    with pytest.raises(storage.UnknownEvent, match=r"zoco\.order\.storage\.v9\.OrderPlaced"):
        storage.read("zoco.order.storage.v9.OrderPlaced", b"", NO_METADATA)


def test_damaged_bytes_are_named() -> None:
    with pytest.raises(storage.DamagedEvent, match=r"zoco\.order\.storage\.v1\.OrderPlaced"):
        storage.read("zoco.order.storage.v1.OrderPlaced", b"\xff\xff\xff", NO_METADATA)


def test_a_history_that_cannot_be_read_says_where() -> None:
    stored = [
        StoredEvent(1, *storage.write(PLACED), NO_METADATA, NOON),
        StoredEvent(2, "zoco.order.storage.v9.StockTeleported", b"", NO_METADATA, NOON),
    ]
    with pytest.raises(storage.UnreadableHistory, match=rf"{ORDER}, event 2: .*v9\.StockTeleported"):
        list(storage.read_history(ORDER, stored))


def read_history(stored: list[dict[str, Any]]) -> list[tuple[Event, datetime]]:
    return [
        (
            storage.read(each["type"], base64.b64decode(each["payload"]), each.get("metadata", NO_METADATA)),
            datetime.fromisoformat(each["time"]),
        )
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
    committed = {each["type"] for story in STORIES for each in story["events"]}
    assert committed >= {storage.write(event)[0] for event in ONE_OF_EACH}
    assert committed >= {message_class.DESCRIPTOR.full_name for message_class in storage.OLD}


def test_every_old_version_is_lifted_and_no_new_one() -> None:
    steps = upcasters()
    assert all(message_class in steps for message_class in storage.OLD)
    newest = {storage.write(event)[0] for event in ONE_OF_EACH}
    assert newest.isdisjoint(message_class.DESCRIPTOR.full_name for message_class in storage.OLD)


def test_version_1_tells_by_its_metadata_who_called_an_order_off() -> None:
    """Written while the saga captured: the refund's own metadata names no person, and nobody is made up."""
    order = fold(read_history(told("v1-metadata", "called off while the money was taken")["events"]))
    assert order is not None
    assert order.ending == CalledOff("too late", was_confirmed=False, requested_by=ADMIN)
    assert [refund.requested_by for refund in order.refunds] == [""]


def test_version_1_tells_by_its_metadata_who_decided_a_refund() -> None:
    order = fold(read_history(told("v1-metadata", "a part refunded")["events"]))
    assert order is not None
    assert [refund.requested_by for refund in order.refunds] == [ADMIN]


def test_version_2_says_itself_who_wanted_a_refund() -> None:
    order = fold(read_history(told("v2", "called off while the money was taken")["events"]))
    assert order is not None
    assert [refund.requested_by for refund in order.refunds] == [BUYER]


def test_no_snapshot_outlives_the_meaning_of_what_it_was_made_of() -> None:
    """If this fails, orders fold to something else than before, or are written otherwise: SCHEMA must rise.

    Then write the file anew with `python -m tests.order.test_storage`.
    """
    committed = json.loads(SNAPSHOTS.read_text())
    assert committed["schema"] == snapshots.SCHEMA
    assert snapshots_of_all_stories() == committed["sha256"]


def told(file: str, story: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = json.loads((HISTORIES[0].parent / f"{file}.json").read_text())
    return next(each for each in found if each["story"] == story)


def snapshots_of_all_stories() -> dict[str, list[str]]:
    """A hash a version of each order that committed histories tell."""
    hashes = {}
    for path in HISTORIES:
        for story in json.loads(path.read_text()):
            history = read_history(story["events"])
            orders = [fold(history[:length]) for length in range(1, len(history) + 1)]
            hashes[f"{path.stem}: {story['story']}"] = [
                hashlib.sha256(snapshots.write(order)).hexdigest()[:16] for order in orders if order
            ]
    return hashes


if __name__ == "__main__":
    written = {"schema": snapshots.SCHEMA, "sha256": snapshots_of_all_stories()}
    SNAPSHOTS.write_text(json.dumps(written, indent=2) + "\n")
