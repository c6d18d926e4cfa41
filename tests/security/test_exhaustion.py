"""security.md, "exhaustion": nobody takes more than their share; others are served meanwhile and afterwards."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from itertools import count

import grpc
import httpx
import psutil
import pytest
import yaml

from mesh.policy import load_policy
from tests.gateway.edges import routes_of
from tests.journeys.conftest import order_of
from tests.journeys.running import RunningShop
from tests.journeys.transports import Client, Refused, Rest, refusal_of
from tests.security.http2 import (
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PING,
    RST_STREAM,
    SETTINGS,
    Connection,
    frame,
    headers,
)
from tests.security.inside import Inside

pytestmark = pytest.mark.parametrize("transport", [Rest], indirect=True, ids=["REST"])

LIST_PRODUCTS = "/zoco.product.v1.ProductService/ListProducts"
POLICY = load_policy()
MEBIBYTE = 1024 * 1024


@asynccontextmanager
async def rest(shop: RunningShop) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"http://{shop.address}", timeout=20) as client:
        yield client


@pytest.fixture(autouse=True)
async def others_are_served(shop: RunningShop, nobody: Client) -> AsyncIterator[None]:
    """Whatever is tried here, an honest client is served afterwards, by the processes there were before."""
    before = _pids(shop)
    yield
    assert (await nobody.call("ProductService.ListProducts", {"pageSize": 1}))["products"]
    assert _pids(shop) == before, "a process died of it"


def _pids(shop: RunningShop) -> Mapping[str, int]:
    recorded = json.loads((shop.home / "run.json").read_text())["processes"]
    return {each["name"]: each["pid"] for each in recorded}


async def _native(address: str, path: str, body: bytes, **options: object) -> grpc.StatusCode:
    async with grpc.aio.insecure_channel(address) as channel:
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(path)
        try:
            await call(body, timeout=20, **options)  # type: ignore[arg-type]  # options are passed through as they are
        except grpc.aio.AioRpcError as error:
            return refusal_of(error).code
        return grpc.StatusCode.OK


async def test_an_oversized_message_is_refused_unread(shop: RunningShop) -> None:
    async with rest(shop) as client:
        try:
            answer = await client.post("/v1/users", content=b'{"displayName":"' + b"x" * (8 * MEBIBYTE) + b'"}')
        except (httpx.WriteError, httpx.ReadError):
            pass  # the edge hung up before all was sent
        else:
            assert answer.status_code == 413
    for path in (LIST_PRODUCTS, "/zoco.user.v1.AuthService/Login"):
        code = await _native(shop.address, path, b"\x0a" + b"\xff" * (8 * MEBIBYTE))
        assert code in {grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}


async def test_a_compressed_bomb_does_not_go_off(shop: RunningShop, inside: Inside, ports: dict[str, int]) -> None:
    bomb = b"\x0a\x80\x80\x80\x20" + b"\0" * (64 * MEBIBYTE)
    process = psutil.Process(int(shop.status()["product"]["pid"]))
    before = process.memory_info().rss

    outside = await _native(shop.address, LIST_PRODUCTS, bomb, compression=grpc.Compression.Gzip)
    call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = inside.channel("product", "edge").unary_unary(LIST_PRODUCTS)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call(bomb, timeout=20, compression=grpc.Compression.Gzip)

    refusals = {grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNIMPLEMENTED}
    assert {outside, refused.value.code()} <= refusals
    assert process.memory_info().rss - before < 48 * MEBIBYTE, "the bomb was inflated whole"


@pytest.mark.parametrize(
    "body",
    [
        b'{"items":' * 20_000 + b"1" + b"}" * 20_000,
        b'{"items":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
        b'{"shippingAddress":' * 5_000,
    ],
    ids=["objects", "lists", "never closed"],
)
async def test_deep_nesting_is_refused(shop: RunningShop, body: bytes) -> None:
    async with rest(shop) as client:
        for path in ("/v1/users", "/v1/auth:login"):
            answer = await client.post(path, content=body, headers={"content-type": "application/json"})
            assert answer.status_code in {400, 413}, answer.text[:200]


async def test_a_deeply_nested_message_is_refused(shop: RunningShop) -> None:
    body = b"\x0b" * 2_000 + b"\x0c" * 2_000  # groups within groups, of a field that nobody knows

    assert await _native(shop.address, LIST_PRODUCTS, body) is grpc.StatusCode.INVALID_ARGUMENT


async def test_20_kib_of_metadata_are_refused(shop: RunningShop, inside: Inside) -> None:
    async with rest(shop) as client:
        answer = await client.get("/v1/products", headers={"x-filler": "x" * (64 * 1024)})
        assert answer.status_code == 431
        answer = await client.get("/v1/products", headers={f"x-filler-{number}": "x" for number in range(200)})
        assert answer.status_code == 431
    filler = [("x-filler", "x" * (20 * 1024))]
    call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = inside.channel("product", "edge").unary_unary(LIST_PRODUCTS)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call(b"", timeout=20, metadata=filler)
    assert refused.value.code() in {grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE}


@pytest.mark.parametrize(
    "method", ["ProductService.ListProducts", "ProductService.ListCategories", "OrderService.ListOrders"]
)
async def test_a_page_of_a_billion_is_a_page_of_a_hundred(nobody: Client, genuine_customer: str, method: str) -> None:
    page = await nobody.with_token(genuine_customer).call(method, {"pageSize": 10**9})

    assert max(len(value) for value in page.values() if isinstance(value, list)) <= 100


def request_headers(port: int) -> bytes:
    fields = {":method": "GET", ":scheme": "http", ":path": "/v1/categories", ":authority": f"127.0.0.1:{port}"}
    return headers(fields)


async def test_rapid_resets_end_the_connection(shop: RunningShop) -> None:
    block = request_headers(shop.edge_port)
    async with Connection.open(shop.edge_port) as connection:
        for number in count(1, 2):
            cancelled = frame(HEADERS, END_HEADERS | END_STREAM, number, block) + frame(
                RST_STREAM, 0, number, b"\0\0\0\x08"
            )
            if number > 20_000 or not await connection.send(cancelled):
                break

        assert await connection.until_closed(10)


@pytest.mark.parametrize(
    "flood", [frame(PING, 0, 0, b"12345678"), frame(SETTINGS, 0, 0), frame(SETTINGS, 0, 0, b"\0\x04\0\0\0\0") * 2]
)
async def test_a_flood_of_control_frames_ends_the_connection(shop: RunningShop, flood: bytes) -> None:
    """At once: while Envoy keeps up with answering, frame by frame, there is no flood."""
    async with Connection.open(shop.edge_port) as connection:
        await connection.send(flood * 20_000)

        assert await connection.until_closed(10)


async def test_slow_clients_hold_nobody_up_and_are_hung_up_on(shop: RunningShop) -> None:
    slow = [socket.create_connection(("127.0.0.1", shop.edge_port)) for _ in range(100)]
    try:
        for number, each in enumerate(slow):
            each.sendall(b"GET /v1/products HTTP/1.1\r\nhost: x\r\nx-slow: " if number % 2 else b"G")
        async with rest(shop) as client:
            for _ in range(5):
                assert (await client.get("/v1/categories", timeout=5)).status_code == 200

        async def is_hung_up_on(each: socket.socket) -> bool:
            each.settimeout(20)
            said = await asyncio.to_thread(each.recv, 65536)
            return said == b"" or b" 408 " in said

        # The headers did not come within the time for headers.
        assert await is_hung_up_on(slow[1])
    finally:
        for each in slow:
            each.close()


@pytest.mark.parametrize("value", ["99999999H", "0n", "1n", "-1S", "1", "x", "999999999999S", "1.5S", "\u0663S"])
async def test_an_absurd_timeout_is_bounded_by_the_contract(shop: RunningShop, value: str) -> None:
    async with rest(shop) as client:
        try:
            answer = await client.get("/v1/categories", headers={"grpc-timeout": value})
        except UnicodeEncodeError:
            answer = await client.get("/v1/categories", headers={b"grpc-timeout": value.encode()})
    # It may shorten what the contract says, to nothing even, and never lengthen it.
    assert answer.status_code in {200, 400, 504}

    reader, writer = await asyncio.open_connection("127.0.0.1", shop.edge_port)
    head = f"POST {LIST_PRODUCTS} HTTP/1.1\r\nhost: x\r\ncontent-type: application/grpc\r\nte: trailers\r\n"
    writer.write(f"{head}grpc-timeout: {value}\r\ncontent-length: 5\r\n\r\n".encode() + b"\0" * 5)
    async with asyncio.timeout(15):
        assert await reader.readuntil(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()


async def test_no_route_waits_for_ever_for_an_answer(shop: RunningShop) -> None:
    config = yaml.safe_load((shop.home / "config" / "edge.yaml").read_text())
    manager = config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    (host,) = manager["route_config"]["virtual_hosts"]
    routes = [each for each in routes_of(host) if each.get("route", {}).get("cluster") in POLICY.workloads]

    assert len(routes) >= 40
    for each in routes:
        longest = each["route"]["max_stream_duration"]
        assert 0 < float(longest["grpc_timeout_header_max"].rstrip("s")) <= 3600, each["name"]
        assert 0 < float(longest["max_stream_duration"].rstrip("s")) <= 3600, each["name"]


async def test_150_reads_at_once_are_answered_or_told_when_to_come_again_and_none_breaks(shop: RunningShop) -> None:
    """Fewer than the shop takes; test_overload.py asks for more than that."""
    async with rest(shop) as client, asyncio.timeout(60):

        async def ask(number: int) -> int:
            """Asks until it is answered; how often it was refused."""
            target = f"/v1/products?pageSize=20&query=tea+{number}"
            refused = 0
            while (answer := await client.get(target)).status_code != 200:
                assert answer.status_code in {429, 503}, answer.text
                refused += 1
                await asyncio.sleep(float(answer.headers["retry-after"]))
            return refused

        refusals = await asyncio.gather(*(ask(number) for number in range(150)))

        assert refusals.count(0) >= 50
        assert (await client.get("/healthz")).status_code == 200


async def test_log_ins_are_slowed_down_per_account_without_locking_it_for_good(
    nobody: Client, shop: RunningShop
) -> None:
    email = f"slowed-{shop.mesh}@example.com"
    await nobody.call("UserService.Register", {"email": email, "password": "correct horse battery", "displayName": "x"})
    refusals = []
    for _ in range(12):
        with pytest.raises(Refused) as refused:
            await nobody.call("AuthService.Login", {"email": email, "password": "not the password"})
        refusals.append(refused.value)

    assert refusals[0].code is grpc.StatusCode.UNAUTHENTICATED
    assert refusals[-1].code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "RetryInfo" in refusals[-1].details


async def test_a_hundred_lines_are_the_most_an_order_takes(nobody: Client, genuine_customer: str) -> None:
    body = order_of("00000000-0000-7000-8000-000000000000")
    body["items"] = body["items"] * 101

    with pytest.raises(Refused) as refused:
        await nobody.with_token(genuine_customer).call("OrderService.CreateOrder", body)

    assert refused.value.code is grpc.StatusCode.INVALID_ARGUMENT
    assert len(json.dumps(refused.value.details)) < 10_000
