"""Content types and codings: what a body may be, and what the answer is."""

import gzip
from typing import Any, Final

from tests.conformance.case import Case, Expected, Request, case, get, post
from tests.conformance.expectations import ok, refused
from tests.conformance.patterns import Absent, Each, Text
from tests.conformance.sources import edge, rfc

_BODY: Final = {"items": [{"productId": "$product", "quantity": 1}]}
_TYPES: Final = rfc(9110, "15.5.16 and 8.3")


def _typed(content_type: str, expected: Any) -> tuple[Request, Any]:
    return post("/v1/orders:preview", "buyer", _BODY, content_type=content_type), expected


_UNSUPPORTED: Final = refused(415, "MALFORMED_REQUEST")

CASES: Final[list[Case]] = [
    case("application/json is taken", _TYPES, *_typed("application/json", ok())),
    case("a type is compared without case", rfc(9110, "8.3.1"), *_typed("Application/JSON", ok())),
    case("a parameter of a type does not count", rfc(8259, "11"), *_typed("application/json; charset=utf-8", ok())),
    case("space before a parameter is allowed", rfc(9110, "8.3.1"), *_typed('application/json ;charset="utf-8"', ok())),
    case(
        "a body without a type is taken for JSON",
        edge("Routes out of the contract: a content type that is not JSON is 415"),
        Request("POST", "/v1/orders:preview", "buyer", body=b'{"items": [{"productId": "$product", "quantity": 1}]}'),
        ok(),
    ),
    *(
        case(f"{name} is 415", _TYPES, *_typed(name, _UNSUPPORTED))
        for name in (
            "text/plain",
            "text/json",
            "application/xml",
            "application/jsonp",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "application/x-protobuf",
            "application/json-patch+json",
            "application/merge-patch+json",
        )
    ),
    case(
        "gRPC on a path of REST is 415",
        edge("gRPC on a REST path"),
        *_typed("application/grpc", Expected((415, 200), headers={"grpc-status": Text("[1-9][0-9]*")})),
    ),
    case(
        "gRPC where nothing is taken is 415, too",
        edge("gRPC on a REST path"),
        get("/v1/products/$product", content_type="application/grpc+proto"),
        Expected((415, 200), headers={"grpc-status": Text("[1-9][0-9]*")}),
    ),
    case(
        "a type on a GET without a body does not matter",
        rfc(9110, "8.3"),
        get("/v1/products/$product", content_type="text/plain"),
        ok({"id": "$product"}),
    ),
    case(
        "a body in a coding is 415, and says what is taken",
        rfc(9110, "15.5.16 and 12.5.3"),
        Request(
            "POST",
            "/v1/orders:preview",
            "buyer",
            (("content-type", "application/json"), ("content-encoding", "gzip")),
            gzip.compress(b'{"items": []}', mtime=0).replace(b"$", b""),
        ),
        refused(415, "MALFORMED_REQUEST", accept_encoding="identity"),
    ),
    case(
        "the coding `identity` is none",
        rfc(9110, "8.4.1 and 12.5.3"),
        post("/v1/orders:preview", "buyer", _BODY, content_encoding="identity"),
        ok(),
    ),
    case(
        "an answer is JSON whatever is asked for",
        rfc(9110, "12.5.1: Accept may be disregarded"),
        get("/v1/products/$product", accept="application/xml"),
        ok({"id": "$product"}),
    ),
    case(
        "a large answer is compressed for who takes that",
        rfc(9110, "12.5.3"),
        get("/v1/products?pageSize=50", accept_encoding="gzip"),
        Expected((200,), headers={"content-encoding": "gzip", "vary": Text("(?i).*accept-encoding.*")}),
    ),
    case(
        "nobody gets what is not asked for",
        rfc(9110, "12.5.3"),
        get("/v1/products?pageSize=50"),
        ok({"products": Each({}, 50, 50)}, content_encoding=Absent(), vary=Text("(?i).*accept-encoding.*")),
    ),
    case(
        "a coding with the weight 0 is not acceptable",
        rfc(9110, "12.5.3"),
        get("/v1/products?pageSize=50", accept_encoding="gzip;q=0"),
        ok({"products": Each({}, 50, 50)}, content_encoding=Absent()),
    ),
    case(
        "an unknown coding is not used",
        rfc(9110, "12.5.3"),
        get("/v1/products?pageSize=50", accept_encoding="zork"),
        ok({"products": Each({}, 50, 50)}, content_encoding=Absent()),
    ),
    case(
        "a small answer is not compressed",
        edge("compressor"),
        get("/v1/products/$product", accept_encoding="gzip"),
        ok({"id": "$product"}, content_encoding=Absent()),
    ),
    case(
        "an error is JSON, too",
        edge("one JSON error shape"),
        get("/v1/products/$unknown", accept="text/html"),
        refused(404),
    ),
    case(
        "no answer may be sniffed",
        edge("Hardening: nosniff"),
        get("/v1/products/$product"),
        ok(x_content_type_options="nosniff"),
    ),
]
