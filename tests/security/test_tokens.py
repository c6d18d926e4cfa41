"""security.md, "tokens": no access token but a good one opens anything, at the edge or behind it."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mesh.errors import Unauthenticated
from mesh.ids import uuid7
from mesh.tokens import REQUIRED_CLAIMS, KeySet, TokenVerifier
from tests.harness import AUDIENCE, ISSUER, Tokens
from tests.journeys.conftest import Person, eventually
from tests.journeys.running import RunningShop
from tests.journeys.transports import Client, Json, Refused
from tests.security.asking import code_of
from tests.security.forging import by_hmac, claims, public_forms, tampered, token, unsigned
from tests.security.inside import Inside, raw_call, refusal

LIST_ORDERS = "/zoco.order.v1.OrderService/ListOrders"
ADMIN = uuid7()

Forge = Callable[[Tokens], str]


def _header(genuine: Tokens, **other: Any) -> Json:
    return {"alg": "EdDSA", "typ": "at+jwt", "kid": genuine.kid, **other}


def _own_key(genuine: Tokens, **header: Any) -> str:
    """A token that a stranger signed with a key of their own."""
    return token(_header(genuine, **header), claims(ADMIN), Ed25519PrivateKey.generate().sign)


def _good(genuine: Tokens, **other: Any) -> str:
    return token(_header(genuine), claims(ADMIN, **other), genuine.key.sign)


def _with_header(**other: Any) -> Forge:
    return lambda genuine: token(_header(genuine, **other), claims(ADMIN), genuine.key.sign)


def _without(claim: str) -> Forge:
    return lambda genuine: _good(genuine, **{claim: None})


def _by_public_key(form: int) -> Forge:
    return lambda genuine: token(_header(genuine, alg="HS256"), claims(ADMIN), by_hmac(public_forms(genuine.key)[form]))


FORGED: dict[str, Forge] = {
    "garbage": lambda _: "garbage",
    "three dots": lambda _: "...",
    "alg none": lambda genuine: token(_header(genuine, alg="none"), claims(ADMIN), unsigned),
    "alg None": lambda genuine: token(_header(genuine, alg="NoNe"), claims(ADMIN), unsigned),
    "no signature": lambda genuine: token(_header(genuine), claims(ADMIN), unsigned),
    **{f"HS256 with the public key, form {number}": _by_public_key(number) for number in range(3)},
    "unknown kid": lambda genuine: _own_key(genuine, kid="0123456789abcdef"),
    "known kid, strange key": _own_key,
    "hostile kid: a path": lambda genuine: _own_key(genuine, kid="../../../../etc/passwd"),
    "hostile kid: SQL": lambda genuine: _own_key(genuine, kid="x' OR '1'='1"),
    "hostile kid: long": lambda genuine: _own_key(genuine, kid="k" * 3000),
    "hostile kid: a number": lambda genuine: _own_key(genuine, kid=1),
    "no kid": lambda genuine: _own_key(genuine, kid=None),
    "jku header": _with_header(jku="http://127.0.0.1:1/keys"),
    "x5u header": _with_header(x5u="http://127.0.0.1:1/cert"),
    "jwk header": _with_header(jwk={"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}),
    "unknown crit": _with_header(crit=["exp"], exp=1),
    "expired": lambda genuine: _good(genuine, exp=int(time.time()) - 60),
    "not yet valid": lambda genuine: _good(genuine, nbf=int(time.time()) + 600),
    "wrong issuer": lambda genuine: _good(genuine, iss="https://zoco.example"),
    "wrong audience": lambda genuine: _good(genuine, aud="other"),
    "tampered": lambda genuine: tampered(genuine.customer(ADMIN), role="ADMIN"),
    "another type": _with_header(typ="JWT"),
    "role that is none": lambda genuine: _good(genuine, role="ROOT"),
    "empty subject": lambda genuine: _good(genuine, sub=""),
    "too long": lambda genuine: _good(genuine, pad="x" * 5000),
    **{f"missing {name}": _without(name) for name in REQUIRED_CLAIMS},
}


async def test_the_shops_own_token_is_taken(nobody: Client, genuine: Tokens, inside: Inside) -> None:
    assert await nobody.with_token(_good(genuine)).call("UserService.ListUsers")
    channel = inside.channel("order", "edge")
    assert await raw_call(channel, LIST_ORDERS, metadata=[("authorization", f"Bearer {_good(genuine)}")]) is not None


@pytest.mark.parametrize("case", FORGED)
async def test_a_forged_token_opens_nothing(nobody: Client, genuine: Tokens, case: str) -> None:
    forged = nobody.with_token(FORGED[case](genuine))

    # The edge may look at subject and role before a service finds that the token lacks something.
    codes = {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED}
    assert await code_of(forged, "OrderService.ListOrders", {}) in codes
    assert await code_of(forged, "UserService.ListUsers", {}) in codes


@pytest.mark.parametrize("case", FORGED)
async def test_a_service_checks_again_whatever_the_edge_let_through(inside: Inside, genuine: Tokens, case: str) -> None:
    bearer = [("authorization", f"Bearer {FORGED[case](genuine)}")]

    refused = await refusal(inside.channel("order", "edge"), LIST_ORDERS, metadata=bearer)

    assert refused.code is grpc.StatusCode.UNAUTHENTICATED
    assert refused.reason == ("TOKEN_EXPIRED" if case == "expired" else "TOKEN_INVALID")


@pytest.mark.parametrize("header", [None, "", "Bearer", "Basic YTpi", "Token abc"])
async def test_no_token_opens_nothing(nobody: Client, header: str | None) -> None:
    with pytest.raises(Refused) as refused:
        await nobody.call("OrderService.ListOrders", headers={} if header is None else {"authorization": header})

    assert refused.value.code is grpc.StatusCode.UNAUTHENTICATED


async def test_a_refresh_token_is_no_access_token_and_the_reverse(nobody: Client, buyer: Person) -> None:
    with pytest.raises(Refused) as refused:
        await nobody.with_token(buyer.tokens["refreshToken"]).call("OrderService.ListOrders")
    assert refused.value.code is grpc.StatusCode.UNAUTHENTICATED

    with pytest.raises(Refused) as refused:
        await nobody.call("AuthService.Refresh", {"refreshToken": buyer.tokens["accessToken"][:512]})
    assert (refused.value.code, refused.value.reason) == (grpc.StatusCode.UNAUTHENTICATED, "REFRESH_TOKEN_INVALID")


async def test_two_authorization_headers_are_none(
    shop: RunningShop, genuine: Tokens, buyer: Person, inside: Inside
) -> None:
    pair = [("authorization", f"Bearer {_good(genuine)}"), ("authorization", f"Bearer {buyer.tokens['accessToken']}")]
    async with httpx.AsyncClient(base_url=f"http://{shop.address}") as client:
        for headers in (pair, pair[::-1]):
            answer = await client.get("/v1/orders", headers=headers)
            assert answer.status_code == 401

    refused = await refusal(inside.channel("order", "edge"), LIST_ORDERS, metadata=pair)
    assert refused.code is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize("name", ["access_token", "token", "authorization", "Authorization", "jwt"])
async def test_a_token_in_the_query_string_is_none(shop: RunningShop, genuine: Tokens, name: str) -> None:
    async with httpx.AsyncClient(base_url=f"http://{shop.address}") as client:
        answer = await client.get("/v1/orders", params={name: _good(genuine)})
        cookie = await client.get("/v1/orders", headers={"cookie": f"{name}={_good(genuine)}"})

    assert answer.status_code in {400, 401}
    assert "orders" not in answer.json()
    assert cookie.status_code == 401


async def test_a_retired_key_takes_its_tokens_with_it(tokens: Tokens) -> None:
    retired = False

    async def published() -> Json:
        return {"keys": []} if retired else dict(await tokens.key_set())

    keys = KeySet(published, refresh_seconds=0, min_interval=0)
    verifier = TokenVerifier(keys, issuer=ISSUER, audience=AUDIENCE)
    header = f"Bearer {tokens.customer(ADMIN)}"
    assert (await verifier.verify(header)).id == ADMIN
    retired = True

    with pytest.raises(Unauthenticated):
        await verifier.verify(header)


async def test_a_disabled_users_token_dies_within_a_minute(buyer: Person, admin: Person, nobody: Client) -> None:
    reads = ("OrderService.ListOrders", "NotificationService.ListNotifications", "UserService.GetUser")
    for method in reads:
        await buyer.call(method, {"id": "me"} if method == "UserService.GetUser" else {})
    await admin.call("UserService.DisableUser", {"id": buyer.id})

    for method in reads:

        async def is_dead(method: str = method) -> bool:
            try:
                await buyer.call(method, {"id": "me"} if method == "UserService.GetUser" else {})
            except Refused as refused:
                return refused.code is grpc.StatusCode.UNAUTHENTICATED
            return False

        await eventually(is_dead, f"refusal of a disabled user's token by {method}", limit=60)
    with pytest.raises(Refused) as refused:
        await nobody.call("AuthService.Refresh", {"refreshToken": buyer.tokens["refreshToken"]})
    assert refused.value.code in {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED}


async def test_an_expired_token_is_told_from_a_bad_one(inside: Inside, genuine: Tokens) -> None:
    expired = genuine.mint(ADMIN, "ADMIN", exp=datetime.now(UTC) - timedelta(minutes=1))

    refused = await refusal(
        inside.channel("order", "edge"), LIST_ORDERS, metadata=[("authorization", f"Bearer {expired}")]
    )

    assert refused.reason == "TOKEN_EXPIRED"
