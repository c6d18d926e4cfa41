"""The tables of order."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from mesh.data.event_store import event_store_table, snapshot_table
from mesh.data.tables import mesh_tables

metadata = MetaData()
of_mesh = mesh_tables(metadata)

events = event_store_table(metadata)
snapshots = snapshot_table(metadata)

_id = Uuid(as_uuid=False)
_moment = DateTime(timezone=True)

saga = Table(
    "saga",
    metadata,
    Column("order_id", _id, primary_key=True),
    Column("step", Text, nullable=False),
    Column("next_at", _moment, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("started_at", _moment, nullable=False, server_default=func.clock_timestamp()),
    Column("correlation_id", Text, nullable=False),
    Column("payment_token", Text),
    Column("error", Text),
    Column("set_aside", Boolean, nullable=False, server_default=text("false")),
    Index("saga_due", "next_at"),
    comment="Orders that are not at rest: what is asked next, and when. No row, nothing to do",
)

orders = Table(
    "orders",
    metadata,
    Column("id", _id, primary_key=True),
    Column("user_id", _id, nullable=False),
    Column("state", Text, nullable=False),
    Column("lines", JSONB, nullable=False),
    Column("currency", Text, nullable=False),
    Column("total", BigInteger, nullable=False),
    Column("refunded", BigInteger, nullable=False),
    Column("payment_id", Text, nullable=False),
    Column("rejection", JSONB(none_as_null=True)),
    Column("cancel_reason", Text, nullable=False),
    Column("shipment", JSONB(none_as_null=True)),
    Column("create_time", _moment, nullable=False),
    Column("update_time", _moment, nullable=False),
    Column("version", Integer, nullable=False),
    CheckConstraint("refunded >= 0 AND refunded <= total", name="orders_refunded_within_total"),
    # Ids are UUIDv7: by id is by age.
    Index("orders_of_user", "user_id", "id"),
    Index("orders_in_state", "state", "id"),
    comment="Read table: each order as its events fold to it, written in the transaction that appends them",
)

shipping_address = Table(
    "shipping_address",
    metadata,
    Column("order_id", _id, primary_key=True),
    Column("user_id", _id, nullable=False),
    Column("address", LargeBinary, nullable=False),
    Index("shipping_address_of_user", "user_id"),
    comment="Where orders go. Beside the history, which cannot be erased, because this can",
)
