"""People, their sessions and grants; codes, refresh tokens, device codes.

Access tokens lose their foreign key and name an epoch instead: see `tables`.
"""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Build the two old tables anew, with what they hold, and create the new ones."""
    _rebuild_clients_and_access_tokens()
    _create_people()
    _create_families()


def _rebuild_clients_and_access_tokens() -> None:
    # By way of copies: SQLite cannot change a column, and the names of constraints are unique in
    # PostgreSQL, so old and new tables cannot stand beside each other.
    op.execute("CREATE TEMPORARY TABLE old_clients AS SELECT * FROM clients")
    op.execute("CREATE TEMPORARY TABLE old_access_tokens AS SELECT * FROM access_tokens")
    op.drop_table("access_tokens")
    op.drop_table("clients")

    op.create_table(
        "clients",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("secret_hash", sa.LargeBinary),
        sa.Column("grant_types", sa.Text, nullable=False),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("redirect_uris", sa.Text, nullable=False),
        sa.Column("origins", sa.Text, nullable=False),
        sa.Column("may_introspect", sa.Boolean, nullable=False),
        sa.Column("access_token_lifetime", sa.BigInteger),
        sa.Column("refresh_token_lifetime", sa.BigInteger),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("disabled_at", sa.BigInteger),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_clients"),
    )
    op.execute(
        "INSERT INTO clients (id, name, secret_hash, grant_types, scopes, redirect_uris, origins,"
        " may_introspect, epoch, created_at)"
        " SELECT id, '', secret_hash, grant_types, scopes, '', '', may_introspect, 0, created_at"
        " FROM old_clients"
    )
    connection = op.get_bind()
    for client_id in connection.execute(sa.text("SELECT id FROM clients")).scalars().all():
        connection.execute(
            sa.text("UPDATE clients SET epoch = :epoch WHERE id = :id"),
            {"epoch": secrets.randbits(63), "id": client_id},
        )

    op.create_table(
        "access_tokens",
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("client_id", sa.Text, nullable=False),
        sa.Column("client_epoch", sa.BigInteger, nullable=False),
        sa.Column("user_id", sa.Text),
        sa.Column("user_epoch", sa.BigInteger),
        sa.Column("grant_id", sa.Text),
        sa.Column("family_id", sa.Text),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("audience", sa.Text, nullable=False),
        sa.Column("issued_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("revoked_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("hash", name="pk_access_tokens"),
        sqlite_with_rowid=False,
    )
    # A token without a client was revoked when the client was removed.
    op.execute(
        "INSERT INTO access_tokens (hash, client_id, client_epoch, scope, audience, issued_at,"
        " expires_at, revoked_at)"
        " SELECT t.hash, coalesce(t.client_id, ''), coalesce(c.epoch, 0), t.scope, t.audience,"
        " t.issued_at, t.expires_at, t.revoked_at"
        " FROM old_access_tokens t LEFT JOIN clients c ON c.id = t.client_id"
    )
    op.create_index("ix_access_tokens_expires_at", "access_tokens", ["expires_at"])
    op.execute("DROP TABLE old_access_tokens")
    op.execute("DROP TABLE old_clients")


def _create_people() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("password_hash", sa.Text, nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("disabled_at", sa.BigInteger),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("name", name="uq_users_name"),
    )
    op.create_table(
        "sessions",
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("user_epoch", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("hash", name="pk_sessions"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_sessions_expires_at", "sessions", ["expires_at"])
    op.create_table(
        "grants",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("client_id", sa.Text, nullable=False),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_grants"),
        sa.UniqueConstraint("user_id", "client_id", name="uq_grants_user_id"),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_grants_user_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["client_id"], ["clients.id"], name="fk_grants_client_id", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_grants_client_id", "grants", ["client_id"])


def _create_families() -> None:
    op.create_table(
        "families",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("grant_id", sa.Text, nullable=False),
        sa.Column("client_id", sa.Text, nullable=False),
        sa.Column("client_epoch", sa.BigInteger, nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("user_epoch", sa.BigInteger, nullable=False),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("audience", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("revoked_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="pk_families"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_families_expires_at", "families", ["expires_at"])
    op.create_table(
        "authorization_codes",
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("family_id", sa.Text, nullable=False),
        sa.Column("client_id", sa.Text, nullable=False),
        sa.Column("redirect_uri", sa.Text),
        sa.Column("code_challenge", sa.Text, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("used_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("hash", name="pk_authorization_codes"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_authorization_codes_expires_at", "authorization_codes", ["expires_at"])
    op.create_table(
        "refresh_tokens",
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("family_id", sa.Text, nullable=False),
        sa.Column("access_token_hash", sa.LargeBinary, nullable=False),
        sa.Column("issued_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("used_at", sa.BigInteger),
        sa.Column("retried_at", sa.BigInteger),
        sa.Column("successor_hash", sa.LargeBinary),
        sa.Column("revoked_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("hash", name="pk_refresh_tokens"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_refresh_tokens_family_id", "refresh_tokens", ["family_id"])
    op.create_table(
        "device_codes",
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("user_code_hash", sa.LargeBinary, nullable=False),
        sa.Column("client_id", sa.Text, nullable=False),
        sa.Column("client_epoch", sa.BigInteger, nullable=False),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("audience", sa.Text, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("interval", sa.Integer, nullable=False),
        sa.Column("polled_at", sa.BigInteger),
        sa.Column("family_id", sa.Text),
        sa.Column("denied_at", sa.BigInteger),
        sa.Column("used_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("hash", name="pk_device_codes"),
        sa.UniqueConstraint("user_code_hash", name="uq_device_codes_user_code_hash"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_device_codes_expires_at", "device_codes", ["expires_at"])
