"""A process with more to do than it can refuses what matters least, fast, and keeps serving the rest."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub

from mesh.channel import open_channel
from mesh.errors import ResourceExhausted, from_rpc_error
from mesh.metrics import Metrics
from mesh.pipeline.shedding import LEAST_CHANGES, SAMPLE_SECONDS, SAMPLES, Load, Priority, priority_of
from mesh.policy import load_policy
from mesh.tuning import load_tuning
from tests.fixtures.servers import until
from tests.harness import Harness, Tokens
from tests.mesh.probe import ProbeContract, status_of
from tests.mesh.shelf import WORKLOAD, RunningShelf, shelf, tuned

OK = (grpc.StatusCode.OK, "")
OVERLOADED = (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
TEN = {
    "max_in_flight": 10,
    "max_streams": 10,
    "public_share": 0.4,
    "user_share": 0.6,
    "change_share": 0.8,
    "max_loop_lag": "30s",  # what a busy machine does to the event loop must not decide here
}


@pytest.fixture
async def small(harness: Harness, contract: ProbeContract, tmp_path: Path) -> AsyncIterator[RunningShelf]:
    """A process that can have ten calls under way."""
    async with shelf(harness, contract, ZOCO_TUNING=tuned(tmp_path, shedding=TEN)) as running:
        yield running
        running.servicer.held.set()


class Clients:
    """Callers of every kind, whose calls a test can count."""

    def __init__(self, running: RunningShelf, tokens: Tokens) -> None:
        request = running.messages.GetThingRequest()
        outside, person, inside = running.stub(), running.stub(token=tokens.customer()), running.stub("order")
        self._calls = {
            Priority.PUBLIC_READ: lambda: outside.Browse(request),
            Priority.USER_READ: lambda: person.Look(request),
            Priority.CHANGE: lambda: person.Change(request),
            Priority.INTERNAL: lambda: inside.Serve(request),
        }
        self._servicer = running.servicer

    async def call(self, priority: Priority) -> tuple[grpc.StatusCode, str]:
        return await status_of(self._calls[priority]())

    async def fill(self, priority: Priority) -> list[asyncio.Task[Any]]:
        """Calls until one is refused; gives those that wait."""
        waiting: list[asyncio.Task[Any]] = []
        while True:
            under_way = self._servicer.waiting
            call = asyncio.create_task(self.call(priority))
            await until(lambda: call.done() or self._servicer.waiting > under_way)  # noqa: B023 - asked in this turn only
            if call.done():
                assert await call == OVERLOADED
                return waiting
            waiting.append(call)


async def test_what_matters_least_is_refused_first(small: RunningShelf, tokens: Tokens) -> None:
    clients = Clients(small, tokens)
    waiting: list[asyncio.Task[Any]] = []

    for priority, room in zip(Priority, (4, 6, 8, 10), strict=True):
        waiting += await clients.fill(priority)
        assert len(waiting) == room

    small.servicer.held.set()
    assert set(await asyncio.gather(*waiting)) == {OK}
    assert await clients.call(Priority.PUBLIC_READ) == OK


async def test_a_full_process_still_answers_health_and_operators(small: RunningShelf, tokens: Tokens) -> None:
    waiting = await Clients(small, tokens).fill(Priority.INTERNAL)
    assert len(waiting) == 10

    health = await HealthStub(small.service.channel()).Check(health_pb2.HealthCheckRequest(), timeout=5)
    channelz: Any = small.service.channel("operator").unary_unary("/grpc.channelz.v1.Channelz/GetServers", bytes, bytes)

    assert health.status == health_pb2.HealthCheckResponse.SERVING
    assert await status_of(channelz(b"", timeout=5)) == OK


async def test_a_neighbours_call_of_a_public_method_goes_as_late_as_its_others(
    harness: Harness, contract: ProbeContract, tmp_path: Path, tokens: Tokens
) -> None:
    full = tuned(tmp_path, shedding={**TEN, "max_in_flight": 5})
    async with shelf(harness, contract, ZOCO_TUNING=full) as running:
        waiting = await Clients(running, tokens).fill(Priority.PUBLIC_READ)
        counted = running.messages.GetThingRequest()

        assert await status_of(running.stub().CountedTogether(counted)) == OVERLOADED
        assert await status_of(running.stub("order").CountedTogether(counted)) == OK

        running.servicer.held.set()
        await asyncio.gather(*waiting)


async def test_open_streams_take_no_room_from_calls_and_have_a_cap_of_their_own(
    small: RunningShelf, tokens: Tokens
) -> None:
    stub = small.stub()
    streams = [stub.Follow(small.messages.GetThingRequest()) for _ in range(4)]
    for stream in streams:
        await stream.read()

    assert len(await Clients(small, tokens).fill(Priority.PUBLIC_READ)) == 4
    assert await status_of(stub.Follow(small.messages.GetThingRequest()).read()) == OVERLOADED

    for stream in streams:
        stream.cancel()
    await until(lambda: small.counted("rpc_server_streams_open") == 0)
    assert await stub.Follow(small.messages.GetThingRequest()).read()


async def test_a_refusal_says_when_to_come_back_is_counted_and_is_not_logged(
    small: RunningShelf, tokens: Tokens, capsys: pytest.CaptureFixture[str]
) -> None:
    clients = Clients(small, tokens)
    await clients.fill(Priority.PUBLIC_READ)
    capsys.readouterr()

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await small.stub().Browse(small.messages.GetThingRequest())

    error = from_rpc_error(refused.value)
    assert isinstance(error, ResourceExhausted)
    assert error.retry_after is not None
    assert timedelta(seconds=0.5) <= error.retry_after <= timedelta(seconds=1.5)
    assert small.counted("rpc_server_refusals_total", stage="shedding", reason="OVERLOADED") == 2
    method = {"rpc_method": "probe.v1.ShelfService/Browse", "rpc_response_status_code": "RESOURCE_EXHAUSTED"}
    # It is counted when the call has ended, which is a moment after its answer has come.
    await until(lambda: small.counted("rpc_server_call_duration_seconds_count", **method) == 2)
    assert "Browse" not in capsys.readouterr().out


async def test_a_client_of_ours_does_not_repeat_a_refused_call(small: RunningShelf, tokens: Tokens, pki: Path) -> None:
    """It does repeat UNAVAILABLE, up to four times by this contract: with that code a storm would feed itself."""
    await Clients(small, tokens).fill(Priority.PUBLIC_READ)
    policy = load_policy(small.service.running.runtime.settings.descriptors)
    browse = policy.methods["/probe.v1.ShelfService/Browse"]
    assert browse.retry is not None
    channel = open_channel(
        WORKLOAD,
        policy=policy,
        addresses=[small.service.address],
        pki_dir=pki / "edge",
        metrics=Metrics(),
        retry=load_tuning().retry,
    )
    before = small.counted("rpc_server_refusals_total", stage="shedding", reason="OVERLOADED")

    with pytest.raises(ResourceExhausted):
        await small.servicer.stubs.ShelfServiceStub(channel).Browse(small.messages.GetThingRequest())

    assert small.counted("rpc_server_refusals_total", stage="shedding", reason="OVERLOADED") == before + 1
    await channel.close()


def test_no_contract_repeats_a_refusal() -> None:
    for path, method in load_policy().methods.items():
        assert method.retry is None or "RESOURCE_EXHAUSTED" not in method.retry.codes, path


def test_priorities_come_from_the_contract() -> None:
    methods = load_policy().methods
    assert priority_of(methods["/zoco.product.v1.ProductService/ListProducts"]) is Priority.PUBLIC_READ
    assert priority_of(methods["/zoco.user.v1.AuthService/Login"]) is Priority.USER_READ
    assert priority_of(methods["/zoco.order.v1.OrderService/GetOrder"]) is Priority.USER_READ
    assert priority_of(methods["/zoco.order.v1.OrderService/CreateOrder"]) is Priority.CHANGE
    assert priority_of(methods["/zoco.inventory.v1.InventoryService/ReserveStock"]) is Priority.INTERNAL


def test_one_slow_step_is_no_overload_but_a_loop_that_stays_late_is() -> None:
    load = Load(load_tuning().shedding, Metrics())
    tuning = load_tuning().shedding
    longest = tuning.max_loop_lag.total_seconds()
    between = (tuning.public_share + tuning.change_share) / 2

    load.measured(10 * longest)
    load.measured(0.001)
    assert load.admits(Priority.PUBLIC_READ)

    for _ in range(SAMPLES):
        load.measured(between * longest)
    assert not load.admits(Priority.PUBLIC_READ)
    assert load.admits(Priority.CHANGE)

    for _ in range(SAMPLES):
        load.measured(1.1 * longest)
    assert not load.admits(Priority.INTERNAL)
    load.measured(0.001)
    assert load.admits(Priority.PUBLIC_READ)


def test_while_the_loop_is_late_changes_have_less_and_less_room_and_calm_gives_it_back() -> None:
    load = Load(load_tuning().shedding, Metrics())
    load.in_flight = LEAST_CHANGES
    assert load.admits(Priority.CHANGE)

    samples = 0
    while load.admits(Priority.CHANGE):
        load.measured(2 * load_tuning().shedding.calm_loop_lag.total_seconds())
        samples += 1
    assert samples * SAMPLE_SECONDS > 0.5, "a moment is no overload"
    assert load.admits(Priority.USER_READ)
    assert load.admits(Priority.INTERNAL)

    load.in_flight = LEAST_CHANGES - 1
    assert load.admits(Priority.CHANGE), "some are let in however late the loop is"

    load.in_flight = LEAST_CHANGES
    while not load.admits(Priority.CHANGE):
        load.measured(0)


def test_what_changes_have_left_to_do_takes_room_from_changes_alone() -> None:
    left_to_do = 0
    load = Load(load_tuning().shedding, Metrics(), lambda: left_to_do)

    while load.admits(Priority.CHANGE):
        left_to_do += 1

    share = load_tuning().shedding.change_share
    assert left_to_do == pytest.approx(share * load_tuning().shedding.max_in_flight, abs=1)
    assert load.admits(Priority.PUBLIC_READ)
    load.in_flight = left_to_do - 1
    left_to_do -= 1
    assert load.admits(Priority.CHANGE), "a call and what it has set going are one"


async def test_a_late_event_loop_is_noticed() -> None:
    load = Load(load_tuning().shedding, Metrics())
    watching = asyncio.create_task(load.watch())

    async def be_late() -> None:
        while load.lag < 0.05:
            time.sleep(0.15)  # noqa: ASYNC251 - the very thing that must be noticed
            await asyncio.sleep(0)

    async with asyncio.timeout(20):
        await be_late()
    await until(lambda: load.lag < 0.05)
    watching.cancel()


async def test_under_three_times_its_load_neighbours_and_health_are_served_while_browsing_is_refused(
    harness: Harness, contract: ProbeContract, tmp_path: Path, tokens: Tokens
) -> None:
    """Calls take 0.2 s and 20 fit at once: 100 a second. Browsers ask for 300 a second, four neighbours for 20."""
    tuning = tuned(tmp_path, shedding={**TEN, "max_in_flight": 20})
    async with shelf(harness, contract, ZOCO_TUNING=tuning) as running:
        running.servicer.seconds = 0.2
        outside, inside = running.stub(), running.stub("order")
        health = HealthStub(running.service.channel())
        request, check = running.messages.GetThingRequest(), health_pb2.HealthCheckRequest()

        browsing, serving, checking = await asyncio.gather(
            _open_loop(300, 1.5, lambda: outside.Browse(request)),
            _in_turn(4, 1.5, lambda: inside.Serve(request)),
            _open_loop(10, 1.5, lambda: health.Check(check)),
        )

    assert set(serving) == {OK}
    assert set(checking) == {OK}
    assert set(browsing) == {OK, OVERLOADED}
    assert browsing[OVERLOADED] > browsing[OK] > 0


async def test_a_burst_is_refused_by_priority_and_not_at_random(small: RunningShelf) -> None:
    """The library alone would cancel some of more than 1000 calls that wait to be taken up, whatever they are for."""
    small.servicer.seconds = 0
    outside, inside = small.stub(), small.stub("order")
    request = small.messages.GetThingRequest()

    burst = [asyncio.ensure_future(status_of(outside.Browse(request))) for _ in range(2000)]
    served = [asyncio.ensure_future(status_of(inside.Serve(request))) for _ in range(5)]

    assert set(await asyncio.gather(*served)) == {OK}
    assert set(await asyncio.gather(*burst)) <= {OK, OVERLOADED}


async def _open_loop(rate: float, seconds: float, call: Any) -> Counter[tuple[grpc.StatusCode, str]]:
    """Calls at a rate that does not wait for answers, and counts the outcomes."""
    loop = asyncio.get_running_loop()
    began, calls = loop.time(), list[asyncio.Task[tuple[grpc.StatusCode, str]]]()
    while (elapsed := loop.time() - began) < seconds:
        due: Awaitable[Any]
        while len(calls) < elapsed * rate:
            due = call()
            calls.append(asyncio.create_task(status_of(due)))
        await asyncio.sleep(1 / rate)
    return Counter(await asyncio.gather(*calls))


async def _in_turn(callers: int, seconds: float, call: Any) -> Counter[tuple[grpc.StatusCode, str]]:
    """So many callers, each of whom waits for an answer before the next call; counts the outcomes."""
    loop = asyncio.get_running_loop()
    end, outcomes = loop.time() + seconds, Counter[tuple[grpc.StatusCode, str]]()

    async def one() -> None:
        while loop.time() < end:
            outcomes[await status_of(call())] += 1

    await asyncio.gather(*(one() for _ in range(callers)))
    return outcomes
