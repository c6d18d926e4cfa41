"""The tables of payment, and those of the sandbox provider in a schema of their own."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
)

from mesh.data.tables import mesh_tables

metadata = MetaData()
mesh_tables(metadata)

SANDBOX_SCHEMA = "sandbox"

_moment = DateTime(timezone=True)

payment = Table(
    "payment",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("order_id", Uuid, nullable=False),
    Column("user_id", Uuid),
    Column("state", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("captured", BigInteger, nullable=False),
    Column("refunded", BigInteger, nullable=False),
    Column("decline_reason", Text, nullable=False),
    Column("reference", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("create_time", _moment, nullable=False),
    Column("update_time", _moment, nullable=False),
    UniqueConstraint("order_id", name="payment_one_an_order"),
    CheckConstraint("0 <= refunded AND refunded <= captured AND captured <= amount", name="payment_adds_up"),
    CheckConstraint("state IN ('PENDING', 'AUTHORIZED', 'CAPTURED', 'DECLINED', 'VOIDED')", name="payment_state_known"),
    CheckConstraint("user_id IS NOT NULL OR state = 'VOIDED'", name="payment_of_somebody"),
    Index("payment_newest", "id", postgresql_where="user_id IS NOT NULL"),
    comment="The money of each order, amounts in minor units; VOIDED without a user is a tombstone",
)

attempt = Table(
    "attempt",
    metadata,
    Column("payment_id", Uuid, ForeignKey("payment.id", name="attempt_of_payment"), primary_key=True),
    Column("operation", Text, primary_key=True),
    Column("key", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("create_time", _moment, nullable=False),
    Column("reason", Text, nullable=False, server_default=""),
    Column("end_time", _moment),
    UniqueConstraint("key", name="attempt_key_unique"),
    CheckConstraint("state IN ('STARTED', 'DONE', 'REFUSED')", name="attempt_state_known"),
    Index("attempt_open", "create_time", postgresql_where="state = 'STARTED'"),
    Index("attempt_begun", "create_time", postgresql_using="brin"),
    comment="What the provider was asked, committed before it is asked; the key is the provider's idempotency key",
)

webhook_event = Table(
    "webhook_event",
    metadata,
    Column("provider", Text, primary_key=True),
    Column("event_id", Text, primary_key=True),
    Column("type", Text, nullable=False),
    Column("receive_time", _moment, nullable=False),
    comment="Reports of providers that were taken, so that each counts once",
)

discrepancy = Table(
    "discrepancy",
    metadata,
    Column("payment_id", Uuid, ForeignKey("payment.id", name="discrepancy_of_payment"), primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("found_at", _moment, primary_key=True),
    Column("ours", Text, nullable=False),
    Column("theirs", Text, nullable=False),
    Column("resolved_at", _moment),
    CheckConstraint("kind IN ('HELD', 'TAKEN', 'GIVEN_BACK', 'OUTCOME')", name="discrepancy_kind_known"),
    Index("discrepancy_open", "payment_id", "kind", unique=True, postgresql_where="resolved_at IS NULL"),
    comment="Where a provider's ledger contradicts ours, and from when to when; one open row a payment and kind",
)

ledger = Table(
    "ledger",
    metadata,
    Column("key", Text, primary_key=True),
    Column("operation", Text, nullable=False),
    Column("reference", Text, nullable=False),
    Column("token", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("create_time", _moment, nullable=False),
    CheckConstraint("operation IN ('AUTHORIZE', 'CAPTURE', 'VOID', 'REFUND')", name="ledger_operation_known"),
    Index("ledger_reference", "reference"),
    schema=SANDBOX_SCHEMA,
    comment="The sandbox provider's own book: one entry a key, never changed",
)

stumble = Table(
    "stumble",
    metadata,
    Column("key", Text, primary_key=True),
    schema=SANDBOX_SCHEMA,
    comment="Requests that the sandbox has failed once already, as their token asks for",
)
