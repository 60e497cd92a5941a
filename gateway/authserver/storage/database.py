"""The database: its connections, its transactions, and what an outage is.

What this file guards: a commit that has returned is durable, and a database that is gone, locked
or broken is an error, never an empty answer. What is particular to either kind of database is in
`sqlite` and in `postgresql`.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from gateway.authserver.storage import postgresql, sqlite
from gateway.authserver.storage.outage import DatabaseUnavailable

__all__ = ["Database", "DatabaseUnavailable", "begin_write", "describe_database"]


def describe_database(url: str) -> str:
    """Give what messages call the database: the file, or the URL without its password.

    Raises:
        ValueError: the URL names neither a file nor a server.
    """
    if postgresql.is_postgresql(url):
        return postgresql.describe_url(url)
    return str(sqlite.database_path(url))


class Database:
    """A migrated database, shared by the threads of one process.

    Args:
        url: `sqlite:///` and an absolute path, or `postgresql://user:password@host:port/name`;
            `migrate` has been called for it.
        connections: how many transactions may run at the same time; further ones wait.

    Raises:
        ValueError: the URL has neither form.
        DatabaseUnavailable: the file is not there. A server may be away; the transactions say so.
    """

    def __init__(self, url: str, *, connections: int = 8) -> None:
        self.url = url
        self.file = None if postgresql.is_postgresql(url) else sqlite.SqliteFile(url)
        self._engine = (
            postgresql.create_pool(url, connections)
            if self.file is None
            else self.file.create_engine(connections)
        )

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Commit what the block did, or nothing of it when the block raises.

        Reads before the first write each see the latest commit ("read committed"), and keep nobody
        waiting: a stranger with a wrong secret holds no lock. What was read may have changed by the
        time of the write, so the write itself must check it, by its condition or by a constraint.

        Raises:
            DatabaseUnavailable: it could not be done. After a failed commit nothing is known to be
                stored.
        """
        if self.file is not None:
            self.file.check()
        try:
            with self._engine.connect() as connection:
                yield connection
                connection.commit()
        except IntegrityError:
            raise
        except SQLAlchemyError as error:
            raise DatabaseUnavailable(describe_error(error)) from error
        except psycopg.Error as error:  # while a connection is opened or given back
            raise DatabaseUnavailable(postgresql.describe_error(error)) from error

    def close(self) -> None:
        """Close the connections that nobody uses; those in use close when they come back."""
        self._engine.dispose()


def begin_write(connection: Connection) -> None:
    """Begin to write: on SQLite, take its one write lock, unless this transaction has it already.

    Taken at once and not with the first change: a transaction that read first and then wanted the
    lock would fail, without any waiting, as soon as another one had written in between.

    PostgreSQL locks the rows that a statement changes, and only these: what was read is still so
    at the time of the write only when it was read `FOR UPDATE`, or the write repeats it as its
    condition. To be right on both, code does one or the other.
    """
    sqlite.begin_write(connection)


def describe_error(error: SQLAlchemyError) -> str:
    """Say what went wrong in one line, without the statement and its parameters."""
    cause = getattr(error, "orig", None)
    if isinstance(cause, psycopg.Error):
        return postgresql.describe_error(cause)
    words = str(cause or error).splitlines() or [""]
    return f"{type(error).__name__}: {words[0]}"
