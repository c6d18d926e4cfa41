"""While database or broker are away, full or wiped, no event is lost, and none takes effect twice."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from structlog.testing import capture_logs

from mesh.bus import on
from mesh.data.dead_letters import TRIES
from tests.fixtures.servers import NatsServer, Postgres, PostgresServer, until
from tests.mesh.bus_side import a_side, count, event, nothing_left, publish, relay_and_count
from tests.mesh.ledger import balance, prepare, scalar
from zoco.order.v1.order_events_pb2 import OrderPlaced


async def test_a_database_that_is_away_is_no_fault_of_the_event(own_postgres: PostgresServer, nats: str) -> None:
    prepare(own_postgres.url())
    async with a_side(own_postgres.url(), nats) as side:
        await relay_and_count(side, "a")
        await asyncio.to_thread(own_postgres.kill)
        with capture_logs() as logs:
            await publish(side, event("b"))
            # More often than an event of its own fault would be tried.
            await until(lambda: _times(logs, "waiting for the database") > TRIES, seconds=20)
        await asyncio.to_thread(own_postgres.start)
        await until(lambda: balance(side.database, "b"), seconds=20)
        assert await scalar(side.database, "SELECT count(*) FROM dead_letter") == 0
        await side.place("c")
        await until(lambda: balance(side.database, "c"), seconds=20)


async def test_what_is_committed_while_the_broker_is_down_arrives_when_it_is_back(
    postgres: Postgres, own_nats: NatsServer
) -> None:
    async with a_side(await postgres.prepared("ledger", prepare), own_nats.url) as side:
        await relay_and_count(side, "a")
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
            with capture_logs() as logs:
                for order_id in large:
                    await side.place(order_id)
                await until(lambda: balance(side.database, large[0]))
                await until(lambda: _times(logs, "relay interrupted") >= 2)
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
        await relay_and_count(side, "a", "b")
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
        await relay_and_count(side, "a")
        own_nats.wipe()
        own_nats.start()
        await side.place("b")
        await until(lambda: balance(side.database, "b"), seconds=20)
        await until(lambda: nothing_left(side))
        # Both stand in the stream again, for whoever has not had them.
        assert (await side.bus.ensure_stream("order")).last_sequence == 2
        assert await balance(side.database, "a") == 1


def _times(logs: Sequence[Mapping[str, Any]], line: str) -> int:
    """How often a line stands in what was logged."""
    return [each["event"] for each in logs].count(line)
