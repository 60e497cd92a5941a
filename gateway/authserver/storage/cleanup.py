"""Removes what has expired, in small steps, so that nobody waits for it.

What this file guards: whatever can still be used, or whose second use must still be noticed, stays.
A used refresh token is recognised as long as its family lives, so the two go together, a family at
the earliest a day after the last of its members has expired. All the rest goes a day after its own
expiry: until then the books can tell what has expired from what never was.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, Connection, delete, select

from gateway.authserver.storage.database import Database, DatabaseUnavailable, begin_write
from gateway.authserver.storage.tables import (
    access_tokens,
    authorization_codes,
    device_codes,
    families,
    refresh_tokens,
    sessions,
)

KEPT: Final = 24 * 3600  # seconds after the expiry
_KEPT_UNANSWERED: Final = 600  # of a device that nobody approved: anybody can make such rows
_LIMIT = 200  # rows of a table in a step: some milliseconds of SQLite's one write lock
_INTERVAL = 60.0  # seconds between two looks
_SHORTEST_PAUSE = 0.05  # seconds between two steps while there is a backlog
_SHARE = 4  # a pause is so many times as long as the step before it

_logger = logging.getLogger(__name__)


def sweep(connection: Connection, now: float, limit: int) -> int:
    """Delete at most so many expired rows of every table; give how many they were.

    At least `limit` means that there may be more. Several processes may do so at once: each takes
    rows that no other has taken.
    """
    before = int(now) - KEPT
    begin_write(connection)
    count = _sweep_families(connection, before, limit)
    count += _sweep_unanswered_devices(connection, int(now) - _KEPT_UNANSWERED, limit)
    for table in (authorization_codes, device_codes, sessions, access_tokens):
        hashes = _find_expired(connection, table.c.hash, table.c.expires_at, before, limit)
        count += _delete(connection, table.c.hash, hashes)
    return count


def _sweep_families(connection: Connection, before: int, limit: int) -> int:
    """Delete refresh tokens of expired families, and the families that have none any more."""
    expired = _find_expired(connection, families.c.id, families.c.expires_at, before, limit)
    if not expired:
        return 0
    tokens = connection.execute(
        select(refresh_tokens.c.hash).where(refresh_tokens.c.family_id.in_(expired)).limit(limit)
    ).scalars()
    count = _delete(connection, refresh_tokens.c.hash, list(tokens))
    if count < limit:
        count += _delete(connection, families.c.id, expired)
    return count


def _sweep_unanswered_devices(connection: Connection, before: int, limit: int) -> int:
    unanswered = device_codes.c.family_id.is_(None)
    hashes = _find_expired(
        connection, device_codes.c.hash, device_codes.c.expires_at, before, limit, unanswered
    )
    return _delete(connection, device_codes.c.hash, hashes)


def _find_expired(
    connection: Connection,
    key: Column[Any],
    expires_at: Column[Any],
    before: int,
    limit: int,
    *conditions: ColumnElement[bool],
) -> list[Any]:
    # Locked, on PostgreSQL: a family that is just being extended is passed over, and what another
    # gateway is deleting.
    statement = select(key).where(expires_at < before, *conditions)
    statement = statement.order_by(expires_at).limit(limit)
    return list(connection.execute(statement.with_for_update(skip_locked=True)).scalars())


def _delete(connection: Connection, key: Column[Any], keys: list[Any]) -> int:
    if keys:
        connection.execute(delete(key.table).where(key.in_(keys)))
    return len(keys)


class Cleaner:
    """Sweeps a database in a thread of its own, for as long as a gateway runs.

    Args:
        database: where.
        clock: gives the Unix time.
    """

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock
        self._is_closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cleaner", daemon=True)

    def start(self) -> None:
        """Begin; the first look comes after a while, so that a short process does none."""
        self._thread.start()

    def close(self) -> None:
        """End it, and wait for the step under way."""
        self._is_closing.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        pause = _INTERVAL
        while not self._is_closing.wait(pause):
            pause = self._sweep()

    def _sweep(self) -> float:
        """Do one step, and give the seconds to wait before the next one."""
        started = time.monotonic()
        try:
            with self._database.transaction() as connection:
                count = sweep(connection, self._clock(), _LIMIT)
        except DatabaseUnavailable as error:
            _logger.warning("expired rows are not removed: %s", error)
            return _INTERVAL
        if count < _LIMIT:
            return _INTERVAL
        # Whoever waits for SQLite's write lock looks again after milliseconds: most of the time it
        # has to be free.
        return max(_SHORTEST_PAUSE, _SHARE * (time.monotonic() - started))
