"""Streams of events as the source of truth: appended at an expected version, never changed, folded to a state."""

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
    LargeBinary,
    MetaData,
    Table,
    Text,
    bindparam,
    column,
    func,
    insert,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.dml import ReturningInsert

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


class EventStore:
    """Event streams in one table.

    Args:
        events: The table that `event_store_table` made.
    """

    def __init__(self, events: Table) -> None:
        self._events = events
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
