"""Contacts, mailboxes, notifications and the mail queue."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from mesh.data.migrations import create_mesh_tables

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_mesh_tables(op)
    op.create_table(
        "contact",
        sa.Column("user_id", sa.Uuid(as_uuid=False), primary_key=True),
        sa.Column("email", sa.Text, comment="NULL once the account is deleted"),
        sa.Column("display_name", sa.Text, nullable=False),
        sa.Column("is_admin", sa.Boolean, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False, comment="of the account's event this was taken from"),
        sa.CheckConstraint("state IN ('ACTIVE', 'DISABLED', 'DELETED')", name="contact_state"),
        sa.CheckConstraint(
            "state <> 'DELETED' OR (email IS NULL AND display_name = '' AND NOT is_admin)", name="contact_erased"
        ),
    )
    op.create_index("contact_admins", "contact", ["user_id"], postgresql_where=sa.text("is_admin"))
    op.create_table(
        "mailbox",
        sa.Column("user_id", sa.Uuid(as_uuid=False), primary_key=True),
        sa.Column(
            "last_sequence",
            sa.BigInteger,
            nullable=False,
            comment="of the person's notifications; taken under this row's lock",
        ),
        sa.Column("email_enabled", sa.Boolean, nullable=False),
        sa.Column("muted_kinds", postgresql.ARRAY(sa.Text), nullable=False),
        sa.Column("preferences_time", sa.DateTime(timezone=True), comment="when the preferences last changed"),
    )
    op.create_table(
        "notification",
        sa.Column("id", sa.Uuid(as_uuid=False), primary_key=True),
        sa.Column("user_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("event_id", sa.Text, nullable=False, comment="the event it was made from"),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("order_id", sa.Text),
        sa.Column("product_id", sa.Text),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("read_time", sa.DateTime(timezone=True)),
        sa.UniqueConstraint("user_id", "sequence", name="notification_sequence_unique"),
        sa.UniqueConstraint("event_id", "user_id", name="notification_event_unique"),
    )
    op.create_index(
        "notification_unread",
        "notification",
        ["user_id", "sequence"],
        postgresql_where=sa.text("read_time IS NULL"),
    )
    op.create_table(
        "mail",
        sa.Column(
            "notification_id",
            sa.Uuid(as_uuid=False),
            sa.ForeignKey("notification.id", ondelete="CASCADE"),
            primary_key=True,
            comment="also the mail's Message-ID",
        ),
        sa.Column("user_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=False, comment="when it is tried, or tried again"),
        sa.Column("last_error", sa.Text),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sent_time", sa.DateTime(timezone=True)),
        sa.CheckConstraint("state IN ('QUEUED', 'SENT', 'FAILED')", name="mail_state"),
    )
    op.create_index("mail_due", "mail", ["next_at"], postgresql_where=sa.text("state = 'QUEUED'"))
    op.create_index("mail_user", "mail", ["user_id"])


def downgrade() -> None:
    for table in ("mail", "notification", "mailbox", "contact"):
        op.drop_table(table)
    for table in ("relay", "dead_letter", "idempotency", "inbox", "outbox"):
        op.drop_table(table)
