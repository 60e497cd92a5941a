"""Sessions: browsers in which somebody is signed in.

What this file guards: a cookie is a session only when its value was made here at a sign-in. It
rests as its hash; it ends with its lifetime, with the person's epoch, and with the person.
"""

import re
import secrets
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select

from gateway.authserver.records.users import User
from gateway.authserver.storage.database import begin_write
from gateway.authserver.storage.tables import sessions, users
from gateway.policy.tokenformat import token_hash

_VALUE = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class Session:
    """Who is signed in, and the epoch in which they are."""

    user_id: str
    user_epoch: int
    username: str


def new_cookie_value() -> str:
    """Make a value of 256 random bits for a browser's cookie."""
    return secrets.token_urlsafe(32)


def is_cookie_value(text: str) -> bool:
    """Say whether it looks like one of ours; whose it is, if anybody's, the database says."""
    return _VALUE.fullmatch(text) is not None


def begin_session(connection: Connection, user: User, now: int, lifetime: int) -> str:
    """Begin a session of that person as they were read, for so many seconds.

    Gives the cookie's value. When the person's epoch has changed since, the session is dead.
    """
    begin_write(connection)
    value = new_cookie_value()
    connection.execute(
        insert(sessions).values(
            hash=token_hash(value),
            user_id=user.id,
            user_epoch=user.epoch,
            created_at=now,
            expires_at=now + lifetime,
        )
    )
    return value


def find_session(connection: Connection, value: str, now: float) -> Session | None:
    """Give the session of that cookie while it lasts."""
    row = connection.execute(
        select(sessions.c.user_id, sessions.c.user_epoch, users.c.name)
        .join(users, users.c.id == sessions.c.user_id)
        .where(
            sessions.c.hash == token_hash(value),
            sessions.c.expires_at > int(now),
            users.c.epoch == sessions.c.user_epoch,
            users.c.disabled_at.is_(None),
        )
    ).first()
    return Session(*row) if row is not None else None


def end_session(connection: Connection, value: str) -> None:
    """End the session of that cookie, if there is one."""
    begin_write(connection)
    connection.execute(delete(sessions).where(sessions.c.hash == token_hash(value)))
