"""Brings a database to the schema of this version, or creates it.

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

import psycopg
from sqlalchemy import Connection, create_engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from gateway.authserver.storage import postgresql, sqlite
from gateway.authserver.storage.database import describe_database, describe_error
from gateway.authserver.storage.outage import DatabaseUnavailable
from gateway.authserver.storage.tables import SCHEMA

_LOCK_TIMEOUT = 30.0  # seconds
_LOCK_POLL = 0.05  # seconds
_ADVISORY_LOCK = 0x6761746577617900  # "gateway" and a zero: other programs' locks have other names


@dataclass(frozen=True, slots=True)
class Migration:
    """What was found and done: `previous` is None for a database that had no schema yet.

    `database` is what messages call it; see `describe_database`.
    """

    database: str
    previous: str | None
    current: str

    @property
    def has_changed(self) -> bool:
        """Say whether anything had to be done."""
        return self.previous != self.current


def migrate(url: str) -> Migration:
    """Create the schema of this version, or bring the database to it; on SQLite, create the file.

    Raises:
        ValueError: the URL names no database.
        DatabaseUnavailable: the database cannot be used, or a newer version of the program made it.
    """
    name = describe_database(url)
    try:
        if postgresql.is_postgresql(url):
            return _migrate_postgresql(url, name)
        return _migrate_sqlite(sqlite.database_path(url), name)
    except OSError as error:
        raise DatabaseUnavailable(f"{error.filename or name}: {error.strerror}") from error
    except sqlite3.Error as error:
        raise DatabaseUnavailable(f"{name}: {error}") from error
    except psycopg.Error as error:
        raise DatabaseUnavailable(f"{name}: {postgresql.describe_error(error)}") from error
    except SQLAlchemyError as error:
        raise DatabaseUnavailable(f"{name}: {describe_error(error)}") from error


def check_schema(url: str) -> None:
    """Make sure that a PostgreSQL database has the schema of this version.

    Several gateways share it, so none of them changes it in passing: it may be older or newer.

    Raises:
        DatabaseUnavailable: it has another schema, or does not answer.
    """
    name = postgresql.describe_url(url)
    try:
        with closing(postgresql.connect_for_reading(url)) as connection:
            found = _read_postgresql_schema(connection)
    except psycopg.Error as error:
        raise DatabaseUnavailable(f"{name}: {postgresql.describe_error(error)}") from error
    if found is None:
        raise DatabaseUnavailable(f"{name} has no schema yet; create it with: gateway migrate")
    if found < SCHEMA:
        raise DatabaseUnavailable(
            f"{name} has schema {found}, and this version needs {SCHEMA}; "
            "bring it there with: gateway migrate"
        )
    if found != SCHEMA:
        raise DatabaseUnavailable(_made_by_a_newer_version(name, found))


def prepare(url: str) -> Migration:
    """Do what a starting gateway does: migrate a file of its own, check a server that is shared.

    Raises:
        ValueError: the URL names no database.
        DatabaseUnavailable: the database cannot be used, or has another schema.
    """
    if postgresql.is_postgresql(url):
        check_schema(url)
        return Migration(describe_database(url), SCHEMA, SCHEMA)
    return migrate(url)


def _migrate_sqlite(path: Path, name: str) -> Migration:
    if path.exists() and _read_sqlite_schema(path) == SCHEMA:
        return Migration(name, SCHEMA, SCHEMA)
    with _locked(path.with_name(path.name + ".lock")):
        sqlite.create_private_file(path)
        engine = create_engine(
            "sqlite://", creator=lambda: sqlite.connect(path), poolclass=NullPool
        )
        with engine.connect() as connection:
            # Neither can be done inside the transaction. Foreign keys are checked at its end
            # instead: a table that is built anew is dropped in between.
            if connection.exec_driver_sql("PRAGMA journal_mode = WAL").scalar() != "wal":
                raise DatabaseUnavailable(f"{name}: no write-ahead log here; use a local disk")
            connection.exec_driver_sql("PRAGMA foreign_keys = OFF")

            sqlite.begin_write(connection)
            previous = _read_sqlite_schema(path)
            _upgrade(connection, name, previous)
            if connection.exec_driver_sql("PRAGMA foreign_key_check").first() is not None:
                raise DatabaseUnavailable(
                    f"{name}: the migration to {SCHEMA} would break references"
                )
            connection.commit()
    return Migration(name, previous, SCHEMA)


def _migrate_postgresql(url: str, name: str) -> Migration:
    with closing(postgresql.connect_for_reading(url)) as reader:
        if _read_postgresql_schema(reader) == SCHEMA:
            return Migration(name, SCHEMA, SCHEMA)
    engine = create_engine(
        "postgresql+psycopg://",
        creator=lambda: postgresql.connect_for_migration(url, _LOCK_TIMEOUT),
        poolclass=NullPool,
        hide_parameters=True,
    )
    with engine.connect() as connection:
        try:
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})")
        except SQLAlchemyError as error:
            if isinstance(getattr(error, "orig", None), psycopg.errors.LockNotAvailable):
                raise DatabaseUnavailable(_already_migrating("the advisory lock")) from error
            raise
        # "Read committed": this sees what another process has migrated meanwhile.
        driver_connection = connection.connection.driver_connection
        assert isinstance(driver_connection, psycopg.Connection)  # noqa: S101 - for the type checker
        previous = _read_postgresql_schema(driver_connection)
        _upgrade(connection, name, previous)
        connection.commit()
    return Migration(name, previous, SCHEMA)


def _read_sqlite_schema(path: Path) -> str | None:
    """Give the schema that the database has; None when it has none."""
    with closing(sqlite.connect(path)) as connection:
        if not connection.execute(
            "SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'"
        ).fetchall():
            return None
        rows = connection.execute("SELECT version_num FROM alembic_version").fetchall()
        return str(rows[0][0]) if rows else None


def _read_postgresql_schema(connection: "psycopg.Connection[tuple[object, ...]]") -> str | None:
    """Give the schema that the database has; None when it has none."""
    found = connection.execute("SELECT to_regclass('alembic_version') IS NOT NULL").fetchone()
    if found is None or not found[0]:
        return None
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return str(row[0]) if row else None


def _upgrade(connection: Connection, name: str, previous: str | None) -> None:
    # Imported when there is work for it: it takes a tenth of a second, and 12 MiB in each worker.
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    configuration = Config()
    configuration.set_main_option("script_location", "gateway.authserver.storage:migrations")
    configuration.attributes["connection"] = connection
    try:
        command.upgrade(configuration, SCHEMA)
    except CommandError as error:
        raise DatabaseUnavailable(_made_by_a_newer_version(name, previous)) from error


def _made_by_a_newer_version(name: str, schema: str | None) -> str:
    return f"{name} has schema {schema}, which this version does not know: a newer version made it"


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock file. It is a file of its own and stays: see below.

    Locking the database file itself would break SQLite, which loses its locks when this process
    closes any descriptor of that file; and removing the lock file would let a third process lock
    a new one while the second still waits for the old.
    """
    sqlite.create_private_file(path)
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        deadline = time.monotonic() + _LOCK_TIMEOUT
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise DatabaseUnavailable(_already_migrating(str(path))) from None
                time.sleep(_LOCK_POLL)  # noqa: TID251 - at start-up, before any event loop serves
        yield
    finally:
        os.close(descriptor)


def _already_migrating(lock: str) -> str:
    return f"another process has been migrating for {_LOCK_TIMEOUT:.0f} seconds (it holds {lock})"
