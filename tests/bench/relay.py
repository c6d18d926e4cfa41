"""How fast a backlog leaves: committed events out of the outbox, on the broker's disk, and marked."""

import asyncio
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psycopg
import uvloop
from prometheus_client import CollectorRegistry
from psycopg import sql

from mesh.bus.metrics import BusMetrics
from mesh.bus.nats import NatsBus
from mesh.bus.relay import Relay
from mesh.data.migrations import upgrade
from tests.bench.figure import ROUNDS, SHORT, Figure, figure
from tests.fixtures.servers import NatsServer, PostgresServer

EVENTS: Final = 2_000 if SHORT else 50_000
WORKLOAD: Final = "order"
POLL_SECONDS: Final = 0.05
LIMIT_SECONDS: Final = 600.0

_BACKLOG: Final = """
    INSERT INTO outbox (event_id, aggregate_id, version, type, payload, correlation_id, traceparent, time)
    SELECT gen_random_uuid(), gen_random_uuid()::text, 1, 'zoco.order.v1.OrderPlaced',
           decode(repeat('0a', 300), 'hex'), gen_random_uuid()::text, '', clock_timestamp()
    FROM generate_series(1, %s)
"""
"""Events as large as the ones that an order of three lines publishes; nobody reads them."""

_LEFT: Final = "SELECT EXISTS (SELECT FROM outbox WHERE published_at IS NULL)"


def measure() -> list[Figure]:
    """Gives events a second, of a relay that begins with a full outbox and ends with an empty one."""
    with _servers() as (url, broker):
        rates = [EVENTS / uvloop.run(_seconds(url, broker)) for _ in range(ROUNDS)]
    return [figure(f"outbox to broker to marked, {EVENTS} events", rates, unit="events/s")]


async def _seconds(url: str, broker: str) -> float:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute(_BACKLOG, [EVENTS])
        bus = NatsBus(broker, name=WORKLOAD)
        await bus.start()
        while not bus.connected:  # noqa: ASYNC110 - the client tells nobody
            await asyncio.sleep(POLL_SECONDS)
        relay = Relay(url, bus, workload=WORKLOAD, metrics=BusMetrics(CollectorRegistry()))
        began = time.perf_counter()
        running = asyncio.create_task(relay.run())
        try:
            async with asyncio.timeout(LIMIT_SECONDS):
                while await _is_left(connection):  # noqa: ASYNC110 - the database tells nobody either
                    await asyncio.sleep(POLL_SECONDS)
            return time.perf_counter() - began
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await bus.close()


async def _is_left(connection: psycopg.AsyncConnection[tuple[bool]]) -> bool:
    row = await (await connection.execute(_LEFT)).fetchone()
    return row is not None and row[0]


@contextmanager
def _servers() -> Iterator[tuple[str, str]]:
    """A durable database of the order service and a broker with nothing in it."""
    with tempfile.TemporaryDirectory(prefix="zoco-relay-") as directory:
        postgres, nats = PostgresServer(Path(directory) / "postgres"), NatsServer(Path(directory) / "nats")
        try:
            postgres.start()
            nats.start()
            for statement in ("CREATE ROLE {} LOGIN", "CREATE DATABASE {0} OWNER {0}"):
                postgres.execute(sql.SQL(statement).format(sql.Identifier(WORKLOAD)))
            url = postgres.url(WORKLOAD, WORKLOAD)
            upgrade(WORKLOAD, url)
            yield url, nats.url
        finally:
            nats.stop()
            postgres.stop()
