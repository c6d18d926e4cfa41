"""Bodies that are no JSON, too much JSON, or meant to hurt."""

import json
from typing import Final

from tests.conformance.case import Case, Expected, Request, case, deviating, get, patch, post
from tests.conformance.expectations import invalid, ok, refused
from tests.conformance.sources import contract, edge, http_rule, json_suite, proto3_json, rfc

_LINE: Final = b'{"productId": "$product", "quantity": 1}'
_BODY: Final = b'{"items": [%s]}' % _LINE
_MALFORMED: Final = refused(400, "MALFORMED_REQUEST")
_SHAPE: Final = edge("REST rules: malformed JSON is 400")
_JSON: Final = (("content-type", "application/json"),)


_READ: Final = ok({"items": [{"productId": "$product", "quantity": 1}]})


def _preview(body: bytes) -> Request:
    return post("/v1/orders:preview", "buyer", body)


def _malformed(name: str, section: str, body: bytes) -> Case:
    return case(f"{name}: refused as no JSON", rfc(8259, section), _preview(body), _MALFORMED)


def _lenient(name: str, section: str, body: bytes, instead: Expected) -> Case:
    """What Envoy's parser reads although it is no JSON."""
    harmless = (
        "Envoy's parser reads it as it was meant. It alone reads JSON: everything behind it decides on the "
        "one decoded message, so no two readers can see two different requests."
    )
    return deviating(_malformed(name, section, body), instead=instead, harmless=harmless)


_GRAMMAR: Final = [
    _malformed("a body that ends too early", "2", _BODY[:-1]),
    _malformed("a body with more behind it", "2", _BODY + _BODY),
    _lenient("a comma after the last element", "5", b'{"items": [%s,]}' % _LINE, _READ),
    _lenient("a comma after the last field", "4", b'{"items": [%s],}' % _LINE, _READ),
    _malformed("a colon that is missing", "4", b'{"items" [%s]}' % _LINE),
    _lenient("names without quotes", "4", b"{items: []}", invalid("items")),
    _lenient("single quotes", "7", b"{'items': []}", invalid("items")),
    _malformed("a comment", "2", b'{"items": [] /* none */}'),
    _malformed("an unknown literal", "3", b'{"items": nil}'),
    _malformed("a literal in capitals", "3", b'{"items": NULL}'),
    _lenient("an unknown escape", "7", rb'{"items": [{"productId": "\x41"}]}', invalid("items[0].product_id")),
    _malformed("an escape that is cut off", "7", rb'{"items": [{"productId": "\u12"}]}'),
    _malformed("text that is no JSON", "2", b"hello"),
    _malformed("a form", "2", b"items=1&quantity=2"),
    _malformed("bytes that are nothing", "2", b"\x00\x01\x02"),
    _malformed("UTF-16", "8.1", _BODY.decode().encode("utf-16")),
]

_TOP: Final = proto3_json("message: a JSON object")

