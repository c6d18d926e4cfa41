"""Limits in the process itself: what a workload does in a person's name counts, what it does for itself does not."""

from collections.abc import AsyncIterator
from datetime import timedelta
from itertools import count
from typing import Any

import grpc
import pytest

from mesh.errors import from_rpc_error
from mesh.ids import uuid7
from mesh.pipeline.rate_limit import RateLimits
from mesh.policy import LimitKey, RateLimit
from mesh.tuning import Rate, load_tuning
from tests.harness import Harness, Tokens
from tests.mesh.probe import ProbeContract, status_of
from tests.mesh.shelf import RunningShelf, shelf

OK = (grpc.StatusCode.OK, "")
LIMITED = (grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED")
IP = LimitKey.IP
TWO_A_SECOND = Rate(2, timedelta(seconds=1))


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def limits(clock: Clock, *, max_keys: int = 100) -> RateLimits:
    return RateLimits(lambda _: TWO_A_SECOND, max_keys=max_keys, now=clock)


def test_a_bucket_holds_a_windows_tokens_and_refills_evenly() -> None:
    clock = Clock()
    bucket = limits(clock)
    taken = [bucket.take(("t", IP, "a"), TWO_A_SECOND) for _ in range(3)]
    assert taken[:2] == [0, 0]
    assert taken[2] == pytest.approx(0.5)

    clock.now += 0.5
    assert bucket.take(("t", IP, "a"), TWO_A_SECOND) == 0
    assert bucket.take(("t", IP, "a"), TWO_A_SECOND) == pytest.approx(0.5)

    clock.now += 1000
    assert [bucket.take(("t", IP, "a"), TWO_A_SECOND) > 0 for _ in range(3)] == [False, False, True]


def test_the_waiting_time_is_the_real_one() -> None:
    clock = Clock()
    bucket = limits(clock)
    for turn in count():
        wait = bucket.take(("t", IP, "a"), TWO_A_SECOND)
        if wait:
            clock.now += wait
            assert bucket.take(("t", IP, "a"), TWO_A_SECOND) == 0
        if turn == 50:
            break


def test_tiers_limits_and_callers_are_counted_apart() -> None:
    bucket = limits(Clock())
    keys = [("t", IP, "a"), ("t", IP, "b"), ("t", LimitKey.SUBJECT, "a"), ("u", IP, "a")]
    assert [bucket.take(key, TWO_A_SECOND) for key in keys * 2] == [0] * 8


def test_no_more_keys_are_counted_than_may_be() -> None:
    bucket = limits(Clock(), max_keys=10)
    for index in range(1000):
        bucket.take(("t", IP, str(index)), TWO_A_SECOND)
    assert len(bucket) == 10


def test_numbers_are_those_of_the_profile() -> None:
    limit = RateLimit(LimitKey.SUBJECT, 3, timedelta(hours=1), "other")
    tuning = load_tuning()
    assert tuning.rate(limit, "production") == Rate(3, timedelta(hours=1))
    assert tuning.rate(limit, "dev") == Rate(500, timedelta(seconds=1))


@pytest.fixture
async def production(harness: Harness, contract: ProbeContract) -> AsyncIterator[RunningShelf]:
    """A process with the contract's own numbers."""
    async with shelf(harness, contract, ZOCO_ENV="production") as running:
        yield running


async def outcomes(call: Any, running: RunningShelf, times: int) -> list[tuple[grpc.StatusCode, str]]:
    return [await status_of(call(running.messages.GetThingRequest())) for _ in range(times)]


async def test_a_persons_calls_count_together_through_whichever_workload_they_come(
    production: RunningShelf, tokens: Tokens
) -> None:
    me = uuid7()
    by_order = production.stub("order", tokens.customer(me)).Counted
    by_payment = production.stub("payment", tokens.customer(me)).Counted
    of_another = production.stub("order", tokens.customer()).Counted

    assert await outcomes(by_order, production, 2) == [OK, OK]
    assert await outcomes(by_payment, production, 2) == [OK, LIMITED]
    assert await outcomes(of_another, production, 1) == [OK]


async def test_a_refusal_says_how_long_to_wait(production: RunningShelf, tokens: Tokens) -> None:
    stub = production.stub("order", tokens.customer())
    await outcomes(stub.Counted, production, 3)

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.Counted(production.messages.GetThingRequest())

    wait = from_rpc_error(refused.value).retry_after
    assert wait is not None
    assert timedelta(minutes=10) < wait <= timedelta(minutes=20)  # an hour for three
    assert 600 < int(dict(refused.value.trailing_metadata())["retry-after"]) <= 1200


async def test_where_addresses_count_a_person_counts_apart_for_each_neighbour(
    production: RunningShelf, tokens: Tokens
) -> None:
    token = tokens.customer()

    by_order = await outcomes(production.stub("order", token).CountedByAddress, production, 4)
    by_payment = await outcomes(production.stub("payment", token).CountedByAddress, production, 1)

    assert by_order == [OK, OK, OK, LIMITED]
    assert by_payment == [OK]


async def test_a_tier_is_one_bucket_for_all_its_methods_as_at_the_edge(
    production: RunningShelf, tokens: Tokens
) -> None:
    token = tokens.customer()
    stub = production.stub("order", token)

    assert await outcomes(stub.Counted, production, 2) == [OK, OK]
    assert await outcomes(stub.CountedToo, production, 2) == [OK, LIMITED]
    assert await outcomes(stub.Counted, production, 1) == [LIMITED]
    assert await outcomes(stub.CountedByAddress, production, 1) == [OK]


async def test_what_comes_through_the_edge_was_counted_there(production: RunningShelf, tokens: Tokens) -> None:
    person = production.stub(token=tokens.customer())

    assert await outcomes(person.Counted, production, 5) == [OK] * 5
    assert await outcomes(person.CountedByAddress, production, 5) == [OK] * 5


async def test_a_workload_on_its_own_account_is_not_held_to_clients_numbers(production: RunningShelf) -> None:
    order = production.stub("order")

    assert await outcomes(order.Counted, production, 5) == [OK] * 5
    assert await outcomes(order.CountedByAddress, production, 5) == [OK] * 5


async def test_a_limit_for_all_counts_all(production: RunningShelf, tokens: Tokens) -> None:
    by_order = await outcomes(production.stub("order").CountedTogether, production, 1)
    by_anybody = await outcomes(production.stub().CountedTogether, production, 1)
    by_a_person = await outcomes(production.stub("order", tokens.customer()).CountedTogether, production, 2)

    assert [*by_order, *by_anybody, *by_a_person] == [OK, OK, OK, LIMITED]


async def test_who_may_not_call_uses_up_nobodys_tokens(production: RunningShelf, tokens: Tokens) -> None:
    token = tokens.customer()
    denied = (grpc.StatusCode.PERMISSION_DENIED, "CALLER_NOT_ALLOWED")

    assert await outcomes(production.stub("analytics", token).Counted, production, 5) == [denied] * 5
    assert await outcomes(production.stub("order", token).Counted, production, 3) == [OK] * 3
