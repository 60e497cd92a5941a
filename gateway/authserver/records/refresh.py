"""Refresh tokens: the record, and how one takes the place of another.

What this file guards: of a family at most one refresh token can be used. Each use is one update
under a condition, so the database decides between requests at the same moment, whichever process
they came to, and a transaction that is rolled back has used nothing.

A used token may be used once more within a short grace, because the first answer may have been lost
on its way: then the token of that answer, as long as nobody has used it, is revoked, and another
one given. Any other use of a used or revoked token means that two parties hold it.
"""

from dataclasses import asdict, dataclass

from sqlalchemy import Connection, insert, select, update

from gateway.authserver.storage.database import begin_write
from gateway.authserver.storage.tables import refresh_tokens

GRACE = 30  # seconds after its use in which a token may be used once more


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """A refresh token as it rests. Times are Unix seconds.

    `access_token_hash` is of the access token in the same answer, `successor_hash` of the refresh
    token that its latest use gave. `revoked_at` is set when it was replaced before it was used.
    """

    hash: bytes
    family_id: str
    access_token_hash: bytes
    issued_at: int
    expires_at: int
    used_at: int | None = None
    retried_at: int | None = None
    successor_hash: bytes | None = None
    revoked_at: int | None = None

    @property
    def is_spent(self) -> bool:
        """Say whether it has been used, or replaced."""
        return self.used_at is not None or self.revoked_at is not None

    def can_be_retried(self, now: float) -> bool:
        """Say whether it may be used once more, as far as it knows itself."""
        return (
            self.used_at is not None
            and int(now) - self.used_at <= GRACE
            and self.retried_at is None
            and self.revoked_at is None
        )


def insert_refresh_token(connection: Connection, token: RefreshToken) -> None:
    """Add a refresh token."""
    begin_write(connection)
    connection.execute(insert(refresh_tokens).values(asdict(token)))


def find_refresh_token(connection: Connection, token_hash: bytes) -> RefreshToken | None:
    """Give the refresh token, whatever became of it, if it is known."""
    row = connection.execute(
        select(refresh_tokens).where(refresh_tokens.c.hash == token_hash)
    ).first()
    return RefreshToken(*row) if row is not None else None


def claim_refresh_token(
    connection: Connection, token_hash: bytes, successor_hash: bytes, now: int
) -> bool:
    """Use the token for the first time; False when it is spent. Of any number one gets True."""
    begin_write(connection)
    result = connection.execute(
        update(refresh_tokens)
        .where(
            refresh_tokens.c.hash == token_hash,
            refresh_tokens.c.used_at.is_(None),
            refresh_tokens.c.revoked_at.is_(None),
        )
        .values(used_at=now, successor_hash=successor_hash)
    )
    return result.rowcount == 1


def retry_refresh_token(
    connection: Connection, token_hash: bytes, successor_hash: bytes, now: int
) -> RefreshToken | None:
    """Use a used token once more, and revoke the unused one that its first use gave.

    Gives the one that is revoked; None when this is no retry, but reuse: then the transaction has
    to be rolled back.
    """
    begin_write(connection)
    token = find_refresh_token(connection, token_hash)
    if token is None or token.successor_hash is None or not token.can_be_retried(now):
        return None
    claimed = connection.execute(
        update(refresh_tokens)
        .where(
            refresh_tokens.c.hash == token_hash,
            refresh_tokens.c.retried_at.is_(None),
            refresh_tokens.c.revoked_at.is_(None),
        )
        .values(retried_at=now, successor_hash=successor_hash)
    )
    if claimed.rowcount != 1 or not _replace_unused(connection, token.successor_hash, now):
        return None
    return find_refresh_token(connection, token.successor_hash)


def _replace_unused(connection: Connection, token_hash: bytes, now: int) -> bool:
    result = connection.execute(
        update(refresh_tokens)
        .where(
            refresh_tokens.c.hash == token_hash,
            refresh_tokens.c.used_at.is_(None),
            refresh_tokens.c.revoked_at.is_(None),
        )
        .values(revoked_at=now)
    )
    return result.rowcount == 1
