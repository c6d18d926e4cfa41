"""The shop's outboxes and streams, as a fault sees them: with the rights of whoever runs the machine."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

import nats
import psycopg
from nats.aio.client import Client
from nats.js.errors import NotFoundError

from mesh.bus.contract import EventContract, load_events
from mesh.bus.envelope import Envelope
from mesh.bus.port import Publication
from mesh.bus.relay import LOCK
from mesh.bus.subjects import stream_of
from tests.chaos.faults.waiting import until
from tests.chaos.house import House
from tests.chaos.points import CONSUMERS, PUBLISHERS

_COUNT: Final = "SELECT count(*), count(*) FILTER (WHERE published_at IS NULL) FROM outbox"
_UNPUBLISHED: Final = """
    SELECT event_id::text, type, aggregate_id, version, time, correlation_id, traceparent, payload
    FROM outbox WHERE published_at IS NULL ORDER BY id
"""
_LEADER: Final = """
    SELECT pg_terminate_backend(pid) FROM pg_locks
    WHERE locktype = 'advisory' AND (classid::bigint << 32) + objid::bigint = %s AND granted AND pid <> pg_backend_pid()
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_LETTERS: Final = "SELECT reason FROM dead_letter WHERE dead_at IS NOT NULL"


def contract() -> EventContract:
    """Who tells and who hears what."""
    return load_events()


@asynccontextmanager
async def broker(house: House) -> AsyncIterator[Client]:
    """A connection to the broker that may do everything."""
    client = await nats.connect(house.broker)
    try:
        yield client
    finally:
        await client.close()


async def outboxes(house: House) -> tuple[int, int]:
    """How many events all services have told, and how many of them are still to be published."""
    told = unpublished = 0
    for service in PUBLISHERS:
        async with await psycopg.AsyncConnection.connect(house.database(service)) as connection:
            row = await (await connection.execute(_COUNT)).fetchone()
            told, unpublished = told + int(row[0] if row else 0), unpublished + int(row[1] if row else 0)
    return told, unpublished


async def stored(house: House) -> int:
    """How many events are in the streams of all areas."""
    async with broker(house) as client:
        states = [await _state(client, service) for service in PUBLISHERS]
    return sum(states)


async def _state(client: Client, service: str) -> int:
    try:
        return (await client.jetstream().stream_info(stream_of(service))).state.messages
    except NotFoundError:
        return 0


async def handled(house: House, limit: float) -> float:
    """Waits until every consumer has settled all that was published so far. Returns how many seconds it took."""
    async with broker(house) as client:
        context = client.jetstream()
        waiting = {
            (service, area): (await context.stream_info(stream_of(area))).state.last_seq
            for service in CONSUMERS
            for area in contract().workloads[service].sources
        }

        async def is_settled() -> bool:
            for (service, area), last in list(waiting.items()):
                consumer = await context.consumer_info(stream_of(area), service)
                settled = consumer.ack_floor.stream_seq if consumer.ack_floor else 0
                if settled >= last or not (consumer.num_pending or consumer.num_ack_pending):
                    del waiting[service, area]
            return not waiting

        return await until(is_settled, limit, "all events to be handled")


@asynccontextmanager
async def no_relay(house: House) -> AsyncIterator[Mapping[str, psycopg.AsyncConnection[Any]]]:
    """Nobody publishes within the block: the locks of all relays are held by somebody else.

    Yields:
        A connection to each service's database.
    """
    async with AsyncExitStack() as stack:
        connections = {}
        for service in PUBLISHERS:
            connection = await psycopg.AsyncConnection.connect(house.database(service), autocommit=True)
            connections[service] = await stack.enter_async_context(connection)

            async def is_taken(connection: psycopg.AsyncConnection[Any] = connection) -> bool:
                await connection.execute(_LEADER, [LOCK])
                row = await (await connection.execute("SELECT pg_try_advisory_lock(%s)", [LOCK])).fetchone()
                return bool(row and row[0])

            await until(is_taken, 30, f"the relay of {service} to let go")
        yield connections


async def unpublished(connection: psycopg.AsyncConnection[Any], service: str) -> Sequence[Publication]:
    """What waits in a service's outbox, as its relay would publish it."""
    rows = await (await connection.execute(_UNPUBLISHED)).fetchall()
    return [
        Envelope(
            event_id=event_id,
            type=kind,
            source=f"/zoco/{service}",
            aggregate_id=aggregate_id,
            version=version,
            time=time,
            correlation_id=correlation_id,
            traceparent=traceparent,
        ).publication(payload)
        for event_id, kind, aggregate_id, version, time, correlation_id, traceparent, payload in rows
    ]


async def dead_letters(house: House) -> Sequence[str]:
    """The reasons of all dead letters."""
    reasons: list[str] = []
    for service in CONSUMERS:
        async with await psycopg.AsyncConnection.connect(house.database(service)) as connection:
            reasons += [str(row[0]) for row in await (await connection.execute(_LETTERS)).fetchall()]
    return reasons
