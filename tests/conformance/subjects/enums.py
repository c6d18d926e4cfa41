"""Enums: by name, by number, and what is neither."""

from typing import Final

from tests.conformance.case import Case, Step, case, deviating, get, patch, post, steps
from tests.conformance.expectations import invalid, ok, refused, unreadable
from tests.conformance.patterns import Each, OneOf
from tests.conformance.sources import aip, contract, json_suite, proto3_json

_ENUM: Final = proto3_json("enum")
_PREFERENCES: Final = "/v1/notifications/preferences"

CASES: Final[list[Case]] = [
    case("an enum goes out by its name", _ENUM, get("/v1/orders/$order", "buyer"), ok({"state": "CONFIRMED"})),
    case(
        "a query takes the name",
        _ENUM,
        get("/v1/orders?state=CONFIRMED", "buyer"),
        ok({"orders": Each({"state": "CONFIRMED"}, 2, 2)}),
    ),
    case(
        "a query takes the number",
        _ENUM,
        get("/v1/orders?state=2", "buyer"),
        ok({"orders": Each({"state": "CONFIRMED"}, 2, 2)}),
    ),
    case(
        "a query takes the zero value for no filter",
        aip(126, "Compatibility: the unspecified value"),
        get("/v1/orders?state=STATE_UNSPECIFIED", "buyer"),
        ok({"orders": Each({}, 3)}),
    ),
    case(
        "a name that is none is refused, and the field named",
        _ENUM,
        get("/v1/orders?state=LOST", "buyer"),
        unreadable("state"),
    ),
    case(
        "a name in lower case is none",
        json_suite("EnumFieldUnknownName; names are compared with case"),
        get("/v1/orders?state=confirmed", "buyer"),
        unreadable("state"),
    ),
    case(
        "a name with its type before it is none",
        json_suite("EnumFieldUnknownName"),
        get("/v1/orders?state=State.CONFIRMED", "buyer"),
        unreadable("state"),
    ),
    case(
        "a number in a query that is none is refused, and the field named",
        contract("ListOrdersRequest.state: defined_only"),
        get("/v1/orders?state=99", "buyer"),
        unreadable("state"),
    ),
    case("an empty name is refused", _ENUM, get("/v1/orders?state=", "buyer"), unreadable("state")),
    case(
        "a body takes the name",
        _ENUM,
        post("/v1/users/$stranger:setRole", "admin", {"role": "CUSTOMER"}),
        ok({"role": "CUSTOMER"}),
    ),
    case(
        "a body takes the number",
        _ENUM,
        post("/v1/users/$stranger:setRole", "admin", {"role": 1}),
        ok({"role": "CUSTOMER"}),
    ),
    case(
        "a body refuses a name that is none",
        _ENUM,
        post("/v1/users/$stranger:setRole", "admin", {"role": "ROOT"}),
        unreadable("role"),
    ),
    case(
        "a body refuses true", _ENUM, post("/v1/users/$stranger:setRole", "admin", {"role": True}), unreadable("role")
    ),
    case(
        "a number without a name is a violation",
        contract("SetRoleRequest.role: defined_only"),
        post("/v1/users/$stranger:setRole", "admin", {"role": 99}),
        invalid("role"),
    ),
    case(
        "a fraction is no number of an enum",
        json_suite("EnumFieldNumericValueNonZero; whole numbers only"),
        post("/v1/users/$stranger:setRole", "admin", {"role": 1.5}),
        unreadable("role"),
    ),
    case(
        "null is the zero value, which a rule may refuse",
        proto3_json("null"),
        post("/v1/users/$stranger:setRole", "admin", {"role": None}),
        invalid("role"),
    ),
    steps(
        "a list of enums takes names and numbers, and gives names",
        _ENUM,
        Step(
            patch(_PREFERENCES, "buyer", {"mutedKinds": ["WELCOME", 3]}),
            ok({"mutedKinds": ["WELCOME", "ORDER_REJECTED"]}),
        ),
        Step(get(_PREFERENCES, "buyer"), ok({"mutedKinds": ["WELCOME", "ORDER_REJECTED"]})),
    ),
    case(
        "a name and its number are the same element twice",
        contract("Preferences.muted_kinds: unique"),
        patch(_PREFERENCES, "buyer", {"mutedKinds": ["WELCOME", 1]}),
        invalid("preferences.muted_kinds"),
    ),
    deviating(
        case(
            "null is no element of a list",
            json_suite("RepeatedFieldPrimitiveElementIsNull"),
            patch(_PREFERENCES, "buyer", {"mutedKinds": ["WELCOME", None]}),
            refused(400),
        ),
        instead=ok({"mutedKinds": ["WELCOME"]}),
        harmless="Envoy drops the null. What is left of the list is what was said, and is validated as ever.",
    ),
    case(
        "intervals of a report by name and by number are the same",
        _ENUM,
        get("/v1/analytics/sales?interval=3&startTime=2026-01-05T00:00:00Z&endTime=2026-01-12T00:00:00Z", "admin"),
        ok({"points": [{"startTime": "2026-01-05T00:00:00Z"}]}),
    ),
    case(
        "enum values have no prefix of their type in JSON",
        contract("values are the JSON names that clients rely on"),
        get("/v1/users/me", "buyer"),
        ok({"role": OneOf(("CUSTOMER",)), "state": "ACTIVE"}),
    ),
]
