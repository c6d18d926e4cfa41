"""What the edge does with requests that no honest client sends, and what holds if a route is forgotten."""

import asyncio
import contextlib
import gzip
import re
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
import httpx
import pytest
import pytest_asyncio

from gateway.authentication import no_token
from tests.gateway.edges import Edge, managers, raw_call, start_edge, until
from tests.gateway.neighbours import answering, response_of
from tests.gateway.test_errors import reasons
from zoco.order.v1.order_service_pb2 import GetOrderRequest
from zoco.order.v1.order_service_pb2_grpc import OrderServiceStub

pytestmark = pytest.mark.asyncio(loop_scope="session")

GET_PRODUCT = "/zoco.product.v1.ProductService/GetProduct"
LIST_USERS = "/zoco.user.v1.UserService/ListUsers"
MOST_CONNECTIONS = 40
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = 4


def _tighten(config: dict[str, Any]) -> None:
    """Shorten what would take long, and forget to say of two routes who may use them."""
    forgotten = {"match": {"path": "/forgotten"}, "route": {"cluster": "order"}}
    unlisted = {
        "match": {"path": "/unlisted"},
        "route": {"cluster": "order"},
        "typed_per_filter_config": no_token(),
    }
    config["overload_manager"]["resource_monitors"][0]["typed_config"]["max_active_downstream_connections"] = (
        MOST_CONNECTIONS
    )
    for manager in managers(config):
        manager |= {"request_headers_timeout": "0.5s", "request_timeout": "1s"}
        (host,) = manager["route_config"]["virtual_hosts"]
        unknown = host["matcher"]["matcher_tree"]["prefix_match_map"]["map"]["/"]["action"]["typed_config"]
        if forgotten not in unknown["routes"]:  # both listeners may share one table
            unknown["routes"] = [forgotten, unlisted, *unknown["routes"]]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def tight(pki: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Edge]:
    async with AsyncExitStack() as stack:
        yield await start_edge(stack, pki, tmp_path_factory.mktemp("tight"), alter=_tighten)


