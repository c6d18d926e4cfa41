"""Standard and custom methods: what Get, List, Create, Update, Delete and a verb take and give."""

from typing import Final

from tests.conformance.case import Case, Step, case, delete, get, post, steps
from tests.conformance.expectations import TIMESTAMP, UUID, invalid, ok, refused
from tests.conformance.patterns import Absent, Each, Exactly, Number, Text
from tests.conformance.sources import aip, contract

_PRICE: Final = {"currencyCode": "EUR", "units": "3"}
_NEW: Final = {"email": "new-$mark@example.com", "password": "$password", "displayName": "New"}


CASES: Final[list[Case]] = [
    case(
        "Get gives the resource itself",
        aip(131, "Guidance: the response is the resource"),
        get("/v1/orders/$order", "buyer"),
        ok({"id": "$order", "userId": "$buyer"}),
    ),
    case(
        "Get of what is not there is 404",
        aip(131, "Errors"),
        get("/v1/products/$unknown"),
        refused(404, "RESOURCE_NOT_FOUND"),
    ),
    case(
        "Get of somebody else's is 404, and not 403",
        contract("Errors: another user's resource is NOT_FOUND"),
        get("/v1/orders/$others_order", "buyer"),
        refused(404, "RESOURCE_NOT_FOUND"),
    ),
    case(
        "Get of an id that is none is a violation",
        contract("GetOrderRequest.id: uuid"),
        get("/v1/orders/1", "buyer"),
        invalid("id"),
    ),
    case(
        "an id in capitals is the same id",
        contract("GetProductRequest.id: uuid"),
        get("/v1/products/$PRODUCT"),
        ok({"id": "$product"}),
    ),
    case(
        "a payment belongs to its order's buyer",
        contract("PaymentService.GetPayment"),
        get("/v1/payments/$order_payment", "buyer"),
        ok({"orderId": "$order", "state": "CAPTURED"}),
    ),
    case(
        "Create gives the resource with what the server adds",
        aip(133, "Guidance"),
        post("/v1/users", "", {**_NEW, "email": "a$mark@example.com"}),
        ok(
            {
                "id": UUID,
                "role": "CUSTOMER",
                "state": "ACTIVE",
                "createTime": TIMESTAMP,
                "updateTime": TIMESTAMP,
                "etag": Text(".+"),
            }
        ),
    ),
    steps(
        "what Create made, Get gives",
        aip(133, "strong consistency: AIP-121"),
        Step(post("/v1/categories", "admin", {"name": "Shelf $mark"}), ok({"name": "Shelf $mark"})),
        Step(post("/v1/categories", "admin", {"name": "shelf $mark"}), refused(409, "NAME_TAKEN")),
    ),
    steps(
        "Create of what exists is 409",
        aip(133, "Errors: ALREADY_EXISTS"),
        Step(post("/v1/users", "", {**_NEW, "email": "b$mark@example.com"}), ok()),
        Step(post("/v1/users", "", {**_NEW, "email": "B$mark@Example.com"}), refused(409, "EMAIL_TAKEN")),
    ),
    steps(
        "fields that only go out are ignored where they come in",
        aip(203, "Output only"),
        Step(
            post(
                "/v1/products",
                "admin",
                {
                    "product": {
                        "id": "$unknown",
                        "state": "ARCHIVED",
                        "availableQuantity": 99,
                        "createTime": "2001-01-01T00:00:00Z",
                        "name": "Odd $mark",
                        "categoryId": "$scratch_category",
                        "price": _PRICE,
                    }
                },
            ),
            ok({"id": UUID, "state": "ACTIVE", "availableQuantity": 0, "createTime": Text("20[2-9].*")}),
            {"made": "id"},
        ),
        Step(get("/v1/products/$made"), ok({"id": "$made", "name": "Odd $mark"})),
    ),
    case(
        "a required field that is missing is a violation",
        aip(203, "Required"),
        post("/v1/products", "admin", {"product": {"categoryId": "$category", "price": _PRICE}}),
        invalid("product.name"),
    ),
    case(
        "a required message that is missing is a violation",
        aip(203, "Required"),
        post("/v1/products", "admin", {}),
        invalid("product"),
    ),
    case(
        "an optional field may be left out",
        aip(203, "Optional"),
        post("/v1/orders/$others_order:cancel", "stranger", {}),
        ok({"cancelReason": "", "state": Text("CANCELLED|CONFIRMED")}),
    ),
    steps(
        "Delete gives an empty object",
        aip(135, "Guidance: google.protobuf.Empty, or as empty a message"),
        Step(post("/v1/users", "", {**_NEW, "email": "c$mark@example.com"}), ok(), {"made": "id"}),
        Step(delete("/v1/users/$made", "admin"), ok(Exactly({}))),
    ),
    case(
        "Delete of what is not there is 404",
        aip(135, "Errors"),
        delete("/v1/users/$unknown", "admin"),
        refused(404, "RESOURCE_NOT_FOUND"),
    ),
    case(
        "Delete takes an etag as a parameter, and a stale one is 409",
        aip(154, "etags on requests; AIP-135"),
        delete("/v1/users/$stranger?etag=0", "admin"),
        refused(409, "ETAG_STALE"),
    ),
    case(
        "a custom method is a POST with a verb",
        aip(136, "HTTP verb and URI"),
        post("/v1/orders:preview", "buyer", {"items": [{"productId": "$product", "quantity": 2}]}),
        ok({"totalAmount": {"units": "21", "nanos": 0}, "available": True}),
    ),
    case(
        "a custom method that fits no state is 400",
        aip(193, "FAILED_PRECONDITION"),
        post("/v1/orders/$order:deliver", "admin", {}),
        refused(400, "STATE_CONFLICT"),
    ),
    case(
        "a custom method of what is not there is 404",
        aip(136, "Errors"),
        post("/v1/orders/$unknown:ship", "admin", {"carrier": "DHL"}),
        refused(404, "RESOURCE_NOT_FOUND"),
    ),
    case(
        "a batch has what was found in the order asked for",
        aip(231, "Guidance"),
        get("/v1/products:batchGet?ids=$second&ids=$product&ids=$second"),
        ok({"products": [{"id": "$second"}, {"id": "$product"}]}),
    ),
    case(
        "a batch names what was not found",
        contract("BatchGetProducts: missing ids are named"),
        get("/v1/products:batchGet?ids=$unknown&ids=$product"),
        ok({"products": [{"id": "$product"}], "missingIds": ["$unknown"]}),
    ),
    case(
        "an empty batch is a violation",
        contract("BatchGetProductsRequest.ids: min_items"),
        get("/v1/products:batchGet"),
        invalid("ids"),
    ),
    case(
        "what is archived can still be read",
        contract("ProductService.GetProduct"),
        get("/v1/products/$archived"),
        ok({"state": "ARCHIVED"}),
    ),
    case(
        "what is archived is in no list",
        contract("ProductService.ListProducts: products on sale"),
        get("/v1/products?query=%22Old+Teapot%22&pageSize=100"),
        ok({"products": Each({"state": "ACTIVE"})}),
    ),
    case(
        "log-in gives tokens and who it is",
        contract("AuthService.Login"),
        post("/v1/auth:login", "", {"email": "$buyer_email", "password": "$password"}),
        ok(
            {
                "accessToken": Text(r"[\w-]+\.[\w-]+\.[\w-]+"),
                "refreshToken": Text(".{20,}"),
                "expiresIn": 900,
                "user": {"id": "$buyer"},
            }
        ),
    ),
    case(
        "no answer has a password",
        contract("User has none"),
        get("/v1/users/me", "buyer"),
        ok({"password": Absent(), "passwordHash": Absent()}),
    ),
    case(
        "a customer sees less of a stock than an administrator",
        contract("InventoryService.GetStock"),
        get("/v1/stock/$second", "admin"),
        ok({"available": Number(0, 1000), "reserved": Number(0, 1000), "sold": Number(0, 1000)}),
    ),
]
