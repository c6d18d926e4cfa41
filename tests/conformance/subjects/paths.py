"""Path templates: which paths lead to a method, and how their parts become fields."""

from typing import Final

from tests.conformance.case import Case, case, get, patch, post
from tests.conformance.expectations import early, invalid, ok, refused
from tests.conformance.sources import aip, contract, edge, http_rule, rfc

_TEMPLATES: Final = http_rule("Path template syntax")
_PERCENT: Final = http_rule("Path template syntax: percent-decoding")

CASES: Final[list[Case]] = [
    case("a variable is one segment", _TEMPLATES, get("/v1/products/$product"), ok({"id": "$product"})),
    case("a literal path leads to its method", _TEMPLATES, get("/v1/categories"), ok({"nextPageToken": ""})),
    case(
        "a verb after a collection is a path of its own",
        aip(136, "Collection-based custom methods"),
        get("/v1/products:batchGet?ids=$product"),
        ok({"products": [{"id": "$product"}], "missingIds": []}),
    ),
    case(
        "a verb after a variable does not belong to its value",
        http_rule('Path template syntax: Verb = ":" LITERAL'),
        post("/v1/orders/$order:cancel", "stranger", {}),
        refused(404, "RESOURCE_NOT_FOUND", metadata={"id": "$order"}),
    ),
    case(
        "a segment after a variable leads to a method of its own",
        _TEMPLATES,
        get("/v1/orders/$order/events?pageSize=1", "buyer"),
        ok({"events": [{"version": 1}]}),
    ),
    case(
        "a variable fills a field of a field",
        http_rule("Path template syntax: FieldPath"),
        patch("/v1/products/$scratch", "admin", {"description": "Filled by the path."}),
        ok({"id": "$scratch", "description": "Filled by the path."}),
    ),
    case(
        "a literal segment wins over a variable: `preferences` is no notification",
        http_rule("Path template syntax"),
        get("/v1/notifications/preferences", "buyer"),
        ok({"emailEnabled": True}),
    ),
    case(
        "`me` stands for the caller",
        contract("UserService.GetUser"),
        get("/v1/users/me", "buyer"),
        ok({"id": "$buyer"}),
    ),
    case(
        "a value in the path is percent-decoded",
        _PERCENT,
        get("/v1/users/m%65", "buyer"),
        ok({"id": "$buyer"}),
    ),
    case(
        "a value in the path is decoded once and not twice",
        _PERCENT,
        get("/v1/users/m%2565", "buyer"),
        refused(404, "RESOURCE_NOT_FOUND", metadata={"id": "m%65"}),
    ),
    case(
        "a colon that belongs to a value travels as %3A",
        http_rule("Path template syntax: variables are percent-encoded"),
        get("/v1/products/a%3Ab"),
        invalid("id"),
    ),
    case("letters with accents in a value are UTF-8", rfc(3986, "2.5"), get("/v1/products/t%C3%A9"), invalid("id")),
    case(
        "bytes that are no UTF-8 become no string",
        http_rule("Path template syntax: percent-decoding, of a string field"),
        get("/v1/products/%FF%FE"),
        refused(400),
    ),
    case("a NUL in the path is refused", edge("Hardening"), get("/v1/products/%00"), early(400)),
    case("an escaped slash is refused", edge("Hardening: escaped slashes"), get("/v1/products/a%2Fb"), early(400)),
    case("an escaped backslash is refused", edge("Hardening: escaped slashes"), get("/v1/products/a%5Cb"), early(400)),
    case(
        "a percent sign without two digits is refused",
        rfc(3986, "2.1"),
        get("/v1/products/%zz"),
        refused(400),
    ),
    case(
        "an escape of an unreserved letter is that letter",
        rfc(9110, "4.2.3"),
        get("/v1/%70roducts/$product"),
        ok({"id": "$product"}),
    ),
    case("paths are compared with case", rfc(9110, "4.2.3"), get("/V1/Products"), refused(404, "METHOD_UNKNOWN")),
    case(
        "an empty variable is no path of the template", _TEMPLATES, get("/v1/products/"), refused(404, "METHOD_UNKNOWN")
    ),
    case(
        "a slash at the end makes another path",
        rfc(3986, "6.2.3"),
        get("/v1/products/$product/"),
        refused(404, "METHOD_UNKNOWN"),
    ),
    case(
        "a variable does not match two segments",
        http_rule('Path template syntax: "*" matches a single segment'),
        get("/v1/products/$product/x"),
        refused(404, "METHOD_UNKNOWN"),
    ),
    case(
        "an unknown verb is an unknown path, not an odd id",
        aip(136, "Custom methods"),
        post("/v1/orders/$order:give", "buyer", {}),
        refused(404, "METHOD_UNKNOWN"),
    ),
    case("dot segments are removed", rfc(3986, "5.2.4"), get("/v1/x/../products/./$product"), ok({"id": "$product"})),
    case(
        "escaped dot segments lead nowhere else",
        rfc(3986, "6.2.2.3"),
        get("/v1/categories/%2e%2e/products/$product"),
        ok({"id": "$product"}),
    ),
    case(
        "double slashes count as one",
        edge("Hardening: merge_slashes"),
        get("//v1//products/$product"),
        ok({"id": "$product"}),
    ),
    case(
        "the query is not a part of the path",
        rfc(3986, "3.4"),
        get("/v1/products/$product?"),
        ok({"id": "$product"}),
    ),
    case(
        "the root of the API is no method",
        edge("Routes out of the contract: an unknown path is 404"),
        get("/v1"),
        refused(404, "METHOD_UNKNOWN"),
    ),
    case(
        "an RPC that only the mesh may call has no path over REST",
        edge("HTTP filter order: edge NONE is not even routed"),
        post("/zoco.inventory.v1.InventoryService/ReserveStock", "admin", {}),
        refused(404, "METHOD_UNKNOWN"),
    ),
    case(
        "an RPC is no second REST surface by the name of its gRPC method",
        http_rule("a method is reached by its bindings"),
        post("/zoco.product.v1.ProductService/GetProduct", "", {"id": "$product"}),
        refused(404, "METHOD_UNKNOWN"),
    ),
    case(
        "a well-known path keeps its dots",
        rfc(8615, "3"),
        get("/.well-known/jwks.json"),
        ok({"keys": [{"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig"}]}),
    ),
]
