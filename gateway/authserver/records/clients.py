"""Clients: the record, and the statements that read and write it."""

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, Row, delete, insert, select, update

from gateway.authserver.storage.database import begin_write
from gateway.authserver.storage.tables import clients
from gateway.policy.tokenformat import token_hash

_NOBODY = secrets.token_bytes(32)  # no secret hashes to it, and no stranger knows it
_LISTS = ("grant_types", "scopes", "redirect_uris", "origins")


@dataclass(frozen=True, slots=True)
class Client:
    """A registered client. Times are Unix seconds, lifetimes seconds; None: the server's own.

    `secret_hash` is None for a public client (RFC 6749, section 2.1). `epoch` is in every token of
    the client's, and changes when all of them are revoked.
    """

    id: str
    secret_hash: bytes | None
    grant_types: frozenset[str]
    scopes: frozenset[str]
    may_introspect: bool
    created_at: int
    epoch: int
    name: str = ""
    redirect_uris: frozenset[str] = frozenset()
    origins: frozenset[str] = frozenset()
    access_token_lifetime: int | None = None
    refresh_token_lifetime: int | None = None
    disabled_at: int | None = None

    @property
    def is_public(self) -> bool:
        """Say whether the client has no secret."""
        return self.secret_hash is None

    @property
    def display_name(self) -> str:
        """Give what people read."""
        return self.name or self.id


def new_epoch() -> int:
    """Give an epoch that no token was issued under."""
    return secrets.randbits(63)


def is_secret_of(client: Client | None, secret: str) -> bool:
    """Say whether the secret is the client's; never when there is no such client.

    An unknown client costs the same work as a wrong secret, so the time of the answer does not
    tell who exists. Hashes are compared, not texts: `compare_digest` raises on text beyond ASCII.
    """
    known = client.secret_hash if client is not None and client.secret_hash else _NOBODY
    is_same = hmac.compare_digest(token_hash(secret), known)
    return is_same and client is not None


def find_client(connection: Connection, client_id: str) -> Client | None:
    """Give the client of that name, disabled or not, if there is one."""
    row = connection.execute(select(clients).where(clients.c.id == client_id)).first()
    return _client(row) if row is not None else None


def list_clients(connection: Connection) -> list[Client]:
    """Give all clients in the order of their names."""
    return [_client(row) for row in connection.execute(select(clients).order_by(clients.c.id))]


def find_origins(connection: Connection) -> frozenset[str]:
    """Give the registered origins of all clients that are not disabled."""
    rows = connection.execute(
        select(clients.c.origins).where(clients.c.origins != "", clients.c.disabled_at.is_(None))
    )
    return frozenset(origin for (origins,) in rows for origin in origins.split())


def insert_client(connection: Connection, client: Client) -> None:
    """Add a client.

    Raises:
        sqlalchemy.exc.IntegrityError: the name is taken.
    """
    begin_write(connection)
    values = asdict(client)
    for column in _LISTS:
        values[column] = " ".join(sorted(values[column]))
    connection.execute(insert(clients).values(values))


def replace_secret(connection: Connection, client_id: str, secret_hash: bytes) -> bool:
    """Give the client another secret; False when there is no such client."""
    return _update(connection, client_id, {"secret_hash": secret_hash})


def revoke_client(connection: Connection, client_id: str) -> bool:
    """Revoke everything that was issued to the client; False when there is no such client."""
    return _update(connection, client_id, {"epoch": new_epoch()})


def disable_client(connection: Connection, client_id: str, now: int) -> bool:
    """Let the client get no tokens, and revoke those it has; False when there is no such client."""
    return _update(connection, client_id, {"epoch": new_epoch(), "disabled_at": now})


def enable_client(connection: Connection, client_id: str) -> bool:
    """Let the client get tokens again; False when there is no such client."""
    return _update(connection, client_id, {"disabled_at": None})


def delete_client(connection: Connection, client_id: str) -> bool:
    """Remove the client, whose tokens are dead from then on; False when there is no such client."""
    begin_write(connection)
    result = connection.execute(delete(clients).where(clients.c.id == client_id))
    return result.rowcount == 1


def _update(connection: Connection, client_id: str, values: Mapping[str, object]) -> bool:
    begin_write(connection)
    result = connection.execute(update(clients).where(clients.c.id == client_id).values(values))
    return result.rowcount == 1


def _client(row: Row[tuple[object, ...]]) -> Client:
    values = dict(row._mapping)  # noqa: SLF001 - the public way to a row's columns by name
    for column in _LISTS:
        values[column] = frozenset(values[column].split())
    return Client(**values)
