"""Attempts as a ledger that can be read, and what does not agree with the provider's."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_moment = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("attempt", sa.Column("reason", sa.Text, nullable=False, server_default=""))
    op.add_column("attempt", sa.Column("end_time", _moment))
    op.create_index("attempt_open", "attempt", ["create_time"], postgresql_where=sa.text("state = 'STARTED'"))
    # Written in the order of its values and asked for the newest: a few blocks instead of an entry a row.
    op.create_index("attempt_begun", "attempt", ["create_time"], postgresql_using="brin")
    op.create_table(
        "discrepancy",
        sa.Column("payment_id", sa.Uuid, sa.ForeignKey("payment.id", name="discrepancy_of_payment"), primary_key=True),
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("found_at", _moment, primary_key=True),
        sa.Column("ours", sa.Text, nullable=False),
        sa.Column("theirs", sa.Text, nullable=False),
        sa.Column("resolved_at", _moment),
        sa.CheckConstraint("kind IN ('HELD', 'TAKEN', 'GIVEN_BACK', 'OUTCOME')", name="discrepancy_kind_known"),
        comment="Where a provider's ledger contradicts ours, and from when to when; one open row a payment and kind",
    )
    op.create_index(
        "discrepancy_open",
        "discrepancy",
        ["payment_id", "kind"],
        unique=True,
        postgresql_where=sa.text("resolved_at IS NULL"),
    )


def downgrade() -> None:
    op.drop_table("discrepancy")
    op.drop_index("attempt_begun", "attempt")
    op.drop_index("attempt_open", "attempt")
    op.drop_column("attempt", "end_time")
    op.drop_column("attempt", "reason")
