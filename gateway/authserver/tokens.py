"""Access tokens: the record, what it says of the token, and the statements around it."""

from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from gateway.authserver.database import begin_write
from gateway.authserver.tables import access_tokens
from gateway.policy.rejection import Reason

_KEPT_AFTER_EXPIRY = 24 * 60 * 60  # seconds: for a day the log tells an expired token from junk
_DELETED_AT_ONCE = 20  # more than one, so that a backlog shrinks; few, so that nobody waits


@dataclass(frozen=True, slots=True)
class AccessToken:
    """An access token as it rests: its hash and what was granted. Times are Unix seconds.

    `client_id` is None when the client has been removed; the token is revoked then.
    """

    hash: bytes
    client_id: str | None
    scope: str
    audience: str
    issued_at: int
    expires_at: int
    revoked_at: int | None

    def find_fault(self, now: float) -> Reason | None:
        """Say why the token is not active at that time, or None when it is."""
        if self.revoked_at is not None:
            return Reason.REVOKED_TOKEN
        if self.expires_at <= now:
            return Reason.EXPIRED_TOKEN
        return None

    def describe(self, issuer: str) -> dict[str, object]:
        """Give the members of the introspection answer for an active token (RFC 7662, 2.2)."""
        members: dict[str, object] = {"active": True}
        if self.scope:
            members["scope"] = self.scope
        members |= {
            "client_id": self.client_id,
            "token_type": "Bearer",
            "exp": self.expires_at,
            "iat": self.issued_at,
            "iss": issuer,
        }
        audience = self.audience.split()
        if audience:
            members["aud"] = audience[0] if len(audience) == 1 else audience
        return members


FIND_TOKEN = select(
    access_tokens.c.hash,
    access_tokens.c.client_id,
    access_tokens.c.scope,
    access_tokens.c.audience,
    access_tokens.c.issued_at,
    access_tokens.c.expires_at,
    access_tokens.c.revoked_at,
).where(access_tokens.c.hash == bindparam("hash"))
"""Takes `hash`; its columns are AccessToken's fields in their order."""


def find_token(connection: Connection, token_hash: bytes) -> AccessToken | None:
    """Give the token of that hash, if it is known; it may be expired or revoked."""
    row = connection.execute(FIND_TOKEN, {"hash": token_hash}).first()
    return AccessToken(*row) if row is not None else None


def insert_token(connection: Connection, token: AccessToken) -> None:
    """Add a token, and take away some that expired long ago.

    Cleaning up here bounds the table by the tokens of a day, with no clock of its own to run.

    Raises:
        sqlalchemy.exc.IntegrityError: the client does not exist (any more).
    """
    begin_write(connection)
    connection.execute(
        insert(access_tokens).values(
            hash=token.hash,
            client_id=token.client_id,
            scope=token.scope,
            audience=token.audience,
            issued_at=token.issued_at,
            expires_at=token.expires_at,
            revoked_at=token.revoked_at,
        )
    )
    long_expired = (
        select(access_tokens.c.hash)
        .where(access_tokens.c.expires_at < token.issued_at - _KEPT_AFTER_EXPIRY)
        .order_by(access_tokens.c.expires_at)
        .limit(_DELETED_AT_ONCE)
    )
    connection.execute(delete(access_tokens).where(access_tokens.c.hash.in_(long_expired)))


def revoke_token(connection: Connection, token_hash: bytes, now: int) -> None:
    """Mark a token as revoked. One that already is keeps its time."""
    begin_write(connection)
    connection.execute(
        update(access_tokens)
        .where(access_tokens.c.hash == token_hash, access_tokens.c.revoked_at.is_(None))
        .values(revoked_at=now)
    )


def revoke_tokens_of(connection: Connection, client_id: str, now: int) -> None:
    """Mark all tokens of a client as revoked."""
    begin_write(connection)
    connection.execute(
        update(access_tokens)
        .where(access_tokens.c.client_id == client_id, access_tokens.c.revoked_at.is_(None))
        .values(revoked_at=now)
    )
