"""Tokens put into the database as the token endpoint puts them there, without asking it."""

from gateway.authserver.records.families import Family
from gateway.authserver.records.refresh import RefreshToken, insert_refresh_token
from gateway.authserver.records.tokens import Holder, insert_token
from gateway.authserver.storage.database import Database
from gateway.policy.tokenformat import token_hash

LIFETIME = 600  # seconds


def insert_token_of(
    database: Database, family: Family, token: str, refresh_token: str | None, now: int
) -> None:
    """Stores an access token of a family and, unless it is None, the refresh token beside it."""
    with database.transaction() as connection:
        insert_token(
            connection,
            token_hash(token),
            Holder.of_family(family),
            scope=family.scope,
            audience=family.audience,
            issued_at=now,
            expires_at=now + LIFETIME,
        )
        if refresh_token is not None:
            insert_refresh_token(
                connection,
                RefreshToken(
                    hash=token_hash(refresh_token),
                    family_id=family.id,
                    access_token_hash=token_hash(token),
                    issued_at=now,
                    expires_at=now + LIFETIME,
                ),
            )
