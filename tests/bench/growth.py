"""What growing costs order: a long history to load, and many events to rebuild the read table from.

Everything runs on one durable PostgreSQL of its own, and both of what is compared run alternately in one session.
"""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final

import psycopg
from google.type.postal_address_pb2 import PostalAddress
from prometheus_client import CollectorRegistry
from psycopg.types.json import Jsonb

from mesh.data import Database, Transaction
from mesh.ids import uuid7
from mesh.money import Money
from services.order import projections, storage, store
from services.order.domain import RefundMoney, decide
from services.order.events import (
    Cause,
    Change,
    Event,
    Line,
    OrderConfirmed,
    OrderDelivered,
    OrderPlaced,
    OrderShipped,
    PaymentAuthorized,
    PaymentCaptured,
    RefundMade,
    RefundRequested,
    Shipment,
    StockCommitted,
    StockReserved,
)
from services.order.metrics import OrderMetrics
from services.order.saga import Refunded, react
from services.order.state import Order
from services.order.store import OrderStore
from tests.bench.figure import ROUNDS, SHORT, Figure, figure
from tests.fixtures.servers import Postgres, PostgresServer

SHORT_EVENTS: Final = 10
LONG_EVENTS: Final = 1000
LOADS: Final = 50 if SHORT else 400
"""Loads of each order in a round."""

FEW: Final = 1_000 if SHORT else 10_000
MANY: Final = 10 * FEW
"""Orders of ten events each."""
REBUILDS: Final = 1 if SHORT else 3
"""Rounds of rebuilding: enough for a ratio of things that take many seconds."""

NOON: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)
BUYER: Final = uuid7()
LINES: Final = tuple(Line(uuid7(), f"Tested Teapot {number}", Money("EUR", 1250), number) for number in (1, 2, 3))
TOTAL: Final = Money("EUR", 7500)
CHECKOUT: Final[Sequence[Change]] = (
    StockReserved(),
    PaymentAuthorized("01a223fc-0000-7000-8000-000000000001"),
    PaymentCaptured(TOTAL),
    StockCommitted(),
    OrderConfirmed(),
)


def measure() -> Sequence[Figure]:
    """Loads of a long order against those of a short one; rebuilds of ten times as many events."""
    with tempfile.TemporaryDirectory(prefix="zoco-growth-") as directory:
        server = PostgresServer(Path(directory) / "postgres", shared_buffers="256MB", max_wal_size="4GB")
        server.start()
        try:
            return asyncio.run(_measure(Postgres(server)))
        finally:
            server.stop()


async def _measure(postgres: Postgres) -> Sequence[Figure]:
    async with _database(postgres) as database:
        figures = await _loads(database)
    async with _database(postgres) as few, _database(postgres) as many:
        return [*figures, *await _rebuilds(few, many)]


@asynccontextmanager
async def _database(postgres: Postgres) -> AsyncIterator[Database]:
    database = Database(await postgres.database("order"), workload="order")
    try:
        yield database
    finally:
        await database.drain()


async def _loads(database: Database) -> Sequence[Figure]:
    short, long = await _placed(database, SHORT_EVENTS), await _placed(database, LONG_EVENTS)
    ratios, shorts, longs = list[float](), list[float](), list[float]()
    for _ in range(ROUNDS):
        times: dict[str, list[float]] = {short: [], long: []}
        for _ in range(LOADS):
            for order_id in (short, long):  # one after the other: what else the machine does meets both
                times[order_id].append(await _seconds_to_load(database, order_id))
        shorts.append(median(times[short]) * 1e6)
        longs.append(median(times[long]) * 1e6)
        ratios.append(shorts[-1] / longs[-1])
    return [
        figure(f"growth: load of {LONG_EVENTS} events", ratios, target=1 / 3, aim=1),
        figure(f"  an order of {LONG_EVENTS} events", longs, unit="us"),
        figure(f"  an order of {SHORT_EVENTS} events", shorts, unit="us"),
    ]


async def _seconds_to_load(database: Database, order_id: str) -> float:
    async with database.reading() as connection:
        started = time.perf_counter()
        order = await store.load(connection, order_id)
        elapsed = time.perf_counter() - started
    assert order is not None
    return elapsed


