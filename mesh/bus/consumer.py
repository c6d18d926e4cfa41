"""The consumer: events out of the broker into their handlers, each with one effect however often it is delivered.

A batch of events is handled in one transaction, which also notes them in the inbox; only then are they acknowledged.
If it fails, each event gets a transaction of its own, so that one bad event does not stop the others. What fails alone
comes again later, and after five tries it is set aside. While the database is away nothing counts as a try: the
consumer waits.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import groupby
from typing import Final, TypeVar

from mesh.bus.envelope import Envelope, Unreadable
from mesh.bus.items import Item, handling, parse
from mesh.bus.metrics import BusMetrics
from mesh.bus.port import Bus, BusUnavailable, Delivery, Pull, StreamMissing
from mesh.bus.subscriptions import Subscription
from mesh.crashpoints import crashpoint
from mesh.data import dead_letters, inbox
from mesh.data.database import Database
from mesh.data.dead_letters import FailedDelivery
from mesh.data.failures import DatabaseBusy, DatabaseUnavailable
from mesh.data.transaction import Transaction
from mesh.logs import logger

T = TypeVar("T")

BATCH: Final = 200
"""Events that share a transaction at most."""

PROGRESS: Final = timedelta(seconds=5)
"""How often the broker is told that events are still being handled."""

FIRST_DELAY: Final = timedelta(milliseconds=500)
"""After which a failed event comes again; four times as long with each try."""

LONGEST_DELAY: Final = timedelta(seconds=60)

LONGEST_WAIT_FOR_STREAM: Final = 0.5
"""Seconds between two looks for a stream that its owner has not made yet: all start at once, and somebody is first."""


class Consumer:
    """Handles one area's events for one workload. All processes of the workload share the events.

    Args:
        database: Where the effects are.
        bus: Where the events come from.
        workload: Who handles them; the name of the durable consumer.
        area: Whose events.
        subscriptions: What is handled how.
        metrics: Where it is counted.
        first_delay: After which a failed event comes again; four times as long with each try.
    """

    def __init__(
        self,
        database: Database,
        bus: Bus,
        *,
        workload: str,
        area: str,
        subscriptions: Sequence[Subscription],
        metrics: BusMetrics,
        first_delay: timedelta = FIRST_DELAY,
    ) -> None:
        self._database = database
        self._bus = bus
        self._workload = workload
        self._area = area
        self._subscriptions: Mapping[str, Subscription] = {each.subject: each for each in subscriptions}
        if len(self._subscriptions) != len(subscriptions):
            raise ValueError(f"{workload} handles an event of {area} twice; call both from one handler")
        self._metrics = metrics
        self._first_delay = first_delay
        self._log = logger("consumer").bind(area=area)

    async def run(self) -> None:
        """Handles events until cancelled, through any failure of the broker and the database."""
        pause = 0.1
        while True:
            try:
                if self._bus.connected:
                    async with self._bus.pull(self._area, self._workload, list(self._subscriptions)) as pull:
                        pause = 0.1
                        await self._consume(pull)
            except StreamMissing:
                pause = min(2 * pause, LONGEST_WAIT_FOR_STREAM)
            except BusUnavailable as error:
                self._log.info("consumer interrupted", error=str(error))
                pause = min(2 * pause, 5.0)
            await asyncio.sleep(random.uniform(pause / 2, pause))  # noqa: S311 - jitter, no secret

    async def _consume(self, pull: Pull) -> None:
        while True:
            deliveries = await pull.fetch(BATCH)
            async with _progress(deliveries):
                items = [item for delivery in deliveries if (item := await self._read(delivery)) is not None]
                await self._handle(items)

    async def _read(self, delivery: Delivery) -> Item | None:
        """Reads a delivery; one that is no event of ours is settled here."""
        subscription = self._subscriptions.get(delivery.subject)
        if subscription is None:
            # Another version of this workload asked for it: it is for that one to handle.
            await delivery.nak(LONGEST_DELAY.total_seconds())
            return None
        try:
            return parse(delivery, subscription)
        except Unreadable as error:
            await self._set_aside(delivery, None, error, tries=1)
            return None

    async def _handle(self, items: Sequence[Item]) -> None:
        """Handles events together; if that fails, one by one."""
        if not items:
            return
        crashpoint(f"{self._workload}.consumer.received")
        try:
            # A commit whose outcome is unknown is repeated, too: the inbox tells what became of it.
            await self._patiently(lambda: self._commit(items))
        except Exception as error:  # noqa: BLE001 - whatever a handler raises is its event's failure, and recorded
            if len(items) > 1:
                self._log.info("batch failed, going on one by one", count=len(items), error=str(error))
                for item in items:
                    await self._handle([item])
            else:
                await self._set_aside(items[0].delivery, items[0].envelope, error, tries=dead_letters.TRIES)
            return
        for item in items:
            await item.delivery.ack()
            crashpoint(f"{self._workload}.consumer.acknowledged")

    async def _patiently(self, act: Callable[[], Awaitable[T]]) -> T:
        """Acts on the database, waiting for as long as it is away or has no connection to give."""
        pause = 0.1
        while True:
            try:
                return await act()
            except (DatabaseUnavailable, DatabaseBusy) as error:
                self._log.warning("waiting for the database", error=str(error))
            await asyncio.sleep(random.uniform(pause / 2, pause))  # noqa: S311 - jitter, no secret
            pause = min(2 * pause, 5.0)

    async def _commit(self, items: Sequence[Item]) -> None:
        began = time.perf_counter()

        async def work(tx: Transaction) -> Sequence[Item]:
            for item in items:
                tx.touch(item.envelope.aggregate_id)
            fresh = await inbox.accept(tx, self._workload, [item.envelope.event_id for item in items])
            # An event that stands in the batch twice counts once.
            chosen = {item.envelope.event_id: item for item in items if item.envelope.event_id in fresh}
            for _, run in groupby(chosen.values(), key=lambda item: item.subscription.subject):
                await self._run(tx, list(run))
            return list(chosen.values())

        handled = await self._database.transact(work, named="consumer")
        now = time.time()
        for item in handled:
            self._metrics.handled.labels(item.envelope.type).inc()
            self._metrics.age.labels(item.envelope.type).observe(max(now - item.envelope.time.timestamp(), 0.0))
        self._log.debug(
            "events committed",
            count=len(handled),
            repeated=len(items) - len(handled),
            types=sorted({item.envelope.type for item in items}),
            seconds=round(time.perf_counter() - began, 4),
        )

    async def _run(self, tx: Transaction, items: Sequence[Item]) -> None:
        """Hands a run of events of one class to its handler, within their context."""
        subscription = items[0].subscription
        runs = [items] if subscription.batched else [[item] for item in items]
        for run in runs:
            with handling(run):
                await subscription.handle(tx, [item.received for item in run])
                # Within the event's own trace and correlation: this line is how a REST request is followed to here.
                self._log.info("handled", type=subscription.subject, count=len(run), event_id=run[0].envelope.event_id)

    async def _set_aside(self, delivery: Delivery, envelope: Envelope | None, error: Exception, *, tries: int) -> None:
        """Counts a failure; the event comes again later, or is a dead letter from now on."""
        failed = FailedDelivery(
            consumer=self._workload,
            event_id=envelope.event_id if envelope else delivery.position,
            subject=delivery.subject,
            headers=delivery.headers,
            payload=delivery.payload,
            reason=f"{type(error).__name__}: {error}",
        )

        async def work(tx: Transaction) -> dead_letters.Verdict:
            return await dead_letters.record(tx, failed, tries=tries)

        verdict = await self._patiently(lambda: self._database.transact(work, named="set_aside"))
        # The subject is one we subscribed to: a bounded label even where the message itself is nonsense.
        self._metrics.failed.labels(failed.subject).inc()
        facts = {"event_id": failed.event_id, "subject": failed.subject, "tries": verdict.tries}
        if envelope:
            facts["correlation_id"] = envelope.correlation_id
        if verdict.dead:
            self._log.error("event set aside", reason=failed.reason, **facts, exc_info=error)
            await delivery.term()
        else:
            self._log.warning("event failed", reason=failed.reason, **facts, exc_info=error)
            delay = min(self._first_delay * 4 ** (verdict.tries - 1), LONGEST_DELAY)
            await delivery.nak(delay.total_seconds())


def consumers(
    database: Database, bus: Bus, *, workload: str, subscriptions: Sequence[Subscription], metrics: BusMetrics
) -> Sequence[Consumer]:
    """One consumer for each area that the subscriptions name.

    Raises:
        ValueError: An event is subscribed to twice.
    """
    by_area = groupby(sorted(subscriptions, key=lambda each: each.area), key=lambda each: each.area)
    return [
        Consumer(database, bus, workload=workload, area=area, subscriptions=list(group), metrics=metrics)
        for area, group in by_area
    ]


@asynccontextmanager
async def _progress(deliveries: Sequence[Delivery]) -> AsyncIterator[None]:
    """Keeps the broker from delivering events again while they are being handled."""

    async def tell() -> None:
        while True:
            await asyncio.sleep(PROGRESS.total_seconds())
            for delivery in deliveries:
                await delivery.in_progress()

    task = asyncio.create_task(tell(), name="progress")
    try:
        yield
    finally:
        task.cancel()
