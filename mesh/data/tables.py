"""The tables every service has beside its own: what makes an effect happen once and an event arrive."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, UUID


@dataclass(frozen=True)
class MeshTables:
    """The mesh's tables in one service's metadata."""

    outbox: Table
    inbox: Table
    idempotency: Table
    dead_letter: Table
    relay: Table


def mesh_tables(metadata: MetaData) -> MeshTables:
    """Adds the mesh's tables to a service's metadata, so that Alembic sees one whole."""
    return MeshTables(
        outbox=_outbox(metadata),
        inbox=_inbox(metadata),
        idempotency=_idempotency(metadata),
        dead_letter=_dead_letter(metadata),
        relay=_relay(metadata),
    )


def _moment(name: str, *, nullable: bool = False, default: bool = False) -> Column[datetime]:
    return Column(
        name,
        DateTime(timezone=True),
        nullable=nullable,
        server_default=func.clock_timestamp() if default else None,
    )


def _outbox(metadata: MetaData) -> Table:
    """Events that were committed with their effect; the relay publishes what has no `published_at`."""
    return Table(
        "outbox",
        metadata,
        Column("id", BigInteger, Identity(always=True), primary_key=True),
        Column("event_id", UUID(as_uuid=False), nullable=False, unique=True),
        Column("aggregate_id", Text, nullable=False),
        Column("version", BigInteger, nullable=False, comment="rises by one with each event of an aggregate"),
        Column("type", Text, nullable=False, comment="full name of the event's message; its subject"),
        Column("payload", LargeBinary, nullable=False),
        Column("correlation_id", Text, nullable=False),
        Column("traceparent", Text, nullable=False, comment="W3C trace context of the call that wrote it, or empty"),
        _moment("time"),
        _moment("published_at", nullable=True),
        UniqueConstraint("aggregate_id", "version", name="outbox_aggregate_id_version_key"),
        # Small however long the table grows: only what is still to be published stands in it.
        Index("outbox_unpublished", "id", postgresql_where=text("published_at IS NULL")),
    )


def _inbox(metadata: MetaData) -> Table:
    """Which events took effect here; written in the effect's transaction."""
    return Table(
        "inbox",
        metadata,
        Column("consumer", Text, primary_key=True),
        Column("event_id", UUID(as_uuid=False), primary_key=True),
        _moment("received_at", default=True),
    )


def _idempotency(metadata: MetaData) -> Table:
    """First answers by key; without a status the call is still running, or its process died."""
    return Table(
        "idempotency",
        metadata,
        Column("principal", Text, primary_key=True),
        Column("method", Text, primary_key=True),
        Column("key", Text, primary_key=True),
        Column("request_hash", LargeBinary, nullable=False),
        Column("resource_id", Text, comment="what a repeat continues with when the first call died"),
        Column("status", Integer, comment="gRPC status code of the answer"),
        Column("response", LargeBinary, comment="the response message, or the google.rpc.Status"),
        _moment("lease_until"),
        _moment("created_at", default=True),
        _moment("answered_at", nullable=True),
    )


def _dead_letter(metadata: MetaData) -> Table:
    """Deliveries that failed; a row with `dead_at` is given up, one without is still tried."""
    return Table(
        "dead_letter",
        metadata,
        Column("consumer", Text, primary_key=True),
        Column("event_id", Text, primary_key=True, comment="ce-id, or stream:sequence where there is none"),
        Column("subject", Text, nullable=False),
        Column("headers", JSONB, nullable=False),
        Column("payload", LargeBinary, nullable=False),
        Column("reason", Text, nullable=False),
        Column("tries", Integer, nullable=False),
        _moment("first_failed_at", default=True),
        _moment("last_failed_at", default=True),
        _moment("dead_at", nullable=True),
    )


def _relay(metadata: MetaData) -> Table:
    """Which stream the outbox was published into: a different one, or a shorter one, has lost events."""
    return Table(
        "relay",
        metadata,
        Column("stream", Text, primary_key=True),
        Column("created", Text, nullable=False, comment="when the broker made the stream, as the broker says it"),
        Column("last_sequence", BigInteger, nullable=False, comment="highest sequence the broker acknowledged"),
    )
