"""security.md, "leaks": what went wrong inside stays inside; what was told in confidence is written nowhere."""

import json
import random
import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

import grpc
import httpx
import psycopg
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from psycopg import sql

from mesh.ids import uuid7
from mesh.policy import MethodPolicy, load_policy
from tests.journeys.conftest import Person, eventually, order_of
from tests.journeys.running import RunningShop
from tests.journeys.transports import Client, Json, Refused, Rest
from tests.security.asking import code_of
from tests.security.inside import raw_call

Sell = Callable[[int], Awaitable[Json]]

rest_only = pytest.mark.parametrize("transport", [Rest], indirect=True, ids=["REST"])

INSIDE = re.compile(
    r"Traceback|File \"|\.py\b|psycopg|sqlalchemy|asyncio|grpc\._|Exception\b|Error\(|object at 0x|/site-packages/"
    r"|SELECT |INSERT |UPDATE |relation \"|nats:|127\.0\.0\.1:\d|spiffe://|KeyError|ValueError|TypeError"
    r"|upstream connect"
)
"""What only somebody inside should ever read."""


@rest_only
@pytest.mark.parametrize("method", load_policy().methods.values(), ids=lambda method: method.path)
async def test_no_error_tells_of_the_inside(
    shop: RunningShop, admin: Person, rng: random.Random, method: MethodPolicy
) -> None:
    """Every RPC, with bytes that mean nothing and with fields that mean something odd."""
    bodies = [b"\xff\xff\xff\xff", b"\x0a\x05\xff\xfe\xfd\xfc\xfb", b"\x0a\x03\0\0\0", b"\x08\x01", rng.randbytes(64)]
    async with grpc.aio.insecure_channel(shop.address) as channel:
        for body in bodies:
            limit = 1 if method.server_streaming else 15
            refused = await _refusal(channel, method.path, body, admin.tokens["accessToken"], limit)
            if refused is not None:
                told = refused.message + json.dumps(refused.details)
                assert not INSIDE.search(told), told
                assert refused.code not in {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN}, told


async def _refusal(channel: grpc.aio.Channel, path: str, body: bytes, token: str, limit: float) -> Refused | None:
    try:
        await raw_call(channel, path, body, [("authorization", f"Bearer {token}")], limit)
    except Refused as refused:
        return refused
    return None


async def test_no_answer_over_http_tells_of_the_inside(shop: RunningShop, genuine_customer: str) -> None:
    bearer = {"authorization": f"Bearer {genuine_customer}", "content-type": "application/json"}
    async with httpx.AsyncClient(base_url=f"http://{shop.address}", timeout=20) as client:
        for verb, path, body in (
            ("GET", "/v1/orders/not-an-id", None),
            ("GET", "/v1/orders?pageToken=%00%ff", None),
            ("POST", "/v1/orders", b"{"),
            ("POST", "/v1/orders", b"[]"),
            ("POST", "/v1/orders", b'{"items":{"a":1}}'),
            ("POST", "/v1/auth:login", b"\xff\xfe"),
            ("POST", "/v1/payments/webhooks/stripe", b"{}"),
            ("POST", "/v1/payments/webhooks/x", b"{}"),
            ("GET", "/v1/nothing", None),
            ("DELETE", "/v1/products", None),
        ):
            answer = await client.request(verb, path, content=body, headers=bearer)
            assert 400 <= answer.status_code < 500, (verb, path)
            assert not INSIDE.search(answer.text), answer.text
            assert "envoy" not in json.dumps(dict(answer.headers)).lower().replace("x-envoy-ratelimited", "")


@dataclass(frozen=True)
class Canaries:
    """What is told in confidence, and all that was answered meanwhile."""

    secrets: dict[str, str]
    answers: str
    order: str


