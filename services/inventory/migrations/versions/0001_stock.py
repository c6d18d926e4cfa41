"""Stock, the holds of orders with their lines, and every movement."""

import sqlalchemy as sa
from alembic import op

from mesh.data.migrations import create_mesh_tables

revision = "0001"
down_revision = None


def upgrade() -> None:
    create_mesh_tables(op)
    op.create_table(
        "stock",
        sa.Column("product_id", sa.Uuid, primary_key=True),
        sa.Column("available", sa.Integer, nullable=False),
        sa.Column("reserved", sa.Integer, nullable=False),
        sa.Column("sold", sa.Integer, nullable=False),
        sa.Column("received", sa.Integer, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("available >= 0 AND reserved >= 0 AND sold >= 0", name="stock_not_negative"),
        sa.CheckConstraint("available + reserved + sold = received", name="stock_adds_up"),
        comment="Pieces of each product; the database itself refuses a stock that is negative or does not add up",
        # A popular product is updated all day: with room on its page, no index has to learn of it.
        postgresql_with={"fillfactor": 70},
    )
    op.create_table(
        "hold",
        sa.Column("order_id", sa.Uuid, primary_key=True),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("state IN ('RESERVED', 'COMMITTED', 'RELEASED')", name="hold_state_known"),
        comment="How far the stock of each order is; RELEASED without lines is a tombstone",
    )
    op.create_table(
        "reservation",
        sa.Column("order_id", sa.Uuid, sa.ForeignKey("hold.order_id", name="reservation_of_hold"), primary_key=True),
        sa.Column("product_id", sa.Uuid, primary_key=True),
        sa.Column("quantity", sa.Integer, nullable=False),
        sa.CheckConstraint("quantity > 0", name="reservation_positive"),
        comment="The lines of each order, written with its hold and never changed",
    )
    op.create_table(
        "movement",
        sa.Column("product_id", sa.Uuid, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True),
        sa.Column("id", sa.Uuid, nullable=False, server_default=sa.func.uuidv7()),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("quantity", sa.Integer, nullable=False),
        sa.Column("order_id", sa.Uuid),
        sa.Column("reason", sa.Text, nullable=False, server_default=""),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        comment="Every change of a stock; those of kind ADJUSTED add up to what was received",
    )


def downgrade() -> None:
    for table in ("movement", "reservation", "hold", "stock"):
        op.drop_table(table)
