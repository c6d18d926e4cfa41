"""Watches as server-sent events: their form, what they say first, how they are resumed and how they end."""

from typing import Any, Final

from tests.conformance.case import Case, Request, Step, case, deviating, get, post, steps
from tests.conformance.expectations import TIMESTAMP, invalid, ok, refused, stream
from tests.conformance.patterns import Absent, Number, Text
from tests.conformance.sources import aip, contract, edge, html, proto3_json

_STOCK: Final = "/v1/stock:watch?productIds=$third"
_STREAMS: Final = contract("Streams")
_RESUME: Final = contract("Streams: resume by position")


def _stock(available: Any) -> dict[str, Any]:
    """An event of the stock, and of nothing else: it is a oneof."""
    return {
        "stock": {"productId": "$third", "available": available},
        "heartbeat": Absent(),
        "end": Absent(),
        "position": Text(".+"),
    }


def _adjust(delta: int) -> Request:
    return post("/v1/stock/$third:adjust", "admin", {"delta": delta})


_ONE: Final = stream(_stock(Number(0, 2000)))

CASES: Final[list[Case]] = [
    case("a watch is server-sent events, and begins with how it is", html("9.2.6"), get(_STOCK), _ONE),
    case("of a oneof one field is there", proto3_json("oneof"), get(_STOCK), _ONE),
    steps(
        "a change comes as it happens",
        _STREAMS,
        Step(
            get(_STOCK),
            stream(_stock(Number(0, 2000)), _stock(Number(0, 2000))),
            {"first": "events.0.stock.available"},
            _adjust(1),
        ),
    ),
    steps(
        "who resumes behind the last position gets only what is new",
        _RESUME,
        Step(get(_STOCK), _ONE, {"position": "events.0.position"}),
        Step(_adjust(3), ok(), {"now": "available"}),
        Step(get(f"{_STOCK}&position=$position"), _ONE),
    ),
    steps(
        "who has seen everything gets a sign of life and nothing else",
        contract("Streams: a heartbeat in 15 s"),
        Step(get(_STOCK), _ONE, {"position": "events.0.position"}),
        Step(
            get(f"{_STOCK}&position=$position"),
            stream({"heartbeat": {"time": TIMESTAMP}, "stock": Absent(), "end": Absent(), "position": "$position"}),
        ),
    ),
    case(
        "Last-Event-ID is a position, too",
        edge("SSE watches that resume (Last-Event-ID or position); HTML, 9.2.4"),
        get("/v1/notifications:watch", "stranger", last_event_id="0"),
        stream({"notification": {"userId": "$stranger", "kind": "WELCOME"}, "position": Text(".+")}),
    ),
    steps(
        "Last-Event-ID wins over the position in the query: who reconnects repeats the query of the beginning",
        html("9.2.3: reestablish the connection"),
        Step(get(_STOCK), _ONE, {"early": "events.0.position"}),
        Step(_adjust(1), ok()),
        Step(get(_STOCK), _ONE, {"late": "events.0.position"}),
        Step(get(f"{_STOCK}&position=$late", last_event_id="$early"), _ONE),
    ),
    case(
        "a Last-Event-ID of many digits is refused",
        contract("Streams: INVALID_FIELD (position)"),
        get("/v1/notifications:watch", "stranger", last_event_id="9" * 10_000),
        invalid("position"),
    ),
    case(
        "a Last-Event-ID that is none of ours is refused before the stream begins",
        contract("Streams: INVALID_FIELD (position)"),
        get(_STOCK, last_event_id="nonsense"),
        invalid("position"),
    ),
    case(
        "a position that is none of ours is refused before the stream begins",
        contract("Streams: INVALID_FIELD (position)"),
        get(f"{_STOCK}&position=nonsense"),
        invalid("position"),
    ),
    deviating(
        case(
            "an event has its position as its id",
            html("9.2.6: the id field"),
            get(_STOCK),
            stream({"position": Text(".+"), "sse:id": Text(".+")}),
        ),
        instead=stream({"position": Text(".+"), "sse:id": Absent()}),
        harmless=(
            "Envoy's transcoder writes `data` and nothing else. The position is in the data; whoever resumes "
            "sends it as `position` or as Last-Event-ID. A browser's own EventSource reconnects without it and "
            "begins with how things are, so it misses no state."
        ),
    ),
    case(
        "a watch of what cannot change any more says so and ends",
        contract("WatchOrder: the stream ends with OK"),
        get("/v1/orders/$rejected:watch", "buyer"),
        stream({"order": {"state": "REJECTED"}}, {"end": {"status": {"code": 0}}, "order": Absent()}, ends=True),
    ),
    case(
        "a watch of an order begins with the order",
        contract("WatchOrder"),
        get("/v1/orders/$second_order:watch", "buyer"),
        stream({"order": {"id": "$second_order", "state": "CONFIRMED"}, "position": Text(r"\d+")}),
    ),
    case(
        "a watch from a version sends what is newer",
        contract("WatchOrderRequest.version"),
        get("/v1/orders/$second_order:watch?version=1", "buyer"),
        stream({"order": {"id": "$second_order"}}),
    ),
    case(
        "a watch of somebody else's is 404 in the one shape",
        contract("Errors"),
        get("/v1/orders/$others_order:watch", "buyer"),
        refused(404, "RESOURCE_NOT_FOUND"),
    ),
    case(
        "a watch without a token is 401 in the one shape",
        edge("one JSON error shape"),
        get("/v1/orders/$order:watch"),
        refused(401, "TOKEN_MISSING"),
    ),
    case(
        "a watch of nothing is a violation",
        contract("WatchStockRequest.product_ids: min_items"),
        get("/v1/stock:watch"),
        invalid("product_ids"),
    ),
    case(
        "a watch of a report begins with it",
        contract("WatchSales"),
        get("/v1/analytics/sales:watch", "admin"),
        stream({"summary": {"orders": Number(0, 1000)}, "position": Text(".+")}),
    ),
    case(
        "a watch is not compressed: events go out as they happen",
        edge("compressor"),
        get(_STOCK, accept_encoding="gzip"),
        _ONE,
    ),
    case(
        "a watch that asks for something else is a watch",
        aip(127, "streaming"),
        get(_STOCK, accept="application/json"),
        _ONE,
    ),
    case(
        "what is told to a person comes by the watch of notifications",
        contract("WatchNotifications"),
        get("/v1/notifications:watch?position=0", "stranger"),
        stream({"notification": {"userId": "$stranger", "kind": "WELCOME"}, "position": Text(".+")}),
    ),
]
