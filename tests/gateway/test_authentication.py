"""Access tokens at the edge: who has none or a bad one is told so in the services' own words, before they are asked."""

import base64
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest

from mesh.errors import MeshError, Unauthenticated, from_rpc_error
from tests.gateway.edges import Edge, grpc_web_frame
from tests.gateway.test_errors import detail, reasons
from tests.harness import Tokens
from zoco.order.v1.order_service_pb2 import GetOrderRequest
from zoco.order.v1.order_service_pb2_grpc import OrderServiceStub
from zoco.product.v1.product_service_pb2 import GetProductRequest
from zoco.product.v1.product_service_pb2_grpc import ProductServiceStub

pytestmark = pytest.mark.asyncio(loop_scope="session")

GET_ORDER = "/zoco.order.v1.OrderService/GetOrder"
REST_ORDER = "/v1/orders/o1"
PAST = datetime.now(UTC) - timedelta(hours=1)


def _public_key_as_secret(tokens: Tokens) -> str:
    header, claims = ({"alg": "HS256", "typ": "at+jwt", "kid": tokens.kid}, {"sub": "u1", "iss": "https://zoco.local"})
    return ".".join(_encoded(json.dumps(part).encode()) for part in (header, claims)) + "." + _encoded(b"x" * 32)


def _unsigned(tokens: Tokens) -> str:
    _, claims, _ = tokens.customer().split(".")
    return f"{_encoded(json.dumps({'alg': 'none', 'typ': 'at+jwt', 'kid': tokens.kid}).encode())}.{claims}."


def _tampered(tokens: Tokens) -> str:
    header, claims, signature = tokens.customer().split(".")
    said = json.loads(base64.urlsafe_b64decode(claims + "==")) | {"role": "ADMIN"}
    return f"{header}.{_encoded(json.dumps(said).encode())}.{signature}"


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


BAD: Mapping[str, Callable[[Tokens], str]] = {
    "garbage": lambda _: "a.b.c",
    "not three parts": lambda _: "abc",
    "algorithm none": _unsigned,
    "the public key as a secret": _public_key_as_secret,
    "tampered": _tampered,
    "signed by somebody else": lambda _: Tokens().customer(),
    "an unknown key": lambda tokens: Tokens(tokens.key, "another").customer(),
    "a hostile key id": lambda tokens: Tokens(tokens.key, "../../etc/passwd").customer(),
    "not yet valid": lambda tokens: tokens.mint("u1", nbf=datetime.now(UTC) + timedelta(hours=1)),
    "wrong issuer": lambda tokens: tokens.mint("u1", iss="https://evil.example"),
    "wrong audience": lambda tokens: tokens.mint("u1", aud="elsewhere"),
    "no audience": lambda tokens: tokens.mint("u1", aud=None),
    "no expiration": lambda tokens: tokens.mint("u1", exp=None),
}


async def _refused(call: Any) -> MeshError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return from_rpc_error(caught.value)


@pytest.mark.parametrize("kind", BAD)
async def test_a_token_that_does_not_hold_is_refused_before_the_service_is_asked(edge: Edge, kind: str) -> None:
    bearer = f"Bearer {BAD[kind](edge.tokens)}"
    answer = await edge.rest("GET", REST_ORDER, headers={"authorization": bearer})
    assert answer.status_code == 401
    assert reasons(answer) == ["TOKEN_INVALID"]
    assert answer.headers["www-authenticate"] == 'Bearer realm="zoco", error="invalid_token"'
    error = await _refused(
        OrderServiceStub(edge.bare).GetOrder(GetOrderRequest(id="o1"), metadata=(("authorization", bearer),))
    )
    assert isinstance(error, Unauthenticated)
    assert (error.reason, error.message) == ("TOKEN_INVALID", answer.json()["message"])
    assert not edge.of(GET_ORDER).calls


async def test_a_token_that_expired_is_named_so_with_as_much_patience_as_services_have(edge: Edge) -> None:
    def expired(seconds: float) -> dict[str, str]:
        end = datetime.now(UTC) - timedelta(seconds=seconds)
        return {"authorization": f"Bearer {edge.tokens.mint('u1', iat=PAST, nbf=PAST, exp=end)}"}

    answer = await edge.rest("GET", REST_ORDER, headers=expired(60))
    assert answer.status_code == 401
    assert reasons(answer) == ["TOKEN_EXPIRED"]
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    error = await _refused(
        OrderServiceStub(edge.bare).GetOrder(GetOrderRequest(id="o1"), metadata=tuple(expired(60).items()))
    )
    assert error.reason == "TOKEN_EXPIRED"
    assert (await edge.rest("GET", REST_ORDER, headers=expired(2))).status_code == 200, "clocks may differ by 5 s"
    assert (await edge.rest("GET", REST_ORDER, headers=expired(9))).status_code == 401


