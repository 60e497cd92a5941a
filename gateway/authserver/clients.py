"""Clients: the record, and the statements that read and write it."""

import hmac
import secrets
from dataclasses import dataclass

from sqlalchemy import Connection, Row, delete, insert, select, update

from gateway.authserver.database import begin_write
from gateway.authserver.tables import clients
from gateway.policy.tokenformat import token_hash

_NOBODY = secrets.token_bytes(32)  # no secret hashes to it, and no stranger knows it


@dataclass(frozen=True, slots=True)
class Client:
    """A registered client. `created_at` is in Unix seconds."""

    id: str
    secret_hash: bytes
    grant_types: frozenset[str]
    scopes: frozenset[str]
    may_introspect: bool
    created_at: int


def is_secret_of(client: Client | None, secret: str) -> bool:
    """Say whether the secret is the client's; never when there is no such client.

    An unknown client costs the same work as a wrong secret, so the time of the answer does not
    tell who exists. Hashes are compared, not texts: `compare_digest` raises on text beyond ASCII.
    """
    known = client.secret_hash if client is not None else _NOBODY
    is_same = hmac.compare_digest(token_hash(secret), known)
    return is_same and client is not None


def find_client(connection: Connection, client_id: str) -> Client | None:
    """Give the client of that name, if there is one."""
    row = connection.execute(select(clients).where(clients.c.id == client_id)).first()
    return _client(row) if row is not None else None


def list_clients(connection: Connection) -> list[Client]:
    """Give all clients in the order of their names."""
    return [_client(row) for row in connection.execute(select(clients).order_by(clients.c.id))]


def insert_client(connection: Connection, client: Client) -> None:
    """Add a client.

    Raises:
        sqlalchemy.exc.IntegrityError: the name is taken.
    """
    begin_write(connection)
    connection.execute(
        insert(clients).values(
            id=client.id,
            secret_hash=client.secret_hash,
            grant_types=" ".join(sorted(client.grant_types)),
            scopes=" ".join(sorted(client.scopes)),
            may_introspect=client.may_introspect,
            created_at=client.created_at,
        )
    )


def replace_secret(connection: Connection, client_id: str, secret_hash: bytes) -> bool:
    """Give the client another secret; False when there is no such client."""
    begin_write(connection)
    result = connection.execute(
        update(clients).where(clients.c.id == client_id).values(secret_hash=secret_hash)
    )
    return result.rowcount == 1


def delete_client(connection: Connection, client_id: str) -> bool:
    """Remove the client; False when there is no such client.

    Raises:
        sqlalchemy.exc.IntegrityError: it still has tokens that are not revoked.
    """
    begin_write(connection)
    result = connection.execute(delete(clients).where(clients.c.id == client_id))
    return result.rowcount == 1


def _client(row: Row[tuple[object, ...]]) -> Client:
    return Client(
        id=row.id,
        secret_hash=row.secret_hash,
        grant_types=frozenset(row.grant_types.split()),
        scopes=frozenset(row.scopes.split()),
        may_introspect=row.may_introspect,
        created_at=row.created_at,
    )
