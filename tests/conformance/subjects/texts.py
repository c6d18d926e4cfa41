"""Strings and bytes: what JSON can write, and what of it is a string of protobuf."""

from typing import Final

from tests.conformance.case import Case, Request, Step, case, deviating, get, patch, post, steps
from tests.conformance.expectations import invalid, ok, refused, unreadable
from tests.conformance.patterns import Each, Text
from tests.conformance.sources import contract, http_rule, json_suite, proto3_json, rfc
from tests.conformance.world import REPORT

_STRING: Final = proto3_json("string")


def _described(text: bytes) -> Request:
    """Gives a product another description; the text is JSON as it stands."""
    return patch("/v1/products/$scratch", "admin", b'{"description": %s}' % text)


def _report(body: bytes, content_type: str, signature: str = "$report_signature") -> Request:
    return post("/v1/payments/webhooks/sandbox", "", body, content_type=content_type, zoco_signature=signature)


_SIGNED: Final = REPORT.replace(b"%s", b"$order")

CASES: Final[list[Case]] = [
    case(
        "a string may be of any script",
        _STRING,
        _described('"茶壺 Ñandú 🫖"'.encode()),
        ok({"description": "茶壺 Ñandú 🫖"}),
    ),
    case("escapes are read", rfc(8259, "7"), _described(rb'"a\u00e9\t\"\\\/b"'), ok({"description": 'aé\t"\\/b'})),
    case(
        "a pair of surrogates is one character",
        json_suite("StringFieldSurrogatePair"),
        _described(rb'"\ud83e\uded6"'),
        ok({"description": "🫖"}),
    ),
    case(
        "half a pair of surrogates is no string",
        json_suite("StringFieldUnpairedHighSurrogate"),
        _described(rb'"a\ud83e"'),
        refused(400),
    ),
    case(
        "the other half is none either",
        json_suite("StringFieldUnpairedLowSurrogate"),
        _described(rb'"a\uded6"'),
        refused(400),
    ),
    case(
        "bytes that are no UTF-8 are refused",
        rfc(8259, "8.1"),
        _described(b'"a\xff\xfeb"'),
        refused(400, "MALFORMED_REQUEST"),
    ),
    case(
        "a surrogate in UTF-8 is refused",
        rfc(3629, "3"),
        _described(b'"a\xed\xa0\x80"'),
        refused(400, "MALFORMED_REQUEST"),
    ),
    case(
        "an overlong form of UTF-8 is refused",
        rfc(3629, "3"),
        _described(b'"a\xc0\xaf"'),
        refused(400, "MALFORMED_REQUEST"),
    ),
    deviating(
        case(
            "a raw line break in a string is no JSON",
            rfc(8259, "7"),
            _described(b'"a\nb"'),
            refused(400, "MALFORMED_REQUEST"),
        ),
        instead=ok({"description": "a\nb"}),
        harmless="Envoy reads it as the line break that was meant. What a text may hold, the service's rules decide.",
    ),
    case(
        "a NUL in a string is a violation",
        contract("no text holds a control character"),
        _described(rb'"a\u0000b"'),
        refused(400, "INVALID_FIELD"),
    ),
    case(
        "a number is no string",
        json_suite("StringFieldNotAString"),
        _described(b"12345"),
        unreadable("product.description"),
    ),
    case(
        "true is no string", json_suite("StringFieldNotAString"), _described(b"true"), unreadable("product.description")
    ),
    case(
        "a string may be as long as its rule says",
        contract("Product.description"),
        _described(b'"%s"' % (b"x" * 5000)),
        ok({"description": Text("x{5000}")}),
    ),
    case(
        "a string may not be longer",
        contract("Product.description"),
        _described(b'"%s"' % (b"x" * 5001)),
        invalid("product.description"),
    ),
    case(
        "length counts characters, not bytes",
        contract("buf.validate: string.max_len"),
        _described(('"' + "é" * 5000 + '"').encode()),
        ok({"description": Text("é{5000}")}),
    ),
    case("answers are UTF-8", rfc(8259, "8.1"), get("/v1/products/$scratch"), ok()),
    case(
        "the bytes of a raw body arrive as they are",
        http_rule("google.api.HttpBody: raw bytes"),
        _report(_SIGNED, "application/json"),
        ok({}),
    ),
    case(
        "whatever they are said to be",
        http_rule("google.api.HttpBody: content_type"),
        _report(_SIGNED, "application/octet-stream"),
        ok({}),
    ),
    case(
        "another space is another body",
        contract("PaymentService.HandleWebhook: the signature is checked over the body as it came"),
        _report(_SIGNED + b" ", "application/json"),
        refused(401, "CREDENTIALS_INVALID"),
    ),
    case(
        "bytes that are no text are a raw body, too",
        http_rule("google.api.HttpBody: raw bytes"),
        _report(bytes(range(1, 256)).replace(b"$", b""), "application/octet-stream"),
        refused(401, "CREDENTIALS_INVALID"),
    ),
    case(
        "the bytes of a raw body cannot be said by the query",
        http_rule("HTTP mapping: only fields outside of the body are query parameters"),
        post("/v1/payments/webhooks/sandbox?body.data=e30%3D", "", _SIGNED, zoco_signature="$report_signature"),
        refused(400, "MALFORMED_REQUEST"),
    ),
    case(
        "binary goes out as text in base64url: the key that verifies tokens",
        rfc(8037, "2"),
        get("/.well-known/jwks.json"),
        ok({"keys": Each({"x": Text("[A-Za-z0-9_-]{43}")}, 1)}),
    ),
    steps(
        "keys and values of a map are strings of any kind",
        proto3_json("map<K,V>"),
        Step(
            patch(
                "/v1/products/$scratch?updateMask=attributes",
                "admin",
                {"attributes": {"größe": "XL", "1": "", "__proto__": "x"}},
            ),
            ok(),
        ),
        Step(
            get("/v1/products:batchGet?ids=$scratch&ids=$fresh"),
            ok({"products": [{"attributes": {"größe": "XL", "1": "", "__proto__": "x"}}]}),
        ),
    ),
    case(
        "a value of a map that is no string is refused",
        proto3_json("map<K,V>"),
        patch("/v1/products/$scratch", "admin", {"attributes": {"a": 1}}),
        refused(400, "MALFORMED_REQUEST"),
    ),
    deviating(
        case(
            "null is no value of a map",
            json_suite("MapFieldValueIsNull"),
            patch("/v1/products/$scratch", "admin", {"attributes": {"a": None}}),
            refused(400, "MALFORMED_REQUEST"),
        ),
        instead=ok({"attributes": {"a": ""}}),
        harmless="Envoy reads the default value, an empty text, as null is read everywhere else.",
    ),
    case(
        "a list is no map",
        proto3_json("map<K,V>"),
        patch("/v1/products/$scratch", "admin", {"attributes": ["a"]}),
        refused(400, "MALFORMED_REQUEST"),
    ),
]