@pytest.fixture
async def canaries(nobody: Client, put_on_sale: Sell, shop: RunningShop) -> Canaries:
    """A life with the shop, in which every secret is told, rightly and wrongly."""
    mark = uuid7().replace("-", "")
    password, address = f"canary-password-{mark}", f"Canary Street {mark}"
    card, wrong = f"tok_canary_{mark}", f"canary-wrong-{mark}"
    email = f"bird-{mark}@example.com"
    product = await put_on_sale(9)
    traced = {"traceparent": f"00-{mark}-{mark[:16]}-01"}
    answers: list[str] = []

    async def ask(client: Client, method: str, request: Json) -> Json:
        try:
            answer = await client.call(method, request, headers=traced)
        except Refused as refused:
            answers.append(refused.message + json.dumps(refused.details))
            return {}
        return answer

    await ask(nobody, "UserService.Register", {"email": email, "password": password, "displayName": "Bird"})
    await ask(nobody, "UserService.Register", {"email": email, "password": password, "displayName": "Bird"})
    await ask(nobody, "UserService.Register", {"email": "no address", "password": wrong})
    tokens = await ask(nobody, "AuthService.Login", {"email": email, "password": password})
    await ask(nobody, "AuthService.Login", {"email": email, "password": wrong})
    bird = nobody.with_token(tokens["accessToken"])
    secrets = {
        "password": password,
        "wrong password": wrong,
        "card token": card,
        "address": address,
        "access token": tokens["accessToken"].rpartition(".")[2],
        "refresh token": tokens["refreshToken"],
    }
    body = order_of(product["id"])
    body["shippingAddress"] = {**body["shippingAddress"], "addressLines": [address]}
    placed = await ask(bird, "OrderService.CreateOrder", body)
    await ask(bird, "OrderService.CreateOrder", {**body, "paymentToken": card})
    await ask(bird, "OrderService.CreateOrder", {**body, "items": []})
    await ask(bird, "OrderService.CreateOrder", {**body, "shippingAddress": {"addressLines": [address] * 11}})
    await ask(bird, "OrderService.CreateOrder", {**body, "paymentToken": f"{card}; --"})
    await ask(bird, "AuthService.Refresh", {"refreshToken": f"{tokens['refreshToken']}x"})
    user = (await ask(bird, "UserService.GetUser", {"id": "me"}))["id"]
    await ask(bird, "UserService.ChangePassword", {"id": user, "currentPassword": wrong, "newPassword": password})
    await ask(nobody.with_token(f"{tokens['accessToken']}x"), "OrderService.ListOrders", {})
    await ask(bird, "OrderService.CancelOrder", {"id": placed["id"], "reason": "no more"})

    def mail_has_come() -> bool:
        return any(email.encode() in each.read_bytes() for each in (shop.home / "mail").glob("*.eml"))

    async def is_all_told() -> bool:
        listed = await bird.call("NotificationService.ListNotifications", {"pageSize": 100})
        return len(listed["notifications"]) >= 3 and mail_has_come()

    await eventually(is_all_told, "notification of everything", limit=30)
    return Canaries(secrets, "\n".join(answers), placed["id"])


@rest_only
async def test_planted_canaries_appear_nowhere(shop: RunningShop, canaries: Canaries) -> None:
    found = [
        f"{name} in {place}"
        for place, content in _everything(shop, canaries)
        for name, secret in canaries.secrets.items()
        if secret.encode() in content or secret.encode().hex().encode() in content
    ]

    assert not found


@rest_only
async def test_the_search_for_canaries_finds_what_is_there(shop: RunningShop, canaries: Canaries) -> None:
    """The order's id is no secret: were it not found in logs, on the broker and in tables, nothing would be."""
    order = canaries.order.encode()

    async def is_found() -> bool:
        places = {place.partition(" ")[0] for place, content in _everything(shop, canaries) if order in content}
        return {"log", "broker", "table", "mail"} <= places

    await eventually(is_found, "order's id in logs, mail, tables and on the broker")


