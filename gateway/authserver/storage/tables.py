"""The schema as this version knows it; `migrations/versions` holds the way there.

Times are Unix seconds. Lists of words that hold no space (scopes, audiences, grant types, URIs)
rest as one text, joined by spaces and sorted, as they travel in OAuth. Tokens, codes and cookies
rest as SHA-256, in columns named `hash`.

What takes a token's life, and how, is the same for one token as for a million: no revocation has to
visit them. A token lives while all that it names still stands: its client and its person with the
epoch that it was issued under, its grant, and its family, not revoked. `records.tokens` reads
that in one statement. An epoch is a random number that changes when everything of a client or of a
person is taken back; random, because a client that is removed and added anew must not meet the
tokens of its namesake. Tokens have no foreign keys: what they name may be gone, and then they are
dead.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

SCHEMA = "0002"
"""The newest version in `migrations/versions`: the one that leads to these tables."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

clients = Table(
    "clients",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),  # what people read on the consent page
    Column("secret_hash", LargeBinary),  # null: a public client
    Column("grant_types", Text, nullable=False),
    Column("scopes", Text, nullable=False),
    Column("redirect_uris", Text, nullable=False),
    Column("origins", Text, nullable=False),  # of browser clients, for CORS
    Column("may_introspect", Boolean, nullable=False),
    Column("access_token_lifetime", BigInteger),  # seconds; null: the configuration's
    Column("refresh_token_lifetime", BigInteger),
    Column("epoch", BigInteger, nullable=False),
    Column("disabled_at", BigInteger),
    Column("created_at", BigInteger, nullable=False),
)

users = Table(
    "users",
    metadata,
    Column("id", Text, primary_key=True),  # a random UUID: the subject of tokens
    Column("name", Text, nullable=False, unique=True),  # in lower case
    Column("password_hash", Text, nullable=False),  # Argon2id, in the PHC format
    Column("epoch", BigInteger, nullable=False),
    Column("disabled_at", BigInteger),
    Column("created_at", BigInteger, nullable=False),
)

# A browser in which somebody is signed in. It ends when the person's epoch changes.
sessions = Table(
    "sessions",
    metadata,
    Column("hash", LargeBinary, primary_key=True),
    Column("user_id", Text, nullable=False),
    Column("user_epoch", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),  # when the person gave the password
    Column("expires_at", BigInteger, nullable=False, index=True),
    sqlite_with_rowid=False,
)

# What one person allows one client: the consent that is remembered, and what "apps with access to
# your account" takes back. Taking it back deletes the row, and all that came of it is dead.
grants = Table(
    "grants",
    metadata,
    Column("id", Text, primary_key=True),  # random: a new consent never revives old tokens
    Column("user_id", Text, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column(
        "client_id", Text, ForeignKey("clients.id", ondelete="CASCADE"), nullable=False, index=True
    ),
    Column("scope", Text, nullable=False),  # all that the person has consented to
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    UniqueConstraint("user_id", "client_id"),
)

# All that one authorization led to: its code, and each refresh and access token that came of it.
# The reuse of a code or of a refresh token revokes the family.
families = Table(
    "families",
    metadata,
    Column("id", Text, primary_key=True),
    Column("grant_id", Text, nullable=False),
    Column("client_id", Text, nullable=False),
    Column("client_epoch", BigInteger, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("user_epoch", BigInteger, nullable=False),
    Column("scope", Text, nullable=False),  # the ceiling: no refresh gives more
    Column("audience", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False, index=True),  # of its longest-living member
    Column("revoked_at", BigInteger),
    sqlite_with_rowid=False,
)

authorization_codes = Table(
    "authorization_codes",
    metadata,
    Column("hash", LargeBinary, primary_key=True),
    Column("family_id", Text, nullable=False),
    Column("client_id", Text, nullable=False),
    Column("redirect_uri", Text),  # as the authorization request had it; null: it had none
    Column("code_challenge", Text, nullable=False),  # S256
    Column("expires_at", BigInteger, nullable=False, index=True),
    Column("used_at", BigInteger),
    sqlite_with_rowid=False,
)

refresh_tokens = Table(
    "refresh_tokens",
    metadata,
    Column("hash", LargeBinary, primary_key=True),
    Column("family_id", Text, nullable=False, index=True),  # by which it is cleaned up
    Column("access_token_hash", LargeBinary, nullable=False),  # the one in the same answer
    Column("issued_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("used_at", BigInteger),
    Column("retried_at", BigInteger),  # used once more: its first answer was lost
    Column("successor_hash", LargeBinary),  # what its last use gave
    Column("revoked_at", BigInteger),  # replaced unused: a retry of its predecessor took its place
    sqlite_with_rowid=False,
)

device_codes = Table(
    "device_codes",
    metadata,
    Column("hash", LargeBinary, primary_key=True),
    Column("user_code_hash", LargeBinary, nullable=False, unique=True),
    Column("client_id", Text, nullable=False),
    Column("client_epoch", BigInteger, nullable=False),
    Column("scope", Text, nullable=False),
    Column("audience", Text, nullable=False),
    Column("expires_at", BigInteger, nullable=False, index=True),
    Column("interval", Integer, nullable=False),  # seconds between two polls
    Column("polled_at", BigInteger),
    Column("family_id", Text),  # of the approval; null until then
    Column("denied_at", BigInteger),
    Column("used_at", BigInteger),
    sqlite_with_rowid=False,
)

access_tokens = Table(
    "access_tokens",
    metadata,
    Column("hash", LargeBinary, primary_key=True),
    Column("client_id", Text, nullable=False),
    Column("client_epoch", BigInteger, nullable=False),
    # The four are null for client credentials, where nobody but the client is concerned.
    Column("user_id", Text),
    Column("user_epoch", BigInteger),
    Column("grant_id", Text),
    Column("family_id", Text),
    Column("scope", Text, nullable=False),
    Column("audience", Text, nullable=False),
    Column("issued_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False, index=True),
    Column("revoked_at", BigInteger),
    # The hash is how rows are found: keeping them in its order saves a second index.
    sqlite_with_rowid=False,
)
