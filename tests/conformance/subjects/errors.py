"""Errors: one shape for what services and the edge say, with the status and the details that belong to it."""

from typing import Final

from tests.conformance.case import Case, Expected, Request, case, get, patch, post
from tests.conformance.expectations import detail, invalid, ok, refused, unreadable
from tests.conformance.patterns import Absent, Each, Exactly, Text
from tests.conformance.sources import aip, contract, edge, rfc, rpc_code

_BEARER: Final = rfc(6750, "3")
_SHAPE: Final = edge("Routes out of the contract: the same JSON error shape")

CASES: Final[list[Case]] = [
    case(
        "no token is 401, and says how to authenticate",
        rfc(9110, "11.6.1: WWW-Authenticate"),
        get("/v1/orders"),
        refused(401, "TOKEN_MISSING", www_authenticate=Text("Bearer .*")),
    ),
    case(
        "without a token the challenge names no error",
        _BEARER,
        get("/v1/orders"),
        refused(401, "TOKEN_MISSING", www_authenticate=Text('Bearer realm="[^"]+"')),
    ),
    case(
        "a token that is none is 401 with the error invalid_token",
        _BEARER,
        get("/v1/orders", authorization="Bearer nonsense"),
        refused(401, "TOKEN_INVALID", www_authenticate=Text('Bearer .*error="invalid_token".*')),
    ),
    case(
        "a scheme that is not taken is 401",
        rfc(9110, "11.6.2"),
        get("/v1/orders", authorization="Basic YTpi"),
        refused(401, Text("TOKEN_.*"), www_authenticate=Text("Bearer .*")),
    ),
    case(
        "a scheme is compared without case",
        rfc(9110, "11.1"),
        get("/v1/users/me", authorization="bearer $token_buyer"),
        ok({"id": "$buyer"}),
    ),
    case(
        "a token in the query is no token",
        rfc(6750, "2.3: should not be used"),
        get("/v1/orders?access_token=$token_buyer"),
        refused(401, "TOKEN_MISSING"),
    ),
    case(
        "two tokens are no token",
        rfc(6750, "2: no more than one"),
        Request("GET", "/v1/orders", "buyer", (("authorization", "Bearer x"),)),
        refused(401, "TOKEN_INVALID"),
    ),
    case(
        "a bad token on what anybody may read counts as none",
        contract("PUBLIC methods"),
        get("/v1/products/$product", authorization="Bearer nonsense"),
        ok({"id": "$product"}),
    ),
    case(
        "a role that does not reach is 403",
        rpc_code("PERMISSION_DENIED is 403"),
        get("/v1/users", "buyer"),
        refused(403, "ROLE_REQUIRED", metadata={"required": "ADMIN"}),
    ),
    case(
        "what is not there is 404, and its ResourceInfo says what",
        aip(193, "ResourceInfo"),
        get("/v1/orders/$unknown", "buyer"),
        refused(
            404, "RESOURCE_NOT_FOUND", details=(detail("ResourceInfo", resourceType="order", resourceName="$unknown"),)
        ),
    ),
    case("a path that is none is 404 in the same shape", _SHAPE, get("/v2/products"), refused(404, "METHOD_UNKNOWN")),
    case(
        "a method that is none is 405 in the same shape",
        _SHAPE,
        Request("PUT", "/v1/products"),
        refused(405, "METHOD_UNKNOWN", allow="GET, POST"),
    ),
    case(
        "what is broken is 400, with a violation a field",
        aip(193, "BadRequest"),
        get("/v1/products?pageSize=-1&minPrice=x"),
        refused(
            400,
            "INVALID_FIELD",
            details=(detail("BadRequest", fieldViolations=[{"field": "min_price"}, {"field": "page_size"}]),),
        ),
    ),
    case(
        "what cannot be read is 400, with a violation that names the field",
        edge("REST rules: a violation that names the field where one can be named"),
        get("/v1/products?pageSize=many"),
        unreadable("page_size"),
    ),
    case(
        "a name that is taken is 409",
        rpc_code("ALREADY_EXISTS is 409"),
        post("/v1/users", "", {"email": "$buyer_email", "password": "$password"}),
        refused(409, "EMAIL_TAKEN"),
    ),
    case(
        "a precondition that does not hold is 400",
        rpc_code("FAILED_PRECONDITION is 400"),
        post("/v1/stock/$fifth:adjust", "admin", {"delta": -1_000_000}),
        refused(400, "STOCK_BELOW_ZERO", metadata={"available": Text(r"\d+")}),
    ),
    case(
        "the wrong currency is 400, and named",
        contract("CURRENCY_MISMATCH"),
        patch("/v1/products/$scratch", "admin", {"price": {"currencyCode": "USD", "units": "1"}}),
        refused(400, "CURRENCY_MISMATCH", metadata={"currency": "USD"}),
    ),
    case(
        "a currency that is none is a violation",
        contract("google/type/money.proto: ISO 4217"),
        patch("/v1/products/$scratch", "admin", {"price": {"currencyCode": "EURO", "units": "1"}}),
        refused(400, "INVALID_FIELD"),
    ),
    case(
        "a wrong password is 401, and does not say what was wrong",
        contract("CREDENTIALS_INVALID"),
        post("/v1/auth:login", "", {"email": "$admin_email", "password": "not $mark"}),
        refused(401, "CREDENTIALS_INVALID", metadata=Exactly({})),
    ),
    case(
        "an unknown address is the same",
        contract("CREDENTIALS_INVALID"),
        post("/v1/auth:login", "", {"email": "nobody-$mark@example.com", "password": "not $mark"}),
        refused(401, "CREDENTIALS_INVALID", metadata=Exactly({})),
    ),
    case(
        "an error is not a stack trace",
        contract("Errors: INTERNAL has a generic text"),
        get("/v1/products?query=%00"),
        refused(400, message=Text("(?!.*Traceback).*")),
    ),
    case(
        "the id in an error is the one in the header",
        contract("Errors: RequestInfo always"),
        get("/v1/products/$unknown", x_correlation_id="e-$mark"),
        refused(404, x_correlation_id="e-$mark", x_request_id=Text("[0-9a-f-]{36}")),
    ),
    case(
        "an error of a service says nothing of gRPC in its headers",
        edge("HTTP filter order: header_mutation"),
        get("/v1/products/$unknown"),
        refused(404, grpc_status=Absent(), grpc_message=Absent(), grpc_status_details_bin=Absent()),
    ),
    case(
        "an error has a length and no chunks are needed",
        rfc(9110, "8.6"),
        get("/nope"),
        refused(404, content_length=Text(r"\d+")),
    ),
    case(
        "a refusal can be read by the page that asked",
        edge("HTTP filter order: cors before authentication"),
        get("/v1/orders", origin="http://localhost:3000"),
        refused(401, access_control_allow_origin="http://localhost:3000", vary=Text("(?i).*origin.*")),
    ),
    case(
        "a page from elsewhere cannot read it",
        edge("Hardening: CORS from a list of allowed origins"),
        get("/v1/orders", origin="https://evil.example"),
        refused(401, access_control_allow_origin=Absent()),
    ),
    case(
        "a page of nowhere cannot read it",
        edge("Hardening: CORS from a list of allowed origins"),
        get("/v1/orders", origin="null"),
        refused(401, access_control_allow_origin=Absent()),
    ),
    case(
        "a spent refresh token is 401",
        contract("REFRESH_TOKEN_INVALID"),
        post("/v1/auth:refresh", "", {"refreshToken": "$mark"}),
        refused(401, "REFRESH_TOKEN_INVALID"),
    ),
    case(
        "a password that everybody has is a violation",
        contract("UserService.Register"),
        post("/v1/users", "", {"email": "d$mark@example.com", "password": "password1234"}),
        invalid("password"),
    ),
    case(
        "who is told to be somebody by a header is still nobody",
        edge("Hardening: identity headers are stripped"),
        get(
            "/v1/orders",
            x_user_id="$buyer",
            x_user_role="ADMIN",
            x_forwarded_client_cert="URI=spiffe://zoco.local/order",
        ),
        refused(401, "TOKEN_MISSING"),
    ),
    case(
        "a client's own timeout counts where it is shorter",
        edge("Routes out of the contract: each route carries the method's deadline"),
        get("/v1/products/$product", grpc_timeout="1n"),
        Expected((504,), Exactly({"code": 4, "message": Text(".+"), "details": Each({"@type": Text(".+")})})),
    ),
]
