"""The portal: the health of the whole system, and reflection that shows what is exposed and nothing else."""

import asyncio
import json
import os
import signal
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
import pytest_asyncio
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha import reflection_pb2

from gateway.portal.process import Portal, start
from gateway.portal.system import State, System
from mesh.credentials import client_credentials
from mesh.health import Health
from mesh.policy import Audience
from tests.gateway.edges import Edge, portal_settings, raw_call, start_edge, until
from tests.gateway.neighbours import Neighbour, failing, policy

pytestmark = pytest.mark.asyncio(loop_scope="session")

GRPCURL = Path(__file__).parents[2] / ".tools/bin/grpcurl"
REFLECTION = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@pytest_asyncio.fixture(loop_scope="session")
async def own_edge(pki: Path, tmp_path: Path) -> AsyncIterator[Edge]:
    """An edge of its own, for tests that stop what is behind it."""
    async with AsyncExitStack() as stack:
        yield await start_edge(stack, pki, tmp_path)


async def test_healthz_tells_of_every_service(edge: Edge) -> None:
    answer = await edge.rest("GET", "/healthz")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert body["status"] == "SERVING"
    assert [each["service"] for each in body["services"]] == sorted(policy().workloads)
    for each in body["services"]:
        assert each.keys() == {"service", "state", "reason", "version", "uptimeSeconds"}
        assert each["state"] == "SERVING"


async def test_a_service_that_is_gone_makes_the_whole_503_and_is_named(own_edge: Edge) -> None:
    await own_edge.neighbours["payment"].kill()

    async def noticed() -> bool:
        return (await own_edge.rest("GET", "/healthz")).status_code == 503

    await until(noticed, "the portal notices", seconds=5)
    body = (await own_edge.rest("GET", "/healthz")).json()
    assert body["status"] == "NOT_SERVING"
    states = {each["service"]: (each["state"], each["reason"]) for each in body["services"]}
    assert states.pop("payment") == ("NOT_SERVING", "not reachable")
    assert set(states.values()) == {("SERVING", "")}
    health = HealthStub(own_edge.channel)
    assert (await health.Check(health_pb2.HealthCheckRequest())).status == NOT_SERVING
    await own_edge.neighbours["payment"].start()

    async def back() -> bool:
        return (await own_edge.rest("GET", "/healthz")).status_code == 200

    await until(back, "the portal notices", seconds=5)


async def test_what_a_service_says_of_itself_is_shown(pki: Path) -> None:
    async with AsyncExitStack() as stack:
        order = Neighbour("order", pki / "order", health=Health((), {"database": _unreachable}))
        twin = Neighbour("order", pki / "order", health=Health((), {}))
        for process in (order, twin):
            await process.start()
            stack.push_async_callback(process.kill)
        for addresses, state in (
            ([order.address], State.NOT_SERVING),
            ([order.address, twin.address], State.DEGRADED),
            ([twin.address], State.SERVING),
        ):
            system = System(("order",), {"order": addresses}, pki / "portal")
            health = await system.health()
            await system.close()
            (shown,) = health.services
            assert health.state is shown.state is state
            assert shown.reason == ("" if state is State.SERVING else "database: ConnectionError")
            assert shown.version
            assert shown.uptime_seconds >= 0


async def test_a_service_that_lacks_what_it_can_do_without_serves_and_says_so(pki: Path) -> None:
    order = Neighbour("order", pki / "order", health=Health((), {}, wishes={"broker": _unreachable}))
    await order.start()
    system = System(("order",), {"order": [order.address]}, pki / "portal")
    health = await system.health()
    await system.close()
    await order.kill()
    (shown,) = health.services
    assert (shown.state, shown.reason) == (State.DEGRADED, "broker: ConnectionError")
    assert health.state is State.DEGRADED


async def test_however_often_it_is_asked_a_process_is_asked_once_a_second(pki: Path) -> None:
    counting = _Counting((), {})
    order = Neighbour("order", pki / "order", health=counting)
    await order.start()
    system = System(("order",), {"order": [order.address]}, pki / "portal")
    answers = await asyncio.gather(*(system.health() for _ in range(50)))
    assert counting.asked == 1
    assert {answer.state for answer in answers} == {State.SERVING}

    async def asked_again() -> bool:
        await system.health()
        return counting.asked == 2

    await until(asked_again, "the answer gets old", seconds=3)
    await system.close()
    await order.kill()


