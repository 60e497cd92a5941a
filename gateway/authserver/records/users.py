"""Users: the people who sign in, and the statements that read and write them."""

import re
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from sqlalchemy import Connection, delete, insert, select, update

from gateway.authserver.records.clients import new_epoch
from gateway.authserver.storage.database import begin_write
from gateway.authserver.storage.tables import users

# What mail addresses are made of; nothing that looks like something else in another alphabet.
_NAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,99}")


@dataclass(frozen=True, slots=True)
class User:
    """A person. `id` is a random UUID, the subject of tokens; times are Unix seconds.

    `password_hash` is Argon2id's, in the PHC format. `epoch` is in each session and token of the
    person's, and changes when all of them end.
    """

    id: str
    name: str
    password_hash: str = field(repr=False)
    epoch: int
    disabled_at: int | None
    created_at: int


def normalize_name(text: str) -> str:
    """Give the one spelling of a user's name: lower case, without blanks around it.

    Raises:
        ValueError: it can be nobody's name; the text says what a name looks like.
    """
    name = text.strip().lower()
    if not text.isascii() or not _NAME.fullmatch(name):
        raise ValueError(
            "a name has 1 to 100 of the characters A-Z a-z 0-9 . _ @ + -, "
            "the first of them a letter or a digit"
        )
    return name


def insert_user(connection: Connection, name: str, password_hash: str, now: int) -> User:
    """Add a person; `name` as `normalize_name` gives it.

    Raises:
        sqlalchemy.exc.IntegrityError: the name is taken.
    """
    begin_write(connection)
    user = User(str(uuid.uuid4()), name, password_hash, new_epoch(), None, now)
    connection.execute(insert(users).values(asdict(user)))
    return user


def find_user(connection: Connection, user_id: str) -> User | None:
    """Give the person of that id, disabled or not, if there is one."""
    row = connection.execute(select(users).where(users.c.id == user_id)).first()
    return User(*row) if row is not None else None


def find_user_by_name(connection: Connection, name: str) -> User | None:
    """Give the person of that name, disabled or not, if there is one."""
    row = connection.execute(select(users).where(users.c.name == name)).first()
    return User(*row) if row is not None else None


def list_users(connection: Connection) -> list[User]:
    """Give all people in the order of their names."""
    found = [User(*row) for row in connection.execute(select(users))]
    return sorted(found, key=lambda user: user.name)  # databases differ in how they sort text


def set_password(connection: Connection, user_id: str, password_hash: str) -> bool:
    """Give the person another password, and end all sessions and tokens.

    False when there is nobody of that id.
    """
    return _update(connection, user_id, {"password_hash": password_hash, "epoch": new_epoch()})


def rehash_password(connection: Connection, user: User, password_hash: str) -> bool:
    """Keep the same password under newer parameters; nothing ends.

    False when the password has changed since the person was read: the newer one stands.
    """
    begin_write(connection)
    result = connection.execute(
        update(users)
        .where(users.c.id == user.id, users.c.password_hash == user.password_hash)
        .values(password_hash=password_hash)
    )
    return result.rowcount == 1


def revoke_user(connection: Connection, user_id: str) -> bool:
    """End all sessions and tokens of the person; False when there is nobody of that id."""
    return _update(connection, user_id, {"epoch": new_epoch()})


def disable_user(connection: Connection, user_id: str, now: int) -> bool:
    """Let the person not sign in, and end all sessions and tokens.

    False when there is nobody of that id.
    """
    return _update(connection, user_id, {"epoch": new_epoch(), "disabled_at": now})


def enable_user(connection: Connection, user_id: str) -> bool:
    """Let the person sign in again; False when there is nobody of that id."""
    return _update(connection, user_id, {"disabled_at": None})


def delete_user(connection: Connection, user_id: str) -> bool:
    """Remove the person with all grants; sessions and tokens are dead from then on.

    False when there is nobody of that id.
    """
    begin_write(connection)
    return connection.execute(delete(users).where(users.c.id == user_id)).rowcount == 1


def _update(connection: Connection, user_id: str, values: Mapping[str, object]) -> bool:
    begin_write(connection)
    result = connection.execute(update(users).where(users.c.id == user_id).values(values))
    return result.rowcount == 1