async def _placed(database: Database, length: int) -> str:
    """Places an order and appends to it, as the service does, until its stream has so many events; its id."""
    orders = OrderStore(metrics=OrderMetrics(CollectorRegistry()), lease=timedelta(minutes=1))
    placed = OrderPlaced(uuid7(), BUYER, LINES)
    address = PostalAddress(region_code="ES", address_lines=["Calle Mayor 1"])

    async def place(tx: Transaction) -> Order:
        return await orders.place(tx, placed, card="tok_visa", address=address)

    async def append(tx: Transaction, *, before: Order, changes: Sequence[Change]) -> Order:
        return await orders.append(tx, before, changes, actor=BUYER)

    order = await database.transact(place)
    for change in CHECKOUT:
        order = await database.transact(partial(append, before=order, changes=(change,)))
    while order.version < length:
        wanted = RefundMoney(uuid7(), Money("EUR", 1), "a scratch", BUYER)
        order = await database.transact(partial(append, before=order, changes=decide(order, wanted)))
        made = react(order, Refunded(len(order.refunds)))
        order = await database.transact(partial(append, before=order, changes=made))
    return order.id


async def _rebuilds(few: Database, many: Database) -> Sequence[Figure]:
    rates: dict[int, list[float]] = {FEW: [], MANY: []}
    for database, orders in ((few, FEW), (many, MANY)):
        await _fill(database, orders)
    for number in range(REBUILDS):
        # Which goes first changes with the round.
        sizes = [(few, FEW), (many, MANY)]
        for database, orders in sizes if number % 2 else reversed(sizes):
            rates[orders].append(await _events_a_second(database, orders))
    ratios = [large / small for large, small in zip(rates[MANY], rates[FEW], strict=True)]
    return [
        figure(f"growth: rebuild of {MANY * SHORT_EVENTS:,} events", ratios, target=1 / 1.2),
        figure(f"  rebuild of {MANY * SHORT_EVENTS:,} events", rates[MANY], unit="events/s"),
        figure(f"  rebuild of {FEW * SHORT_EVENTS:,} events", rates[FEW], unit="events/s"),
    ]


async def _events_a_second(database: Database, orders: int) -> float:
    """Rebuilds a read table whose rows are all wrong."""
    async with _unlimited(database) as connection:
        await connection.execute("UPDATE orders SET state = 'PENDING', refunded = 0")
        await connection.execute("VACUUM (ANALYZE) orders")
    started = time.perf_counter()
    rebuilt = await projections.rebuild(database)
    elapsed = time.perf_counter() - started
    async with _unlimited(database) as connection:
        right = await connection.execute(
            "SELECT count(*) FROM orders WHERE state = 'DELIVERED' AND refunded = 1 AND version = %s", [SHORT_EVENTS]
        )
        assert (rebuilt,) == (orders,) == await right.fetchone()
    return orders * SHORT_EVENTS / elapsed


async def _fill(database: Database, orders: int) -> None:
    """Writes whole lives of orders straight into the table of events, and rebuilds once to have their rows."""
    async with _unlimited(database) as connection:
        async with (
            connection.cursor() as cursor,
            cursor.copy("COPY events (stream_id, version, type, payload, metadata, time) FROM STDIN") as copy,
        ):
            for number in range(orders):
                order_id = uuid7()
                for version, event in enumerate(_life(order_id), start=1):
                    at = NOON + timedelta(seconds=number * SHORT_EVENTS + version)
                    await copy.write_row((order_id, version, *storage.write(event), Jsonb({"actor": BUYER}), at))
        await connection.execute("VACUUM (ANALYZE) events")
    await projections.rebuild(database)


@asynccontextmanager
async def _unlimited(database: Database) -> AsyncIterator[psycopg.AsyncConnection]:
    """A connection for what takes longer than a service may."""
    url = database.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        yield connection


def _life(order_id: str) -> tuple[Event, ...]:
    """Ten events: an order that was paid, in part refunded, shipped and delivered."""
    return (
        OrderPlaced(order_id, BUYER, LINES),
        *CHECKOUT,
        RefundRequested("01a223fc-0000-7000-8000-000000000002", 1, Money("EUR", 1), "a scratch", Cause.DECISION, BUYER),
        RefundMade(1),
        OrderShipped(Shipment("DHL", "42")),
        OrderDelivered(),
    )
