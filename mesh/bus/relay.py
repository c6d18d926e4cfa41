"""The relay: takes committed events out of the outbox and into the broker, in order, each at least once.

One relay works for a service, whichever of its processes holds the advisory lock. The lock belongs to the connection
on which all of the relay's statements run: when the process dies, or hangs, the server ends the session and another
process takes over.

A row is marked as published only after the broker has it on disk. There is no cursor: a transaction that commits late
has a low id that a cursor would have passed already, whereas "not yet published, by id" finds it.
"""

import asyncio
import random
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

import psycopg

from mesh.bus.envelope import Envelope
from mesh.bus.metrics import BusMetrics
from mesh.bus.port import Bus, BusUnavailable, NotStored, Publication, StreamState
from mesh.crashpoints import crashpoint
from mesh.data.connections import DEAD_PEER, cut_after
from mesh.logs import logger

LOCK: Final = 0x5A6F636F_72656C79
"""Advisory lock of the relay; each service has a database of its own, so one number serves all."""

BATCH: Final = 1000
"""Rows that are read, published and marked together."""

POLL: Final = timedelta(seconds=1)
"""How often the outbox is looked at without being woken, and the lock is tried."""

CHECK: Final = timedelta(seconds=10)
"""How often the stream is compared with what is known of it."""

LONGEST_STATEMENT: Final = timedelta(seconds=15)
"""After which the connection is cut, and the lock given up, even if the server hangs."""

SHORTEST_PAUSE: Final = 0.2
LONGEST_PAUSE: Final = 5.0
"""Seconds between two attempts when the database or the broker fails."""