def _everything(shop: RunningShop, canaries: Canaries) -> Iterator[tuple[str, bytes]]:
    """Whatever is written down anywhere, but for the address itself in the one table that order keeps it in."""
    yield "answer", canaries.answers.encode()
    for path in (shop.home / "logs").iterdir():
        yield f"log {path.name}", path.read_bytes()
    for path in (shop.home / "mail").glob("*.eml"):
        yield f"mail {path.name}", path.read_bytes()
    for path in (shop.home / "data" / "nats").rglob("*"):
        if path.is_file():
            yield f"broker {path.name}", path.read_bytes()
    run = json.loads((shop.home / "run.json").read_text())["ports"]
    for name, port in run["metrics"].items():
        yield f"metrics {name}", httpx.get(f"http://127.0.0.1:{port}/metrics").content
    yield "metrics edge", httpx.get(f"http://127.0.0.1:{run['edge_admin']}/stats").content
    if shop.collector is not None:
        yield "spans", shop.collector.file.read_bytes()
    passwords = json.loads((shop.home / "secrets.json").read_text())["databases"]
    for name, password in passwords.items():
        with psycopg.connect(
            host="127.0.0.1", port=run["postgres"], user=name, password=password, dbname=name
        ) as connection:
            tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
            for (table,) in tables:
                # An order's address and the answer that shows it to its owner are what the owner may have erased.
                if (name, table) in {("order", "shipping_address"), ("order", "idempotency")}:
                    continue
                rows = connection.execute(sql.SQL("SELECT t::text FROM {} t").format(sql.Identifier(table))).fetchall()
                yield f"table {name}.{table}", "\n".join(row for (row,) in rows).encode()


@rest_only
async def test_the_spans_of_a_call_are_collected_at_all(shop: RunningShop, nobody: Client) -> None:
    if shop.collector is None:
        pytest.fail("the shop was started without a collector")
    mark = uuid7().replace("-", "")
    await nobody.call("ProductService.ListCategories", {}, headers={"traceparent": f"00-{mark}-{mark[:16]}-01"})

    async def has_come() -> bool:
        return bytes.fromhex(mark) in shop.collector.file.read_bytes()  # type: ignore[union-attr]  # asked above

    await eventually(has_come, "span", limit=20)

    def tellers() -> set[str]:
        # Protobuf merges messages that stand one after the other.
        told = ExportTraceServiceRequest.FromString(shop.collector.file.read_bytes())  # type: ignore[union-attr]
        return {
            attribute.value.string_value
            for each in told.resource_spans
            if any(span.trace_id.hex() == mark for scope in each.scope_spans for span in scope.spans)
            for attribute in each.resource.attributes
            if attribute.key == "service.name"
        }

    async def edge_and_service_told() -> bool:
        return tellers() >= {"edge", "product"}

    await eventually(edge_and_service_told, "spans of edge and service", limit=20)


@rest_only
async def test_what_is_for_operators_can_not_be_reached_through_the_edge(shop: RunningShop, admin: Person) -> None:
    bearer = {"authorization": f"Bearer {admin.tokens['accessToken']}"}
    async with httpx.AsyncClient(base_url=f"http://{shop.address}") as client:
        for path in ("/stats", "/metrics", "/ready", "/config_dump", "/server_info", "/clusters", "/quitquitquit"):
            for verb in ("GET", "POST"):
                assert (await client.request(verb, path, headers=bearer)).status_code == 404, path
    async with grpc.aio.insecure_channel(shop.address) as channel:
        for path in (
            "/grpc.channelz.v1.Channelz/GetServers",
            "/envoy.service.status.v3.ClientStatusDiscoveryService/x",
        ):
            with pytest.raises(Refused) as refused:
                await raw_call(channel, path, metadata=list(bearer.items()))
            assert refused.value.code is grpc.StatusCode.UNIMPLEMENTED
    assert await code_of(admin, "UserService.ListUsers", {}) is grpc.StatusCode.OK
