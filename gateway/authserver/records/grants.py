"""Grants: what one person allows one client, remembered until it is taken back."""

import uuid
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from gateway.authserver.storage.database import begin_write
from gateway.authserver.storage.tables import clients, grants


@dataclass(frozen=True, slots=True)
class Grant:
    """A grant; `scope` is all that the person has consented to. Times are Unix seconds."""

    id: str
    user_id: str
    client_id: str
    scope: str
    created_at: int
    updated_at: int


@dataclass(frozen=True, slots=True)
class GrantedClient:
    """A grant with what its person reads of the client."""

    grant: Grant
    client_name: str


def find_grant(connection: Connection, user_id: str, client_id: str) -> Grant | None:
    """Give what the person allows the client, if anything."""
    row = connection.execute(
        select(grants).where(grants.c.user_id == user_id, grants.c.client_id == client_id)
    ).first()
    return Grant(*row) if row is not None else None


def list_grants(connection: Connection, user_id: str) -> list[GrantedClient]:
    """Give all that the person allows, in the order of the clients' names."""
    rows = connection.execute(
        select(grants, clients.c.name)
        .join(clients, clients.c.id == grants.c.client_id)
        .where(grants.c.user_id == user_id)
    )
    found = [GrantedClient(Grant(*row[:-1]), row[-1] or row.client_id) for row in rows]
    return sorted(found, key=lambda one: (one.client_name.casefold(), one.grant.client_id))


def allow(connection: Connection, user_id: str, client_id: str, scope: str, now: int) -> Grant:
    """Remember that the person allows the client these scopes, beside those allowed before.

    Raises:
        sqlalchemy.exc.IntegrityError: the person or the client is gone.
    """
    begin_write(connection)
    found = find_grant(connection, user_id, client_id)
    if found is None:
        grant = Grant(str(uuid.uuid4()), user_id, client_id, scope, now, now)
        try:
            with connection.begin_nested():
                connection.execute(insert(grants).values(_values(grant)))
        except IntegrityError:
            found = find_grant(connection, user_id, client_id)  # the same, at the same moment
            if found is None:
                raise
        else:
            return grant
    merged = " ".join(sorted({*found.scope.split(), *scope.split()}))
    connection.execute(
        update(grants).where(grants.c.id == found.id).values(scope=merged, updated_at=now)
    )
    return Grant(found.id, user_id, client_id, merged, found.created_at, now)


def delete_grant(connection: Connection, user_id: str, client_id: str) -> bool:
    """Take back what the person allows the client: all tokens of it are dead.

    False when there was nothing.
    """
    begin_write(connection)
    result = connection.execute(
        delete(grants).where(grants.c.user_id == user_id, grants.c.client_id == client_id)
    )
    return result.rowcount > 0


def _values(grant: Grant) -> dict[str, object]:
    return {column.name: getattr(grant, column.name) for column in grants.c}
