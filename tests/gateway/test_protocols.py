"""One port, four ways in: REST, gRPC, gRPC-Web and streams; the same over TLS."""

import asyncio
import contextlib
import json
import ssl
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import grpc
import httpx
import pytest
from google.rpc import code_pb2
from google.rpc.error_details_pb2 import ErrorInfo

from mesh.policy import Audience
from tests.gateway.edges import ORIGIN, Edge, grpc_web_frame, grpc_web_frames, raw_call, until
from tests.gateway.neighbours import answering, failing, policy
from zoco.mesh.v1.stream_pb2 import Heartbeat, StreamEnd
from zoco.order.v1.order_pb2 import Order
from zoco.order.v1.order_service_pb2 import GetOrderRequest, WatchOrderRequest, WatchOrderResponse
from zoco.order.v1.order_service_pb2_grpc import OrderServiceStub

pytestmark = pytest.mark.asyncio(loop_scope="session")

GET_ORDER = "/zoco.order.v1.OrderService/GetOrder"
WATCH_ORDER = "/zoco.order.v1.OrderService/WatchOrder"
EXPOSED = [method for method in policy().methods.values() if method.audience is not Audience.NONE]


async def test_every_exposed_method_is_reached_by_its_grpc_path(edge: Edge) -> None:
    for method in EXPOSED:
        if method.server_streaming:
            stream: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = edge.channel.unary_stream(method.path)
            assert [each async for each in stream(b"")] == []
        else:
            await raw_call(edge.channel, method.path)
        assert edge.of(method.path).calls[-1].path == method.path


async def test_the_contracts_deadline_reaches_the_service_and_a_client_may_only_shorten_it(edge: Edge) -> None:
    stub = OrderServiceStub(edge.channel)
    for timeout in (None, 100, 1):
        await stub.GetOrder(GetOrderRequest(id="o1"), timeout=timeout)
    await edge.rest("GET", "/v1/orders/o1")
    await edge.rest("GET", "/v1/orders/o1", headers={"grpc-timeout": "1S"})
    deadline = policy().methods[GET_ORDER].deadline.total_seconds()
    left = [call.time_remaining or 0 for call in edge.neighbours["order"].calls]
    assert left == pytest.approx([deadline, deadline, 1, deadline, 1], abs=0.3)


ABSURD = ["99999999H", "0S", "0n", "-1S", "1", "x", "999999999999S", "1.5S", ""]


@pytest.mark.parametrize("timeouts", [*([each] for each in ABSURD), ["1S", "99999999H"], ["99999999H", "1S"]])
async def test_no_spelling_of_a_timeout_gives_more_time_than_the_contract(edge: Edge, timeouts: list[str]) -> None:
    asked = [*edge.shown.items(), *(("grpc-timeout", each) for each in timeouts)]
    native = [*asked, ("content-type", "application/grpc"), ("te", "trailers")]
    await edge.client.get(f"{edge.url}/v1/orders/o1", headers=asked)
    await edge.client.post(edge.url + GET_ORDER, content=grpc_web_frame(b""), headers=native)
    deadline = policy().methods[GET_ORDER].deadline.total_seconds()
    for call in edge.neighbours["order"].calls:
        assert call.time_remaining is not None
        assert call.time_remaining < deadline + 0.3


async def test_grpc_web_works_over_http_1(edge: Edge) -> None:
    edge.of(GET_ORDER).answers[GET_ORDER] = answering(Order(id="o1"))
    headers = {"content-type": "application/grpc-web+proto", "x-grpc-web": "1", "origin": ORIGIN}
    body = grpc_web_frame(GetOrderRequest(id="o1").SerializeToString())
    answer = await edge.rest("POST", GET_ORDER, content=body, headers=headers)
    assert answer.http_version == "HTTP/1.1"
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    (flags, message), (trailer_flags, trailers) = grpc_web_frames(answer.content)
    assert (flags, Order.FromString(message).id) == (0, "o1")
    assert trailer_flags == 128
    assert b"grpc-status:0" in trailers
    assert edge.neighbours["order"].calls[0].request.id == "o1"


async def test_grpc_web_gets_errors_with_details(edge: Edge) -> None:
    edge.of(GET_ORDER).answers[GET_ORDER] = failing(code_pb2.NOT_FOUND, "no such order", ErrorInfo(reason="X"))
    answer = await edge.rest(
        "POST", GET_ORDER, content=grpc_web_frame(b""), headers={"content-type": "application/grpc-web"}
    )
    assert answer.headers["grpc-status"] == "5"
    assert answer.headers["grpc-message"] == "no such order"
    assert answer.headers["grpc-status-details-bin"]


