"""A service beside the broker, and events for it, for tests of the bus."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from prometheus_client import CollectorRegistry
from sqlalchemy import text

from mesh.bus import Received, Subscription, on
from mesh.bus.consumer import Consumer
from mesh.bus.envelope import Envelope
from mesh.bus.metrics import BusMetrics
from mesh.bus.nats import NatsBus
from mesh.bus.port import Publication
from mesh.bus.relay import Relay
from mesh.clock import utc_now
from mesh.data import Database, Transaction
from mesh.ids import uuid7
from tests.fixtures.brokers import account_url
from tests.fixtures.servers import until
from tests.mesh.ledger import add, balance, opened, placed, scalar
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


async def relay_and_count(side: Side, *orders: str) -> None:
    """Starts relay and consumer, and waits until orders have come through both."""
    side.relay()
    side.consume(on(OrderPlaced, count))
    await side.place(*orders)
    await until(lambda: balance(side.database, orders[-1]))


async def count_cancelled(tx: Transaction, received: Received[OrderCancelled]) -> None:
    await add(tx, received.aggregate_id)


async def nothing_left(side: Side) -> bool:
    return await side.unpublished() == 0


async def dead(side: Side) -> list[tuple[str, int, str]]:
    async with side.database.reading() as connection:
        query = "SELECT subject, tries, reason FROM dead_letter WHERE dead_at IS NOT NULL ORDER BY event_id"
        return [(row.subject, row.tries, row.reason) for row in await connection.execute(text(query))]
