"""The tables of the user service."""

from sqlalchemy import (
    ARRAY,
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

EMAIL_UNIQUE = "account_email_key_unique"

account = Table(
    "account",
    metadata,
    Column("id", Uuid(as_uuid=False), primary_key=True),
    Column("email", Text, comment="as its owner writes it; NULL once the account is deleted"),
    Column("email_key", Text, comment="what spellings of one address have in common"),
    Column("display_name", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("password_hash", Text, comment="argon2id in PHC string format; NULL once the account is deleted"),
    Column("version", Integer, nullable=False, comment="how many events the account has had"),
    Column("create_time", DateTime(timezone=True), nullable=False),
    Column("update_time", DateTime(timezone=True), nullable=False),
    UniqueConstraint("email_key", name=EMAIL_UNIQUE),
    CheckConstraint("role IN ('CUSTOMER', 'ADMIN')", name="account_role"),
    CheckConstraint("state IN ('ACTIVE', 'DISABLED', 'DELETED')", name="account_state"),
    CheckConstraint(
        "(state = 'DELETED') = (email IS NULL) AND (email IS NULL) = (email_key IS NULL)"
        " AND (email IS NULL) = (password_hash IS NULL) AND (email IS NOT NULL OR display_name = '')",
        name="account_erased",
    ),
)
Index("account_admins", account.c.id, postgresql_where=(account.c.role == "ADMIN"))

refresh_token = Table(
    "refresh_token",
    metadata,
    Column("hash", LargeBinary, primary_key=True, comment="SHA-256 of the token, which is stored nowhere"),
    Column("family", Uuid(as_uuid=False), nullable=False, comment="all tokens that grew out of one log-in"),
    Column(
        "parent",
        LargeBinary,
        ForeignKey("refresh_token.hash", ondelete="SET NULL"),
        unique=True,
        comment="the token this one was given for; unique: a token has one successor",
    ),
    Column("user_id", Uuid(as_uuid=False), ForeignKey("account.id"), nullable=False),
    Column("create_time", DateTime(timezone=True), nullable=False),
    Column("expire_time", DateTime(timezone=True), nullable=False),
    Column("used_at", DateTime(timezone=True), comment="when it was spent"),
    Column("revoked_at", DateTime(timezone=True), comment="when its family ended"),
)
Index("refresh_token_family", refresh_token.c.family)
Index("refresh_token_user", refresh_token.c.user_id)
Index("refresh_token_expiry", refresh_token.c.expire_time)

login_failure = Table(
    "login_failure",
    metadata,
    Column("address_hash", LargeBinary, primary_key=True, comment="SHA-256 of the e-mail key, with an account or not"),
    Column("failures", ARRAY(DateTime(timezone=True)), nullable=False, comment="the last ten, oldest first"),
    Column("level", Integer, nullable=False, comment="how many failures in a row slowed the account down"),
    Column("slowed_until", DateTime(timezone=True)),
    Column("update_time", DateTime(timezone=True), nullable=False),
)
Index("login_failure_age", login_failure.c.update_time)
