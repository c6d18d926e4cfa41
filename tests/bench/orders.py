"""Orders as a load: who buys what, over REST through the edge or by gRPC at the service's own door."""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Protocol

import grpc
import httpx
from google.protobuf import json_format

from mesh.credentials import client_credentials
from mesh.ids import uuid7
from tests.fixtures.spans import SpanCollector
from tests.journeys.conftest import PASSWORD, order_of
from tests.journeys.running import RunningShop
from tests.journeys.transports import Json, refusal_of
from tests.ports import free_port
from zoco.order.v1.order_service_pb2 import CreateOrderRequest
from zoco.order.v1.order_service_pb2_grpc import OrderServiceStub

BUYERS: Final = 20
"""As few as possible: to sign up is slow on purpose. As many as needed: each may place 200 orders a second."""

PIECES: Final = 1_000_000
AT_REST: Final = frozenset({"CONFIRMED", "SHIPPED", "DELIVERED", "REJECTED", "CANCELLED"})
SETTLED_SECONDS: Final = 120.0
ANSWER_SECONDS: Final = 30.0


@dataclass(frozen=True)
class Call:
    """A CreateOrder that was made."""

    seconds: float
    """Until it was answered, or refused."""
    state: str
    """The order's state, or the reason or the code of the refusal."""
    order_id: str = ""
    """Empty if no order was acknowledged."""
    pushback: float | None = None
    """After how many seconds to come back, where a refusal says so."""

    @property
    def admitted(self) -> bool:
        """Whether it was answered with an order."""
        return bool(self.order_id)

    @property
    def shed(self) -> bool:
        """Whether there was no room for it."""
        return self.state in {"OVERLOADED", "RATE_LIMITED"}


class Door(Protocol):
    """A way to place an order."""

    async def create(self, token: str, request: Json) -> Call:
        """Places it. Never raises: what came instead of an order is the call's state."""


class RestDoor:
    """Through the edge, as a browser's backend does it."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def create(self, token: str, request: Json) -> Call:
        """Places an order."""
        began = time.perf_counter()
        try:
            answer = await self._client.post("/orders", json=request, headers={"authorization": f"Bearer {token}"})
        except httpx.TransportError as error:
            return Call(time.perf_counter() - began, type(error).__name__)
        seconds = time.perf_counter() - began
        body = answer.json()
        if answer.status_code == httpx.codes.OK:
            return Call(seconds, body["state"], body["id"])
        details = {each["@type"].rpartition(".")[2]: each for each in body["details"]}
        reason = details.get("ErrorInfo", {}).get("reason") or f"HTTP {answer.status_code}"
        return Call(seconds, reason, pushback=_pushback(details) if "retry-after" in answer.headers else None)


class OwnDoor:
    """At the order process itself, with the edge's certificate: no Envoy between."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub: Any = OrderServiceStub(channel)

    async def create(self, token: str, request: Json) -> Call:
        """Places an order."""
        message = json_format.ParseDict(request, CreateOrderRequest())
        began = time.perf_counter()
        try:
            order = await self._stub.CreateOrder(
                message, timeout=ANSWER_SECONDS, metadata=(("authorization", f"Bearer {token}"),)
            )
        except grpc.aio.AioRpcError as error:
            seconds = time.perf_counter() - began
            refused = refusal_of(error)
            return Call(seconds, refused.reason or refused.code.name, pushback=_pushback(refused.details))
        return Call(time.perf_counter() - began, json_format.MessageToDict(order)["state"], order.id)


