"""Dead letters that a person asked for again: handled once more, out of the table, without the broker."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final

from mesh.bus.envelope import Unreadable
from mesh.bus.items import handling, parse
from mesh.bus.metrics import BusMetrics
from mesh.bus.subscriptions import Subscription
from mesh.data import dead_letters, inbox
from mesh.data.database import Database
from mesh.data.dead_letters import FailedDelivery
from mesh.data.failures import DatabaseBusy, DatabaseUnavailable
from mesh.data.transaction import Transaction
from mesh.errors import Unavailable
from mesh.logs import logger

POLL: Final = timedelta(seconds=1)
"""How often the table is looked at."""

BATCH: Final = 100
"""Letters that are read at a time."""


class StoredDelivery:
    """A delivery out of the table; see Delivery. The broker has settled it long ago."""

    def __init__(self, letter: FailedDelivery) -> None:
        self.subject: str = letter.subject
        self.payload: bytes = letter.payload
        self.headers: Mapping[str, str] = letter.headers
        self.position: str = letter.event_id

    async def in_progress(self) -> None:
        """Nothing: nobody waits."""

    async def ack(self) -> None:
        """Nothing: the row is gone."""

    async def nak(self, delay: float) -> None:
        """Nothing: the row stands."""

    async def term(self) -> None:
        """Nothing: the row stands."""


class Retries:
    """Handles the dead letters of one workload that were asked for again.

    Args:
        database: Where they are, and their effects.
        workload: Whose.
        subscriptions: What is handled how.
        metrics: Where it is counted.
    """

    def __init__(
        self, database: Database, *, workload: str, subscriptions: Sequence[Subscription], metrics: BusMetrics
    ) -> None:
        self._database = database
        self._workload = workload
        self._subscriptions: Mapping[str, Subscription] = {each.subject: each for each in subscriptions}
        self._metrics = metrics
        self._log = logger("retries")

    async def run(self) -> None:
        """Looks for them until cancelled, through any failure of the database."""
        while True:
            try:
                await self._look()
            except (Unavailable, DatabaseBusy) as error:
                self._log.info("dead letters wait for the database", error=str(error))
            await asyncio.sleep(POLL.total_seconds())

    async def _look(self) -> None:
        async with self._database.reading() as connection:
            asked = await dead_letters.asked(connection, self._workload, most=BATCH)
        for letter in asked:
            try:
                handled = await self._database.transact(lambda tx, letter=letter: self._handle(tx, letter))  # type: ignore[misc]  # mypy takes the default for a second argument
            except (DatabaseUnavailable, DatabaseBusy):
                raise  # no fault of the letter's: it stays asked for
            except Exception as error:  # noqa: BLE001 - whatever a handler raises is its event's failure, and recorded
                await self._give_up(letter, error)
            else:
                if handled:
                    self._metrics.handled.labels(letter.subject).inc()
                    self._log.info("dead letter handled", event_id=letter.event_id, subject=letter.subject)

    async def _handle(self, tx: Transaction, letter: FailedDelivery) -> bool:
        """Lets a letter take effect, unless it did by another way; False where another process is at it."""
        if not await dead_letters.take(tx, letter):
            return False
        subscription = self._subscriptions.get(letter.subject)
        if subscription is None:
            raise Unreadable(f"{letter.subject} is not handled here any more")
        item = parse(StoredDelivery(letter), subscription)
        tx.touch(item.envelope.aggregate_id)
        if await inbox.accept(tx, self._workload, [item.envelope.event_id]):
            with handling([item]):
                await subscription.handle(tx, [item.received])
        return True

    async def _give_up(self, letter: FailedDelivery, error: Exception) -> None:
        failed = FailedDelivery(
            consumer=letter.consumer,
            event_id=letter.event_id,
            subject=letter.subject,
            headers=letter.headers,
            payload=letter.payload,
            reason=f"{type(error).__name__}: {error}",
        )

        async def work(tx: Transaction) -> None:
            await dead_letters.record(tx, failed, tries=1)

        await self._database.transact(work)
        self._metrics.failed.labels(failed.subject).inc()
        facts = {"event_id": failed.event_id, "subject": failed.subject, "reason": failed.reason}
        self._log.error("event set aside again", **facts, exc_info=error)
