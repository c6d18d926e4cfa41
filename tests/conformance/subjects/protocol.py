"""HTTP/1.1 itself: framing that two readers could read in two ways, sizes, and headers that every answer has."""

from typing import Final

from tests.conformance.case import Case, Expected, Request, case, deviating, get, post
from tests.conformance.expectations import early, ok, refused
from tests.conformance.patterns import Absent, Each, Text
from tests.conformance.sources import contract, edge, rfc

_JSON: Final = ("content-type", "application/json")
_BODY: Final = b'{"items": [{"productId": "$product", "quantity": 1}]}'
_PREVIEW: Final = "/v1/orders:preview"
_REFUSED: Final = Expected((400,))


def _in_chunks(body: bytes) -> bytes:
    """A body in pieces of one byte, with an extension that nobody knows."""
    return b"".join(b"1;odd=yes\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"


CASES: Final[list[Case]] = [
    case(
        "a body may come in chunks",
        rfc(9112, "7.1"),
        Request(
            "POST",
            "/v1/auth:logout",
            headers=(_JSON, ("transfer-encoding", "chunked")),
            body=_in_chunks(b'{"refreshToken": "x"}'),
            length=False,
        ),
        ok({}),
    ),
    case(
        "a chunk whose size is no number is refused",
        rfc(9112, "7.1"),
        Request(
            "POST",
            "/v1/auth:logout",
            headers=(_JSON, ("transfer-encoding", "chunked")),
            body=b"zz\r\n{}\r\n0\r\n\r\n",
            length=False,
        ),
        _REFUSED,
    ),
    case(
        "a length and chunks together are refused",
        rfc(9112, "6.1"),
        Request("POST", "/v1/auth:logout", headers=(_JSON, ("transfer-encoding", "chunked")), body=b"0\r\n\r\n"),
        _REFUSED,
    ),
    case(
        "two lengths that differ are refused",
        rfc(9112, "6.3"),
        Request("POST", "/v1/auth:logout", headers=(_JSON, ("content-length", "5")), body=b"{}"),
        _REFUSED,
    ),
    case(
        "a length that is no number is refused",
        rfc(9110, "8.6"),
        Request("POST", "/v1/auth:logout", headers=(_JSON, ("content-length", "-1")), body=b"{}", length=False),
        _REFUSED,
    ),
    case(
        "an unknown transfer coding is refused",
        rfc(9112, "6.1"),
        Request("POST", "/v1/auth:logout", headers=(_JSON, ("transfer-encoding", "zork")), body=b"{}", length=False),
        Expected((400, 501)),
    ),
    case("a request without a host is refused", rfc(9112, "3.2"), Request("GET", "/v1/products", host=False), _REFUSED),
    case(
        "a request with two hosts is refused",
        rfc(9112, "3.2"),
        Request("GET", "/v1/products", headers=(("host", "other.example"),)),
        _REFUSED,
    ),
    case(
        "space before a colon is refused",
        rfc(9112, "5.1"),
        Request("GET", "/v1/products", headers=(("x-odd ", "1"),)),
        _REFUSED,
    ),
    case(
        "a header with a NUL in it is refused",
        rfc(9110, "5.5"),
        Request("GET", "/v1/products", headers=(("x-odd", "a\0b"),)),
        _REFUSED,
    ),
    case(
        "a header with an underscore is refused",
        edge("Hardening: underscores in headers"),
        Request("GET", "/v1/products", headers=(("x_user_id", "1"),)),
        early(400),
    ),
    case(
        "the absolute form of a target is taken",
        rfc(9112, "3.2.2"),
        get("http://shop.example/v1/products/$product"),
        ok({"id": "$product"}),
    ),
    case("a fragment is no part of a target", rfc(9112, "3.2"), get("/v1/products/$product#top"), _REFUSED),
    case("a space in a target is refused", rfc(9112, "3.2"), get("/v1/products/a b"), _REFUSED),
    case(
        "a version that nobody knows is refused",
        rfc(9110, "15.6.6"),
        Request("GET", "/v1/products", version="HTTP/3.7"),
        Expected((400, 426, 505)),
    ),
    deviating(
        case(
            "a client of HTTP/1.0 is told what to speak instead",
            rfc(9110, "15.5.22: a 426 has an Upgrade header"),
            Request("GET", "/v1/products", version="HTTP/1.0"),
            Expected((426,), headers={"upgrade": "HTTP/1.1"}),
        ),
        instead=Expected((426,), {"code": 3, "details": Each({"@type": Text(".+")}, 1)}, {"upgrade": Absent()}),
        harmless=(
            "Envoy takes the header away. The status says it all the same, and nothing has spoken HTTP/1.0 for "
            "twenty years."
        ),
    ),
    case(
        "who expects 100 Continue gets it before the answer",
        rfc(9110, "10.1.1"),
        post(_PREVIEW, "buyer", _BODY, expect="100-continue"),
        ok({"items": [{"quantity": 1}]}),
    ),
    deviating(
        case(
            "a target of 40 KB is 414",
            rfc(9110, "15.5.15"),
            get("/v1/products?query=" + "x" * 40_000),
            Expected((414,)),
        ),
        instead=early(431),
        harmless=(
            "Envoy counts the target among the headers, and refuses it as early and as clearly, with 431 (RFC 6585, 5)."
        ),
    ),
    case("headers of 40 KB are 431", rfc(6585, "5"), get("/v1/products", x_long="x" * 40_000), early(431)),
    case(
        "more than 100 headers are 431",
        rfc(6585, "5"),
        Request("GET", "/v1/products", headers=tuple((f"x-number-{number}", "1") for number in range(150))),
        early(431),
    ),
    deviating(
        case(
            "what is refused before its headers were read has an id, too",
            contract("Errors: RequestInfo with the request id always"),
            get("/v1/products", x_long="x" * 40_000),
            refused(431),
        ),
        instead=early(431),
        harmless=(
            "Envoy gives out ids once it has read the headers. Nothing has happened that an id could be looked up"
            " for: no service was called."
        ),
    ),
    case(
        "every answer has a date",
        rfc(9110, "6.6.1"),
        get("/v1/products/$product"),
        ok(date=Text("(Mon|Tue|Wed|Thu|Fri|Sat|Sun), .* GMT")),
    ),
    case("an error has a date, too", rfc(9110, "6.6.1"), get("/nope"), refused(404, date=Text(".* GMT"))),
    case(
        "every answer has the id of its request",
        edge("request id made here and returned"),
        get("/v1/products/$product"),
        ok(x_request_id=Text("[0-9a-f-]{36}")),
    ),
    case(
        "an id that a client picks is not taken",
        edge("request id made here and returned"),
        get("/v1/products/$product", x_request_id="mine"),
        ok(x_request_id=Text("[0-9a-f-]{36}")),
    ),
    case(
        "a correlation id comes back",
        edge("correlation ids"),
        get("/v1/products/$product", x_correlation_id="c-$mark"),
        ok(x_correlation_id="c-$mark"),
    ),
    case(
        "answers over REST say nothing of gRPC",
        edge("HTTP filter order: header_mutation"),
        get("/v1/products/$product"),
        ok(grpc_status=Absent(), grpc_message=Absent()),
    ),
    case(
        "no answer says which software it comes from",
        rfc(9110, "10.2.4"),
        get("/v1/products/$product"),
        ok(server="zoco", x_powered_by=Absent(), x_envoy_upstream_service_time=Absent()),
    ),
    case(
        "no answer can be framed",
        edge("Hardening: frame-ancestors"),
        get("/v1/products/$product"),
        ok(x_frame_options="DENY", content_security_policy=Text(".*frame-ancestors 'none'.*")),
    ),
    case(
        "a refusal of the edge has those headers, too",
        edge("Hardening"),
        get("/nope"),
        refused(404, x_frame_options="DENY", x_content_type_options="nosniff", referrer_policy="no-referrer"),
    ),
    case(
        "who asks for a range gets all of it",
        rfc(9110, "14.2: a Range may be ignored"),
        get("/v1/products/$product", range="bytes=0-1"),
        ok({"id": "$product"}),
    ),
    case("the edge says that it is alive", edge("HTTP filter order: health_check"), get("/livez"), Expected((200,))),
    case("the whole says that it is healthy", edge("/healthz"), get("/healthz"), Expected((200,))),
]