CASES: Final[list[Case]] = [
    *_GRAMMAR,
    case(
        "space around a body does not count",
        rfc(8259, "2"),
        _preview(b" \r\n\t" + _BODY + b"\n\n"),
        ok({"items": [{"quantity": 1}]}),
    ),
    case("a list is no message", _TOP, _preview(b"[]"), _MALFORMED),
    case("a string is no message", _TOP, _preview(b'"items"'), _MALFORMED),
    case("a number is no message", _TOP, _preview(b"1"), _MALFORMED),
    case("an empty object is a message without fields", _TOP, _preview(b"{}"), invalid("items")),
    case(
        "a body of nothing is a message without fields",
        http_rule("HTTP mapping: body"),
        _preview(b""),
        invalid("items"),
    ),
    case(
        "a body that is not there is a message without fields",
        http_rule("HTTP mapping: body"),
        Request("POST", "/v1/orders:preview", "buyer", _JSON, length=False),
        refused(400),
    ),
    case(
        "a mark of byte order is ignored or refused, never a part of the text",
        rfc(8259, "8.1"),
        _preview(b"\xef\xbb\xbf" + _BODY),
        _MALFORMED,
    ),
    deviating(
        case(
            "a name that stands twice is refused",
            json_suite("FieldNameDuplicate"),
            _preview(b'{"items": [{"productId": "$product", "quantity": 1, "quantity": 2}]}'),
            _MALFORMED,
        ),
        instead=ok({"items": [{"quantity": 2}]}),
        harmless=(
            "Envoy lets the last one count. It alone reads the JSON; everything behind it decides on the one "
            "decoded message, so no two readers can see two different requests."
        ),
    ),
    deviating(
        case(
            "a name that stands twice, in both spellings, is refused",
            json_suite("FieldNameDuplicateDifferentCasing1"),
            _preview(b'{"items": [{"productId": "$product", "product_id": "$second", "quantity": 1}]}'),
            _MALFORMED,
        ),
        instead=ok({"items": [{"productId": "$second"}]}),
        harmless="As with a name that stands twice: the last one counts, and only one reader reads.",
    ),
    case(
        "a list of messages that is too long is a violation",
        contract("PreviewOrderRequest.items: max_items"),
        _preview(json.dumps({"items": [{"productId": "$product", "quantity": 1}] * 101}).encode()),
        invalid("items"),
    ),
    case(
        "a deep nest of lists is refused",
        edge("REST rules: hostile bodies"),
        _preview(b'{"items": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
        _MALFORMED,
    ),
    case(
        "a deep nest of unknown objects is refused",
        edge("REST rules: hostile bodies"),
        _preview(b'{"x": ' * 50_000 + b"1" + b"}" * 50_000),
        _MALFORMED,
    ),
    case(
        "a number of a hundred thousand digits is refused",
        edge("REST rules: hostile bodies"),
        _preview(b'{"items": [{"productId": "$product", "quantity": %s}]}' % (b"9" * 100_000)),
        _MALFORMED,
    ),
    case(
        "a name of a hundred thousand letters does no harm",
        edge("REST rules: hostile bodies"),
        _preview(b'{"%s": 1}' % (b"x" * 100_000)),
        refused(400),
    ),
    case(
        "a hundred thousand unknown fields do no harm",
        edge("REST rules: hostile bodies"),
        _preview(b"{" + b",".join(b'"a%d":1' % number for number in range(100_000)) + b"}"),
        refused(400),
    ),
    case(
        "three hundred thousand empty elements are a violation, and do not stop the service",
        contract("PreviewOrderRequest.items: max_items"),
        _preview(b'{"items": [' + b"{}," * 300_000 + b"{}]}"),
        invalid("items"),
    ),
    case(
        "a body above 3 MiB is too large",
        edge("Hardening: explicit body limits"),
        _preview(b'{"x": "' + b"x" * (3 * 1024 * 1024) + b'"}'),
        refused(413, "MALFORMED_REQUEST"),
    ),
    case(
        "a body just below 3 MiB is read",
        edge("Hardening: explicit body limits"),
        _preview(b'{"x": "' + b"x" * (3 * 1024 * 1024 - 100) + b'"}'),
        invalid("items"),
    ),
    case(
        "a field that the path says cannot be said otherwise by the body",
        http_rule("HTTP mapping: path and body"),
        patch("/v1/products/$scratch", "admin", {"id": "$product", "description": "Whose?"}),
        _MALFORMED,
    ),
    deviating(
        case(
            "nor can it be said otherwise in camel case",
            http_rule("HTTP mapping: path and body"),
            post("/v1/stock/$fourth:adjust", "admin", {"productId": "$product", "delta": 1}),
            _MALFORMED,
        ),
        instead=ok({"productId": "$fourth"}),
        harmless=(
            "Envoy compares names as the contract spells them. In camel case the path wins: it is what was decided on, "
            "logged and routed, and the body's word is dropped."
        ),
    ),
    case(
        "a field that the path says may be said again by the body",
        http_rule("HTTP mapping: path and body"),
        patch("/v1/products/$scratch", "admin", {"id": "$scratch", "description": "Mine."}),
        ok({"id": "$scratch", "description": "Mine."}),
    ),
    case(
        "a text of a script is a text",
        edge("REST rules: hostile bodies"),
        patch("/v1/products/$scratch", "admin", {"description": "<script>alert(1)</script>"}),
        ok({"description": "<script>alert(1)</script>"}, x_content_type_options="nosniff"),
    ),
    case(
        "a text of SQL is a text",
        edge("REST rules: hostile bodies"),
        get("/v1/products?query=%27%3B+DROP+TABLE+product%3B--"),
        ok({"products": []}),
    ),
    case(
        "a body that names fields of the mesh says nothing",
        edge("Hardening: identity"),
        post(
            "/v1/orders:preview",
            "buyer",
            {"items": [{"productId": "$product", "quantity": 1, "unitPrice": {"currencyCode": "EUR", "units": "0"}}]},
        ),
        ok({"items": [{"unitPrice": {"units": "10"}}]}),
    ),
    case(
        "a string with half a megabyte where 36 letters are expected is a violation",
        contract("LineItem.product_id"),
        _preview(b'{"items": [{"productId": "%s", "quantity": 1}]}' % (b"x" * 500_000)),
        invalid("items[0].product_id"),
    ),
    case(
        "malformed JSON without a token is still nobody's",
        edge("HTTP filter order: the token is looked at before the body"),
        post("/v1/orders:preview", "", b"{"),
        refused(401, "TOKEN_MISSING"),
    ),
]
