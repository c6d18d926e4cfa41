"""Events arrive, once each in effect, whatever dies on the way."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from opentelemetry import trace
from prometheus_client import CollectorRegistry
from sqlalchemy import text

from mesh.bus import Received, Subscription, on, on_batch
from mesh.bus.consumer import Consumer
from mesh.bus.envelope import Envelope
from mesh.bus.metrics import BusMetrics, watch_backlog
from mesh.bus.nats import NatsBus
from mesh.bus.port import NotStored, Publication
from mesh.bus.relay import LOCK, Relay
from mesh.call import current_call
from mesh.clock import utc_now
from mesh.data import Database, Transaction, outbox
from mesh.ids import uuid7
from tests.fixtures.brokers import account_url
from tests.fixtures.servers import NatsServer, Postgres, PostgresServer, until
from tests.mesh.ledger import a_call, add, balance, opened, placed, prepare, scalar
from zoco.order.v1.order_events_pb2 import OrderCancelled, OrderPlaced


@dataclass
class Side:
    """A service: its database, its connection to the broker, and the loops that run in it."""

    url: str
    database: Database
    bus: NatsBus
    loops: list[asyncio.Task[None]] = field(default_factory=list)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def __post_init__(self) -> None:
        self.metrics = BusMetrics(self.registry)

    def figure(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0

    def relay(self, **options: Any) -> Relay:
        relay = Relay(self.url, self.bus, workload="order", metrics=self.metrics, **options)
        self.database.on_events(relay.wake)
        self.loops.append(asyncio.create_task(relay.run()))
        return relay

    def consume(self, *subscriptions: Subscription) -> None:
        consumer = Consumer(
            self.database,
            self.bus,
            workload="ledger",
            area="order",
            subscriptions=subscriptions,
            metrics=self.metrics,
            first_delay=timedelta(milliseconds=5),
        )
        self.loops.append(asyncio.create_task(consumer.run()))

    async def halt(self) -> None:
        for loop in self.loops:
            loop.cancel()
        await asyncio.gather(*self.loops, return_exceptions=True)
        self.loops.clear()

    async def place(self, *orders: str, version: int = 1) -> None:
        async def work(tx: Transaction) -> None:
            for order_id in orders:
                tx.publish(placed(order_id), aggregate_id=order_id, version=version)

        await self.database.transact(work)

    async def unpublished(self) -> int:
        return int(await scalar(self.database, "SELECT count(*) FROM outbox WHERE published_at IS NULL"))


@asynccontextmanager
async def a_side(url: str, nats_url: str) -> AsyncIterator[Side]:
    bus = NatsBus(account_url(nats_url, "ledger"), name="ledger")
    await bus.start()
    async with opened(url) as database:
        side = Side(url, database, bus)
        try:
            yield side
        finally:
            await side.halt()
            await bus.close()


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


async def test_a_database_that_is_away_is_no_fault_of_the_event(own_postgres: PostgresServer, nats: str) -> None:
    prepare(own_postgres.url())
    async with a_side(own_postgres.url(), nats) as side:
        side.relay()
        side.consume(on(OrderPlaced, count))
        await side.place("a")
        await until(lambda: balance(side.database, "a"))
        await asyncio.to_thread(own_postgres.kill)
        await publish(side, event("b"))
        await asyncio.sleep(1.5)  # longer than five tries would take
        await asyncio.to_thread(own_postgres.start)
        await until(lambda: balance(side.database, "b"), seconds=20)
        assert await scalar(side.database, "SELECT count(*) FROM dead_letter") == 0
        await side.place("c")
        await until(lambda: balance(side.database, "c"), seconds=20)


async def test_what_is_committed_while_the_broker_is_down_arrives_when_it_is_back(
    postgres: Postgres, own_nats: NatsServer
) -> None:
    async with a_side(await postgres.prepared("ledger", prepare), own_nats.url) as side:
        side.relay()
        side.consume(on(OrderPlaced, count))
        await side.place("a")
        await until(lambda: balance(side.database, "a"))
        own_nats.stop()
        await side.place("b")
        await until(lambda: not side.bus.connected)
        await side.place("c")
        own_nats.start()
        await until(lambda: balance(side.database, "c"), seconds=20)
        assert [await balance(side.database, account) for account in "abc"] == [1, 1, 1]


async def test_a_broker_that_was_away_at_the_start_is_found_later(postgres: Postgres, own_nats: NatsServer) -> None:
    own_nats.stop()
    async with a_side(await postgres.prepared("ledger", prepare), own_nats.url) as side:
        side.relay()
        side.consume(on(OrderPlaced, count))
        await side.place("a")
        assert not side.bus.connected
        own_nats.start()
        await until(lambda: balance(side.database, "a"), seconds=20)


async def test_what_a_full_broker_refuses_stays_in_the_outbox_until_there_is_room(
    postgres: Postgres, tmp_path: Path
) -> None:
    server = NatsServer(tmp_path / "small", max_file_store=200_000)
    server.start()
    try:
        async with a_side(await postgres.prepared("ledger", prepare), server.url) as side:
            side.relay()
            side.consume(on(OrderPlaced, count))
            large = [("x" * 10_000) + str(number) for number in range(60)]
            for order_id in large:
                await side.place(order_id)
            await until(lambda: balance(side.database, large[0]))
            await asyncio.sleep(1)
            assert await side.unpublished() > 30
            server.stop()
            server.jetstream["max_file_store"] = 100_000_000
            server.start()
            await until(lambda: scalar(side.database, "SELECT count(*) = 60 FROM account"), seconds=20)
            await until(lambda: nothing_left(side))
    finally:
        server.stop()


async def test_a_wiped_broker_is_filled_again_and_nothing_takes_effect_twice(
    postgres: Postgres, own_nats: NatsServer
) -> None:
    async with a_side(await postgres.prepared("ledger", prepare), own_nats.url) as side:
        side.relay()
        side.consume(on(OrderPlaced, count))
        await side.place("a", "b")
        await until(lambda: balance(side.database, "b"))
        await side.halt()
        side.relay()
        # Published, and handled by nobody yet, when the broker loses everything.
        await side.place("c")
        await until(lambda: nothing_left(side))
        own_nats.wipe()
        await side.place("d")
        own_nats.start()
        side.consume(on(OrderPlaced, count))
        await until(lambda: balance(side.database, "d"), seconds=20)
        await until(lambda: balance(side.database, "c"), seconds=20)
        assert [await balance(side.database, account) for account in "abcd"] == [1, 1, 1, 1]


async def test_a_broker_wiped_under_running_loops_is_filled_again(postgres: Postgres, own_nats: NatsServer) -> None:
    async with a_side(await postgres.prepared("ledger", prepare), own_nats.url) as side:
        side.relay()
        side.consume(on(OrderPlaced, count))
        await side.place("a")
        await until(lambda: balance(side.database, "a"))
        own_nats.wipe()
        own_nats.start()
        await side.place("b")
        await until(lambda: balance(side.database, "b"), seconds=20)
        await until(lambda: nothing_left(side))
        # Both stand in the stream again, for whoever has not had them.
        assert (await side.bus.ensure_stream("order")).last_sequence == 2
        assert await balance(side.database, "a") == 1


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
        hung = await psycopg.AsyncConnection.connect(url, autocommit=True, options="-c idle_session_timeout=300")
        await hung.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        side.relay()
        await side.place("a")
        assert await side.unpublished() == 1
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
    for count in (1, 50):
        results = await side.bus.publish([event("b"), *([stray] * count)])
        assert isinstance(results[0], int)
        assert [type(result) for result in results[1:]] == [NotStored] * count


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


def event(account: str, kind: type[OrderPlaced] | type[OrderCancelled] = OrderPlaced) -> Publication:
    """An event as another service publishes it."""
    message = kind(order_id=account)
    envelope = Envelope(
        event_id=uuid7(),
        type=message.DESCRIPTOR.full_name,
        source="/zoco/order",
        aggregate_id=account,
        version=1,
        time=utc_now(),
        correlation_id="",
    )
    return envelope.publication(message.SerializeToString())


async def publish(side: Side, *publications: Publication) -> None:
    """Publishes past the outbox, and past the broker's own check for repeated ids."""
    await until(lambda: side.bus.connected)
    await side.bus.ensure_stream("order")
    results = await side.bus.publish([replace(each, id=uuid7()) for each in publications])
    assert all(isinstance(result, int) for result in results), results


async def count(tx: Transaction, received: Received[OrderPlaced]) -> None:
    await add(tx, received.aggregate_id)


async def count_cancelled(tx: Transaction, received: Received[OrderCancelled]) -> None:
    await add(tx, received.aggregate_id)


async def nothing_left(side: Side) -> bool:
    return await side.unpublished() == 0


async def dead(side: Side) -> list[tuple[str, int, str]]:
    async with side.database.reading() as connection:
        query = "SELECT subject, tries, reason FROM dead_letter WHERE dead_at IS NOT NULL ORDER BY event_id"
        return [(row.subject, row.tries, row.reason) for row in await connection.execute(text(query))]
