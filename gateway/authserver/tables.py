"""The schema as this version knows it; `migrations/versions` holds the way there.

Times are Unix seconds. Lists of words that hold no space (scopes, audiences, grant types) rest as
one text, joined by spaces and sorted, as they travel in OAuth.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    LargeBinary,
    MetaData,
    Table,
    Text,
)

SCHEMA = "0001"
"""The newest version in `migrations/versions`: the one that leads to these tables."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

clients = Table(
    "clients",
    metadata,
    Column("id", Text, primary_key=True),
    Column("secret_hash", LargeBinary, nullable=False),
    Column("grant_types", Text, nullable=False),
    Column("scopes", Text, nullable=False),
    Column("may_introspect", Boolean, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

access_tokens = Table(
    "access_tokens",
    metadata,
    Column("hash", LargeBinary, primary_key=True),
    # Null once the client has been removed. The row stays until the token would have expired, so
    # that the operator reads `revoked_token` in the log and not that the token was never known.
    Column("client_id", Text, ForeignKey("clients.id", ondelete="SET NULL"), index=True),
    Column("scope", Text, nullable=False),
    Column("audience", Text, nullable=False),
    Column("issued_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False, index=True),
    Column("revoked_at", BigInteger),
    # Fails closed: no way of deleting a client, not even by hand, leaves a live token behind.
    CheckConstraint("client_id IS NOT NULL OR revoked_at IS NOT NULL", name="orphans_are_revoked"),
    # The hash is how rows are found: keeping them in its order saves a second index.
    sqlite_with_rowid=False,
)
