"""Idempotency keys: a call that is repeated gets its first answer, and has no second effect."""

from typing import Any, Final

from tests.conformance.case import Case, Expected, Request, Step, case, get, post, steps
from tests.conformance.expectations import detail, ok, refused
from tests.conformance.patterns import Text
from tests.conformance.sources import aip, contract
from tests.journeys.conftest import ADDRESS

_REPEAT: Final = aip(155, "Request identification")
_REUSED: Final = contract("CreateOrder: the same key with another body")


def _order(card: str = "tok_visa", quantity: int = 1, **more: Any) -> dict[str, Any]:
    line = {"productId": "$second", "quantity": quantity}
    return {"items": [line], "paymentToken": card, "shippingAddress": ADDRESS, **more}


def _by_header(body: Any, who: str = "buyer") -> Request:
    return post("/v1/orders", who, body, idempotency_key="$fresh")


def _adjust(delta: int, key: str = "$fresh") -> Request:
    return post("/v1/stock/$fourth:adjust", "admin", {"delta": delta, "requestId": key})


_AGAIN: Final = Expected((200,), same_as="first")

CASES: Final[list[Case]] = [
    steps(
        "the same key by field gets the same bytes",
        _REPEAT,
        Step(post("/v1/orders", "buyer", _order(requestId="$fresh")), ok(), {"first": "*"}),
        Step(post("/v1/orders", "buyer", _order(requestId="$fresh")), _AGAIN),
    ),
    steps(
        "the same key by header gets the same bytes",
        contract("CreateOrder: metadata idempotency-key"),
        Step(_by_header(_order()), ok(), {"first": "*"}),
        Step(_by_header(_order()), _AGAIN),
    ),
    steps(
        "a key by header and by field is one key",
        contract("CreateOrderRequest.request_id"),
        Step(_by_header(_order()), ok(), {"first": "*"}),
        Step(post("/v1/orders", "buyer", _order(requestId="$fresh")), _AGAIN),
    ),
    steps(
        "both at once may be the same",
        contract("CreateOrderRequest.request_id"),
        Step(_by_header(_order(requestId="$fresh")), ok(), {"first": "*"}),
        Step(_by_header(_order()), _AGAIN),
    ),
    case(
        "both at once may not differ",
        contract("CreateOrderRequest.request_id"),
        _by_header(_order(requestId="$mark")),
        refused(400, "INVALID_FIELD", field=Text("request_id|idempotency-key")),
    ),
    steps(
        "the same key with another body is refused",
        _REUSED,
        Step(_by_header(_order()), ok()),
        Step(_by_header(_order(quantity=2)), refused(400, "IDEMPOTENCY_KEY_REUSED", metadata={"key": "$fresh"})),
    ),
    steps(
        "the same key of somebody else is another key",
        contract("a key belongs to who used it"),
        Step(_by_header(_order()), ok(), {"first": "id"}),
        Step(_by_header(_order(), "stranger"), ok({"userId": "$stranger"})),
    ),
    steps(
        "the same key on another method is another key",
        contract("a key belongs to its method"),
        Step(_adjust(1), ok()),
        Step(
            post(
                "/v1/products",
                "admin",
                {
                    "product": {
                        "name": "Keyed $mark",
                        "categoryId": "$scratch_category",
                        "price": {"currencyCode": "EUR", "units": "1"},
                    },
                    "requestId": "$fresh",
                },
            ),
            ok({"name": "Keyed $mark"}),
        ),
    ),
    steps(
        "a repeat has no second effect",
        _REPEAT,
        Step(_adjust(5), ok(), {"before": "available", "first": "*"}),
        Step(_adjust(5), _AGAIN),
        Step(get("/v1/stock/$fourth/movements?pageSize=2", "admin"), ok({"movements": [{"quantity": 5}, {}]})),
    ),
    steps(
        "a refusal is an answer, too, and comes again",
        _REPEAT,
        Step(_by_header(_order("tok_declined")), refused(400, "PAYMENT_DECLINED"), {"first": "message"}),
        Step(_by_header(_order("tok_declined")), refused(400, "PAYMENT_DECLINED", message="$first")),
    ),
    steps(
        "a body in another order of its fields is the same body",
        _REUSED,
        Step(_by_header(dict(_order())), ok(), {"first": "*"}),
        Step(_by_header(dict(reversed(list(_order().items())))), _AGAIN),
    ),
    case(
        "a key longer than 128 characters is refused",
        contract("CreateOrderRequest.request_id: max_len"),
        post("/v1/orders", "buyer", _order(requestId="k" * 129)),
        refused(400, "INVALID_FIELD", field="request_id"),
    ),
    case(
        "a long key by header is refused, too",
        contract("CreateOrderRequest.request_id: max_len"),
        post("/v1/orders", "buyer", _order(), idempotency_key="k" * 129),
        refused(400, "INVALID_FIELD", field="idempotency-key"),
    ),
    steps(
        "without a key each call stands for itself",
        contract("a key is optional"),
        Step(post("/v1/orders", "buyer", _order()), ok(), {"first": "id"}),
        Step(get("/v1/orders?pageSize=1", "buyer"), ok({"orders": [{"id": "$first"}]})),
        Step(post("/v1/orders", "buyer", _order()), ok(), {"other": "id"}),
        Step(get("/v1/orders?pageSize=2", "buyer"), ok({"orders": [{"id": "$other"}, {"id": "$first"}]})),
    ),
    case(
        "a declined card is FAILED_PRECONDITION, and names the order",
        contract("CreateOrder: PAYMENT_DECLINED"),
        post("/v1/orders", "buyer", _order("tok_declined")),
        refused(
            400, "PAYMENT_DECLINED", metadata={"order_id": Text("[0-9a-f-]{36}"), "decline_reason": "card_declined"}
        ),
    ),
    case(
        "too little stock is a violation a product",
        contract("CreateOrder: INSUFFICIENT_STOCK"),
        post("/v1/orders", "buyer", _order(quantity=9999)),
        refused(
            400, "INSUFFICIENT_STOCK", details=(detail("PreconditionFailure", violations=[{"subject": "$second"}]),)
        ),
    ),
]
