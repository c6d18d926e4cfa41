"""The tables of the notification service."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
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

contact = Table(
    "contact",
    metadata,
    Column("user_id", Uuid(as_uuid=False), primary_key=True),
    Column("email", Text, comment="NULL once the account is deleted"),
    Column("display_name", Text, nullable=False),
    Column("is_admin", Boolean, nullable=False),
    Column("state", Text, nullable=False),
    Column("version", BigInteger, nullable=False, comment="of the account's event this was taken from"),
    CheckConstraint("state IN ('ACTIVE', 'DISABLED', 'DELETED')", name="contact_state"),
    CheckConstraint(
        "state <> 'DELETED' OR (email IS NULL AND display_name = '' AND NOT is_admin)", name="contact_erased"
    ),
)
Index("contact_admins", contact.c.user_id, postgresql_where=contact.c.is_admin)

mailbox = Table(
    "mailbox",
    metadata,
    Column("user_id", Uuid(as_uuid=False), primary_key=True),
    Column(
        "last_sequence",
        BigInteger,
        nullable=False,
        comment="of the person's notifications; taken under this row's lock",
    ),
    Column("email_enabled", Boolean, nullable=False),
    Column("muted_kinds", ARRAY(Text), nullable=False),
    Column("preferences_time", DateTime(timezone=True), comment="when the preferences last changed"),
)

notification = Table(
    "notification",
    metadata,
    Column("id", Uuid(as_uuid=False), primary_key=True),
    Column("user_id", Uuid(as_uuid=False), nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("event_id", Text, nullable=False, comment="the event it was made from"),
    Column("kind", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("order_id", Text),
    Column("product_id", Text),
    Column("create_time", DateTime(timezone=True), nullable=False),
    Column("read_time", DateTime(timezone=True)),
    UniqueConstraint("user_id", "sequence", name="notification_sequence_unique"),
    UniqueConstraint("event_id", "user_id", name="notification_event_unique"),
)
Index(
    "notification_unread",
    notification.c.user_id,
    notification.c.sequence,
    postgresql_where=notification.c.read_time.is_(None),
)

mail = Table(
    "mail",
    metadata,
    Column(
        "notification_id",
        Uuid(as_uuid=False),
        ForeignKey("notification.id", ondelete="CASCADE"),
        primary_key=True,
        comment="also the mail's Message-ID",
    ),
    Column("user_id", Uuid(as_uuid=False), nullable=False),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_at", DateTime(timezone=True), nullable=False, comment="when it is tried, or tried again"),
    Column("last_error", Text),
    Column("create_time", DateTime(timezone=True), nullable=False),
    Column("sent_time", DateTime(timezone=True)),
    CheckConstraint("state IN ('QUEUED', 'SENT', 'FAILED')", name="mail_state"),
)
Index("mail_due", mail.c.next_at, postgresql_where=mail.c.state == "QUEUED")
Index("mail_user", mail.c.user_id)
