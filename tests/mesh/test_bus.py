"""Events arrive, once each in effect, whatever dies on the way."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import psycopg
import pytest
from opentelemetry import trace

from mesh.bus import Received, on, on_batch
from mesh.bus.metrics import watch_backlog
from mesh.bus.port import NotStored
from mesh.bus.relay import LOCK
from mesh.call import current_call
from mesh.clock import utc_now
from mesh.data import Transaction, outbox
from tests.fixtures.servers import NatsServer, Postgres, until
from tests.mesh.bus_side import Side, a_side, count, count_cancelled, dead, event, nothing_left, publish
from tests.mesh.ledger import a_call, add, balance, placed, prepare, scalar
from zoco.order.v1.order_events_pb2 import OrderCancelled, OrderPlaced


@pytest.fixture
async def side(postgres: Postgres, nats: str) -> AsyncIterator[Side]:
    async with a_side(await postgres.prepared("ledger", prepare), nats) as side:
        yield side


async def test_an_event_carries_its_aggregate_its_version_and_the_correlation_of_its_call(side: Side) -> None:
    seen: list[tuple[Received[OrderPlaced], str]] = []

    async def handle(_: Transaction, received: Received[OrderPlaced]) -> None:
        seen.append((received, current_call().correlation_id))

    side.relay()
    side.consume(on(OrderPlaced, handle))
    with a_call(correlation_id="from-the-browser"):
        await side.place("order-1", version=7)
    await until(lambda: seen)
    received, correlation_id = seen[0]
    assert received.event.order_id == received.aggregate_id == "order-1"
    assert (received.version, received.correlation_id, correlation_id) == (7, "from-the-browser", "from-the-browser")
    assert received.event_id == await scalar(side.database, "SELECT event_id::text FROM outbox")
    assert received.time == await scalar(side.database, "SELECT time FROM outbox")


async def test_the_trace_of_the_call_goes_on_in_the_handler(side: Side) -> None:
    seen: list[int] = []

    async def handle(_: Transaction, __: Received[OrderPlaced]) -> None:
        seen.append(trace.get_current_span().get_span_context().trace_id)

    side.relay()
    side.consume(on(OrderPlaced, handle))
    context = trace.SpanContext(0xABC, 0xDEF, is_remote=False, trace_flags=trace.TraceFlags(1))
    with trace.use_span(trace.NonRecordingSpan(context)):
        await side.place("order-1")
    await side.place("order-2")
    await until(lambda: len(seen) == 2)
    assert seen[0] == 0xABC
    assert seen[1] != 0xABC


async def test_events_come_in_the_order_they_were_committed_in(side: Side) -> None:
    seen: list[str] = []

    async def handle(_: Transaction, received: Sequence[Received[OrderPlaced]]) -> None:
        seen.extend(each.aggregate_id for each in received)

    side.relay()
    side.consume(on_batch(OrderPlaced, handle))
    orders = [f"order-{number}" for number in range(3000)]
    for start in range(0, 3000, 500):
        await side.place(*orders[start : start + 500])
    await until(lambda: len(seen) >= 3000, seconds=30)
    assert seen == orders


async def test_an_event_that_is_delivered_twice_has_one_effect(side: Side) -> None:
    side.consume(on(OrderPlaced, count), on(OrderCancelled, count_cancelled))
    twice = [event("a"), event("b")]
    # Under ids the broker has not seen: its own de-duplication, which forgets after a while, is left out.
    await publish(side, *twice, *twice)
    await until(lambda: balance(side.database, "b"))
    await publish(side, *twice)
    await publish(side, event("end", OrderCancelled))
    await until(lambda: balance(side.database, "end"))
    assert (await balance(side.database, "a"), await balance(side.database, "b")) == (1, 1)


async def test_poison_is_set_aside_with_its_reason_and_the_others_flow_on(side: Side) -> None:
    async def refuse(tx: Transaction, received: Received[OrderPlaced]) -> None:
        await add(tx, received.aggregate_id)
        if received.aggregate_id == "poison":
            raise ValueError("indigestible")

    side.consume(on(OrderPlaced, refuse))
    await publish(side, event("a"), event("poison"), event("b"))
    await until(lambda: dead(side))
    assert await dead(side) == [("zoco.order.v1.OrderPlaced", 5, "ValueError: indigestible")]
    assert [await balance(side.database, account) for account in ("a", "poison", "b")] == [1, 0, 1]
    await publish(side, event("c"))
    await until(lambda: balance(side.database, "c"))


async def test_one_bad_event_of_a_batch_does_not_stop_the_rest(side: Side) -> None:
    async def refuse(tx: Transaction, received: Sequence[Received[OrderPlaced]]) -> None:
        for each in received:
            await add(tx, each.aggregate_id)
        if any(each.aggregate_id == "poison" for each in received):
            raise ValueError("indigestible")

    await publish(side, *(event(f"order-{number}") for number in range(20)), event("poison"))
    side.consume(on_batch(OrderPlaced, refuse))
    await until(lambda: dead(side))
    assert await scalar(side.database, "SELECT count(*) FROM account WHERE balance = 1") == 20
    assert await balance(side.database, "poison") == 0


async def test_what_is_no_event_of_ours_is_set_aside_at_once(side: Side) -> None:
    side.consume(on(OrderPlaced, count))
    good = event("a")
    await publish(
        side,
        replace(good, id="1", payload=b"\xff\xff"),
        replace(good, id="2", headers={}),
        replace(good, id="3", headers={**good.headers, "ce-type": "zoco.order.v1.OrderTeleported"}),
        replace(good, id="4", headers={**good.headers, "ce-sequence": "one"}),
        event("b"),
    )
    await until(lambda: balance(side.database, "b"))
    reasons = [(tries, reason.split(":")[0], reason) for _, tries, reason in await dead(side)]
    assert [each[:2] for each in reasons] == [(1, "Unreadable")] * 4
    assert "OrderTeleported" in str(reasons)
    assert "ce-" in str(reasons)


async def test_an_event_that_works_at_a_later_try_leaves_no_dead_letter(side: Side) -> None:
    attempts = itertools.count(1)

    async def flaky(tx: Transaction, received: Received[OrderPlaced]) -> None:
        await add(tx, received.aggregate_id)
        if next(attempts) < 4:
            raise ValueError("not yet")

    side.consume(on(OrderPlaced, flaky))
    await publish(side, event("a"))
    await until(lambda: balance(side.database, "a"))
    assert await balance(side.database, "a") == 1
    assert await scalar(side.database, "SELECT count(*) FROM dead_letter") == 0


async def test_one_relay_works_at_a_time_and_the_next_takes_over_when_it_dies(postgres: Postgres, nats: str) -> None:
    url = await postgres.prepared("ledger", prepare)
    async with a_side(url, nats) as first, a_side(url, nats) as second:
        relays = first.relay(), second.relay()
        await until(lambda: any(relay.leads for relay in relays))
        leader, heir = (first, second) if relays[0].leads else (second, first)
        heir.consume(on(OrderPlaced, count))
        await first.place("a")
        await until(lambda: balance(first.database, "a"))
        assert [relay.leads for relay in relays].count(True) == 1
        # As a killed process would: the connection is gone, and with it the lock.
        await leader.halt()
        await first.place("b")
        await until(lambda: balance(first.database, "b"))


async def test_a_relay_that_hangs_loses_its_lock(postgres: Postgres, nats: str) -> None:
    url = await postgres.prepared("ledger", prepare)
    async with a_side(url, nats) as side:
        hung = await psycopg.AsyncConnection.connect(url, autocommit=True)
        await hung.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        side.relay()
        await side.place("a")
        assert await side.unpublished() == 1
        await hung.execute("SET idle_session_timeout = 300")
        await until(lambda: nothing_left(side))
        with pytest.raises(psycopg.OperationalError):
            await hung.execute("SELECT 1")


async def test_a_late_committer_with_a_low_id_is_published_too(side: Side) -> None:
    side.relay()
    side.consume(on(OrderPlaced, count))
    written, commit = asyncio.Event(), asyncio.Event()

    async def slow(tx: Transaction) -> None:
        late_event = outbox.record(placed("late"), aggregate_id="late", version=1, time=utc_now())
        await outbox.write(tx.connection, [late_event])
        written.set()
        await commit.wait()

    late = asyncio.create_task(side.database.transact(slow))
    await written.wait()
    await side.place("early")
    await until(lambda: balance(side.database, "early"))
    commit.set()
    await late
    await until(lambda: balance(side.database, "late"))


async def test_a_batch_of_which_the_broker_has_a_part_is_stored_once(side: Side) -> None:
    await until(lambda: side.bus.connected)
    await side.bus.ensure_stream("order")
    events = [event(f"order-{number}") for number in range(100)]
    assert list(await side.bus.publish(events[:40])) == list(range(1, 41))
    # As after a relay that died between the broker's word and its mark.
    assert list(await side.bus.publish(events)) == list(range(1, 101))
    assert list(await side.bus.publish(events)) == list(range(1, 101))
    assert (await side.bus.ensure_stream("order")).last_sequence == 100


async def test_what_the_broker_has_no_stream_for_is_told_message_by_message(side: Side) -> None:
    await until(lambda: side.bus.connected)
    await side.bus.ensure_stream("order")
    stray = replace(event("a"), subject="zoco.elsewhere.v1.Strayed")
    for strays in (1, 50):
        results = await side.bus.publish([event("b"), *([stray] * strays)])
        assert isinstance(results[0], int)
        assert [type(result) for result in results[1:]] == [NotStored] * strays


async def test_two_processes_of_a_workload_share_its_events(postgres: Postgres, nats: str) -> None:
    url = await postgres.prepared("ledger", prepare)
    async with a_side(url, nats) as first, a_side(url, nats) as second:
        first.relay()
        first.consume(on(OrderPlaced, count))
        second.consume(on(OrderPlaced, count))
        orders = [f"order-{number}" for number in range(500)]
        await first.place(*orders)
        await until(lambda: scalar(first.database, "SELECT count(*) = 500 FROM account"), seconds=20)
        assert await scalar(first.database, "SELECT sum(balance) FROM account") == 500


async def test_a_consumer_that_stops_hands_back_what_it_did_not_handle(side: Side) -> None:
    begun, block = asyncio.Event(), asyncio.Event()

    async def stuck(_: Transaction, _received: Received[OrderPlaced]) -> None:
        begun.set()
        await block.wait()

    await publish(side, *(event(f"order-{number}") for number in range(600)))
    side.consume(on(OrderPlaced, stuck))
    await begun.wait()
    await asyncio.sleep(0.1)  # the next batch is on its way meanwhile
    await side.halt()
    block.set()
    side.consume(on(OrderPlaced, count))
    # Long before the broker would deliver them again by itself.
    await until(lambda: scalar(side.database, "SELECT count(*) >= 400 FROM account"), seconds=8)


async def test_the_backlog_and_what_became_of_events_are_measured(postgres: Postgres, own_nats: NatsServer) -> None:
    async def refuse(_: Transaction, received: Received[OrderCancelled]) -> None:
        raise ValueError(received.aggregate_id)

    placed_type, cancelled_type = "zoco.order.v1.OrderPlaced", "zoco.order.v1.OrderCancelled"
    async with a_side(await postgres.prepared("ledger", prepare), own_nats.url) as side:
        side.relay()
        side.consume(on(OrderPlaced, count), on(OrderCancelled, refuse))
        await side.place("a", "b")
        await until(lambda: balance(side.database, "b"))
        await publish(side, event("poison", OrderCancelled))
        await until(lambda: dead(side))
        own_nats.stop()
        await until(lambda: not side.bus.connected)
        await side.place("c")
        await asyncio.sleep(0.1)
        side.loops.append(asyncio.create_task(watch_backlog(side.database, side.metrics)))
        await until(lambda: side.figure("dead_letters"))
        assert side.figure("outbox_lag_seconds") >= 0.1
        assert side.figure("events_published_total") == 2
        assert side.figure("events_handled_total", type=placed_type) == 2
        assert side.figure("event_age_seconds_count", type=placed_type) == 2
        assert side.figure("events_failed_total", type=cancelled_type) == 5