async def test_whoever_has_no_token_is_told_that_one_is_needed(edge: Edge) -> None:
    answer = await edge.client.get(edge.url + REST_ORDER)
    assert answer.status_code == 401
    assert reasons(answer) == ["TOKEN_MISSING"]
    assert answer.json()["message"] == "this call needs an access token"
    assert answer.headers["www-authenticate"] == 'Bearer realm="zoco"'
    assert detail(answer, "RequestInfo")["requestId"] == answer.headers["x-request-id"]
    error = await _refused(OrderServiceStub(edge.bare).GetOrder(GetOrderRequest(id="o1")))
    assert isinstance(error, Unauthenticated)
    assert error.reason == "TOKEN_MISSING"
    web = await edge.client.post(
        edge.url + GET_ORDER, content=grpc_web_frame(b""), headers={"content-type": "application/grpc-web+proto"}
    )
    assert web.headers["grpc-status"] == "16"
    assert not edge.of(GET_ORDER).calls


@pytest.mark.parametrize("header", ["Basic dXNlcjpwYXNz", "Bearer", "", "token"])
async def test_a_header_that_is_no_bearer_token_is_not_a_missing_one(edge: Edge, header: str) -> None:
    answer = await edge.rest("GET", REST_ORDER, headers={"authorization": header})
    assert answer.status_code == 401
    assert reasons(answer) == ["TOKEN_INVALID"]


async def test_the_scheme_may_be_written_small(edge: Edge) -> None:
    said = {"authorization": f"bearer {edge.tokens.customer()}"}
    assert (await edge.rest("GET", REST_ORDER, headers=said)).status_code == 200


@pytest.mark.parametrize("name", ["access_token", "authorization", "token", "jwt"])
async def test_a_token_in_the_query_counts_for_nothing(edge: Edge, name: str) -> None:
    answer = await edge.client.get(f"{edge.url}{REST_ORDER}?{name}={edge.tokens.admin()}")
    assert answer.status_code == 401
    assert reasons(answer) == ["TOKEN_MISSING"]
    native = await edge.client.post(
        f"{edge.url}{GET_ORDER}?{name}={edge.tokens.admin()}", headers={"content-type": "application/grpc"}
    )
    assert native.headers["grpc-status"] == "16"
    cookie = await edge.client.get(edge.url + REST_ORDER, headers={"cookie": f"{name}={edge.tokens.admin()}"})
    assert cookie.status_code == 401


async def test_two_authorization_headers_are_refused_whichever_holds(edge: Edge) -> None:
    good, bad = f"Bearer {edge.tokens.admin()}", "Bearer a.b.c"
    for pair in ((good, bad), (bad, good), (good, good)):
        headers = [("authorization", value) for value in pair]
        for path in (REST_ORDER, "/v1/products/p1"):
            answer = await edge.client.get(edge.url + path, headers=headers)
            assert answer.status_code == 401
            assert reasons(answer) == ["TOKEN_INVALID"]
        error = await _refused(OrderServiceStub(edge.bare).GetOrder(GetOrderRequest(id="o1"), metadata=tuple(headers)))
        assert error.reason == "TOKEN_INVALID"
    assert not edge.of(GET_ORDER).calls


@pytest.mark.parametrize("kind", [*BAD, "expired"])
async def test_on_a_public_method_a_bad_token_takes_nothing_away(edge: Edge, kind: str) -> None:
    token = edge.tokens.mint("u1", iat=PAST, nbf=PAST, exp=PAST) if kind == "expired" else BAD[kind](edge.tokens)
    bearer = f"Bearer {token}"
    assert (await edge.rest("GET", "/v1/products/p1", headers={"authorization": bearer})).status_code == 200
    stub = ProductServiceStub(edge.bare)
    await stub.GetProduct(GetProductRequest(id="p1"), metadata=(("authorization", bearer),))
    assert len(edge.neighbours["product"].calls) == 2


async def test_the_token_goes_on_as_it_came_and_nothing_is_made_of_it(edge: Edge) -> None:
    bearer = f"Bearer {edge.tokens.customer('u1')}"
    await edge.rest("GET", REST_ORDER, headers={"authorization": bearer})
    (call,) = edge.of(GET_ORDER).calls
    assert call.metadata["authorization"] == bearer
    assert "u1" not in [value for name, value in call.metadata.items() if name != "authorization"]


async def test_a_customer_is_refused_what_is_for_administrators(edge: Edge) -> None:
    customer = {"authorization": f"Bearer {edge.tokens.customer()}"}
    answer = await edge.rest("GET", "/v1/users", headers=customer)
    assert answer.status_code == 403
    assert reasons(answer) == ["ROLE_REQUIRED"]
    assert detail(answer, "ErrorInfo")["metadata"] == {"required": "ADMIN"}
    call: Any = edge.bare.unary_unary("/zoco.user.v1.UserService/ListUsers")
    error = await _refused(call(b"", metadata=tuple(customer.items())))
    assert (error.code, error.reason) == (grpc.StatusCode.PERMISSION_DENIED, "ROLE_REQUIRED")
    assert error.metadata == {"required": "ADMIN"}
    assert not edge.neighbours["user"].calls
    assert (await edge.rest("GET", "/v1/users")).status_code == 200, "an administrator is not"


@pytest.mark.parametrize("role", [None, "admin", "ADMINISTRATOR", ["ADMIN"], {"ADMIN": True}, True])
async def test_a_role_that_is_not_exactly_admin_is_not_admin(edge: Edge, role: Any) -> None:
    token = edge.tokens.mint("u1", role)
    answer = await edge.rest("GET", "/v1/users", headers={"authorization": f"Bearer {token}"})
    assert answer.status_code == 403
