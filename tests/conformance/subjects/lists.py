"""Lists: page_size, page_token, total_size and order_by as AIP-158 and AIP-132 have them."""

from typing import Final

from tests.conformance.case import Case, Step, case, get, post, steps
from tests.conformance.expectations import invalid, ok, refused
from tests.conformance.patterns import Each, Number, Text
from tests.conformance.sources import aip, contract

_SIZE: Final = aip(158, "page_size")
_TOKEN: Final = aip(158, "page_token")
_SHELF: Final = "/v1/products?categoryId=$category&orderBy=price"
_BAD_TOKEN: Final = refused(400, "INVALID_PAGE_TOKEN", field="page_token", metadata={"field": "page_token"})

_ORDERS: Final = (
    ("price", "$product", "$fifth"),
    ("price asc", "$product", "$fifth"),
    ("price desc", "$fifth", "$product"),
    ("name", "$product", "$fifth"),
    ("name desc", "$fifth", "$product"),
    ("create_time", "$product", "$fifth"),
    ("create_time desc", "$fifth", "$product"),
)

CASES: Final[list[Case]] = [
    case(
        "a list names its items by the plural, and has a token and a total",
        aip(132, "Response message"),
        get(f"{_SHELF}&pageSize=2"),
        ok({"products": Each({}, 2, 2), "nextPageToken": Text(".+"), "totalSize": 5}),
    ),
    case("a size of 0 is 20", _SIZE, get("/v1/products?pageSize=0"), ok({"products": Each({}, 20, 20)})),
    case("a size above 100 is 100", _SIZE, get("/v1/products?pageSize=101"), ok({"products": Each({}, 100, 100)})),
    case("a negative size is refused", _SIZE, get("/v1/products?pageSize=-1"), invalid("page_size")),
    case(
        "the last page has an empty token",
        _TOKEN,
        get(f"{_SHELF}&pageSize=5"),
        ok({"products": Each({}, 5, 5), "nextPageToken": ""}),
    ),
    case(
        "a list of nothing is an empty list",
        aip(132, "Response message"),
        get("/v1/products?categoryId=$unknown"),
        ok({"products": [], "nextPageToken": "", "totalSize": 0}),
    ),
    steps(
        "pages together have everything once, in order",
        _TOKEN,
        Step(
            get(f"{_SHELF}&pageSize=2"),
            ok({"products": [{"id": "$product"}, {"id": "$second"}]}),
            {"token": "nextPageToken"},
        ),
        Step(
            get(f"{_SHELF}&pageSize=2&pageToken=$token"),
            ok({"products": [{"id": "$third"}, {"id": "$fourth"}]}),
            {"token": "nextPageToken"},
        ),
        Step(get(f"{_SHELF}&pageSize=2&pageToken=$token"), ok({"products": [{"id": "$fifth"}], "nextPageToken": ""})),
    ),
    steps(
        "the size may change from page to page",
        aip(158, "page_size may change with each request"),
        Step(get(f"{_SHELF}&pageSize=1"), ok(), {"token": "nextPageToken"}),
        Step(
            get(f"{_SHELF}&pageSize=3&pageToken=$token"),
            ok({"products": [{"id": "$second"}, {"id": "$third"}, {"id": "$fourth"}], "totalSize": 5}),
        ),
    ),
    steps(
        "a token can be used again",
        aip(158, "opaque"),
        Step(get(f"{_SHELF}&pageSize=1"), ok(), {"token": "nextPageToken"}),
        Step(get(f"{_SHELF}&pageSize=1&pageToken=$token"), ok({"products": [{"id": "$second"}]})),
        Step(get(f"{_SHELF}&pageSize=1&page_token=$token"), ok({"products": [{"id": "$second"}]})),
    ),
    steps(
        "a token with other arguments is refused",
        aip(158, "page_token: other arguments must be the same"),
        Step(get(f"{_SHELF}&pageSize=1"), ok(), {"token": "nextPageToken"}),
        Step(get("/v1/products?categoryId=$category&orderBy=name&pageToken=$token"), _BAD_TOKEN),
    ),
    steps(
        "a token of another method is refused",
        aip(158, "page_token"),
        Step(get("/v1/categories?pageSize=1"), ok(), {"token": "nextPageToken"}),
        Step(get("/v1/products?pageToken=$token"), _BAD_TOKEN),
    ),
    case("a token that is made up is refused", _TOKEN, get("/v1/products?pageToken=1"), _BAD_TOKEN),
    case("a token that is no base64 is refused", _TOKEN, get("/v1/products?pageToken=%25%25"), _BAD_TOKEN),
    case(
        "a token that is too long is a violation",
        contract("ListProductsRequest.page_token: max_len"),
        get("/v1/products?pageToken=" + "x" * 1025),
        invalid("page_token"),
    ),
    steps(
        "a token is of letters that need no escape in a query",
        aip(158, "opaque, URL-safe"),
        Step(get(f"{_SHELF}&pageSize=1"), ok({"nextPageToken": Text("[A-Za-z0-9_-]+")})),
    ),
    *(
        case(
            f"a list in the order `{order}`",
            aip(132, "Ordering"),
            get(f"/v1/products?categoryId=$category&orderBy={order.replace(' ', '+')}"),
            ok({"products": [{"id": first}, {}, {}, {}, {"id": last}]}),
        )
        for order, first, last in _ORDERS
    ),
    case(
        "space around an order does not count",
        aip(132, "Ordering: redundant spaces are insignificant"),
        get("/v1/products?categoryId=$category&orderBy=++price+++desc+"),
        ok({"products": [{"id": "$fifth"}, {}, {}, {}, {"id": "$product"}]}),
    ),
    case(
        "an order by a field that is none is refused",
        aip(132, "Ordering"),
        get("/v1/products?orderBy=colour"),
        invalid("order_by"),
    ),
    case(
        "an order in a direction that is none is refused",
        aip(132, "Ordering"),
        get("/v1/products?orderBy=price+down"),
        invalid("order_by"),
    ),
    case(
        "an order is no SQL",
        aip(132, "Ordering"),
        get("/v1/products?orderBy=price;drop+table+product"),
        invalid("order_by"),
    ),
    case(
        "filters hold together",
        contract("ListProductsRequest: everything given must hold"),
        get("/v1/products?categoryId=$category&minPrice=20.50&maxPrice=30.50"),
        ok({"totalSize": 2}),
    ),
    case(
        "categories are a list",
        aip(132, "Response message"),
        get("/v1/categories?pageSize=2"),
        ok({"categories": Each({}, 2, 2), "totalSize": Number(2, 1000)}),
    ),
    case(
        "users are a list",
        aip(132, "Response message"),
        get("/v1/users?pageSize=2", "admin"),
        ok({"users": Each({}, 2, 2), "nextPageToken": Text(".+"), "totalSize": Number(3, 1000)}),
    ),
    case(
        "orders are a list, newest first",
        aip(132, "Response message"),
        get("/v1/orders?userId=$buyer&pageSize=100", "admin"),
        ok({"orders": Each({"userId": "$buyer"}, 2)}),
    ),
    case(
        "payments are a list",
        aip(132, "Response message"),
        get("/v1/payments?orderId=$order", "admin"),
        ok({"payments": [{"orderId": "$order"}], "totalSize": 1}),
    ),
    case(
        "notifications are a list",
        aip(132, "Response message"),
        get("/v1/notifications?pageSize=1", "buyer"),
        ok({"notifications": Each({"userId": "$buyer"}, 0, 1), "totalSize": Number(0, 100)}),
    ),
    case(
        "movements are a list of what they belong to",
        aip(132, "Parent"),
        get("/v1/stock/$product/movements?pageSize=1", "admin"),
        ok({"movements": Each({"productId": "$product"}, 1, 1), "nextPageToken": Text(".+")}),
    ),
    case(
        "events are a list, oldest first",
        contract("ListOrderEvents"),
        get("/v1/orders/$order/events?pageSize=2", "buyer"),
        ok({"events": [{"version": 1}, {"version": 2}], "totalSize": Number(3, 20)}),
    ),
    case(
        "somebody else's list is refused",
        contract("ListOrders: NOT_YOURS"),
        get("/v1/orders?userId=$stranger", "buyer"),
        refused(403, "NOT_YOURS", metadata={"field": "user_id"}),
    ),
    case(
        "a list under what is not there is 404",
        aip(132, "Errors"),
        get("/v1/orders/$unknown/events", "buyer"),
        refused(404, "RESOURCE_NOT_FOUND"),
    ),
    steps(
        "a page after something new came does not repeat what was seen",
        aip(158, "page_token"),
        Step(get("/v1/orders?pageSize=1", "buyer"), ok(), {"token": "nextPageToken", "newest": "orders.0.id"}),
        Step(
            post(
                "/v1/orders",
                "buyer",
                {
                    "items": [{"productId": "$second", "quantity": 1}],
                    "paymentToken": "tok_visa",
                    "shippingAddress": {"regionCode": "ES", "addressLines": ["Calle Mayor 1"]},
                },
            ),
            ok(),
        ),
        Step(get("/v1/orders?pageSize=1&pageToken=$token", "buyer"), ok({"orders": [{"id": Text("(?!$newest).*")}]})),
    ),
]