SESSION: Final = {
    "statement_timeout": 10_000,
    "lock_timeout": 3_000,
    # Ends the session of a process that hangs, and with it the lock. A living one says something every POLL.
    "idle_session_timeout": 15_000,
    # The same for a process whose machine is gone without a word.
    "tcp_keepalives_idle": 5,
    "tcp_keepalives_interval": 2,
    "tcp_keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}

_UNPUBLISHED: Final = """
    SELECT id, event_id::text, aggregate_id, version, type, payload, correlation_id, traceparent, time, xmin::text
    FROM outbox WHERE published_at IS NULL ORDER BY id LIMIT %s
"""
_MARK: Final = """
    WITH known AS (UPDATE relay SET last_sequence = greatest(last_sequence, %(last)s) WHERE stream = %(stream)s)
    UPDATE outbox SET published_at = clock_timestamp() WHERE id = ANY(%(ids)s)
"""
_WAITING: Final = "SELECT count(*) FROM outbox WHERE published_at IS NULL"
_KNOWN: Final = "SELECT created, last_sequence FROM relay WHERE stream = %s"
_REMEMBER: Final = """
    INSERT INTO relay (stream, created, last_sequence) VALUES (%s, %s, %s)
    ON CONFLICT (stream) DO UPDATE SET created = excluded.created, last_sequence = excluded.last_sequence
"""
_UNMARK: Final = """
    UPDATE outbox SET published_at = NULL WHERE id IN (
        SELECT id FROM outbox WHERE published_at IS NOT NULL AND id > %s AND time >= %s ORDER BY id LIMIT 10000
    ) RETURNING id
"""

_Connection = psycopg.AsyncConnection[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class _Row:
    id: int
    publication: Publication


class NotAllStored(Exception):
    """The broker did not take some events; they stay in the outbox and go out again."""


class Relay:
    """Publishes one service's outbox.

    Args:
        url: The service's database.
        bus: The broker.
        workload: The service, which is also the area of its events.
        metrics: Where it is counted.
        history: How far back events are published again into a broker that has lost its stream.
    """

    def __init__(
        self, url: str, bus: Bus, *, workload: str, metrics: BusMetrics, history: timedelta = timedelta(days=7)
    ) -> None:
        self._url = url
        self._bus = bus
        self._workload = workload
        self._metrics = metrics
        self._history = history
        self._woken = asyncio.Event()
        self._leads = False
        self._pause = SHORTEST_PAUSE
        self._log = logger("relay")

    @property
    def leads(self) -> bool:
        """Whether this process is the one that publishes."""
        return self._leads

    def wake(self) -> None:
        """There is something in the outbox; to be called after a commit."""
        self._woken.set()

    async def run(self) -> None:
        """Relays until cancelled, through any failure of the database and the broker."""
        while True:
            try:
                if self._bus.connected:  # without a broker the lock is better left to somebody else
                    await self._relay_while_connected()
            except (psycopg.Error, BusUnavailable, NotAllStored) as error:
                self._log.warning("relay interrupted", error=str(error), kind=type(error).__name__)
                self._pause = min(2 * self._pause, LONGEST_PAUSE)
            finally:
                self._leads = False
            await asyncio.sleep(random.uniform(self._pause / 2, self._pause))  # noqa: S311 - jitter, no secret

    async def _relay_while_connected(self) -> None:
        connection = await psycopg.AsyncConnection.connect(
            self._url,
            autocommit=True,
            connect_timeout=3,
            application_name=f"{self._workload} relay",
            options=" ".join(f"-c {name}={value}" for name, value in SESSION.items()),
            **DEAD_PEER,
        )
        async with connection:
            while not await self._take_lock(connection):  # noqa: ASYNC110 - the holder is another process
                await asyncio.sleep(POLL.total_seconds())
            self._leads = True
            self._log.info("relay took over")
            while True:
                await self._lead(connection)

    async def _take_lock(self, connection: _Connection) -> bool:
        with cut_after(connection, LONGEST_STATEMENT):
            row = await (await connection.execute("SELECT pg_try_advisory_lock(%s)", [LOCK])).fetchone()
        return bool(row and row[0])

    async def _lead(self, connection: _Connection) -> None:
        """Publishes into the stream that is there now, until it is time to look at it again."""
        stream = await self._ensure_stream(connection)
        connections = self._bus.connections
        loop = asyncio.get_running_loop()
        check_at = loop.time() + CHECK.total_seconds()
        while loop.time() < check_at and self._bus.connections == connections:
            self._woken.clear()
            rows = await self._read(connection)
            if rows:
                await self._publish(connection, stream, rows)
            if len(rows) < BATCH:
                with suppress(TimeoutError):
                    async with asyncio.timeout(POLL.total_seconds()):
                        await self._woken.wait()

    async def _ensure_stream(self, connection: _Connection) -> StreamState:
        """Makes sure of the stream; if it has lost events that were published, publishes them again."""
        stream = await self._bus.ensure_stream(self._workload)
        with cut_after(connection, LONGEST_STATEMENT):
            known = await (await connection.execute(_KNOWN, [stream.name])).fetchone()
        if known == (stream.created, stream.last_sequence):
            return stream
        if known is not None:
            created, last_sequence = known
            if created == stream.created and stream.last_sequence >= int(str(last_sequence)):
                await self._look_back(connection, stream, stream.last_sequence - int(str(last_sequence)))
                return stream
            count = await self.republish(connection, datetime.now().astimezone() - self._history)
            self._log.warning(
                "the broker lost its stream; published events go out again", stream=stream.name, count=count
            )
        await connection.execute(_REMEMBER, [stream.name, stream.created, stream.last_sequence])
        return stream

    async def _look_back(self, connection: _Connection, stream: StreamState, ahead: int) -> None:
        """Tells if the broker has events that this outbox never told: the database is older than it was.

        A crash between acknowledgement and mark leaves the stream ahead, too, but then the rows still wait. What others
        made of the events that are missing here stands; it is for a person to decide, and nothing waits for that.
        """
        with cut_after(connection, LONGEST_STATEMENT):
            waiting = await (await connection.execute(_WAITING)).fetchone()
        strange = ahead - int(str(waiting[0] if waiting else 0))
        if strange > 0:
            self._metrics.strange.inc(strange)
            self._log.error(
                "the broker has events that this outbox does not know; was the database restored from a backup?",
                stream=stream.name,
                count=strange,
            )
            await connection.execute(_REMEMBER, [stream.name, stream.created, stream.last_sequence])

    @staticmethod
    async def republish(connection: _Connection, since: datetime) -> int:
        """Marks events as not yet published, a part at a time. Those who handled them already notice by their inbox.

        Returns:
            How many.
        """
        count, last = 0, 0
        while True:
            ids = [int(str(row[0])) for row in await (await connection.execute(_UNMARK, [last, since])).fetchall()]
            if not ids:
                return count
            count, last = count + len(ids), max(ids)

    async def _read(self, connection: _Connection) -> Sequence[_Row]:
        with cut_after(connection, LONGEST_STATEMENT):
            async with connection.cursor(binary=True) as cursor:
                await cursor.execute(_UNPUBLISHED, [BATCH])
                rows = await cursor.fetchall()
        return [self._row(row) for row in rows]

    def _row(self, row: tuple[Any, ...]) -> _Row:
        row_id, event_id, aggregate_id, version, event_type, payload, correlation_id, traceparent, time, written = row
        envelope = Envelope(
            event_id=event_id,
            type=event_type,
            source=f"/zoco/{self._workload}",
            aggregate_id=aggregate_id,
            version=version,
            time=time,
            correlation_id=correlation_id,
            traceparent=traceparent,
        )
        # After a crash the row is as it was, and the broker drops the repeat. One that was marked to go out again was
        # written anew, by another transaction: the broker must not take it for a repeat, however soon it comes.
        return _Row(row_id, replace(envelope.publication(payload), id=f"{event_id}:{written}"))

    async def _publish(self, connection: _Connection, stream: StreamState, rows: Sequence[_Row]) -> None:
        crashpoint(f"{self._workload}.relay.selected")
        results = await self._bus.publish([row.publication for row in rows])
        crashpoint(f"{self._workload}.relay.acknowledged")
        stored = {row.id: result for row, result in zip(rows, results, strict=True) if isinstance(result, int)}
        refused = [result for result in results if isinstance(result, NotStored)]
        if stored:
            last = max(stored.values())
            with cut_after(connection, LONGEST_STATEMENT):
                await connection.execute(_MARK, {"ids": list(stored), "last": last, "stream": stream.name})
            crashpoint(f"{self._workload}.relay.marked")
            self._metrics.published.inc(len(stored))
            self._pause = SHORTEST_PAUSE
        if refused:
            raise NotAllStored(f"{len(refused)} of {len(rows)} events were not stored: {refused[0]}")