@dataclass(frozen=True)
class Buyers:
    """People with an account, who all buy one product."""

    rest: httpx.AsyncClient
    tokens: Sequence[str]
    product: str
    admin: str
    """The administrator's token."""

    async def place(self, door: Door, number: int) -> Call:
        """One of them places an order."""
        return await door.create(self.tokens[number % len(self.tokens)], order_of(self.product, requestId=uuid7()))

    async def closed_loop(self, door: Door, clients: int, seconds: float) -> tuple[Sequence[Call], float]:
        """So many clients; their calls, and orders a second.

        Each orders as soon as it was answered, or when a refusal says that it may.
        """
        calls: list[Call] = []
        began = time.perf_counter()
        end = began + seconds

        async def order(number: int) -> None:
            while time.perf_counter() < end:
                call = await self.place(door, number)
                calls.append(call)
                await asyncio.sleep(call.pushback or 0)

        await asyncio.gather(*map(order, range(clients)))
        return calls, sum(each.admitted for each in calls) / (time.perf_counter() - began)

    async def open_loop(self, door: Door, rate: float, seconds: float) -> Sequence[Call]:
        """So many orders a second, whether or not earlier ones were answered: nobody waits for anybody."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        under_way: list[asyncio.Task[Call]] = []
        while (now := loop.time() - began) < seconds:
            due = int(now * rate) + 1
            under_way += [asyncio.create_task(self.place(door, n)) for n in range(len(under_way), due)]
            await asyncio.sleep(max(0.0, due / rate - (loop.time() - began)))
        return await asyncio.gather(*under_way)

    async def settled(self, calls: Sequence[Call]) -> Sequence[str]:
        """Waits until each acknowledged order has come to rest; those that are lost, a line each."""
        lost: list[str] = []
        end = time.monotonic() + SETTLED_SECONDS
        for call in calls:
            if not call.admitted or call.state in AT_REST:
                continue
            while (state := await self.state_of(call.order_id)) not in AT_REST:
                if time.monotonic() > end:
                    lost.append(f"order {call.order_id} was acknowledged and is {state}")
                    break
                await asyncio.sleep(0.1)
        return lost

    async def state_of(self, order_id: str) -> str:
        """The state of an order now; the status of the answer if there is no order in it."""
        answer = await self.rest.get(f"/orders/{order_id}", headers={"authorization": f"Bearer {self.admin}"})
        return str(answer.json()["state"]) if answer.status_code == httpx.codes.OK else f"HTTP {answer.status_code}"


@contextmanager
def open_shop(
    settings: Mapping[str, str] | None = None, collector: SpanCollector | None = None
) -> Iterator[RunningShop]:
    """A shop of its own, stopped and deleted at the end; its spans go to the collector, if there is one."""
    with TemporaryDirectory(prefix="zoco-bench-") as directory:
        shop = RunningShop(Path(directory), free_port(), collector=collector, settings=settings or {})
        try:
            shop.up()
            shop.wait_until_healthy()
            yield shop
        finally:
            shop.zoco("down", check=False)


@asynccontextmanager
async def arrived(shop: RunningShop, buyers: int = BUYERS) -> AsyncIterator[Buyers]:
    """Puts a product on sale and lets buyers sign up."""
    limits = httpx.Limits(max_connections=2000, max_keepalive_connections=2000)
    async with httpx.AsyncClient(base_url=f"http://{shop.address}/v1", timeout=ANSWER_SECONDS, limits=limits) as client:
        email, password = shop.admin
        admin = await _log_in(client, email, password)
        product = await _put_on_sale(client, admin)
        tokens = []
        for _ in range(buyers):
            account = {"email": f"{uuid7()}@example.com", "password": PASSWORD, "displayName": "A Buyer"}
            (await client.post("/users", json=account)).raise_for_status()
            tokens.append(await _log_in(client, account["email"], PASSWORD))
        yield Buyers(client, tokens, product, admin)


@asynccontextmanager
async def own_door(shop: RunningShop) -> AsyncIterator[OwnDoor]:
    """The order process's own address, with the edge's identity."""
    async with grpc.aio.secure_channel(
        f"127.0.0.1:{shop.port('order')}",
        client_credentials(shop.home / "pki" / "edge"),
        options=(("grpc.ssl_target_name_override", "order"), ("grpc.use_local_subchannel_pool", 1)),
    ) as channel:
        yield OwnDoor(channel)


def milliseconds(calls: Sequence[Call], percent: float) -> float:
    """A percentile of how long calls took; 0 if there was none."""
    ordered = sorted(each.seconds * 1000 for each in calls)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] if ordered else 0.0


def _pushback(details: Mapping[str, Json]) -> float | None:
    """The seconds that a RetryInfo among a refusal's details tells, in proto3 JSON such as `0.5s`."""
    info = details.get("RetryInfo")
    return None if info is None else float(info["retryDelay"].rstrip("s"))


async def _log_in(client: httpx.AsyncClient, email: str, password: str) -> str:
    answer = await client.post("/auth:login", json={"email": email, "password": password})
    answer.raise_for_status()
    return str(answer.json()["accessToken"])


async def _put_on_sale(client: httpx.AsyncClient, admin: str) -> str:
    categories = (await client.get("/categories")).json()["categories"]
    product = {
        "name": f"Teapot {secrets.token_hex(4)}",
        "description": "A teapot that everybody wants.",
        "price": {"currencyCode": "EUR", "units": "12", "nanos": 500_000_000},
        "categoryId": categories[0]["id"],
    }
    answer = await client.post(
        "/products",
        json={"product": product, "initialStock": PIECES, "requestId": uuid7()},
        headers={"authorization": f"Bearer {admin}"},
    )
    answer.raise_for_status()
    made = str(answer.json()["id"])
    while json.loads((await client.get(f"/stock:batchGet?productIds={made}")).content)["missingIds"]:  # noqa: ASYNC110
        await asyncio.sleep(0.1)
    return made
