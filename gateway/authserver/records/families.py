"""Families: all that one authorization led to, and the codes that they begin with."""

import uuid
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, insert, select, update

from gateway.authserver.records.clients import Client
from gateway.authserver.records.grants import Grant
from gateway.authserver.storage.database import begin_write
from gateway.authserver.storage.tables import authorization_codes, clients, families, grants, users


@dataclass(frozen=True, slots=True)
class Family:
    """One authorization and what came of it. Times are Unix seconds.

    `scope` is the ceiling: no refresh gives more. `expires_at` is that of its longest-living
    member. The epochs are those that it was authorized under.
    """

    id: str
    grant_id: str
    client_id: str
    client_epoch: int
    user_id: str
    user_epoch: int
    scope: str
    audience: str
    created_at: int
    expires_at: int
    revoked_at: int | None = None


@dataclass(frozen=True, slots=True)
class AuthorizationCode:
    """A code as it rests. `redirect_uri` is None when the authorization request named none."""

    hash: bytes
    family_id: str
    client_id: str
    redirect_uri: str | None
    code_challenge: str
    expires_at: int
    used_at: int | None = None


def begin_family(
    connection: Connection,
    grant: Grant,
    client: Client,
    user_epoch: int,
    *,
    scope: str,
    audience: str,
    now: int,
    expires_at: int,
) -> Family:
    """Add a family to what the person allows the client.

    `user_epoch` is the one of the session in which the person said so.
    """
    begin_write(connection)
    family = Family(
        id=str(uuid.uuid4()),
        grant_id=grant.id,
        client_id=client.id,
        client_epoch=client.epoch,
        user_id=grant.user_id,
        user_epoch=user_epoch,
        scope=scope,
        audience=audience,
        created_at=now,
        expires_at=expires_at,
    )
    connection.execute(insert(families).values(asdict(family)))
    return family


def find_live_family(connection: Connection, family_id: str) -> Family | None:
    """Give the family while all that it names still stands: what may issue tokens."""
    row = connection.execute(
        select(families)
        .join(clients, clients.c.id == families.c.client_id)
        .join(users, users.c.id == families.c.user_id)
        .join(grants, grants.c.id == families.c.grant_id)
        .where(
            families.c.id == family_id,
            families.c.revoked_at.is_(None),
            clients.c.epoch == families.c.client_epoch,
            clients.c.disabled_at.is_(None),
            users.c.epoch == families.c.user_epoch,
            users.c.disabled_at.is_(None),
        )
    ).first()
    return Family(*row) if row is not None else None


def find_family(connection: Connection, family_id: str) -> Family | None:
    """Give the family, dead or alive."""
    row = connection.execute(select(families).where(families.c.id == family_id)).first()
    return Family(*row) if row is not None else None


def extend_family(connection: Connection, family_id: str, expires_at: int) -> None:
    """Keep the family at least until then."""
    begin_write(connection)
    connection.execute(
        update(families)
        .where(families.c.id == family_id, families.c.expires_at < expires_at)
        .values(expires_at=expires_at)
    )


def revoke_family(connection: Connection, family_id: str, now: int) -> None:
    """Revoke all that came of one authorization. One that is revoked keeps its time."""
    begin_write(connection)
    connection.execute(
        update(families)
        .where(families.c.id == family_id, families.c.revoked_at.is_(None))
        .values(revoked_at=now)
    )


def insert_code(connection: Connection, code: AuthorizationCode) -> None:
    """Add a code."""
    begin_write(connection)
    connection.execute(insert(authorization_codes).values(asdict(code)))


def find_code(connection: Connection, code_hash: bytes) -> AuthorizationCode | None:
    """Give the code, used or not, if it is known."""
    row = connection.execute(
        select(authorization_codes).where(authorization_codes.c.hash == code_hash)
    ).first()
    return AuthorizationCode(*row) if row is not None else None


def claim_code(connection: Connection, code_hash: bytes, now: int) -> bool:
    """Use the code; False when somebody has. Of any number at once one gets True.

    It is undone with its transaction: a rolled-back request burns nothing.
    """
    begin_write(connection)
    result = connection.execute(
        update(authorization_codes)
        .where(authorization_codes.c.hash == code_hash, authorization_codes.c.used_at.is_(None))
        .values(used_at=now)
    )
    return result.rowcount == 1
