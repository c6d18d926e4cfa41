"""A chain of real calls: each has less time than its caller's, no work outlives it, and a gap gives nothing away."""

import asyncio
import time
from collections.abc import AsyncIterator

import grpc
import pytest
from structlog.testing import capture_logs

from mesh.channel import BUDGET_RESERVE
from mesh.credentials import client_credentials
from mesh.errors import from_rpc_error
from tests.fixtures.servers import until
from tests.harness import Harness
from tests.mesh.probe import ProbeContract, status_of
from tests.mesh.shelf import WORKLOAD, RunningShelf, shelf

RESERVE_MS = int(1000 * BUDGET_RESERVE)
CONTRACT_MS = 5000
ROUNDING_MS = 20
"""gRPC rounds a time-out up on the wire."""


@pytest.fixture
async def last(harness: Harness, contract: ProbeContract) -> AsyncIterator[RunningShelf]:
    async with shelf(harness, contract) as running:
        yield running


@pytest.fixture
async def first(harness: Harness, contract: ProbeContract, last: RunningShelf) -> AsyncIterator[RunningShelf]:
    """A process whose neighbour is the last one."""
    peers = {WORKLOAD: [last.service.address]}
    url = last.service.database_url
    async with shelf(harness, contract, database_url=url, ZOCO_PEERS=peers) as running:
        yield running


async def test_a_child_has_what_its_caller_has_left_less_a_reserve(first: RunningShelf) -> None:
    answer = await first.stub().Chain(first.messages.ChainRequest(hops=1), timeout=3)

    outer, inner = answer.deadline_ms
    assert answer.remaining_ms[0] <= 3000
    assert inner <= outer - RESERVE_MS + ROUNDING_MS


async def test_a_child_never_has_more_than_the_contract_says(first: RunningShelf) -> None:
    answer = await first.stub().Chain(first.messages.ChainRequest(hops=1, timeout_ms=60_000), timeout=60)

    outer, inner = answer.deadline_ms
    assert answer.remaining_ms[0] <= CONTRACT_MS
    assert inner <= outer - RESERVE_MS + ROUNDING_MS


async def test_a_child_never_has_more_than_was_asked_for(first: RunningShelf) -> None:
    answer = await first.stub().Chain(first.messages.ChainRequest(hops=1, timeout_ms=700))

    assert answer.remaining_ms[1] <= 700


async def test_when_the_callers_time_is_over_its_childs_work_ends(first: RunningShelf, last: RunningShelf) -> None:
    request = first.messages.ChainRequest(hops=1, work_ms=60_000)

    outcome = await status_of(first.stub().Chain(request, timeout=0.5))

    assert outcome[0] is grpc.StatusCode.DEADLINE_EXCEEDED
    await until(lambda: last.servicer.abandoned == 1)
    assert last.servicer.finished == 0


async def test_a_child_that_would_have_no_time_is_not_called(first: RunningShelf, last: RunningShelf) -> None:
    outcome = await status_of(first.stub().Chain(first.messages.ChainRequest(hops=1), timeout=0.09))

    assert outcome[0] is grpc.StatusCode.DEADLINE_EXCEEDED
    assert last.servicer.begun == 0


async def test_no_handler_begins_after_its_deadline_however_long_it_was_kept_waiting(last: RunningShelf) -> None:
    """The process is busy until the caller's time is over: what waited there is not begun any more."""
    await last.stub().Chain(last.messages.ChainRequest())
    options = (("grpc.ssl_target_name_override", WORKLOAD),)
    credentials = client_credentials(last.service.pki / "edge")
    with grpc.secure_channel(last.service.address, credentials, options) as channel:
        stub = last.servicer.stubs.ShelfServiceStub(channel)
        calls = [stub.Chain.future(last.messages.ChainRequest(), timeout=0.3) for _ in range(5)]
        time.sleep(0.5)  # noqa: ASYNC251 - the event loop must not get to what comes in now
        await asyncio.to_thread(lambda: [call.exception(timeout=10) for call in calls])

    assert {call.code() for call in calls} == {grpc.StatusCode.DEADLINE_EXCEEDED}
    await last.stub().Chain(last.messages.ChainRequest())
    assert last.servicer.begun == 2


async def test_where_a_neighbour_is_away_its_address_is_nobodys_business(
    harness: Harness, contract: ProbeContract, last: RunningShelf
) -> None:
    nowhere = "127.0.0.1:1"
    url = last.service.database_url
    async with shelf(harness, contract, database_url=url, ZOCO_PEERS={WORKLOAD: [nowhere]}) as alone:
        with capture_logs() as logs, pytest.raises(grpc.aio.AioRpcError) as refused:
            await alone.stub().Chain(alone.messages.ChainRequest(hops=1), timeout=3)

    error = from_rpc_error(refused.value)
    assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE")
    assert error.message == "a service that this call needs did not answer"
    assert any(nowhere in str(line.get("details")) for line in logs), logs
