"""Streams of events as the source of truth: appended at an expected version, never changed, folded to a state.

A long stream may have snapshots: what its events up to a version fold to, written in the transaction that appends the
last of them. They are copies, and only save work; whoever doubts them loads the events alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import takewhile
from typing import Any, Final

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Column,
    DateTime,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    bindparam,
    column,
    delete,
    func,
    insert,
    literal,
    null,
    select,
    union_all,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.dml import ReturningInsert
from sqlalchemy.sql.selectable import CompoundSelect

from mesh.data.failures import RETRY_SOON
from mesh.data.transaction import Transaction
from mesh.errors import Aborted

NEW_STREAM: Final = 0
"""The expected version of a stream that does not exist yet; its first event has version 1."""


class ConcurrencyConflict(Aborted):
    """The stream is not at the expected version: somebody else has appended. Load it again and decide anew.

    Uncaught, it tells the caller to try again.
    """

    def __init__(self, stream_id: str, expected_version: int) -> None:
        super().__init__("CONCURRENT_CHANGE", "the same thing was changed by somebody else", retry_after=RETRY_SOON)
        self.stream_id = stream_id
        self.expected_version = expected_version


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event to be appended."""

    type: str
    payload: bytes
    time: datetime
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event of a stream."""

    version: int
    """1 for the first event of a stream, rising by one without a gap."""
    type: str
    payload: bytes
    metadata: Mapping[str, Any]
    time: datetime


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the events of a stream up to a version fold to."""

    version: int
    state: bytes
    time: datetime
    """By when all of those events had happened."""


@dataclass(frozen=True, slots=True)
class Tail:
    """A stream from its newest snapshot on."""

    snapshot: Snapshot | None
    """None where there is none that can be read: then the events are all there are."""
    events: Sequence[StoredEvent]


def event_store_table(metadata: MetaData, name: str = "events") -> Table:
    """Adds the table of event streams to a service's metadata."""
    return Table(
        name,
        metadata,
        Column("stream_id", Text, primary_key=True),
        Column("version", BigInteger, primary_key=True, autoincrement=False),
        Column("type", Text, nullable=False),
        Column("payload", LargeBinary, nullable=False),
        Column("metadata", JSONB, nullable=False),
        Column("time", DateTime(timezone=True), nullable=False),
    )


def snapshot_table(metadata: MetaData, name: str = "snapshots") -> Table:
    """Adds the table of snapshots to a service's metadata."""
    return Table(
        name,
        metadata,
        Column("stream_id", Text, primary_key=True),
        Column("version", BigInteger, primary_key=True, autoincrement=False),
        Column("schema", Integer, nullable=False),
        Column("state", LargeBinary, nullable=False),
        Column("time", DateTime(timezone=True), nullable=False),
    )


