"""How the guard's thread reads tokens: on the driver's own connection, with a statement made once.

A reader belongs to one thread. It opens its connection when it is first asked, and discards one
that failed: it may be broken, and the next read begins with a new one.
"""

import sqlite3
from collections.abc import Sequence
from typing import Final, Protocol

import psycopg
from sqlalchemy.dialects.postgresql import psycopg as postgresql_dialect
from sqlalchemy.dialects.sqlite import dialect as sqlite_dialect

from gateway.authserver.records.tokens import FIND_TOKEN, FIND_TOKENS, AccessToken, read_token
from gateway.authserver.storage import postgresql, sqlite
from gateway.authserver.storage.database import Database
from gateway.authserver.storage.outage import DatabaseUnavailable

_BUSY_TIMEOUT = 1.0  # seconds; readers hardly ever meet a lock, the write-ahead log sees to that
SQLITE_STATEMENT: Final = str(FIND_TOKEN.compile(dialect=sqlite_dialect()))
_DIALECT = postgresql_dialect.dialect()  # type: ignore[no-untyped-call]  # without hints in SQLAlchemy
POSTGRESQL_STATEMENT: Final = str(FIND_TOKENS.compile(dialect=_DIALECT))


class TokenReader(Protocol):
    """Reads tokens, for one thread."""

    def read(self, hashes: Sequence[bytes]) -> list[AccessToken | None]:
        """Give the token of each hash, as the database has it now.

        Raises:
            DatabaseUnavailable: nobody can say.
        """

    def close(self) -> None:
        """Close the connection."""


def open_reader(database: Database) -> TokenReader:
    """Give a reader of that database; it connects when it is first asked."""
    if database.file is not None:
        return SqliteReader(database.file)
    return PostgresqlReader(database.url)


class SqliteReader:
    """Reads one token after the other: there is no way to go, so nothing is saved together."""

    def __init__(self, file: sqlite.SqliteFile) -> None:
        self._file = file
        self._connection: sqlite3.Connection | None = None

    def read(self, hashes: Sequence[bytes]) -> list[AccessToken | None]:
        """Give the token of each hash. Raises DatabaseUnavailable."""
        self._file.check()
        try:
            return [self._read_one(token_hash) for token_hash in hashes]
        except sqlite3.Error as error:
            self.close()
            raise DatabaseUnavailable(f"{type(error).__name__}: {error}") from error

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _read_one(self, token_hash: bytes) -> AccessToken | None:
        if self._connection is None:
            self._connection = sqlite.connect(self._file.path, _BUSY_TIMEOUT)
        # All rows are fetched, and so the read ends here: a statement left open would go on seeing
        # the database as it is now, without the revocations to come.
        rows = self._connection.execute(SQLITE_STATEMENT, (token_hash,)).fetchall()
        return read_token(rows[0]) if rows else None


class PostgresqlReader:
    """Reads all tokens with one statement: the way to the server costs more than the reading."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: postgresql.BoundedConnection | None = None

    def read(self, hashes: Sequence[bytes]) -> list[AccessToken | None]:
        """Give the token of each hash. Raises DatabaseUnavailable."""
        try:
            rows = self._connect().execute(
                POSTGRESQL_STATEMENT, {"hashes": list(hashes)}, prepare=True, binary=True
            )
            found = {row[0]: read_token(row) for row in rows}
        except psycopg.Error as error:
            self.close()
            raise DatabaseUnavailable(postgresql.describe_error(error)) from error
        return [found.get(token_hash) for token_hash in hashes]

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connect(self) -> postgresql.BoundedConnection:
        if self._connection is not None and postgresql.is_dead(self._connection):
            self.close()
        if self._connection is None:
            self._connection = postgresql.connect_for_reading(self._url)
        return self._connection
