"""Messages as JSON objects: names, presence, null, lists, and fields that nobody knows."""

from typing import Any, Final

from tests.conformance.case import Case, Request, Step, case, deviating, get, patch, post, steps
from tests.conformance.expectations import UUID, detail, invalid, ok, refused, unreadable
from tests.conformance.patterns import Absent, Exactly, Including, Number
from tests.conformance.sources import aip, contract, edge, json_suite, proto3_json

_NAMES: Final = proto3_json("JSON names are lowerCamelCase; parsers take the proto names, too")
_LINE: Final = {"productId": "$product", "quantity": 1}
_PREVIEW: Final = "/v1/orders:preview"
_PREFERENCES: Final = "/v1/notifications/preferences"


def _preview(body: Any) -> Request:
    return post(_PREVIEW, "buyer", body)


CASES: Final[list[Case]] = [
    case(
        "names go out in lowerCamelCase",
        _NAMES,
        get("/v1/products/$product"),
        ok({"categoryId": "$category", "category_id": Absent()}),
    ),
    case(
        "names may come in lowerCamelCase",
        _NAMES,
        _preview({"items": [_LINE]}),
        ok({"items": [{"productId": "$product"}]}),
    ),
    case(
        "names may come as the contract spells them",
        _NAMES,
        _preview({"items": [{"product_id": "$product", "quantity": 1}]}),
        ok({"items": [{"productId": "$product"}]}),
    ),
    case("names are compared with case", _NAMES, _preview({"Items": [_LINE]}), refused(400)),
    case(
        "default values are shown",
        edge("REST rules: unset zero values are shown"),
        get("/v1/products/$product"),
        ok({"imageUrl": "", "availableQuantity": Number(0, 1000)}),
    ),
    case(
        "an empty list is shown",
        edge("REST rules: unset zero values are shown"),
        get("/v1/products:batchGet?ids=$product"),
        ok({"missingIds": []}),
    ),
    case(
        "an empty map is shown",
        edge("REST rules: unset zero values are shown"),
        get("/v1/products/$scratch"),
        ok({"attributes": {}}),
    ),
    case(
        "a message that is not there is not shown",
        proto3_json("message presence"),
        get("/v1/orders/$order", "buyer"),
        ok({"rejection": Absent(), "shipment": Absent()}),
    ),
    case(
        "an optional field that is not set is not shown: a customer sees no reserved pieces",
        proto3_json("presence of optional fields"),
        get("/v1/stock/$product", "buyer"),
        ok({"available": Number(0, 1000), "reserved": Absent(), "sold": Absent()}),
    ),
    case(
        "an optional field that is set to zero is shown",
        proto3_json("presence of optional fields"),
        get("/v1/stock/$third", "admin"),
        ok({"reserved": 0, "sold": 0}),
    ),
    steps(
        "an optional field that is set to its default counts as set",
        proto3_json("presence of optional fields"),
        Step(patch(_PREFERENCES, "stranger", {"emailEnabled": False}), ok({"emailEnabled": False})),
        Step(patch(_PREFERENCES, "stranger", {"mutedKinds": ["WELCOME"]}), ok({"emailEnabled": False})),
        Step(patch(_PREFERENCES, "stranger", {"emailEnabled": True}), ok({"emailEnabled": True})),
    ),
    case(
        "null is as if the field were not there",
        proto3_json("null"),
        _preview({"items": [_LINE], "requestId": None}),
        ok(),
    ),
    case(
        "null for a message is no message",
        proto3_json("null"),
        post("/v1/orders", "buyer", {"items": [_LINE], "paymentToken": "tok_visa", "shippingAddress": None}),
        invalid("shipping_address"),
    ),
    case(
        "null for a list is the empty list",
        json_suite("RepeatedFieldNull"),
        _preview({"items": None}),
        invalid("items"),
    ),
    case(
        "null is no element of a list of messages",
        json_suite("RepeatedFieldMessageElementIsNull"),
        _preview({"items": [None]}),
        refused(400),
    ),
    case("a string is no message", proto3_json("message"), _preview({"items": ["$product"]}), unreadable("items[0]")),
    case("a string is no list", proto3_json("repeated V"), _preview({"items": "$product"}), unreadable("items")),
    case(
        "a boolean is true or false",
        proto3_json("bool"),
        patch(_PREFERENCES, "stranger", {"emailEnabled": "maybe"}),
        unreadable("preferences.email_enabled"),
    ),
    case(
        "a number is no boolean",
        json_suite("BoolFieldIntegerOne"),
        patch(_PREFERENCES, "stranger", {"emailEnabled": 1}),
        unreadable("preferences.email_enabled"),
    ),
    deviating(
        case(
            "an object where a list is expected is refused",
            proto3_json("repeated V"),
            _preview({"items": _LINE}),
            unreadable("items"),
        ),
        instead=ok({"items": [{"productId": "$product", "quantity": 1}]}),
        harmless=(
            "Envoy reads it as a list of that one object, which is what whoever wrote it meant. The service "
            "validates what is in it as ever."
        ),
    ),
    deviating(
        case(
            "a field that nobody knows is refused",
            proto3_json("unknown fields: a parser should reject them by default"),
            _preview({"items": [_LINE], "colour": "red"}),
            unreadable("colour"),
        ),
        instead=ok({"items": [{"productId": "$product"}]}),
        harmless=(
            "Envoy always drops it, as ProtoJSON leaves open to a parser for the sake of newer clients; nothing "
            "behind the edge ever sees it, so it can mean nothing."
        ),
    ),
    case(
        "an id is a UUID in lower case",
        aip(122, "Resource IDs: lower-case letters, digits and hyphens"),
        get("/v1/users/me", "buyer"),
        ok({"id": UUID}),
    ),
    case(
        "Money is an object of its three fields",
        contract("google/type/money.proto"),
        get("/v1/products/$product"),
        ok({"price": Exactly({"currencyCode": "EUR", "units": "10", "nanos": 500_000_000})}),
    ),
    case(
        "a postal address keeps its lines in order",
        contract("google/type/postal_address.proto"),
        get("/v1/orders/$order", "buyer"),
        ok({"shippingAddress": {"regionCode": "ES", "addressLines": ["Calle Mayor 1"], "postalCode": "28013"}}),
    ),
    case(
        "an empty message is an empty object",
        proto3_json("message"),
        post("/v1/auth:logout", "", {"refreshToken": "none $mark"}),
        ok(Exactly({})),
    ),
    case(
        "a rule of the contract is a violation that names the field",
        contract("buf.validate"),
        _preview({"items": []}),
        invalid("items"),
    ),
    case(
        "a violation in a list names its element",
        contract("buf.validate"),
        _preview({"items": [_LINE, {"productId": "$second", "quantity": 0}]}),
        invalid("items[1].quantity"),
    ),
    case(
        "a rule over a list is a violation of the list",
        contract("CreateOrderRequest.items: distinct_products"),
        _preview({"items": [_LINE, _LINE]}),
        invalid("items"),
    ),
    case(
        "several violations come together",
        aip(193, "BadRequest"),
        post("/v1/users", "", {"email": "x", "password": "x"}),
        refused(
            400,
            "INVALID_FIELD",
            details=(detail("BadRequest", fieldViolations=Including(({"field": "email"}, {"field": "password"}))),),
        ),
    ),
]
