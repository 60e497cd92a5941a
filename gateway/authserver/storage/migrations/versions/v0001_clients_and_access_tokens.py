"""Clients, and access tokens."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create both tables."""
    op.create_table(
        "clients",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("secret_hash", sa.LargeBinary, nullable=False),
        sa.Column("grant_types", sa.Text, nullable=False),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("may_introspect", sa.Boolean, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_clients"),
    )
    op.create_table(
        "access_tokens",
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("client_id", sa.Text),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("audience", sa.Text, nullable=False),
        sa.Column("issued_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("revoked_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("hash", name="pk_access_tokens"),
        sa.ForeignKeyConstraint(
            ["client_id"], ["clients.id"], name="fk_access_tokens_client_id", ondelete="SET NULL"
        ),
        sa.CheckConstraint(
            "client_id IS NOT NULL OR revoked_at IS NOT NULL",
            name=op.f("ck_access_tokens_orphans_are_revoked"),
        ),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_access_tokens_client_id", "access_tokens", ["client_id"])
    op.create_index("ix_access_tokens_expires_at", "access_tokens", ["expires_at"])