async def test_health_by_grpc_means_the_shop_outside_and_the_process_inside(edge: Edge, pki: Path) -> None:
    outside = HealthStub(edge.channel)
    for name in ("", "portal", "zoco.order.v1.OrderService"):
        assert (await outside.Check(health_pb2.HealthCheckRequest(service=name))).status == SERVING
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await outside.Check(health_pb2.HealthCheckRequest(service="zoco.order.v1.Nope"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND

    portal = await start(portal_settings(pki, {name: ["127.0.0.1:9"] for name in policy().workloads}))
    for caller, status in (("operator", SERVING), ("edge", NOT_SERVING)):
        async with _channel(pki, caller, portal.port) as channel:
            assert (await HealthStub(channel).Check(health_pb2.HealthCheckRequest())).status == status
    await portal.stop()


@pytest.mark.parametrize("version", REFLECTION)
async def test_reflection_shows_exposed_methods_and_nothing_else(edge: Edge, version: str) -> None:
    listed = await _reflect(edge, version, list_services="")
    names = {service.name for service in listed.list_services_response.service}
    exposed = {method.service for method in policy().methods.values() if method.audience is not Audience.NONE}
    assert names == exposed | {"grpc.health.v1.Health", *REFLECTION}
    shown = set()
    for name in names:
        answer = await _reflect(edge, version, file_containing_symbol=name)
        for serialized in answer.file_descriptor_response.file_descriptor_proto:
            file = FileDescriptorProto.FromString(serialized)
            shown |= {f"/{file.package}.{each.name}/{rpc.name}" for each in file.service for rpc in each.method}
    methods = policy().methods
    assert {path for path in shown if path in methods} == {
        path for path, method in methods.items() if method.audience is not Audience.NONE
    }
    assert {path for path in shown if path not in methods} == {
        *(f"/{name}/ServerReflectionInfo" for name in REFLECTION),
        *(f"/grpc.health.v1.Health/{name}" for name in ("Check", "List", "Watch")),
    }


@pytest.mark.parametrize(
    "symbol",
    [
        "zoco.inventory.v1.ReserveStockRequest",
        "zoco.payment.v1.PaymentService.Refund",
        "zoco.order.v1.OrderPlaced",
        "zoco.mesh.v1.MethodPolicy",
        "zoco.mesh.v1.method",
        "grpc.channelz.v1.Channelz",
    ],
)
async def test_reflection_knows_nothing_that_only_the_inside_uses(edge: Edge, symbol: str) -> None:
    answer = await _reflect(edge, REFLECTION[0], file_containing_symbol=symbol)
    assert answer.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


async def test_reflection_tells_nobody_who_may_call_whom(edge: Edge) -> None:
    answer = await _reflect(edge, REFLECTION[0], file_containing_symbol="zoco.product.v1.ProductService")
    told = b"".join(answer.file_descriptor_response.file_descriptor_proto)
    assert b"/v1/products" in told, "REST rules are public"
    assert b"zoco/mesh/v1/policy.proto" not in told
    assert b"public_read" not in told


async def test_production_has_no_reflection(pki: Path, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        edge = await start_edge(stack, pki, tmp_path, environment="production")
        for version in REFLECTION:
            # One message, no stream: an end that overtakes a stream's first write is INTERNAL to grpc.aio's client.
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await raw_call(edge.channel, f"/{version}/ServerReflectionInfo")
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        assert (await edge.rest("GET", "/healthz")).status_code == 200


@pytest.mark.skipif(not GRPCURL.exists(), reason="grpcurl is not built: make tools")
async def test_the_real_grpcurl_lists_describes_and_calls(edge: Edge) -> None:
    listed = await _grpcurl(edge, "list")
    assert "zoco.order.v1.OrderService" in listed.splitlines()
    described = await _grpcurl(edge, "describe")
    assert "rpc CreateOrder" in described
    assert "rpc ReserveStock" not in described
    assert json.loads(await _grpcurl(edge, "grpc.health.v1.Health/Check")) == {"status": "SERVING"}
    await _grpcurl(edge, "zoco.order.v1.OrderService/GetOrder", data='{"id": "o1"}')
    assert edge.neighbours["order"].calls[0].request.id == "o1"
    path = "/zoco.order.v1.OrderService/GetOrder"
    edge.of(path).answers[path] = failing(5, "no such order", ErrorInfo(reason="RESOURCE_NOT_FOUND", domain="zoco"))
    refused = await _grpcurl(edge, "zoco.order.v1.OrderService/GetOrder", data='{"id": "o1"}', fails=True)
    assert "RESOURCE_NOT_FOUND" in refused


async def test_the_pages_are_served_to_identities_of_the_mesh_only(pki: Path) -> None:
    portal = await start(portal_settings(pki, {name: ["127.0.0.1:9"] for name in policy().workloads}))
    trust = ssl.create_default_context(cafile=pki / "ca.pem")
    async with httpx.AsyncClient(verify=trust, trust_env=False) as stranger:
        with pytest.raises((httpx.ReadError, httpx.ConnectError)):
            await stranger.get(f"https://localhost:{portal.page_port}/healthz")
    known = ssl.create_default_context(cafile=pki / "ca.pem")
    known.load_cert_chain(pki / "edge/cert.pem", pki / "edge/key.pem")
    async with httpx.AsyncClient(verify=known, trust_env=False) as edge:
        assert (await edge.get(f"https://localhost:{portal.page_port}/healthz")).status_code == 503
    await portal.stop()


async def test_a_taken_address_is_told(pki: Path) -> None:
    portal: Portal = await start(portal_settings(pki, {}))
    for name, port in (("listen", portal.port), ("page_listen", portal.page_port)):
        taken = portal_settings(pki, {}).model_copy(update={name: f"127.0.0.1:{port}"})
        with pytest.raises(OSError, match=r"cannot listen|in use"):
            await start(taken)
    await portal.stop()


async def test_the_process_serves_and_ends_on_sigterm(pki: Path) -> None:
    process = await _portal_process(ZOCO_PKI_DIR=str(pki / "portal"))
    assert process.stderr
    line = {"event": ""}
    while line["event"] != "serving":
        line = json.loads(await asyncio.wait_for(process.stderr.readline(), 20))
    process.send_signal(signal.SIGTERM)
    rest = (await asyncio.wait_for(process.stderr.read(), 20)).decode()
    assert await process.wait() == 0, rest
    assert "stopped" in rest


async def test_a_bad_setting_is_one_sentence_that_names_it(pki: Path) -> None:
    process = await _portal_process(ZOCO_PKI_DIR=str(pki / "portal"), ZOCO_DRAIN_SECONDS="soon")
    assert process.stderr
    said = (await asyncio.wait_for(process.stderr.read(), 20)).decode()
    assert await process.wait() == 2
    assert said.startswith("ZOCO_DRAIN_SECONDS: ")
    assert len(said.splitlines()) == 1


async def _portal_process(**settings: str) -> asyncio.subprocess.Process:
    free = dict.fromkeys(("ZOCO_LISTEN", "ZOCO_PORTAL_HTTP_LISTEN", "ZOCO_METRICS_LISTEN"), "127.0.0.1:0")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("ZOCO_")}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway.portal"),
        env={**inherited, **free, "ZOCO_DRAIN_SECONDS": "0", "LOG_FORMAT": "json", **settings},
        stderr=subprocess.PIPE,
    )


class _Counting(Health):
    asked = 0

    async def Check(self, request: health_pb2.HealthCheckRequest, context: Any) -> health_pb2.HealthCheckResponse:
        self.asked += 1
        return await super().Check(request, context)


async def _unreachable() -> None:
    raise ConnectionError("secret address")


def _channel(pki: Path, caller: str, port: int) -> grpc.aio.Channel:
    options = (("grpc.ssl_target_name_override", "portal"),)
    return grpc.aio.secure_channel(f"127.0.0.1:{port}", client_credentials(pki / caller), options=options)


async def _reflect(edge: Edge, version: str, **question: str) -> reflection_pb2.ServerReflectionResponse:
    call = edge.channel.stream_stream(
        f"/{version}/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    answers = [answer async for answer in call(iter([reflection_pb2.ServerReflectionRequest(**question)]))]
    assert len(answers) == 1
    answer: reflection_pb2.ServerReflectionResponse = answers[0]
    return answer


async def _grpcurl(edge: Edge, *arguments: str, data: str | None = None, fails: bool = False) -> str:
    given = ("-d", data) if data else ()
    shown = [part for name, value in edge.shown.items() for part in ("-H", f"{name}: {value}")]
    process = await asyncio.create_subprocess_exec(
        *(str(GRPCURL), "-plaintext", *shown, *given, edge.url.removeprefix("http://"), *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert bool(process.returncode) is fails, output.decode()
    return output.decode()
