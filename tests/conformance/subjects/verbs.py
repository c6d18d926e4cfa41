"""Methods of HTTP: which a path takes, what HEAD and OPTIONS get, and what is no method."""

from typing import Final

from tests.conformance.case import Case, Expected, Request, case, delete, get, patch, post, with_body
from tests.conformance.expectations import ok, refused
from tests.conformance.patterns import Absent, Text
from tests.conformance.sources import aip, edge, rfc

_ALLOW: Final = rfc(9110, "15.5.6 and 10.2.1: Allow")


def _wrong(method: str, target: str, allow: str) -> Case:
    """A method that a path does not take: 405, with what it does take."""
    expected = refused(405, "METHOD_UNKNOWN", allow=allow)
    return case(f"{method} {target} is 405 and says {allow}", _ALLOW, Request(method, target, "admin"), expected)


CASES: Final[list[Case]] = [
    _wrong("DELETE", "/v1/products", "GET, POST"),
    _wrong("PUT", "/v1/products/$product", "GET, PATCH"),
    _wrong("POST", "/v1/products/$product", "GET, PATCH"),
    _wrong("DELETE", "/v1/products/$product", "GET, PATCH"),
    _wrong("PATCH", "/v1/orders/$order", "GET"),
    _wrong("GET", "/v1/orders/$order:cancel", "POST"),
    _wrong("GET", "/v1/auth:login", "POST"),
    _wrong("POST", "/v1/products:batchGet", "GET"),
    _wrong("POST", "/v1/stock:watch", "GET"),
    _wrong("POST", "/.well-known/jwks.json", "GET"),
    _wrong("PUT", "/v1/users/me", "DELETE, GET, PATCH"),
    _wrong("POST", "/healthz", "GET"),
    _wrong("TRACE", "/v1/products", "GET, POST"),
    _wrong("OPTIONS", "/v1/products", "GET, POST"),
    _wrong("OPTIONS", "/v1/users/me", "DELETE, GET, PATCH"),
    case(
        "a wrong method is told without a token, too",
        edge("Routes out of the contract"),
        Request("PUT", "/v1/orders/$order"),
        refused(405, "METHOD_UNKNOWN", allow="GET"),
    ),
    case(
        "HEAD is answered without a body, or is 405 with Allow",
        edge("Routes out of the contract: HEAD"),
        Request("HEAD", "/v1/products/$product"),
        Expected((200, 405), raw=b""),
    ),
    case(
        "HEAD of a path that is none has no body either",
        rfc(9110, "9.3.2"),
        Request("HEAD", "/nope"),
        Expected((404,), raw=b""),
    ),
    case(
        "HEAD of a list has no body",
        rfc(9110, "9.3.2"),
        Request("HEAD", "/v1/orders", "buyer"),
        Expected((200, 405), raw=b""),
    ),
    case(
        "HEAD where only POST is taken is 405 without a body",
        rfc(9110, "15.5.6"),
        Request("HEAD", "/v1/auth:login"),
        Expected((405,), headers={"allow": "POST"}, raw=b""),
    ),
    case("a method is compared with case", rfc(9110, "9.1"), Request("get", "/v1/products"), Expected((400, 405, 501))),
    case(
        "a method that nobody knows is refused", rfc(9110, "9.1"), Request("FROB", "/v1/products"), Expected((405, 501))
    ),
    case(
        "another method cannot be named by a header",
        edge("Authorization is decided on the decoded message"),
        post("/v1/products/$product", "admin", {}, x_http_method_override="PATCH"),
        refused(405, "METHOD_UNKNOWN", allow="GET, PATCH"),
    ),
    case(
        "CONNECT is no tunnel",
        rfc(9110, "9.3.6"),
        Request("CONNECT", "127.0.0.1:80"),
        Expected((400, 403, 404, 405, 501)),
    ),
    case(
        "a GET changes nothing, and can be asked again",
        aip(131, "no side effects"),
        get("/v1/products/$product"),
        ok({"id": "$product"}),
    ),
    case(
        "PATCH is how an update is sent",
        aip(134, "HTTP verb"),
        patch("/v1/users/me", "buyer", {"displayName": "A Buyer"}),
        ok({"displayName": "A Buyer"}),
    ),
    case(
        "PUT is none of the contract's",
        aip(134, "HTTP verb"),
        with_body("PUT", "/v1/users/me", "buyer", {}, {}),
        refused(405, allow="DELETE, GET, PATCH"),
    ),
    case(
        "DELETE has no body",
        aip(135, "no body"),
        delete("/v1/users/$unknown", "admin"),
        refused(404, "RESOURCE_NOT_FOUND"),
    ),
    case(
        "a preflight from an origin that is allowed says what it may send",
        rfc(9110, "9.3.7; CORS: fetch.spec.whatwg.org, 3.3"),
        Request(
            "OPTIONS",
            "/v1/orders",
            headers=(
                ("origin", "http://localhost:3000"),
                ("access-control-request-method", "POST"),
                ("access-control-request-headers", "authorization,idempotency-key,last-event-id"),
            ),
        ),
        Expected(
            (200, 204),
            headers={
                "access-control-allow-origin": "http://localhost:3000",
                "access-control-allow-methods": Text(".*POST.*"),
                "access-control-allow-headers": Text(".*authorization.*idempotency-key.*last-event-id.*"),
            },
        ),
    ),
    case(
        "a preflight from anywhere else allows nothing",
        edge("Hardening: CORS from a list of allowed origins"),
        Request(
            "OPTIONS",
            "/v1/orders",
            headers=(("origin", "https://evil.example"), ("access-control-request-method", "POST")),
        ),
        Expected((200, 204, 403, 405), headers={"access-control-allow-origin": Absent()}),
    ),
]
