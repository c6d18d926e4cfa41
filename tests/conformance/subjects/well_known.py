"""The well-known types in their JSON forms: Timestamp, Duration, FieldMask, Struct, Any, Empty."""

from typing import Any, Final

from tests.conformance.case import Case, Step, case, deviating, get, patch, post, steps
from tests.conformance.expectations import TIMESTAMP, detail, ok, refused, unreadable
from tests.conformance.patterns import Each, Exactly, Number, Text
from tests.conformance.sources import aip, contract, json_suite, proto3_json, rfc, rpc_code, well_known

_TIMESTAMP: Final = proto3_json("Timestamp")
_MASK: Final = proto3_json("FieldMask")
_END: Final = "endTime=2027-01-01T00:00:00Z"


def _start(text: str, expected: Any) -> tuple[Any, Any]:
    """Asks for a report that gives back the time from which it is, as the shop has read it."""
    return get(f"/v1/analytics/summary?{_END}&startTime={text}", "admin"), expected


def _reads(name: str, text: str, as_: str) -> Case:
    return case(name, _TIMESTAMP, *_start(text, ok({"startTime": as_})))


def _refuses(name: str, text: str, suite: str) -> Case:
    return case(name, json_suite(suite), *_start(text, unreadable("start_time")))


_TIMES: Final = [
    _reads("a Timestamp is RFC 3339", "2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"),
    _reads(
        "a Timestamp goes out with 3 decimals where they suffice", "2026-01-02T03:04:05.12Z", "2026-01-02T03:04:05.120Z"
    ),
    _reads(
        "a Timestamp goes out with 6 decimals where 3 are too few",
        "2026-01-02T03:04:05.123456Z",
        "2026-01-02T03:04:05.123456Z",
    ),
    _reads(
        "a Timestamp goes out without decimals where they are zero", "2026-01-02T03:04:05.000Z", "2026-01-02T03:04:05Z"
    ),
    _reads("an offset is taken off", "2026-01-02T03:04:05%2B02:00", "2026-01-02T01:04:05Z"),
    _reads("a negative offset is added", "2026-01-01T23:30:00-01:30", "2026-01-02T01:00:00Z"),
    _reads("a time before 1970 is a time", "1969-07-20T20:17:40Z", "1969-07-20T20:17:40Z"),
    _reads("the first of all times is a time", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
    _reads("the 29th of February is a day of a leap year", "2024-02-29T00:00:00Z", "2024-02-29T00:00:00Z"),
    _refuses(
        "the 29th of February is no day of other years",
        "2025-02-29T00:00:00Z",
        "TimestampJsonInputTooLarge; calendar of RFC 3339, 5.7",
    ),
    _refuses("a time without a zone is refused", "2026-01-02T03:04:05", "TimestampJsonInputMissingZ"),
    _refuses("a time without its T is refused", "2026-01-02%2003:04:05Z", "TimestampJsonInputMissingT"),
    _refuses("a time with a t is refused", "2026-01-02t03:04:05Z", "TimestampJsonInputLowercaseT"),
    _refuses("a time with a z is refused", "2026-01-02T03:04:05z", "TimestampJsonInputLowercaseZ"),
    _refuses("a date is no time", "2026-01-02", "TimestampJsonInputMissingT"),
    _refuses("seconds since 1970 are no time", "1767322800", "TimestampJsonInputMissingT"),
    _refuses("month 13 is refused", "2026-13-02T03:04:05Z", "TimestampJsonInputTooLarge; calendar of RFC 3339, 5.7"),
    _refuses("hour 24 is refused", "2026-01-02T24:00:00Z", "TimestampJsonInputTooLarge; calendar of RFC 3339, 5.7"),
    _refuses("year 0 is refused", "0000-01-01T00:00:00Z", "TimestampJsonInputTooSmall"),
    _refuses("year 10000 is refused", "10000-01-01T00:00:00Z", "TimestampJsonInputTooLarge"),
    _refuses(
        "an offset that passes the last year is refused", "9999-12-31T23:59:59-01:00", "TimestampJsonInputTooLarge"
    ),
    _refuses("an empty text is no time", "", "TimestampJsonInputMissingT"),
]

CASES: Final[list[Case]] = [
    *_TIMES,
    case(
        "nanoseconds of a Timestamp are read, what the shop cannot keep of them is cut",
        well_known("timestamp.proto"),
        *_start("2026-01-02T03:04:05.123456789Z", ok({"startTime": Text(r"2026-01-02T03:04:05\.123456(789)?Z")})),
    ),
    case(
        "times of a resource are in UTC",
        _TIMESTAMP,
        get("/v1/orders/$order", "buyer"),
        ok({"createTime": TIMESTAMP, "updateTime": TIMESTAMP}),
    ),
    case(
        "a time in a body that is none is refused, though nobody would use it",
        _TIMESTAMP,
        patch("/v1/products/$scratch", "admin", {"createTime": "yesterday"}),
        unreadable("product.create_time"),
    ),
    deviating(
        case(
            "a Timestamp in a body is no object",
            _TIMESTAMP,
            patch("/v1/products/$scratch", "admin", {"createTime": {"seconds": 1}, "description": "Timed."}),
            unreadable("product.create_time"),
        ),
        instead=ok({"description": "Timed."}),
        harmless=(
            "Envoy takes the fields of the message, too, as it does in queries. It is the same time in another "
            "form, and there is no field of a body in which the shop uses one."
        ),
    ),
    case(
        "a Timestamp in a body is no number",
        _TIMESTAMP,
        patch("/v1/products/$scratch", "admin", {"createTime": 1}),
        unreadable("product.create_time"),
    ),
    case(
        "null is no time at all",
        proto3_json("null"),
        patch("/v1/products/$scratch", "admin", {"createTime": None, "description": "Timeless."}),
        ok({"description": "Timeless."}),
    ),
    case(
        "an order at a time is folded up to it",
        contract("GetOrderRequest.as_of"),
        get("/v1/orders/$order?asOf=2001-01-01T00:00:00Z", "buyer"),
        refused(404, "RESOURCE_NOT_FOUND"),
    ),
    case(
        "an order at a later time is as it is now",
        contract("GetOrderRequest.as_of"),
        get("/v1/orders/$order?as_of=2999-01-01T00:00:00Z", "buyer"),
        ok({"state": "CONFIRMED"}),
    ),
    case(
        "a FieldMask is a text with commas",
        _MASK,
        patch(
            "/v1/products/$scratch?updateMask=description,imageUrl",
            "admin",
            {"description": "Masked.", "imageUrl": "https://a.example/b.png", "name": "Left out"},
        ),
        ok({"description": "Masked.", "imageUrl": "https://a.example/b.png", "name": Text("Scratched.*")}),
    ),
    case(
        "a FieldMask is in lowerCamelCase",
        _MASK,
        patch("/v1/products/$scratch?updateMask=imageUrl", "admin", {"imageUrl": ""}),
        ok({"imageUrl": ""}),
    ),
    case(
        "the parameter itself may be spelled as the contract does",
        _MASK,
        patch("/v1/products/$scratch?update_mask=imageUrl", "admin", {"imageUrl": ""}),
        ok({"imageUrl": ""}),
    ),
    case(
        "a FieldMask of a field that is none is refused, and named",
        aip(134, "Field mask: an unknown field is INVALID_ARGUMENT"),
        patch("/v1/products/$scratch?updateMask=colour", "admin", {"name": "x"}),
        refused(400, "INVALID_FIELD", field="update_mask"),
    ),
    steps(
        "a Duration is seconds with an s: when to come back",
        proto3_json("Duration"),
        *(
            Step(
                post("/v1/auth:login", "", {"email": "$mark@example.com", "password": "wrong"}),
                refused(401, "CREDENTIALS_INVALID"),
            )
            for _ in range(10)
        ),
        Step(
            post("/v1/auth:login", "", {"email": "$mark@example.com", "password": "wrong"}),
            refused(
                429,
                "LOGIN_SLOWED",
                details=(detail("RetryInfo", retryDelay=Text(r"\d+(\.(\d{3}|\d{6}|\d{9}))?s")),),
                retry_after=Text(r"\d+"),
            ),
        ),
    ),
    case(
        "a Struct is a JSON object: particulars of an event",
        proto3_json("Struct"),
        get("/v1/orders/$order/events?pageSize=1", "buyer"),
        ok({"events": [{"type": "OrderPlaced", "detail": {"lines": Each({"productId": "$product", "quantity": 1})}}]}),
    ),
    case(
        "numbers of a Struct are JSON numbers",
        proto3_json("Value"),
        get("/v1/orders/$order/events?pageSize=1", "buyer"),
        ok({"events": [{"detail": {"lines": [{"quantity": Number(1, 1)}]}}]}),
    ),
    case(
        "an Any says its type, and has the fields of what is in it",
        proto3_json("Any"),
        get("/v1/products/$unknown"),
        refused(404, details=(detail("ResourceInfo", resourceType="product", resourceName="$unknown"),)),
    ),
    case(
        "the type of an Any is a URL with the full name",
        well_known("any.proto: type_url"),
        get("/v1/products/$unknown"),
        refused(404, details=({"@type": "type.googleapis.com/google.rpc.ErrorInfo"},)),
    ),
    case(
        "an answer that says nothing is {}",
        rpc_code("Empty"),
        post("/v1/auth:logout", "", {"refreshToken": "$mark"}),
        ok(Exactly({})),
    ),
    case(
        "a list of reports has its times in order",
        rfc(3339, "5.1"),
        get("/v1/analytics/sales?interval=MONTH&startTime=2026-01-01T00:00:00Z&endTime=2026-03-01T00:00:00Z", "admin"),
        ok({"points": [{"startTime": "2026-01-01T00:00:00Z"}, {"startTime": "2026-02-01T00:00:00Z"}]}),
    ),
]
