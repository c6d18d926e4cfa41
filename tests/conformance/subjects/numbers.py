"""Numbers in bodies and answers: int32, int64 and double as ProtoJSON writes and reads them."""

from typing import Any, Final

from tests.conformance.case import Case, Expected, Request, Step, case, deviating, get, patch, post, steps
from tests.conformance.expectations import invalid, ok, refused, unreadable
from tests.conformance.patterns import Number
from tests.conformance.sources import contract, json_suite, proto3_json

_INT32: Final = proto3_json("int32, fixed32, uint32")
_INT64: Final = proto3_json("int64, fixed64, uint64")


def _lines(quantity: str) -> Request:
    """Asks what so many pieces would cost; the quantity is JSON as it stands."""
    body = b'{"items": [{"productId": "$product", "quantity": %s}]}' % quantity.encode()
    return post("/v1/orders:preview", "buyer", body)


def _priced(units: str, nanos: str = "0") -> Request:
    """Gives a product another price; units and nanos are JSON as they stand."""
    body = b'{"price": {"currencyCode": "EUR", "units": %s, "nanos": %s}}' % (units.encode(), nanos.encode())
    return patch("/v1/products/$scratch", "admin", body)


def _pieces(quantity: int) -> Any:
    return ok({"items": [{"quantity": quantity}]})


CASES: Final[list[Case]] = [
    case("an int32 is a number", _INT32, _lines("7"), _pieces(7)),
    case("an int32 may be a string", _INT32, _lines('"7"'), _pieces(7)),
    case("an int32 may have an exponent", _INT32, _lines("7e2"), _pieces(700)),
    case(
        "an int32 may have a fraction that is zero",
        json_suite("Int32FieldFloatTrailingZero"),
        _lines("7.0"),
        _pieces(7),
    ),
    deviating(
        case(
            "an int32 may be a string with an exponent",
            json_suite("Int32FieldQuotedExponentialValue"),
            _lines('"7e2"'),
            _pieces(700),
        ),
        instead=unreadable("items[0].quantity"),
        harmless="Envoy refuses it, and names the field. Nobody's number becomes another; as a number, 7e2 is taken.",
    ),
    case("a fraction is no int32", json_suite("Int32FieldNotInteger"), _lines("7.5"), unreadable("items[0].quantity")),
    case(
        "a string with a fraction is no int32",
        json_suite("Int32FieldStringValuePartiallyNumeric"),
        _lines('"7.5"'),
        unreadable("items[0].quantity"),
    ),
    case(
        "a string that is no number is refused, and the field named",
        _INT32,
        _lines('"seven"'),
        unreadable("items[0].quantity"),
    ),
    case(
        "a string with space around a number is refused",
        json_suite("Int32FieldLeadingSpace"),
        _lines('" 7"'),
        unreadable("items[0].quantity"),
    ),
    case("an empty string is no number", _INT32, _lines('""'), unreadable("items[0].quantity")),
    case(
        "a number beyond int32 is refused",
        json_suite("Int32FieldTooLarge"),
        _lines("2147483648"),
        unreadable("items[0].quantity"),
    ),
    case(
        "a number below int32 is refused",
        json_suite("Int32FieldTooSmall"),
        _lines("-2147483649"),
        unreadable("items[0].quantity"),
    ),
    case(
        "a huge exponent is no int32",
        json_suite("Int32FieldTooLarge"),
        _lines("1e400"),
        refused(400, "MALFORMED_REQUEST"),
    ),
    case("true is no number", _INT32, _lines("true"), unreadable("items[0].quantity")),
    case("a list is no number", _INT32, _lines("[7]"), unreadable("items[0]")),
    case("an object is no number", _INT32, _lines('{"value": 7}'), unreadable("items[0]")),
    case(
        "zeros before a number are no JSON",
        json_suite("Int32FieldLeadingZero"),
        _lines("007"),
        refused(400, "MALFORMED_REQUEST"),
    ),
    case(
        "a plus before a number is no JSON",
        json_suite("Int32FieldPlusSign"),
        _lines("+7"),
        refused(400, "MALFORMED_REQUEST"),
    ),
    case("hexadecimal is no JSON", json_suite("Int32FieldHexValue"), _lines("0x7"), refused(400, "MALFORMED_REQUEST")),
    case("NaN is no int32", _INT32, _lines("NaN"), refused(400, "MALFORMED_REQUEST")),
    case(
        "null is the default, which a rule may refuse",
        proto3_json("null"),
        _lines("null"),
        invalid("items[0].quantity"),
    ),
    case(
        "a number that the contract does not allow is a violation",
        contract("LineItem.quantity"),
        _lines("10001"),
        invalid("items[0].quantity"),
    ),
    case("minus zero is zero", _INT32, _lines("-0"), invalid("items[0].quantity")),
    case("an int64 goes out as a string", _INT64, get("/v1/products/$product"), ok({"price": {"units": "10"}})),
    case("an int32 goes out as a number", _INT32, get("/v1/products/$product"), ok({"price": {"nanos": 500_000_000}})),
    case("an int64 may be a string", _INT64, _priced('"12"'), ok({"price": {"units": "12"}})),
    case("an int64 may be a number", _INT64, _priced("13"), ok({"price": {"units": "13"}})),
    case("an int64 may have an exponent", _INT64, _priced("14e1"), ok({"price": {"units": "140"}})),
    case(
        "a string keeps digits of an int64 that a double would lose",
        _INT64,
        _priced('"999999999999"', "990000000"),
        ok({"price": {"units": "999999999999", "nanos": 990_000_000}}),
    ),
    case(
        "the largest int64 arrives, and a rule names its field",
        json_suite("Int64FieldMaxValue"),
        _priced('"9223372036854775807"'),
        refused(400, "INVALID_FIELD"),
    ),
    case(
        "a number beyond int64 is refused",
        json_suite("Int64FieldTooLarge"),
        _priced('"9223372036854775808"'),
        unreadable("product.price.units"),
    ),
    case(
        "a fraction is no int64", json_suite("Int64FieldNotInteger"), _priced("1.5"), unreadable("product.price.units")
    ),
    case(
        "nanos have their bounds",
        contract("google/type/money.proto: nanos"),
        _priced("1", "1000000000"),
        refused(400, "INVALID_FIELD"),
    ),
    case(
        "units and nanos have one sign",
        contract("google/type/money.proto: nanos"),
        _priced("1", "-500000000"),
        refused(400, "INVALID_FIELD"),
    ),
    case(
        "a price has no more decimals than its currency",
        contract("Product.price"),
        _priced("1", "1000000"),
        refused(400, "INVALID_FIELD"),
    ),
    case(
        "a double goes out as a number",
        proto3_json("float, double"),
        get("/v1/analytics/summary", "admin"),
        ok({"conversion": Number(0, 1)}),
    ),
    case(
        "zero is shown",
        proto3_json("default values; edge: unset zero values are shown"),
        get("/v1/orders/$order", "buyer"),
        ok({"refundedAmount": {"units": "0", "nanos": 0}}),
    ),
    case(
        "a negative int32 is a number",
        _INT32,
        post("/v1/stock/$fifth:adjust", "admin", {"delta": -1}),
        ok({"available": Number(0, 1000)}),
    ),
    steps(
        "a number as a string and as a number is the same request",
        _INT32,
        Step(post("/v1/stock/$fifth:adjust", "admin", {"delta": "2", "requestId": "$fresh"}), ok(), {"first": "*"}),
        Step(
            post("/v1/stock/$fifth:adjust", "admin", {"delta": 2, "requestId": "$fresh"}),
            Expected((200,), same_as="first"),
        ),
    ),
]
