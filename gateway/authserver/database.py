"""The database: its file, its connections, its transactions.

What this file guards: a commit that has returned is on the disk, and a database that is gone,
replaced, locked or broken is an error, never an empty answer.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy import Connection, create_engine
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

_BUSY_TIMEOUT = 2.0  # seconds: another process's commit takes milliseconds, a stuck one for ever


class DatabaseUnavailable(Exception):  # noqa: N818 - a state of the database, not a fault here
    """The database did not do what was asked. Its text is for the operator, never for a client."""


def database_path(url: str) -> Path:
    """Give the file that a database URL names: `sqlite:///` and an absolute path, taken literally.

    Raises:
        ValueError: it is no such URL.
    """
    scheme, _, path = url.partition(":///")
    # "?" and "#" would start options, of which there are none.
    if scheme != "sqlite" or not path.startswith("/") or {"?", "#", "\0"} & set(path):
        raise ValueError("the database must be sqlite:///, an absolute path, and nothing behind it")
    return Path(path)


def create_private_file(path: Path) -> bool:
    """Create an empty file that only its owner reads, and say whether it is new.

    Root creates it for the owner of the folder: an administrator's first `sudo gateway client add`
    must not lock the service out of its own database. SQLite gives the files that it adds beside
    the database the owner and the mode of the database.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return False
    try:
        if os.geteuid() == 0:
            folder = path.parent.stat()
            os.fchown(descriptor, folder.st_uid, folder.st_gid)
    finally:
        os.close(descriptor)
    return True


def connect(path: Path, busy_timeout: float = _BUSY_TIMEOUT) -> sqlite3.Connection:
    """Open a connection to a database file that exists; it waits so many seconds for a lock.

    Raises:
        sqlite3.Error: it cannot be opened.
    """
    # mode=rw: a file that has gone is an error, where the default would make an empty database,
    # in which every token is unknown. Without an isolation level the driver starts no transaction
    # of its own accord: begin_write() does.
    connection = sqlite3.connect(
        f"{path.as_uri()}?mode=rw",
        uri=True,
        timeout=busy_timeout,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        with closing(connection.cursor()) as cursor:
            cursor.execute("PRAGMA foreign_keys = ON")
            # NORMAL, the usual companion of the write-ahead log, syncs at checkpoints only: after
            # a loss of power a revocation that had been reported as done could be undone, and the
            # token would live again. FULL syncs the log at every commit.
            cursor.execute("PRAGMA synchronous = FULL")
    except BaseException:
        connection.close()
        raise
    return connection


class Database:
    """A migrated database, shared by the threads of one process.

    Args:
        url: as `database_path` takes it; `migrate` has been called for it.
        connections: how many transactions may run at the same time; further ones wait.

    Raises:
        DatabaseUnavailable: the file is not there.
    """

    def __init__(self, url: str, *, connections: int = 8) -> None:
        self._path = database_path(url)
        self._identity = self._read_identity()
        self._engine = create_engine(
            "sqlite://",
            creator=lambda: connect(self._path),
            poolclass=QueuePool,
            pool_size=connections,
            max_overflow=0,
            pool_timeout=_BUSY_TIMEOUT,
            hide_parameters=True,  # else the text of an error carries hashes and names
        )

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Commit what the block did, or nothing of it when the block raises.

        Reads before the first write each see the latest commit; from `begin_write` on the
        transaction has the database's one write lock. So whoever only reads, a stranger with a
        wrong secret above all, never keeps a writer waiting; and what was read before the first
        write may have changed by then, so the write itself must check it, by its condition or by a
        constraint. It is what "read committed" means in other databases.

        Raises:
            DatabaseUnavailable: it could not be done. After a failed commit nothing is known to be
                stored.
        """
        self.check_file()
        try:
            with self._engine.connect() as connection:
                yield connection
                connection.commit()
        except IntegrityError:
            raise
        except SQLAlchemyError as error:
            raise DatabaseUnavailable(_describe(error)) from error

    def open_connection(self, busy_timeout: float = _BUSY_TIMEOUT) -> sqlite3.Connection:
        """Open a connection outside the pool, for who keeps it; times are seconds.

        Raises:
            sqlite3.Error: it cannot be opened.
        """
        return connect(self._path, busy_timeout)

    def check_file(self) -> None:
        """Make sure that the file is still the one that was opened.

        A file that was moved away or replaced lives on in the open connections: tokens would be
        revoked in a database that nobody else sees.

        Raises:
            DatabaseUnavailable: it has gone, or another one is in its place.
        """
        if self._read_identity() != self._identity:
            raise DatabaseUnavailable(f"{self._path} was replaced; restart the gateway")

    def close(self) -> None:
        """Close the connections that nobody uses; those in use close when they come back."""
        self._engine.dispose()

    def _read_identity(self) -> tuple[int, int]:
        try:
            status = self._path.stat()
        except OSError as error:
            raise DatabaseUnavailable(f"{self._path}: {error.strerror}") from error
        return status.st_dev, status.st_ino


def begin_write(connection: Connection) -> None:
    """Take the write lock, unless this transaction has it already.

    Taken at once and not with the first change: a transaction that read first and then wanted the
    lock would fail, without any waiting, as soon as another one had written in between.
    """
    driver_connection = connection.connection.driver_connection
    if isinstance(driver_connection, sqlite3.Connection) and not driver_connection.in_transaction:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _describe(error: SQLAlchemyError) -> str:
    """Say what went wrong in one line, without the statement and its parameters."""
    return f"{type(error).__name__}: {getattr(error, 'orig', None) or str(error).splitlines()[0]}"