class EventStore:
    """Event streams in one table, and their snapshots in another.

    Args:
        events: The table that `event_store_table` made.
        snapshots: The table that `snapshot_table` made; None if streams are never long.
        schema: Number of the form that this code's snapshots have. Snapshots with another number are passed over, so
            it rises whenever that form or what events mean changes.
    """

    def __init__(self, events: Table, snapshots: Table | None = None, *, schema: int = 1) -> None:
        self._events = events
        self._snapshots = snapshots
        self._schema = schema
        self._append = _append_statement(events)

    async def append(self, tx: Transaction, stream_id: str, events: Sequence[NewEvent], expected_version: int) -> int:
        """Appends events to a stream that stands at the expected version; all or none.

        Returns:
            The new version of the stream.

        Raises:
            ConcurrencyConflict: The stream stands at another version. The transaction cannot go on.
            ValueError: There is nothing to append.
        """
        if not events:
            raise ValueError("nothing to append")
        values = {
            "stream_id": stream_id,
            "expected_version": expected_version,
            "types": [event.type for event in events],
            "payloads": [event.payload for event in events],
            "metadatas": [dict(event.metadata) for event in events],
            "times": [event.time for event in events],
        }
        try:
            appended = len((await tx.execute(self._append, values)).all())
        except IntegrityError as error:
            raise ConcurrencyConflict(stream_id, expected_version) from error
        if appended != len(events):
            raise ConcurrencyConflict(stream_id, expected_version)
        return expected_version + len(events)

    async def load(
        self,
        connection: AsyncConnection,
        stream_id: str,
        after: int = 0,
        until: datetime | None = None,
    ) -> list[StoredEvent]:
        """Reads a stream in order; empty if there is none.

        Args:
            connection: A transaction's, or one for reading.
            stream_id: Which stream.
            after: Only events with a higher version.
            until: Only what had happened by this moment, itself included. Ends at the first later event, so what is
                returned has no gap even if a clock was set back in between.
        """
        events = self._events
        query = (
            select(events.c.version, events.c.type, events.c.payload, events.c.metadata, events.c.time)
            .where(events.c.stream_id == stream_id, events.c.version > after)
            .order_by(events.c.version)
        )
        rows = await connection.execute(query)
        stored = (StoredEvent(row.version, row.type, row.payload, row.metadata, row.time) for row in rows)
        return list(stored if until is None else takewhile(lambda event: event.time <= until, stored))

    async def load_tail(self, connection: AsyncConnection, stream_id: str, until: datetime | None = None) -> Tail:
        """Reads a stream from its newest snapshot on, in one statement.

        Args:
            connection: A transaction's, or one for reading.
            stream_id: Which stream.
            until: As for `load`. Only a snapshot counts whose events had all happened by then.
        """
        if self._snapshots is None:
            return Tail(None, await self.load(connection, stream_id, until=until))
        rows = (await connection.execute(self._tail_query(self._snapshots, stream_id, until))).all()
        first = rows[0] if rows and rows[0].type is None else None
        snapshot = Snapshot(first.version, first.payload, first.time) if first else None
        stored = (
            StoredEvent(row.version, row.type, row.payload, row.metadata, row.time) for row in rows[first is not None :]
        )
        return Tail(snapshot, list(stored if until is None else takewhile(lambda event: event.time <= until, stored)))

    async def keep(self, tx: Transaction, stream_id: str, snapshot: Snapshot) -> None:
        """Writes a snapshot in the transaction that appended the last of its events, and drops those of older forms.

        One of a newer form stays: during an update both kinds of process run.

        Raises:
            LookupError: This store keeps no snapshots.
        """
        if (table := self._snapshots) is None:
            raise LookupError("this store keeps no snapshots")
        await tx.execute(delete(table).where(table.c.stream_id == stream_id, table.c.schema < self._schema))
        row = {"schema": self._schema, "state": snapshot.state, "time": snapshot.time}
        await tx.execute(insert(table).values(stream_id=stream_id, version=snapshot.version, **row))

    def _tail_query(self, snapshots: Table, stream_id: str, until: datetime | None) -> CompoundSelect[Any]:
        """The newest snapshot, as a row without a type, and the events behind it."""
        readable = [snapshots.c.stream_id == stream_id, snapshots.c.schema == self._schema]
        if until is not None:
            readable.append(snapshots.c.time <= until)
        newest = (
            select(snapshots.c.version, snapshots.c.state, snapshots.c.time)
            .where(*readable)
            .order_by(snapshots.c.version.desc())
            .limit(1)
            .cte("newest")
        )
        events = self._events
        after = func.coalesce(select(newest.c.version).scalar_subquery(), literal(0))
        return union_all(
            select(
                newest.c.version,
                null().cast(Text).label("type"),
                newest.c.state.label("payload"),
                null().cast(JSONB).label("metadata"),
                newest.c.time,
            ),
            select(events.c.version, events.c.type, events.c.payload, events.c.metadata, events.c.time).where(
                events.c.stream_id == stream_id, events.c.version > after
            ),
        ).order_by("version")


def _append_statement(events: Table) -> ReturningInsert[Any]:
    """One statement that appends only where the stream stands at the expected version.

    Two that do so at once both see that version; the primary key lets one of them through.
    """
    new = (
        func.unnest(
            bindparam("types", type_=ARRAY(Text)),
            bindparam("payloads", type_=ARRAY(LargeBinary)),
            bindparam("metadatas", type_=ARRAY(JSONB)),
            bindparam("times", type_=ARRAY(DateTime(timezone=True))),
        )
        .table_valued(
            column("type", Text),
            column("payload", LargeBinary),
            column("metadata", JSONB),
            column("time", DateTime(timezone=True)),
            with_ordinality="position",
            name="new",
        )
        .render_derived()
    )
    stream_id = bindparam("stream_id", type_=Text)
    expected = bindparam("expected_version", type_=BigInteger)
    present = select(func.coalesce(func.max(events.c.version), 0)).where(events.c.stream_id == stream_id)
    rows = select(stream_id, expected + new.c.position, new.c.type, new.c.payload, new.c.metadata, new.c.time).where(
        present.scalar_subquery() == expected
    )
    insertion = insert(events).from_select(["stream_id", "version", "type", "payload", "metadata", "time"], rows)
    return insertion.returning(events.c.version)
