"""What the command line does to clients and tokens: plain functions of one open database.

Nothing here tells the workers: what is revoked comes back as a Revocation, committed already, and
the caller publishes it.
"""

import re
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

from sqlalchemy.exc import IntegrityError

from gateway.authserver.clients import (
    Client,
    delete_client,
    find_client,
    insert_client,
    list_clients,
    replace_secret,
)
from gateway.authserver.database import Database
from gateway.authserver.metadata import GRANT_TYPES
from gateway.authserver.migration import migrate
from gateway.authserver.options import AuthorizationServerOptions
from gateway.authserver.tokens import (
    AccessToken,
    find_token,
    insert_token,
    revoke_token,
    revoke_tokens_of,
)
from gateway.policy.interfaces import Revocation
from gateway.policy.tokenformat import has_valid_checksum, new_token, token_hash

# Letters that mean the same in a form, in Basic credentials, in a header and in a shell, and no
# dash in front, where a command would read an option.
_CLIENT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
# No space, for audiences are stored joined by spaces.
_AUDIENCE = re.compile(r"[\x21-\x7e]{1,1000}")
_MAX_LIFETIME = 366 * 24 * 60 * 60  # seconds


class AdministrationError(Exception):
    """What was asked for cannot be done. The text says why, and the mend, for the operator."""


class ClientExists(AdministrationError):  # noqa: N818 - says what is, like FileExistsError's text
    """The client_id is taken."""


class UnknownClient(AdministrationError):  # noqa: N818
    """There is no such client."""


@dataclass(frozen=True, slots=True)
class NewSecret:
    """A client and its secret in clear, for the one time that anybody sees it."""

    client: Client
    secret: str

    def __repr__(self) -> str:
        return f"NewSecret({self.client.id})"


@dataclass(frozen=True, slots=True)
class NewToken:
    """An access token's record and the token in clear, for the one time that anybody sees it."""

    record: AccessToken
    token: str

    def __repr__(self) -> str:
        return f"NewToken({self.record.client_id})"