async def _sent(edge: Edge, *parts: bytes) -> bytes:
    """Send bytes as they are, and read until the other side ends or says nothing more for a while."""
    place = urlsplit(edge.url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    writer.writelines(parts)
    answer = b""
    try:
        async with asyncio.timeout(3):
            while more := await reader.read(65536):
                answer += more
    except (TimeoutError, ConnectionError):
        pass
    writer.transport.abort()
    return answer


def _request(*lines: str, body: bytes = b"") -> bytes:
    return "\r\n".join([*lines, "", ""]).encode() + body


async def test_http_1_0_is_not_spoken(tight: Edge) -> None:
    answer = await _sent(tight, b"GET /v1/products/p1 HTTP/1.0\r\nhost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 426 ")
    assert not tight.of(GET_PRODUCT).calls


SMUGGLED = b"GET /v1/products/smuggled HTTP/1.1\r\nhost: x\r\n\r\n"
SHAPES = {
    "length and chunks": (["content-length: 5", "transfer-encoding: chunked"], b"0\r\n\r\n" + SMUGGLED),
    "two lengths": ([f"content-length: {len(SMUGGLED)}", "content-length: 0"], SMUGGLED),
    "two lengths in one": (["content-length: 0, 5"], SMUGGLED),
    "a signed length": (["content-length: +5"], b"12345" + SMUGGLED),
    "an unknown coding": (["transfer-encoding: xchunked"], b"0\r\n\r\n" + SMUGGLED),
    "a coding after chunks": (["transfer-encoding: chunked, identity"], b"0\r\n\r\n" + SMUGGLED),
    "a space before the colon": (["transfer-encoding : chunked"], b"0\r\n\r\n" + SMUGGLED),
    "a folded header": (["x-a: b", " transfer-encoding: chunked"], b"0\r\n\r\n" + SMUGGLED),
    "a chunk that is no number": (["transfer-encoding: chunked"], b"zz\r\n" + SMUGGLED),
    "a null byte": (["x-a: b\0c"], SMUGGLED),
    "a lone carriage return": (["x-a: b\rtransfer-encoding: chunked"], b"0\r\n\r\n" + SMUGGLED),
}


READ_AS_ONE_HEADER = ("a folded header", "a lone carriage return")
"""Here the length stays what it was, nothing: the request is answered, and what follows it is no request."""


@pytest.mark.parametrize("shape", SHAPES)
async def test_nothing_is_smuggled_behind_a_request(tight: Edge, shape: str) -> None:
    tight.forget()
    lines, body = SHAPES[shape]
    first = _request("POST /v1/auth:login HTTP/1.1", "host: x", "content-type: application/json", *lines, body=body)
    statuses = re.findall(rb"HTTP/1\.1 (\d+) ", await _sent(tight, first))
    if shape in READ_AS_ONE_HEADER:
        assert statuses[1:] == [b"400"]
        assert all(
            "\r" not in str(value) for call in tight.neighbours["user"].calls for value in call.metadata.values()
        )
    else:
        assert set(statuses) <= {b"400", b"426", b"501"}
        assert not tight.neighbours["user"].calls
    assert not tight.of(GET_PRODUCT).calls


async def test_headers_and_bodies_that_dawdle_are_hung_up_on(tight: Edge) -> None:
    headers = _sent(tight, b"GET /v1/products/p1 HTTP/1.1\r\nhost: x\r\nx-slow:")
    body = _sent(
        tight,
        _request(
            "POST /v1/auth:login HTTP/1.1", "host: x", "content-type: application/json", "content-length: 9", body=b"{"
        ),
    )
    for answer in await asyncio.gather(headers, body):
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"DEADLINE_OVER" in answer


async def test_a_hundred_headers_are_the_most(tight: Edge) -> None:
    many = {f"x-filler-{number}": "x" for number in range(120)}
    answer = await tight.rest("GET", "/v1/products/p1", headers=many)
    assert answer.status_code == 431
    assert reasons(answer) == ["MALFORMED_REQUEST"]


async def test_http_2_is_told_its_limits(tight: Edge) -> None:
    place = urlsplit(tight.url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    writer.write(PREFACE + struct.pack(">IBI", 0, SETTINGS, 0)[1:] + b"\0")
    head = await reader.readexactly(9)
    assert head[3] == SETTINGS
    said = dict(struct.iter_unpack(">HI", await reader.readexactly(int.from_bytes(head[:3]))))
    assert said[0x3] == 100, "streams at once"
    assert said[0x4] == 65536, "bytes in flight of a stream"
    writer.transport.abort()


async def test_connections_beyond_the_most_are_hung_up_on_and_room_is_made_again(tight: Edge) -> None:
    place = urlsplit(tight.url)
    opened = [await asyncio.open_connection(place.hostname, place.port) for _ in range(MOST_CONNECTIONS + 10)]

    async def hung_up_on(reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(ConnectionError):
            assert await reader.read(1) == b""

    reading = [asyncio.create_task(hung_up_on(reader)) for reader, _ in opened]

    async def ten_are_hung_up_on() -> bool:
        return sum(task.done() for task in reading) >= 10

    await until(ten_are_hung_up_on, "ten connections are hung up on")
    for _, writer in opened:
        writer.transport.abort()
    await asyncio.gather(*reading)
    async with httpx.AsyncClient(trust_env=False) as fresh:

        async def served() -> bool:
            try:
                return (await fresh.get(f"{tight.url}/v1/products/p1")).status_code == 200
            except httpx.TransportError:
                return False

        await until(served, "room is made again")


async def test_a_route_that_forgets_to_say_who_may_use_it_lets_nobody_through(tight: Edge) -> None:
    admin = {"authorization": f"Bearer {tight.tokens.admin()}"}
    assert (await tight.rest("GET", "/forgotten", headers=admin)).status_code == 401
    assert (await tight.rest("GET", "/unlisted", headers=admin)).status_code == 403
    assert not tight.neighbours["order"].calls


TRICKS = [
    "/v1/users",
    "/v1/users/",
    "//v1//users",
    "/v1/./users",
    "/v1/orders/../users",
    "/v1/%75sers",
    "/v1/users%2f",
    "/v1/users%00",
    "/v1/users;role=ADMIN",
    "/v1/users?role=ADMIN",
    "/v1/users#x",
    "/V1/USERS",
    "/v1\\users",
    "http://user/v1/users",
    "http://127.0.0.1/v1/users",
    LIST_USERS,
    f"{LIST_USERS}?x=1",
    f"/{LIST_USERS}",
    LIST_USERS.lower(),
    "/zoco.user.v1.UserService/%4cistUsers",
]


@pytest.mark.parametrize("content_type", ["application/json", "application/grpc", "application/grpc-web+proto"])
async def test_no_spelling_of_a_path_makes_a_customer_an_administrator(edge: Edge, content_type: str) -> None:
    lines = ["host: x", f"authorization: Bearer {edge.tokens.customer()}", f"content-type: {content_type}"]
    tricks = (f"{verb} {target} HTTP/1.1" for verb in ("GET", "POST") for target in TRICKS)
    await asyncio.gather(*(_closed(edge, trick, lines) for trick in tricks))
    assert not edge.neighbours["user"].calls


async def _closed(edge: Edge, line: str, lines: Sequence[str]) -> None:
    answer = await _sent(edge, _request(line, *lines, "content-length: 5", "connection: close", body=b"\0" * 5))
    status = answer.split(b" ")[1] if answer else b"closed"
    assert status != b"200" or (b"grpc-status: " in answer and b"grpc-status: 0" not in answer), (line, answer)


async def test_a_header_said_twice_passes_no_more_than_said_once(edge: Edge) -> None:
    names = ("x-user-id", "x-role", "x-forwarded-client-cert", "x-envoy-original-path", "x-envoy-internal")
    twice = [(name, value) for name in names for value in ("a", "b")]
    sent = httpx.Headers([*twice, *edge.shown.items()])
    assert (await edge.client.get(f"{edge.url}/v1/orders/o1", headers=sent)).status_code == 200
    (call,) = edge.neighbours["order"].calls
    assert not {"x-user-id", "x-role", "x-forwarded-client-cert", "x-envoy-internal"} & call.metadata.keys()
    assert call.metadata["x-envoy-original-path"] == "/v1/orders/o1"


async def test_compressed_messages_are_refused_unread(edge: Edge) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await OrderServiceStub(edge.channel).GetOrder(
            GetOrderRequest(id="o" * 10_000), compression=grpc.Compression.Gzip
        )
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    body = gzip.compress(b'{"requestId": "r1"}')
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    assert (await edge.rest("POST", "/v1/orders", content=body, headers=headers)).status_code == 415
    assert not edge.neighbours["order"].calls


async def test_large_answers_are_compressed_for_who_asks(edge: Edge) -> None:
    edge.of(GET_PRODUCT).answers[GET_PRODUCT] = answering(response_of(GET_PRODUCT, description="x" * 10_000))
    asked = await edge.rest("GET", "/v1/products/p1", headers={"accept-encoding": "gzip"})
    assert asked.headers["content-encoding"] == "gzip"
    assert int(asked.headers.get("content-length", "0")) < 5_000
    assert "accept-encoding" in asked.headers["vary"]
    assert len(asked.json()["description"]) == 10_000
    plain = await edge.rest("GET", "/v1/products/p1", headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    native = await raw_call(edge.channel, GET_PRODUCT)
    assert len(native) > 10_000
    calls = edge.of(GET_PRODUCT).calls
    assert all("gzip" not in str(call.metadata.get("accept-encoding")) for call in calls)


async def test_the_edge_says_that_it_lives_whatever_is_behind_it(edge: Edge) -> None:
    answer = await edge.client.get(f"{edge.url}/livez")
    assert answer.status_code == 200
    assert not answer.content
    assert [(await edge.rest(verb, "/livez")).status_code for verb in ("POST", "DELETE", "TRACE")] == [404] * 3
