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
    LargeBinary,
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

webhook = Table(
    "webhook",
    metadata,
    Column("id", Uuid(as_uuid=False), primary_key=True),
    Column("url", Text, nullable=False),
    Column("event_types", ARRAY(Text), nullable=False, comment="empty: all"),
    Column("disable_reason", Text, comment="NULL while it is enabled"),
    Column("disable_time", DateTime(timezone=True)),
    Column("failing_since", DateTime(timezone=True), comment="since when nothing got through"),
    Column("failures", Integer, nullable=False, comment="attempts in vain, in a row"),
    Column("next_at", DateTime(timezone=True), nullable=False, comment="before that nothing is sent to it"),
    Column("version", BigInteger, nullable=False),
    Column("create_time", DateTime(timezone=True), nullable=False),
    Column("update_time", DateTime(timezone=True), nullable=False),
    UniqueConstraint("url", name="webhook_url_unique"),
    CheckConstraint("disable_reason IN ('BY_ADMINISTRATOR', 'GONE', 'FAILING')", name="webhook_disable_reason"),
    CheckConstraint("(disable_reason IS NULL) = (disable_time IS NULL)", name="webhook_disabled"),
)

webhook_secret = Table(
    "webhook_secret",
    metadata,
    Column("id", Uuid(as_uuid=False), primary_key=True),
    Column("webhook_id", Uuid(as_uuid=False), ForeignKey("webhook.id", ondelete="CASCADE"), nullable=False),
    Column("sealed", LargeBinary, nullable=False, comment="under a key that is not in the database"),
    Column("create_time", DateTime(timezone=True), nullable=False),
    Column("expire_time", DateTime(timezone=True), comment="NULL: it is the newest"),
)
Index("webhook_secret_webhook", webhook_secret.c.webhook_id)

webhook_delivery = Table(
    "webhook_delivery",
    metadata,
    Column("id", Uuid(as_uuid=False), primary_key=True),
    Column("webhook_id", Uuid(as_uuid=False), ForeignKey("webhook.id", ondelete="CASCADE"), nullable=False),
    Column("event_id", Uuid(as_uuid=False), nullable=False, comment="the header webhook-id"),
    Column("event_type", Text, nullable=False),
    Column("order_id", Text, nullable=False),
    Column("order_version", Integer, nullable=False),
    Column("body", Text, nullable=False, comment="the bytes of each attempt"),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("failures", Integer, nullable=False, comment="in a row; they say how long the next pause is"),
    Column("next_at", DateTime(timezone=True), nullable=False, comment="when it is due; while it is sent, a lease"),
    Column("give_up_at", DateTime(timezone=True), comment="from the first attempt on"),
    Column("create_time", DateTime(timezone=True), nullable=False),
    Column("attempt_time", DateTime(timezone=True)),
    Column("deliver_time", DateTime(timezone=True)),
    Column("response_status", Integer),
    Column("error", Text),
    UniqueConstraint("webhook_id", "event_id", name="webhook_delivery_event_unique"),
    CheckConstraint("state IN ('WAITING', 'DELIVERED', 'FAILED')", name="webhook_delivery_state"),
)
Index(
    "webhook_delivery_due",
    webhook_delivery.c.webhook_id,
    webhook_delivery.c.next_at,
    webhook_delivery.c.id,
    postgresql_where=webhook_delivery.c.state == "WAITING",
)
Index("webhook_delivery_log", webhook_delivery.c.webhook_id, webhook_delivery.c.id)
Index("webhook_delivery_age", webhook_delivery.c.create_time)