class Administration:
    """An open database of the embedded server, created or migrated where needed.

    `migration` says what was done to it. Use it as a context manager, or close it.

    Args:
        options: which server.
        clock: gives the Unix time.

    Raises:
        ValueError: the options name no database file.
        DatabaseUnavailable: it cannot be opened, created or migrated. So may every method.
    """

    def __init__(
        self, options: AuthorizationServerOptions, *, clock: Callable[[], float] = time.time
    ) -> None:
        self.migration = migrate(options.database_url)
        self._options = options
        self._clock = clock
        self._database = Database(options.database_url, connections=1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def add_client(
        self,
        client_id: str,
        *,
        grant_types: Collection[str],
        scopes: Collection[str] = (),
        may_introspect: bool = False,
    ) -> NewSecret:
        """Register a client and make its secret.

        Raises:
            ClientExists: the client_id is taken.
            AdministrationError: the client_id, a grant type or a scope is not possible.
        """
        if not _CLIENT_ID.fullmatch(client_id):
            raise AdministrationError(
                "a client id is 1 to 100 letters, digits, '.', '_' and '-', a letter or digit first"
            )
        unknown = sorted(set(grant_types) - set(GRANT_TYPES))
        if unknown:
            raise AdministrationError(
                f"no such grant: {', '.join(unknown)}; there is {', '.join(GRANT_TYPES)}"
            )
        if not grant_types and not may_introspect:
            raise AdministrationError("a client needs a grant, or the right to introspect")
        if scopes and not grant_types:
            raise AdministrationError("scopes are of no use to a client without a grant")
        self._check_declared(scopes)

        secret = new_token("cs")
        client = Client(
            id=client_id,
            secret_hash=token_hash(secret),
            grant_types=frozenset(grant_types),
            scopes=frozenset(scopes),
            may_introspect=may_introspect,
            created_at=int(self._clock()),
        )
        try:
            with self._database.transaction() as connection:
                insert_client(connection, client)
        except IntegrityError:
            raise ClientExists(
                f"there is a client {client_id} already; rotate its secret, or remove it first"
            ) from None
        return NewSecret(client, secret)

    def list_clients(self) -> list[Client]:
        """Give all clients in the order of their names."""
        with self._database.transaction() as connection:
            return list_clients(connection)

    def get_client(self, client_id: str) -> Client:
        """Give one client.

        Raises:
            UnknownClient: there is none of that name.
        """
        with self._database.transaction() as connection:
            client = find_client(connection, client_id)
        if client is None:
            raise UnknownClient(_no_such_client(client_id))
        return client

    def rotate_client(self, client_id: str) -> NewSecret:
        """Make a new secret in place of the old one. The client's tokens stay as they are.

        Raises:
            UnknownClient: there is none of that name.
        """
        secret = new_token("cs")
        with self._database.transaction() as connection:
            client = find_client(connection, client_id)
            if client is None or not replace_secret(connection, client_id, token_hash(secret)):
                raise UnknownClient(_no_such_client(client_id))
        return NewSecret(replace(client, secret_hash=token_hash(secret)), secret)

    def remove_client(self, client_id: str) -> Revocation:
        """Remove a client and revoke all its tokens. Gives what to publish.

        Raises:
            UnknownClient: there is none of that name.
        """
        with self._database.transaction() as connection:
            revoke_tokens_of(connection, client_id, int(self._clock()))
            if not delete_client(connection, client_id):
                raise UnknownClient(_no_such_client(client_id))
        return Revocation(self._options.issuer, "client", client_id)

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
            lifetime: in seconds; None for the server's usual one.
            audience: what the token is for; empty for a token without `aud`.

        Raises:
            UnknownClient: there is none of that name.
            AdministrationError: the scope, the lifetime or the audience is not possible.
        """
        client = self.get_client(client_id)
        if not client.grant_types:
            raise AdministrationError(f"client {client_id} has no grant, so it gets no tokens")
        granted = client.scopes if scopes is None else frozenset(scopes)
        excess = sorted(granted - client.scopes)
        if excess:
            raise AdministrationError(
                f"client {client_id} may not have the scope {', '.join(excess)}; "
                f"it may have {', '.join(sorted(client.scopes)) or 'none'}"
            )
        self._check_declared(granted)
        seconds = self._options.access_token_lifetime if lifetime is None else lifetime
        if not 0 < seconds <= _MAX_LIFETIME:
            raise AdministrationError("a lifetime is at least a second and at most 366 days")
        if not all(_AUDIENCE.fullmatch(value) for value in audience):
            raise AdministrationError(
                "an audience is printable ASCII without spaces, such as a URL"
            )

        token = new_token("at")
        issued_at = int(self._clock())
        record = AccessToken(
            hash=token_hash(token),
            client_id=client_id,
            scope=" ".join(sorted(granted)),
            audience=" ".join(sorted(set(audience))),
            issued_at=issued_at,
            expires_at=issued_at + seconds,
            revoked_at=None,
        )
        try:
            with self._database.transaction() as connection:
                insert_token(connection, record)
        except IntegrityError:  # removed by another process since it was read
            raise UnknownClient(_no_such_client(client_id)) from None
        return NewToken(record, token)

    def inspect_token(self, token: str) -> AccessToken | None:
        """Give the record of a token, however dead; None when it is none of this server's."""
        if not has_valid_checksum(token):
            return None
        with self._database.transaction() as connection:
            return find_token(connection, token_hash(token))

    def revoke_token(self, token: str) -> Revocation | None:
        """Revoke a token. Gives what to publish; None when it is none of this server's.

        One that is revoked already gives its Revocation again: perhaps not every worker heard.
        """
        if not has_valid_checksum(token):
            return None
        with self._database.transaction() as connection:
            found = find_token(connection, token_hash(token))
            if found is None:
                return None
            revoke_token(connection, found.hash, int(self._clock()))
        return Revocation(self._options.issuer, "token", found.hash.hex())

    def _check_declared(self, scopes: Collection[str]) -> None:
        undeclared = sorted(set(scopes) - self._options.scopes.keys())
        if undeclared:
            raise AdministrationError(
                f"scope {', '.join(undeclared)} is not declared; add it under "
                f"authorization_servers.{self._options.name}.embedded.scopes"
            )


def _no_such_client(client_id: str) -> str:
    return f"there is no client {client_id!r}; `gateway client list` shows those that exist"
