"""SQLite: the file, its connections, and whether it is still the same one.

What this file guards: a commit that has returned is on the disk, and a file that is gone or was
replaced is an error, never an empty answer.
"""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.pool import QueuePool

from gateway.authserver.storage.outage import PATIENCE, DatabaseUnavailable


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


def connect(path: Path, busy_timeout: float = PATIENCE) -> sqlite3.Connection:
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


def begin_write(connection: Connection) -> None:
    """Take the write lock, unless this transaction has it already."""
    driver_connection = connection.connection.driver_connection
    if isinstance(driver_connection, sqlite3.Connection) and not driver_connection.in_transaction:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


class SqliteFile:
    """A database file that is there, and stays the one that it was when this was made.

    Raises:
        ValueError: the URL names no database file.
        DatabaseUnavailable: the file is not there.
    """

    def __init__(self, url: str) -> None:
        self.path = database_path(url)
        self._identity = self._read_identity()

    def create_engine(self, connections: int) -> Engine:
        """Give a pool of so many connections."""
        return create_engine(
            "sqlite://",
            creator=lambda: connect(self.path),
            poolclass=QueuePool,
            pool_size=connections,
            max_overflow=0,
            pool_timeout=PATIENCE,
            hide_parameters=True,  # else the text of an error carries hashes and names
        )

    def check(self) -> None:
        """Make sure that the file is still the one that was opened.

        A file that was moved away or replaced lives on in the open connections: tokens would be
        revoked in a database that nobody else sees.

        Raises:
            DatabaseUnavailable: it has gone, or another one is in its place.
        """
        if self._read_identity() != self._identity:
            raise DatabaseUnavailable(f"{self.path} was replaced; restart the gateway")

    def _read_identity(self) -> tuple[int, int]:
        try:
            status = self.path.stat()
        except OSError as error:
            raise DatabaseUnavailable(f"{self.path}: {error.strerror}") from error
        return status.st_dev, status.st_ino
