"""Webhooks: who is told of orders, the secrets that sign it, and what is told."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "webhook",
        sa.Column("id", sa.Uuid(as_uuid=False), primary_key=True),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("event_types", postgresql.ARRAY(sa.Text), nullable=False, comment="empty: all"),
        sa.Column("disable_reason", sa.Text, comment="NULL while it is enabled"),
        sa.Column("disable_time", sa.DateTime(timezone=True)),
        sa.Column("failing_since", sa.DateTime(timezone=True), comment="since when nothing got through"),
        sa.Column("failures", sa.Integer, nullable=False, comment="attempts in vain, in a row"),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=False, comment="before that nothing is sent to it"),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False),
        sa.UniqueConstraint("url", name="webhook_url_unique"),
        sa.CheckConstraint("disable_reason IN ('BY_ADMINISTRATOR', 'GONE', 'FAILING')", name="webhook_disable_reason"),
        sa.CheckConstraint("(disable_reason IS NULL) = (disable_time IS NULL)", name="webhook_disabled"),
    )
    op.create_table(
        "webhook_secret",
        sa.Column("id", sa.Uuid(as_uuid=False), primary_key=True),
        sa.Column(
            "webhook_id", sa.Uuid(as_uuid=False), sa.ForeignKey("webhook.id", ondelete="CASCADE"), nullable=False
        ),
        sa.Column("sealed", sa.LargeBinary, nullable=False, comment="under a key that is not in the database"),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expire_time", sa.DateTime(timezone=True), comment="NULL: it is the newest"),
    )
    op.create_index("webhook_secret_webhook", "webhook_secret", ["webhook_id"])
    op.create_table(
        "webhook_delivery",
        sa.Column("id", sa.Uuid(as_uuid=False), primary_key=True),
        sa.Column(
            "webhook_id", sa.Uuid(as_uuid=False), sa.ForeignKey("webhook.id", ondelete="CASCADE"), nullable=False
        ),
        sa.Column("event_id", sa.Uuid(as_uuid=False), nullable=False, comment="the header webhook-id"),
        sa.Column("event_type", sa.Text, nullable=False),
        sa.Column("order_id", sa.Text, nullable=False),
        sa.Column("order_version", sa.Integer, nullable=False),
        sa.Column("body", sa.Text, nullable=False, comment="the bytes of each attempt"),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False, comment="in a row; they say how long the next pause is"),
        sa.Column(
            "next_at", sa.DateTime(timezone=True), nullable=False, comment="when it is due; while it is sent, a lease"
        ),
        sa.Column("give_up_at", sa.DateTime(timezone=True), comment="from the first attempt on"),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("attempt_time", sa.DateTime(timezone=True)),
        sa.Column("deliver_time", sa.DateTime(timezone=True)),
        sa.Column("response_status", sa.Integer),
        sa.Column("error", sa.Text),
        sa.UniqueConstraint("webhook_id", "event_id", name="webhook_delivery_event_unique"),
        sa.CheckConstraint("state IN ('WAITING', 'DELIVERED', 'FAILED')", name="webhook_delivery_state"),
    )
    op.create_index(
        "webhook_delivery_due",
        "webhook_delivery",
        ["webhook_id", "next_at", "id"],
        postgresql_where=sa.text("state = 'WAITING'"),
    )
    op.create_index("webhook_delivery_log", "webhook_delivery", ["webhook_id", "id"])
    op.create_index("webhook_delivery_age", "webhook_delivery", ["create_time"])


def downgrade() -> None:
    for table in ("webhook_delivery", "webhook_secret", "webhook"):
        op.drop_table(table)
