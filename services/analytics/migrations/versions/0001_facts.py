"""Placements, sales with their lines, refunds and registrations."""

import sqlalchemy as sa
from alembic import op

from mesh.data.migrations import create_mesh_tables

revision = "0001"
down_revision = None


def upgrade() -> None:
    create_mesh_tables(op)
    op.create_table(
        "placement",
        sa.Column("order_id", sa.Uuid, primary_key=True),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("place_time", sa.DateTime(timezone=True), nullable=False),
        comment="Orders placed",
    )
    op.create_index("placement_time", "placement", ["currency", "place_time"], postgresql_include=["order_id"])
    op.create_table(
        "sale",
        sa.Column("order_id", sa.Uuid, primary_key=True),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("units", sa.Integer, nullable=False),
        sa.Column("confirm_time", sa.DateTime(timezone=True), nullable=False),
        comment="Orders confirmed",
    )
    op.create_index("sale_time", "sale", ["currency", "confirm_time"], postgresql_include=["amount", "units"])
    op.create_table(
        "sale_line",
        sa.Column("order_id", sa.Uuid, primary_key=True),
        sa.Column("line", sa.Integer, primary_key=True),
        sa.Column("product_id", sa.Uuid, nullable=False),
        sa.Column("name", sa.Text, nullable=False, comment="what the product was called when the order was placed"),
        sa.Column("units", sa.Integer, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("confirm_time", sa.DateTime(timezone=True), nullable=False),
        comment="Lines of orders confirmed",
    )
    op.create_index(
        "sale_line_time",
        "sale_line",
        ["currency", "confirm_time"],
        postgresql_include=["product_id", "units", "amount"],
    )
    op.create_index("sale_line_product", "sale_line", ["product_id", "confirm_time"])
    op.create_table(
        "refund",
        sa.Column("event_id", sa.Uuid, primary_key=True),
        sa.Column("order_id", sa.Uuid, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("refund_time", sa.DateTime(timezone=True), nullable=False),
        comment="Money given back, by refunds and cancellations; an order can have many",
    )
    op.create_index("refund_time", "refund", ["currency", "refund_time"], postgresql_include=["order_id", "amount"])
    op.create_table(
        "registration",
        sa.Column("user_id", sa.Uuid, primary_key=True),
        sa.Column("register_time", sa.DateTime(timezone=True), nullable=False),
        comment="Accounts made; an id is all that is kept of a person",
    )
    op.create_index("registration_time", "registration", ["register_time"])


def downgrade() -> None:
    for table in ("registration", "refund", "sale_line", "sale", "placement"):
        op.drop_table(table)
    for table in ("relay", "dead_letter", "idempotency", "inbox", "outbox"):
        op.drop_table(table)
