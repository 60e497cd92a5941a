"""What is done to single tokens."""

import re
from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection, select

from gateway.authserver.administration.clients import ClientAdministration, UnknownClient
from gateway.authserver.administration.opened import AdministrationError
from gateway.authserver.records.clients import find_client
from gateway.authserver.records.families import find_family, revoke_family
from gateway.authserver.records.refresh import find_refresh_token
from gateway.authserver.records.tokens import (
    AccessToken,
    Holder,
    find_token,
    insert_token,
    revoke_token,
)
from gateway.authserver.storage.tables import access_tokens, clients, families, grants, users
from gateway.policy.interfaces import Revocation
from gateway.policy.tokenformat import has_valid_checksum, new_token, token_hash

# No space, for audiences are stored joined by spaces.
_AUDIENCE = re.compile(r"[\x21-\x7e]{1,1000}")
_MAX_LIFETIME = 366 * 24 * 60 * 60  # seconds


@dataclass(frozen=True, slots=True)
class NewToken:
    """An access token's record and the token in clear, for the one time that anybody sees it."""

    record: AccessToken
    token: str

    def __repr__(self) -> str:
        return f"NewToken({self.record.client_id})"


class TokenAdministration(ClientAdministration):
    """Access and refresh tokens."""

    def issue_token(
        self,
        client_id: str,
        *,
        scopes: Collection[str] | None = None,
        lifetime: int | None = None,
        audience: Collection[str] = (),
    ) -> NewToken:
        """Issue an access token in a client's name, as if it had asked for it.

        Args:
            client_id: whose token it is.
            scopes: some of the client's; None for all of them.
            lifetime: in seconds; None for the client's usual one.
            audience: what the token is for; empty for a token without `aud`.

        Raises:
            UnknownClient: there is none of that name.
            AdministrationError: the client gets no tokens in its own name, or the scope, the
                lifetime or the audience is not possible.
        """
        client = self.get_client(client_id)
        if "client_credentials" not in client.grant_types:
            raise AdministrationError(
                f"client {client_id} gets no tokens in its own name: it lacks the grant "
                "client_credentials"
            )
        if client.disabled_at is not None:
            raise AdministrationError(f"client {client_id} is disabled, so it gets no tokens")
        granted = client.scopes if scopes is None else frozenset(scopes)
        excess = sorted(granted - client.scopes)
        if excess:
            raise AdministrationError(
                f"client {client_id} may not have the scope {', '.join(excess)}; "
                f"it may have {', '.join(sorted(client.scopes)) or 'none'}"
            )
        self._check_declared(granted)
        usual = client.access_token_lifetime or self._options.access_token_lifetime
        seconds = usual if lifetime is None else lifetime
        if not 0 < seconds <= _MAX_LIFETIME:
            raise AdministrationError("a lifetime is at least a second and at most 366 days")
        if not all(_AUDIENCE.fullmatch(value) for value in audience):
            raise AdministrationError(
                "an audience is printable ASCII without spaces, such as a URL"
            )

        token = new_token("at")
        issued_at = self._now()
        with self._database.transaction() as connection:
            insert_token(
                connection,
                token_hash(token),
                Holder.of_client(client),
                scope=" ".join(sorted(granted)),
                audience=" ".join(sorted(set(audience))),
                issued_at=issued_at,
                expires_at=issued_at + seconds,
            )
            record = find_token(connection, token_hash(token))
        if record is None or record.is_revoked:  # by another process, since the client was read
            raise UnknownClient(client_id)
        return NewToken(record, token)

    def inspect_token(self, token: str) -> AccessToken | None:
        """Give the record of an access token, however dead; None when it is none of this server's.

        Raises:
            AdministrationError: it is a refresh token, of which nothing is known but its family.
        """
        if has_valid_checksum(token, "rt"):
            raise AdministrationError("this is a refresh token; only access tokens are inspected")
        if not has_valid_checksum(token):
            return None
        with self._database.transaction() as connection:
            return find_token(connection, token_hash(token))

    def explain_revocation(self, record: AccessToken) -> str:
        """Say in words what took a revoked token's life."""
        with self._database.transaction() as connection:
            return _explain(connection, record)

    def revoke_token(self, token: str) -> Revocation | None:
        """Revoke a token. Gives what to publish; None when it is none of this server's.

        With a refresh token goes all that came of the same authorization, access tokens too. One
        that is revoked already gives its Revocation again: perhaps not every worker heard.
        """
        if has_valid_checksum(token, "rt"):
            return self._revoke_refresh_token(token_hash(token))
        if not has_valid_checksum(token):
            return None
        with self._database.transaction() as connection:
            found = find_token(connection, token_hash(token))
            if found is None:
                return None
            revoke_token(connection, found.hash, self._now())
        return Revocation(self._options.issuer, "token", found.hash.hex())

    def _revoke_refresh_token(self, hash_: bytes) -> Revocation | None:
        with self._database.transaction() as connection:
            found = find_refresh_token(connection, hash_)
            family = None if found is None else find_family(connection, found.family_id)
            if family is None:
                return None
            revoke_family(connection, family.id, self._now())
        return Revocation.of_grant(self._options.issuer, family.user_id, family.client_id)


def _explain(connection: Connection, record: AccessToken) -> str:
    if record.revoked_at is not None:
        return "it was revoked itself"
    row = connection.execute(
        select(
            clients.c.epoch,
            access_tokens.c.client_epoch,
            access_tokens.c.user_id,
            users.c.epoch,
            access_tokens.c.user_epoch,
            grants.c.id,
            families.c.id,
            families.c.revoked_at,
        )
        .outerjoin(clients, clients.c.id == access_tokens.c.client_id)
        .outerjoin(users, users.c.id == access_tokens.c.user_id)
        .outerjoin(grants, grants.c.id == access_tokens.c.grant_id)
        .outerjoin(families, families.c.id == access_tokens.c.family_id)
        .where(access_tokens.c.hash == record.hash)
    ).first()
    if row is None:
        return "it has been cleaned up"
    client, client_then, user_id, user, user_then, grant_id, family_id, family_revoked = row
    if client is None:
        return "its client was removed"
    if client != client_then:
        known = find_client(connection, record.client_id)
        is_disabled = known is not None and known.disabled_at is not None
        return "its client is disabled" if is_disabled else "its client's tokens were revoked"
    if user_id is not None and user is None:
        return "its person was removed"
    if user_id is not None and user != user_then:
        return "its person was disabled, has another password, or lost all tokens"
    if grant_id is None:
        return "the person took the client's access back"
    if family_id is None or family_revoked is not None:
        return "all that came of its authorization was revoked, as when a code is used twice"
    return "it was revoked"
