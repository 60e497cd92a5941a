"""Brings a database file to the schema of this version, or creates it.

What this file guards: two processes that start at the same moment migrate once, and a migration
that breaks off leaves the database as it was.
"""

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import create_engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from gateway.authserver.database import (
    DatabaseUnavailable,
    begin_write,
    connect,
    create_private_file,
    database_path,
)
from gateway.authserver.tables import SCHEMA

_LOCK_TIMEOUT = 30.0  # seconds
_LOCK_POLL = 0.05  # seconds


@dataclass(frozen=True, slots=True)
class Migration:
    """What `migrate` found and did: `previous` is None for a database that had no schema yet."""

    path: Path
    previous: str | None
    current: str

    @property
    def has_changed(self) -> bool:
        """Say whether anything had to be done."""
        return self.previous != self.current


def migrate(database_url: str) -> Migration:
    """Create the database that the URL names, or bring it to the schema of this version.

    Raises:
        ValueError: the URL names no database file.
        DatabaseUnavailable: the file cannot be used, or a newer version of the program made it.
    """
    path = database_path(database_url)
    try:
        if path.exists() and _read_schema(path) == SCHEMA:
            return Migration(path, SCHEMA, SCHEMA)
        with _locked(path.with_name(path.name + ".lock")):
            create_private_file(path)
            return _upgrade(path)
    except OSError as error:
        raise DatabaseUnavailable(f"{error.filename or path}: {error.strerror}") from error
    except sqlite3.Error as error:
        raise DatabaseUnavailable(f"{path}: {error}") from error
    except SQLAlchemyError as error:
        raise DatabaseUnavailable(f"{path}: {getattr(error, 'orig', None) or error}") from error


def _read_schema(path: Path) -> str | None:
    """Give the schema that the database has; None when it has none."""
    with closing(connect(path)) as connection:
        if not connection.execute(
            "SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'"
        ).fetchall():
            return None
        rows = connection.execute("SELECT version_num FROM alembic_version").fetchall()
        return str(rows[0][0]) if rows else None


def _upgrade(path: Path) -> Migration:
    # Imported when there is work for it: it takes a tenth of a second, and 12 MiB in each worker.
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    engine = create_engine("sqlite://", creator=lambda: connect(path), poolclass=NullPool)
    with engine.connect() as connection:
        # Neither can be done inside the transaction. Foreign keys are checked at its end instead:
        # a table that is built anew is dropped in between.
        if connection.exec_driver_sql("PRAGMA journal_mode = WAL").scalar() != "wal":
            raise DatabaseUnavailable(f"{path}: no write-ahead log here; use a local disk")
        connection.exec_driver_sql("PRAGMA foreign_keys = OFF")

        begin_write(connection)
        previous = _read_schema(path)
        configuration = Config()
        configuration.set_main_option("script_location", "gateway.authserver:migrations")
        configuration.attributes["connection"] = connection
        try:
            command.upgrade(configuration, SCHEMA)
        except CommandError as error:
            raise DatabaseUnavailable(
                f"{path} has schema {previous}, which this version does not know: "
                "a newer version made it"
            ) from error
        if connection.exec_driver_sql("PRAGMA foreign_key_check").first() is not None:
            raise DatabaseUnavailable(f"{path}: the migration to {SCHEMA} would break references")
        connection.commit()
    return Migration(path, previous, SCHEMA)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock file. It is a file of its own and stays: see below.

    Locking the database file itself would break SQLite, which loses its locks when this process
    closes any descriptor of that file; and removing the lock file would let a third process lock
    a new one while the second still waits for the old.
    """
    create_private_file(path)
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        deadline = time.monotonic() + _LOCK_TIMEOUT
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise DatabaseUnavailable(
                        f"another process has been migrating for {_LOCK_TIMEOUT:.0f} seconds "
                        f"(it holds {path})"
                    ) from None
                time.sleep(_LOCK_POLL)  # noqa: TID251 - at start-up, before any event loop serves
        yield
    finally:
        os.close(descriptor)