async def test_tls_offers_http_2_and_http_1(edge: Edge) -> None:
    trust = ssl.create_default_context(cafile=edge.authority)
    place = urlsplit(edge.tls_url)
    for offered in ("h2", "http/1.1"):
        trust.set_alpn_protocols([offered])
        _, writer = await asyncio.open_connection("127.0.0.1", place.port, ssl=trust, server_hostname="localhost")
        socket = writer.get_extra_info("ssl_object")
        assert socket.selected_alpn_protocol() == offered
        assert socket.version() in {"TLSv1.2", "TLSv1.3"}
        writer.close()
        with contextlib.suppress(ssl.SSLError):
            await writer.wait_closed()
    answer = await OrderServiceStub(edge.secure_channel).GetOrder(GetOrderRequest(id="o1"))
    assert answer == Order()
    async with httpx.AsyncClient(verify=ssl.create_default_context(cafile=edge.authority), trust_env=False) as client:
        rest = await client.get(f"{edge.tls_url}/v1/orders/o1", headers=edge.shown)
    assert rest.status_code == 200
    assert "strict-transport-security" not in rest.headers, "in dev it would bind every other server on localhost"


async def test_a_watch_over_rest_is_server_sent_events_as_they_happen(edge: Edge) -> None:
    go_on = asyncio.Event()

    async def watch(request: Any, _: Any) -> AsyncIterator[WatchOrderResponse]:
        yield WatchOrderResponse(order=Order(id=request.id), position="1")
        await go_on.wait()
        yield WatchOrderResponse(heartbeat=Heartbeat(), position="1")
        yield WatchOrderResponse(end=StreamEnd(), position="2")

    edge.of(WATCH_ORDER).answers[WATCH_ORDER] = watch
    async with edge.client.stream("GET", f"{edge.url}/v1/orders/o1:watch", headers=edge.shown) as answer:
        assert answer.headers["content-type"] == "text/event-stream"
        lines = answer.aiter_lines()
        first = await _event(lines)
        assert first["order"]["id"] == "o1"
        assert not go_on.is_set(), "the first event came before the second was made"
        go_on.set()
        assert "heartbeat" in await _event(lines)
        assert (await _event(lines))["position"] == "2"
        assert [line async for line in lines if line] == []


async def test_a_watch_that_fails_before_its_first_event_is_an_error_not_a_stream(edge: Edge) -> None:
    async def fail(_: Any, context: Any) -> AsyncIterator[WatchOrderResponse]:
        await context.abort(grpc.StatusCode.NOT_FOUND, "no such order")
        yield WatchOrderResponse()

    edge.of(WATCH_ORDER).answers[WATCH_ORDER] = fail
    answer = await edge.rest("GET", "/v1/orders/o1:watch")
    assert answer.status_code == 404
    assert answer.json()["code"] == code_pb2.NOT_FOUND


async def test_a_watch_that_fails_later_just_ends_for_rest_and_says_why_for_grpc(edge: Edge) -> None:
    """Server-sent events have no place for a status: that is why watches send `end` as their last message."""

    async def fail(_: Any, context: Any) -> AsyncIterator[WatchOrderResponse]:
        yield WatchOrderResponse(position="1")
        await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too slow")

    edge.of(WATCH_ORDER).answers[WATCH_ORDER] = fail
    answer = await edge.rest("GET", "/v1/orders/o1:watch")
    assert answer.status_code == 200
    assert answer.text.count("data: ") == 1
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        _ = [each async for each in OrderServiceStub(edge.channel).WatchOrder(WatchOrderRequest(id="o1"))]
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_reader_who_leaves_ends_the_watch_at_the_service(edge: Edge) -> None:
    ended: list[str] = []

    async def watch(request: Any, _: Any) -> AsyncIterator[WatchOrderResponse]:
        try:
            while True:
                yield WatchOrderResponse(position="1")
                await asyncio.sleep(0.05)
        finally:
            ended.append(request.id)

    edge.of(WATCH_ORDER).answers[WATCH_ORDER] = watch
    async with edge.client.stream("GET", f"{edge.url}/v1/orders/rest:watch", headers=edge.shown) as answer:
        await _event(answer.aiter_lines())
    call = OrderServiceStub(edge.channel).WatchOrder(WatchOrderRequest(id="native"))
    await call.read()
    call.cancel()

    async def both_ended() -> bool:
        return set(ended) == {"rest", "native"}

    await until(both_ended, "the service notices that its readers left")


async def test_a_quiet_watch_outlives_the_deadlines_of_other_calls(edge: Edge) -> None:
    async def watch(_: Any, __: Any) -> AsyncIterator[WatchOrderResponse]:
        yield WatchOrderResponse(position="1")
        await asyncio.sleep(6)
        yield WatchOrderResponse(position="2")

    edge.of(WATCH_ORDER).answers[WATCH_ORDER] = watch
    begin = time.monotonic()
    stream = OrderServiceStub(edge.channel).WatchOrder(WatchOrderRequest(id="o1"))
    assert [each.position async for each in stream] == ["1", "2"]
    assert time.monotonic() - begin > policy().methods[GET_ORDER].deadline.total_seconds()
    assert (edge.neighbours["order"].calls[0].time_remaining or 0) > 3000


async def _event(lines: AsyncIterator[str]) -> dict[str, Any]:
    async for line in lines:
        if line.startswith("data: "):
            event: dict[str, Any] = json.loads(line.removeprefix("data: "))
            return event
    raise AssertionError("the stream ended")
