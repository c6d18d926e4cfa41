"""When a service dies: clear errors at once, nothing sent twice, its twin takes over, and it is found again soon."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
from google.rpc import code_pb2

from tests.gateway.edges import Edge, start_edge, until
from tests.gateway.neighbours import Neighbour
from zoco.order.v1.order_service_pb2 import GetOrderRequest
from zoco.order.v1.order_service_pb2_grpc import OrderServiceStub

pytestmark = pytest.mark.asyncio(loop_scope="session")

CREATE_ORDER = "/zoco.order.v1.OrderService/CreateOrder"


@pytest_asyncio.fixture(loop_scope="session")
async def twin(pki: Path) -> Neighbour:
    return Neighbour("order", pki / "order")


@pytest_asyncio.fixture(loop_scope="session")
async def edge(pki: Path, tmp_path: Path, twin: Neighbour) -> AsyncIterator[Edge]:
    """An edge of its own for each test, with two order processes."""
    async with AsyncExitStack() as stack:
        yield await start_edge(stack, pki, tmp_path, also={"order": twin}, signed_in=True)


async def test_calls_go_round_the_processes_and_a_dead_one_costs_nobody_a_call(edge: Edge, twin: Neighbour) -> None:
    async def order() -> int:
        return (await edge.rest("GET", "/v1/orders/o1")).status_code

    assert [await order() for _ in range(20)] == [200] * 20
    assert (len(edge.neighbours["order"].calls), len(twin.calls)) == (10, 10)
    await twin.kill()
    assert [await order() for _ in range(40)] == [200] * 40
    assert len(edge.neighbours["order"].calls) == 50


async def test_a_service_that_is_down_is_503_and_is_found_again_when_it_returns(edge: Edge, twin: Neighbour) -> None:
    await twin.kill()
    await edge.neighbours["order"].kill()
    begin = time.monotonic()
    answer = await edge.rest("GET", "/v1/orders/o1")
    assert time.monotonic() - begin < 2
    assert answer.status_code == 503
    assert answer.json()["code"] == code_pb2.UNAVAILABLE
    assert answer.json()["message"] == "the service cannot be reached"
    assert answer.json()["details"][0]["reason"] == "DEPENDENCY_UNAVAILABLE"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await OrderServiceStub(edge.channel).GetOrder(GetOrderRequest(id="o1"))
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert caught.value.details() == "the service cannot be reached"
    assert (await edge.rest("GET", "/v1/products/p1")).status_code == 200, "others are not touched"

    await edge.neighbours["order"].start()

    async def back() -> bool:
        return (await edge.rest("GET", "/v1/orders/o1")).status_code == 200

    begin = time.monotonic()
    await until(back, "the edge finds the service again", seconds=5)


async def test_a_call_in_flight_when_its_service_dies_fails_and_is_not_sent_twice(edge: Edge, twin: Neighbour) -> None:
    reached = asyncio.Event()

    async def hang(_: Any, __: Any) -> Any:
        reached.set()
        await asyncio.sleep(60)

    order = edge.neighbours["order"]
    order.answers[CREATE_ORDER] = twin.answers[CREATE_ORDER] = hang
    request = asyncio.create_task(edge.rest("POST", "/v1/orders", json={"requestId": "r1"}))
    await asyncio.wait_for(reached.wait(), 5)
    await (order if order.calls else twin).kill()
    answer = await request
    assert answer.status_code == 503
    assert answer.json()["code"] == code_pb2.UNAVAILABLE
    assert len(order.calls) + len(twin.calls) == 1


async def test_a_process_with_another_identity_is_not_trusted(pki: Path, tmp_path: Path) -> None:
    """Whoever sits at the address of a workload without its certificate gets nothing, not even a health check."""
    impostor = Neighbour("order", pki / "product")
    async with AsyncExitStack() as stack:
        edge = await start_edge(stack, pki, tmp_path, instead={"order": impostor}, signed_in=True)
        answer = await edge.rest("GET", "/v1/orders/o1")
        assert answer.status_code == 503
        assert not impostor.calls
