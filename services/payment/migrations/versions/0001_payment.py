"""Payments with their attempts, webhooks, and the sandbox provider's ledger."""

import sqlalchemy as sa
from alembic import op

from mesh.data.migrations import create_mesh_tables

revision = "0001"
down_revision = None

_moment = sa.DateTime(timezone=True)


def upgrade() -> None:
    create_mesh_tables(op)
    op.create_table(
        "payment",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("order_id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("captured", sa.BigInteger, nullable=False),
        sa.Column("refunded", sa.BigInteger, nullable=False),
        sa.Column("decline_reason", sa.Text, nullable=False),
        sa.Column("reference", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("create_time", _moment, nullable=False),
        sa.Column("update_time", _moment, nullable=False),
        sa.UniqueConstraint("order_id", name="payment_one_an_order"),
        sa.CheckConstraint("0 <= refunded AND refunded <= captured AND captured <= amount", name="payment_adds_up"),
        sa.CheckConstraint(
            "state IN ('PENDING', 'AUTHORIZED', 'CAPTURED', 'DECLINED', 'VOIDED')", name="payment_state_known"
        ),
        sa.CheckConstraint("user_id IS NOT NULL OR state = 'VOIDED'", name="payment_of_somebody"),
        comment="The money of each order, amounts in minor units; VOIDED without a user is a tombstone",
    )
    op.create_index("payment_newest", "payment", ["id"], postgresql_where=sa.text("user_id IS NOT NULL"))
    op.create_table(
        "attempt",
        sa.Column("payment_id", sa.Uuid, sa.ForeignKey("payment.id", name="attempt_of_payment"), primary_key=True),
        sa.Column("operation", sa.Text, primary_key=True),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("create_time", _moment, nullable=False),
        sa.UniqueConstraint("key", name="attempt_key_unique"),
        sa.CheckConstraint("state IN ('STARTED', 'DONE', 'REFUSED')", name="attempt_state_known"),
        comment="What the provider was asked, committed before it is asked; the key is the provider's idempotency key",
    )
    op.create_table(
        "webhook_event",
        sa.Column("provider", sa.Text, primary_key=True),
        sa.Column("event_id", sa.Text, primary_key=True),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("receive_time", _moment, nullable=False),
        comment="Reports of providers that were taken, so that each counts once",
    )
    op.execute("CREATE SCHEMA sandbox")
    op.create_table(
        "ledger",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("operation", sa.Text, nullable=False),
        sa.Column("reference", sa.Text, nullable=False),
        sa.Column("token", sa.Text, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("create_time", _moment, nullable=False),
        sa.CheckConstraint("operation IN ('AUTHORIZE', 'CAPTURE', 'VOID', 'REFUND')", name="ledger_operation_known"),
        schema="sandbox",
        comment="The sandbox provider's own book: one entry a key, never changed",
    )
    op.create_index("ledger_reference", "ledger", ["reference"], schema="sandbox")
    op.create_table(
        "stumble",
        sa.Column("key", sa.Text, primary_key=True),
        schema="sandbox",
        comment="Requests that the sandbox has failed once already, as their token asks for",
    )


def downgrade() -> None:
    for table in ("stumble", "ledger"):
        op.drop_table(table, schema="sandbox")
    op.execute("DROP SCHEMA sandbox")
    for table in ("webhook_event", "attempt", "payment"):
        op.drop_table(table)
