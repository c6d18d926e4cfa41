"""Query parameters: how they become fields of the request, and what is no field."""

from typing import Final

from tests.conformance.case import Case, Request, case, deviating, get, patch, post
from tests.conformance.expectations import invalid, ok, refused, unreadable
from tests.conformance.patterns import Each
from tests.conformance.sources import contract, edge, http_rule, proto3_json, rfc

_MAPPING: Final = http_rule("HTTP mapping: fields that the path does not bind become query parameters")
_UNKNOWN: Final = edge("REST rules: unknown query parameters")
_SPELLINGS: Final = edge("REST rules: both field spellings in queries")
_IDS: Final = "categoryId=$category"

CASES: Final[list[Case]] = [
    case(
        "a field is a parameter by its JSON name",
        _SPELLINGS,
        get("/v1/products?pageSize=3"),
        ok({"products": Each({}, 3, 3)}),
    ),
    case(
        "a field is a parameter by its proto name",
        _SPELLINGS,
        get("/v1/products?page_size=3"),
        ok({"products": Each({}, 3, 3)}),
    ),
    case(
        "fields that are not named have their default",
        _MAPPING,
        get("/v1/products"),
        ok({"products": Each({}, 20, 20)}),
    ),
    case(
        "several fields at once",
        _MAPPING,
        get(f"/v1/products?{_IDS}&minPrice=15&maxPrice=35&orderBy=price"),
        ok({"products": [{"id": "$second"}, {"id": "$third"}], "totalSize": 2}),
    ),
    case(
        "a repeated field is a parameter that is repeated",
        http_rule("HTTP mapping: `?param=A&param=B`"),
        get("/v1/products:batchGet?ids=$second&ids=$product"),
        ok({"products": [{"id": "$second"}, {"id": "$product"}]}),
    ),
    case(
        "a repeated field keeps the order of its parameters among others",
        http_rule("HTTP mapping: `?param=A&param=B`"),
        get("/v1/stock:batchGet?productIds=$third&product_ids=$product"),
        ok({"stocks": [{"productId": "$third"}, {"productId": "$product"}]}),
    ),
    case(
        "commas do not separate elements",
        http_rule("HTTP mapping: `?param=A&param=B`"),
        get("/v1/products:batchGet?ids=$second,$product"),
        invalid("ids[0]"),
    ),
    case(
        "a plus is a space",
        edge("query_param_unescape_plus"),
        get(f"/v1/products?{_IDS}&orderBy=price+desc&pageSize=1"),
        ok({"products": [{"id": "$fifth"}]}),
    ),
    case(
        "%20 is a space",
        rfc(3986, "2.1"),
        get(f"/v1/products?{_IDS}&orderBy=price%20desc&pageSize=1"),
        ok({"products": [{"id": "$fifth"}]}),
    ),
    case("%2B is a plus", rfc(3986, "2.1"), get(f"/v1/products?{_IDS}&orderBy=price%2Bdesc"), invalid("order_by")),
    case(
        "%26 does not separate",
        rfc(3986, "2.2"),
        get(f"/v1/products?{_IDS}&query=a%26pageSize%3D1"),
        ok({"products": []}),
    ),
    case(
        "an equals sign in a value is a part of it",
        rfc(3986, "3.4"),
        get(f"/v1/products?{_IDS}&orderBy=price=desc"),
        invalid("order_by"),
    ),
    case(
        "a name may be percent-encoded",
        rfc(3986, "6.2.2.2"),
        get("/v1/products?page%53ize=3"),
        ok({"products": Each({}, 3, 3)}),
    ),
    case(
        "a value may have letters of any script",
        rfc(3986, "2.5"),
        get(f"/v1/products?{_IDS}&query=%E8%8C%B6%E5%A3%BA"),
        ok({"products": []}),
    ),
    case("a value that is no UTF-8 is refused", proto3_json("string"), get("/v1/products?query=%FF%FE"), refused(400)),
    case(
        "an empty value of a string is the empty string",
        _MAPPING,
        get(f"/v1/products?{_IDS}&query=&orderBy="),
        ok({"totalSize": 5}),
    ),
    case("an empty parameter list is none", rfc(3986, "3.4"), get("/v1/categories?"), ok()),
    case("an unknown parameter is refused, and named", _UNKNOWN, get("/v1/products?colour=red"), unreadable("colour")),
    case("a parameter in another case is unknown", _UNKNOWN, get("/v1/products?PAGESIZE=3"), unreadable("PAGESIZE")),
    case(
        "a field of a message that is a scalar is unknown", _UNKNOWN, get("/v1/products?query.x=3"), unreadable("query")
    ),
    case(
        "an unknown name that was encoded for no need is named in letters",
        rfc(3986, "6.2.2.2"),
        get("/v1/products?%63olo%75r%5Fo%2Ff=red"),
        refused(400, "MALFORMED_REQUEST", field="colour_o%2Ff"),
    ),
    case(
        "an unknown name with quotes in it is told encoded",
        _UNKNOWN,
        get("/v1/products?a%22%7D%5D%25b%22%20in%20the%20type=3"),
        unreadable("a%22%7D%5D%25b%22%20in%20the%20type"),
    ),
    case(
        "a number that is none is refused, and named",
        edge("REST rules: wrong types"),
        get("/v1/products?pageSize=ten"),
        unreadable("page_size"),
    ),
    case(
        "a number with more behind it is refused",
        edge("REST rules: wrong types"),
        get("/v1/products?pageSize=10x"),
        unreadable("page_size"),
    ),
    case("a fraction is no int32", proto3_json("int32"), get("/v1/products?pageSize=1.5"), unreadable("page_size")),
    case(
        "a number beyond int32 is refused",
        edge("REST rules: overflow"),
        get("/v1/products?pageSize=2147483648"),
        unreadable("page_size"),
    ),
    case(
        "the largest int32 is a number",
        proto3_json("int32"),
        get("/v1/products?pageSize=2147483647"),
        ok({"products": Each({}, 100, 100)}),
    ),
    case("an empty number is refused", proto3_json("int32"), get("/v1/products?pageSize="), unreadable("page_size")),
    case("true and false are booleans", proto3_json("bool"), get("/v1/notifications?unreadOnly=true", "buyer"), ok()),
    case(
        "a boolean that is none is refused, and named",
        proto3_json("bool"),
        get("/v1/notifications?unreadOnly=maybe", "buyer"),
        unreadable("unread_only"),
    ),
    deviating(
        case(
            "yes is no boolean",
            proto3_json("bool"),
            get("/v1/notifications?unreadOnly=yes", "buyer"),
            unreadable("unread_only"),
        ),
        instead=ok(),
        harmless=(
            "Envoy takes yes and no, y and n, t and f, 1 and 0 in queries for what they mean; in bodies it does not."
        ),
    ),
    case(
        "a variable of the path cannot be said again by the query",
        edge("Routes out of the contract: a query parameter that names a variable of the path"),
        get("/v1/products/$product?id=$second"),
        refused(400, "MALFORMED_REQUEST", field="id"),
    ),
    case(
        "not by its proto name either",
        edge("Routes out of the contract: a query parameter that names a variable of the path"),
        get("/v1/stock/$product/movements?product_id=$second", "admin"),
        refused(400, "MALFORMED_REQUEST"),
    ),
    case(
        "where the body is one field, the query says the others",
        http_rule("HTTP mapping: body names a field"),
        patch(
            "/v1/products/$scratch?updateMask=description",
            "admin",
            {"description": "One.", "imageUrl": "https://a.example/b"},
        ),
        ok({"description": "One.", "imageUrl": ""}),
    ),
    case(
        "where the body is one field, the query cannot say a part of it",
        http_rule("HTTP mapping: only fields outside of the body are query parameters"),
        patch("/v1/products/$scratch?product.name=Hijacked", "admin", {"description": "Two."}),
        refused(400, "MALFORMED_REQUEST"),
    ),
    case(
        "where the body is everything, there are no parameters",
        http_rule('HTTP mapping: body "*" leaves nothing to the query'),
        post("/v1/stock/$fourth:adjust?reason=counted", "admin", {"delta": 1}),
        refused(400, "MALFORMED_REQUEST"),
    ),
    case(
        "a field of a message without a body is a parameter with a dot",
        http_rule("HTTP mapping: nested fields by their path"),
        get("/v1/orders/$order?asOf.seconds=4000000000", "buyer"),
        ok({"id": "$order"}),
    ),
    case(
        "a GET has no body that counts",
        http_rule("HTTP mapping: a GET has no body"),
        Request(
            "GET", "/v1/products?pageSize=3", body=b'{"pageSize": 4}', headers=(("content-type", "application/json"),)
        ),
        ok({"products": Each({}, 3, 3)}),
    ),
    case(
        "a price filter is a decimal, not a Money",
        contract("ListProductsRequest.min_price"),
        get("/v1/products?minPrice=1e3"),
        invalid("min_price"),
    ),
]
