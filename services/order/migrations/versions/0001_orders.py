"""Event streams, sagas, the read table of orders and their addresses."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from mesh.data.migrations import create_mesh_tables

revision = "0001"
down_revision = None


def upgrade() -> None:
    create_mesh_tables(op)
    op.create_table(
        "events",
        sa.Column("stream_id", sa.Text, primary_key=True),
        sa.Column("version", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.Column("metadata", JSONB, nullable=False),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "saga",
        sa.Column("order_id", sa.Uuid, primary_key=True),
        sa.Column("step", sa.Text, nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.clock_timestamp()),
        sa.Column("correlation_id", sa.Text, nullable=False),
        sa.Column("payment_token", sa.Text),
        sa.Column("error", sa.Text),
        comment="Orders that are not at rest: what is asked next, and when. No row, nothing to do",
    )
    op.create_index("saga_due", "saga", ["next_at"])
    op.create_table(
        "orders",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("lines", JSONB, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("total", sa.BigInteger, nullable=False),
        sa.Column("refunded", sa.BigInteger, nullable=False),
        sa.Column("payment_id", sa.Text, nullable=False),
        sa.Column("rejection", JSONB),
        sa.Column("cancel_reason", sa.Text, nullable=False),
        sa.Column("shipment", JSONB),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.CheckConstraint("refunded >= 0 AND refunded <= total", name="orders_refunded_within_total"),
        comment="Read table: each order as its events fold to it, written in the transaction that appends them",
        # An order changes four times within a second: with room on its page the new row stays beside the old one.
        postgresql_with={"fillfactor": 70},
    )
    op.create_index("orders_of_user", "orders", ["user_id", "id"])
    op.create_index("orders_in_state", "orders", ["state", "id"])
    op.create_table(
        "shipping_address",
        sa.Column("order_id", sa.Uuid, primary_key=True),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("address", sa.LargeBinary, nullable=False),
        comment="Where orders go. Beside the history, which cannot be erased, because this can",
    )
    op.create_index("shipping_address_of_user", "shipping_address", ["user_id"])


def downgrade() -> None:
    for table in ("shipping_address", "orders", "saga", "events"):
        op.drop_table(table)
