"""Access tokens: the record, what it says of the token, and the statements around it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from sqlalchemy import (
    ARRAY,
    Connection,
    LargeBinary,
    and_,
    any_,
    bindparam,
    insert,
    not_,
    or_,
    select,
    update,
)

from gateway.authserver.records.clients import Client
from gateway.authserver.records.families import Family
from gateway.authserver.storage.database import begin_write
from gateway.authserver.storage.tables import access_tokens, clients, families, grants, users
from gateway.policy.rejection import Reason


@dataclass(frozen=True, slots=True)
class Holder:
    """In whose name a token is issued, and what its life hangs on."""

    client_id: str
    client_epoch: int
    user_id: str | None = None
    user_epoch: int | None = None
    grant_id: str | None = None
    family_id: str | None = None

    @classmethod
    def of_client(cls, client: Client) -> Self:
        """Give the holder of a client's own token."""
        return cls(client.id, client.epoch)

    @classmethod
    def of_family(cls, family: Family) -> Self:
        """Give the holder of a token that a person allowed."""
        return cls(
            family.client_id,
            family.client_epoch,
            family.user_id,
            family.user_epoch,
            family.grant_id,
            family.id,
        )


@dataclass(frozen=True, slots=True)
class AccessToken:
    """An access token as it is now: its hash, and what was granted. Times are Unix seconds.

    `is_revoked` says whether it was taken back, by itself (`revoked_at`) or with its family, grant,
    client or person. `subject` and `username` are None for client credentials.
    """

    hash: bytes
    client_id: str
    subject: str | None
    username: str | None
    family_id: str | None
    scope: str
    audience: str
    issued_at: int
    expires_at: int
    revoked_at: int | None
    is_revoked: bool

    def find_fault(self, now: float) -> Reason | None:
        """Say why the token is not active at that time, or None when it is."""
        if self.is_revoked:
            return Reason.REVOKED_TOKEN
        if self.expires_at <= now:
            return Reason.EXPIRED_TOKEN
        return None

    def describe(self, issuer: str) -> dict[str, object]:
        """Give the members of the introspection answer for an active token (RFC 7662, 2.2)."""
        members: dict[str, object] = {"active": True}
        if self.scope:
            members["scope"] = self.scope
        members["client_id"] = self.client_id
        if self.subject is not None:
            members |= {"sub": self.subject, "username": self.username}
        members |= {
            "token_type": "Bearer",
            "exp": self.expires_at,
            "iat": self.issued_at,
            "iss": issuer,
        }
        audience = self.audience.split()
        if audience:
            members["aud"] = audience[0] if len(audience) == 1 else audience
        return members


_IS_ALIVE = and_(
    access_tokens.c.revoked_at.is_(None),
    clients.c.epoch == access_tokens.c.client_epoch,
    or_(
        access_tokens.c.user_id.is_(None),
        and_(
            users.c.epoch == access_tokens.c.user_epoch,
            grants.c.id.is_not(None),
            families.c.id.is_not(None),
            families.c.revoked_at.is_(None),
        ),
    ),
)
"""False or null where something that the token names is gone or taken back."""

_TOKENS = (
    select(
        access_tokens.c.hash,
        access_tokens.c.client_id,
        access_tokens.c.user_id,
        users.c.name,
        access_tokens.c.family_id,
        access_tokens.c.scope,
        access_tokens.c.audience,
        access_tokens.c.issued_at,
        access_tokens.c.expires_at,
        access_tokens.c.revoked_at,
        not_(_IS_ALIVE.is_(True)),
    )
    .outerjoin(clients, clients.c.id == access_tokens.c.client_id)
    .outerjoin(users, users.c.id == access_tokens.c.user_id)
    .outerjoin(grants, grants.c.id == access_tokens.c.grant_id)
    .outerjoin(families, families.c.id == access_tokens.c.family_id)
)

FIND_TOKEN = _TOKENS.where(access_tokens.c.hash == bindparam("hash"))
"""Takes `hash`; its columns are AccessToken's fields in their order. One read, by primary keys."""

FIND_TOKENS = _TOKENS.where(
    access_tokens.c.hash == any_(bindparam("hashes", type_=ARRAY(LargeBinary)))
)
"""Takes `hashes`, as PostgreSQL does; gives those that are known, in any order."""


def find_token(connection: Connection, token_hash: bytes) -> AccessToken | None:
    """Give the token of that hash, if it is known; it may be expired or revoked."""
    row = connection.execute(FIND_TOKEN, {"hash": token_hash}).first()
    return read_token(row) if row is not None else None


def read_token(row: Sequence[Any]) -> AccessToken:
    """Give the token of a row; SQLite has no truth values, and says 0 or 1."""
    *fields, is_dead = row
    return AccessToken(*[*fields, bool(is_dead)])


def insert_token(
    connection: Connection,
    token_hash: bytes,
    holder: Holder,
    *,
    scope: str,
    audience: str,
    issued_at: int,
    expires_at: int,
) -> None:
    """Add a token. One whose client, person, grant or family has just gone is dead from birth."""
    begin_write(connection)
    connection.execute(
        insert(access_tokens).values(
            hash=token_hash,
            **asdict(holder),
            scope=scope,
            audience=audience,
            issued_at=issued_at,
            expires_at=expires_at,
        )
    )


def revoke_token(connection: Connection, token_hash: bytes, now: int) -> None:
    """Mark a token as revoked. One that already is keeps its time."""
    begin_write(connection)
    connection.execute(
        update(access_tokens)
        .where(access_tokens.c.hash == token_hash, access_tokens.c.revoked_at.is_(None))
        .values(revoked_at=now)
    )
