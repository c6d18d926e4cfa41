"""Accounts, refresh tokens and failed log-ins."""

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
        "account",
        sa.Column("id", sa.Uuid(as_uuid=False), primary_key=True),
        sa.Column("email", sa.Text, comment="as its owner writes it; NULL once the account is deleted"),
        sa.Column("email_key", sa.Text, comment="what spellings of one address have in common"),
        sa.Column("display_name", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("password_hash", sa.Text, comment="argon2id in PHC string format; NULL once the account is deleted"),
        sa.Column("version", sa.Integer, nullable=False, comment="how many events the account has had"),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False),
        sa.UniqueConstraint("email_key", name="account_email_key_unique"),
        sa.CheckConstraint("role IN ('CUSTOMER', 'ADMIN')", name="account_role"),
        sa.CheckConstraint("state IN ('ACTIVE', 'DISABLED', 'DELETED')", name="account_state"),
        sa.CheckConstraint(
            "(state = 'DELETED') = (email IS NULL) AND (email IS NULL) = (email_key IS NULL)"
            " AND (email IS NULL) = (password_hash IS NULL) AND (email IS NOT NULL OR display_name = '')",
            name="account_erased",
        ),
    )
    op.create_index("account_admins", "account", ["id"], postgresql_where=sa.text("role = 'ADMIN'"))
    op.create_table(
        "refresh_token",
        sa.Column("hash", sa.LargeBinary, primary_key=True, comment="SHA-256 of the token, which is stored nowhere"),
        sa.Column("family", sa.Uuid(as_uuid=False), nullable=False, comment="all tokens that grew out of one log-in"),
        sa.Column(
            "parent",
            sa.LargeBinary,
            sa.ForeignKey("refresh_token.hash", ondelete="SET NULL"),
            unique=True,
            comment="the token this one was given for; unique: a token has one successor",
        ),
        sa.Column("user_id", sa.Uuid(as_uuid=False), sa.ForeignKey("account.id"), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expire_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), comment="when it was spent"),
        sa.Column("revoked_at", sa.DateTime(timezone=True), comment="when its family ended"),
    )
    op.create_index("refresh_token_family", "refresh_token", ["family"])
    op.create_index("refresh_token_user", "refresh_token", ["user_id"])
    op.create_index("refresh_token_expiry", "refresh_token", ["expire_time"])
    op.create_table(
        "login_failure",
        sa.Column(
            "address_hash",
            sa.LargeBinary,
            primary_key=True,
            comment="SHA-256 of the e-mail key, with an account or not",
        ),
        sa.Column(
            "failures",
            postgresql.ARRAY(sa.DateTime(timezone=True)),
            nullable=False,
            comment="the last ten, oldest first",
        ),
        sa.Column("level", sa.Integer, nullable=False, comment="how many failures in a row slowed the account down"),
        sa.Column("slowed_until", sa.DateTime(timezone=True)),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("login_failure_age", "login_failure", ["update_time"])


def downgrade() -> None:
    for table in ("login_failure", "refresh_token", "account"):
        op.drop_table(table)
    for table in ("relay", "dead_letter", "idempotency", "inbox", "outbox"):
        op.drop_table(table)
