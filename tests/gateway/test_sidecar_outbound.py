"""The service's side of a sidecar: whom it may call through it, what is repeated, who is left alone for a while."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
from google.rpc import code_pb2

from cli.local.probes import EnvoyHealth
from mesh.errors import from_rpc_error
from mesh.policy import MethodPolicy
from mesh.sidecar import FORWARDED, SERVICE, SIDECAR
from mesh.tuning import load_tuning
from tests.gateway.edges import until
from tests.gateway.neighbours import Answer, Neighbour, failing, policy, request_of, response_of
from tests.gateway.sidecars import Sidecar, start_sidecar

pytestmark = pytest.mark.asyncio(loop_scope="session")

WORKLOAD = "order"
AUTHORIZE = "/zoco.payment.v1.PaymentService/Authorize"
RESERVE = "/zoco.inventory.v1.InventoryService/ReserveStock"
GET_STOCK = "/zoco.inventory.v1.InventoryService/BatchGetStock"
OK = (grpc.StatusCode.OK, "")
AWAY = (grpc.StatusCode.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE")
SECONDS = 15.0


class Around:
    """A sidecar of `order` and what stands around it: one payment process, two of inventory."""

    def __init__(self, sidecar: Sidecar, payment: Neighbour, inventories: tuple[Neighbour, Neighbour]) -> None:
        self.sidecar = sidecar
        self.payment = payment
        self.inventories = inventories
        self.channel = sidecar.own_channel()

    async def call(self, path: str, **options: Any) -> tuple[grpc.StatusCode, str]:
        return await outcome(self.channel, policy().methods[path], **options)

    def forget(self) -> None:
        for neighbour in (self.payment, *self.inventories):
            neighbour.forget()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shared(pki: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Around]:
    async with surroundings(pki, tmp_path_factory.mktemp("sidecar")) as around:
        yield around


@pytest.fixture
def around(shared: Around) -> Around:
    """For tests that leave it as they found it."""
    shared.forget()
    return shared


@pytest_asyncio.fixture(loop_scope="session")
async def own(pki: Path, tmp_path: Path) -> AsyncIterator[Around]:
    """For tests after which somebody is dead or ejected."""
    async with surroundings(pki, tmp_path) as around:
        yield around


@asynccontextmanager
async def surroundings(pki: Path, directory: Path) -> AsyncIterator[Around]:
    async with AsyncExitStack() as stack:
        neighbours = [Neighbour(name, pki / name) for name in ("payment", "inventory", "inventory")]
        for neighbour in neighbours:
            await neighbour.start()
            stack.push_async_callback(neighbour.kill)
        payment, first, second = neighbours
        sidecar = await start_sidecar(
            stack,
            WORKLOAD,
            pki,
            directory,
            # Who stands at product's address is not product.
            neighbours={
                "payment": [payment.address],
                "inventory": [first.address, second.address],
                "product": [payment.address],
            },
        )

        async def all_found() -> bool:
            found = [host for name in ("payment", "inventory") for host in await sidecar.envoy.hosts(name)]
            return len(found) == 3 and not any(host.get("failed_active_health_check") for host in found)

        await until(all_found, "the neighbours are healthy")
        yield Around(sidecar, payment, (first, second))


async def outcome(channel: grpc.aio.Channel, method: MethodPolicy, **options: Any) -> tuple[grpc.StatusCode, str]:
    call: Any = channel.unary_unary(method.path)
    try:
        await call(request_of(method).SerializeToString(), timeout=SECONDS, **options)
    except grpc.aio.AioRpcError as error:
        return error.code(), from_rpc_error(error).reason
    return OK


def unavailable(times: int, path: str) -> Answer:
    """Fails so often, and then answers."""
    left = [times]
    fail = failing(code_pb2.UNAVAILABLE, "not now")

    async def answer(request: Any, context: Any) -> Any:
        if left[0]:
            left[0] -= 1
            return await fail(request, context)  # type: ignore[misc]  # an answer that is awaited
        return response_of(path)

    return answer


async def test_the_call_graph_is_all_it_may_call(around: Around) -> None:
    graph = policy().calls_of(WORKLOAD)
    assert {AUTHORIZE, RESERVE, GET_STOCK} < graph
    for method in policy().methods.values():
        code, reason = await outcome(around.channel, method)
        refused = (code, reason) == (grpc.StatusCode.PERMISSION_DENIED, "CALLER_NOT_ALLOWED")
        assert refused == (method.path not in graph), method.path
    seen = {call.path for neighbour in (around.payment, *around.inventories) for call in neighbour.calls}
    assert seen == {path for path in graph if path.split(".")[1] in {"payment", "inventory"}}


async def test_health_and_reflection_of_others_are_not_its_business(around: Around) -> None:
    for path in ("/grpc.health.v1.Health/Check", "/grpc.channelz.v1.Channelz/GetServers", "/"):
        call: Any = around.channel.unary_unary(path)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call(b"", timeout=SECONDS)
        assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_the_neighbour_sees_the_workloads_certificate_and_no_word_of_the_service(around: Around) -> None:
    peers = []

    async def answer(_: Any, context: Any) -> Any:
        peers.extend(context.auth_context()["peer_spiffe_id"])
        return response_of(AUTHORIZE)

    around.payment.answers[AUTHORIZE] = answer

    assert await around.call(AUTHORIZE, metadata=((FORWARDED, "URI=spiffe://zoco.local/edge"),)) == OK

    assert peers == [b"spiffe://zoco.local/order"]
    assert FORWARDED not in around.payment.calls[-1].metadata


async def test_only_the_own_service_may_call_through_it(around: Around, pki: Path) -> None:
    inner, port = around.sidecar.inner, around.sidecar.envoy.ports["outbound"]
    trusted = (inner / SERVICE / "ca.pem").read_bytes()
    options = (("grpc.ssl_target_name_override", SIDECAR), ("grpc.use_local_subchannel_pool", 1))
    for identity in (inner / SIDECAR, pki / WORKLOAD, pki / "edge", pki / "operator"):
        read = identity.joinpath
        credentials = grpc.ssl_channel_credentials(trusted, read("key.pem").read_bytes(), read("cert.pem").read_bytes())
        async with grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials, options=options) as channel:
            assert (await outcome(channel, policy().methods[AUTHORIZE]))[0] is grpc.StatusCode.UNAVAILABLE
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as plaintext:
        assert (await outcome(plaintext, policy().methods[AUTHORIZE]))[0] is grpc.StatusCode.UNAVAILABLE
    assert around.payment.calls == []


async def test_who_answers_must_be_the_workload_that_is_meant(around: Around) -> None:
    assert await around.call("/zoco.product.v1.ProductService/BatchGetProducts") == AWAY
    assert around.payment.calls == []


async def test_what_the_contract_repeats_is_repeated_so_often_and_no_more(around: Around) -> None:
    attempts = policy().methods[AUTHORIZE].retry
    assert attempts is not None
    around.payment.answers[AUTHORIZE] = unavailable(attempts.max_attempts - 1, AUTHORIZE)
    assert await around.call(AUTHORIZE) == OK
    assert len(around.payment.calls) == attempts.max_attempts

    around.payment.forget()
    around.payment.answers[AUTHORIZE] = unavailable(99, AUTHORIZE)
    assert (await around.call(AUTHORIZE))[0] is grpc.StatusCode.UNAVAILABLE
    assert len(around.payment.calls) == attempts.max_attempts


@pytest.mark.parametrize("code", [code_pb2.ABORTED, code_pb2.INTERNAL, code_pb2.FAILED_PRECONDITION])
async def test_no_other_failure_is_repeated(around: Around, code: int) -> None:
    around.payment.answers[AUTHORIZE] = failing(code, "no")

    assert (await around.call(AUTHORIZE))[0].value[0] == code
    assert len(around.payment.calls) == 1


async def test_repeats_have_a_budget(around: Around) -> None:
    """When everything fails, the load does not triple: a share of the calls under way is repeated, and three more."""
    calls, held = 60, asyncio.Event()

    async def fail_together(_: Any, context: Any) -> Any:
        if len(around.payment.calls) >= calls:
            held.set()
        await held.wait()
        await context.abort(grpc.StatusCode.UNAVAILABLE, "not now")

    around.payment.answers[AUTHORIZE] = fail_together
    before = await around.sidecar.envoy.stats(r"^cluster\.payment\.upstream_rq_retry")

    answers = await asyncio.gather(*(around.call(AUTHORIZE) for _ in range(calls)))

    assert {code for code, _ in answers} == {grpc.StatusCode.UNAVAILABLE}
    after = await around.sidecar.envoy.stats(r"^cluster\.payment\.upstream_rq_retry")
    repeated, refused = (
        after[name] - before[name]
        for name in ("cluster.payment.upstream_rq_retry", "cluster.payment.upstream_rq_retry_overflow")
    )
    assert refused > 0
    tuning = load_tuning().retry
    at_once = max(tuning.min_concurrency, calls * tuning.budget_percent // 100)
    # Each call that goes on once its turn has come may be repeated twice; most found the budget spent.
    assert len(around.payment.calls) <= calls + 2 * (at_once + calls // 2)
    assert repeated == len(around.payment.calls) - calls


async def test_no_call_lasts_longer_than_the_contract_allows(around: Around) -> None:
    call: Any = around.channel.unary_unary(AUTHORIZE)
    await call(b"")

    remaining = around.payment.calls[-1].time_remaining
    assert remaining is not None
    assert 0 < remaining <= policy().methods[AUTHORIZE].deadline.total_seconds()


async def test_a_process_that_only_fails_is_left_alone_and_a_dead_one_costs_nobody_a_call(own: Around) -> None:
    bad, good = own.inventories
    bad.answers[RESERVE] = failing(code_pb2.UNAVAILABLE, "broken inside")

    async def is_ejected() -> bool:
        assert (await own.call(RESERVE)) == OK
        stats = await own.sidecar.envoy.stats(r"^cluster\.inventory\.outlier_detection\.ejections_active$")
        return stats["cluster.inventory.outlier_detection.ejections_active"] == 1

    await until(is_ejected, "the bad process is ejected")

    await bad.kill()
    good.calls.clear()
    assert [await own.call(RESERVE) for _ in range(20)] == [OK] * 20
    assert len(good.calls) == 20


async def test_the_only_process_is_never_left_alone_but_nobody_there_is_unavailable(own: Around) -> None:
    own.payment.answers[AUTHORIZE] = unavailable(3 * load_tuning().ejection.consecutive_gateway_failure, AUTHORIZE)

    async def answers() -> bool:
        return await own.call(AUTHORIZE) == OK

    await until(answers, "it was asked until it could answer")
    stats = await own.sidecar.envoy.stats(r"^cluster\.payment\.outlier_detection\.ejections_enforced_total$")
    assert stats["cluster.payment.outlier_detection.ejections_enforced_total"] == 0

    await own.payment.kill()

    assert await own.call(AUTHORIZE) == AWAY


async def test_it_is_ready_once_it_has_found_every_neighbour(own: Around) -> None:
    admin = int(own.sidecar.envoy.admin.rpartition(":")[2])
    missing = f"has not reached {own.payment.address} yet"
    neighbours = {neighbour.address for neighbour in (own.payment, *own.inventories)}
    await own.payment.kill()

    async def misses_payment() -> bool:
        return await EnvoyHealth(admin, neighbours)() == missing

    await until(misses_payment, "payment is found to be away")
    started_without_payment = EnvoyHealth(admin, neighbours)
    assert await started_without_payment() == missing

    await own.payment.start()

    async def is_ready() -> bool:
        return await started_without_payment() is None

    await until(is_ready, "payment is found")
    assert await own.call(AUTHORIZE) == OK
