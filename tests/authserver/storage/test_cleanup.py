"""The cleaning up: what goes, what stays, and that nobody waits for it."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from sqlalchemy import Table, func, insert, select

from gateway.authserver.records.families import extend_family
from gateway.authserver.server import EmbeddedServer
from gateway.authserver.storage import cleanup as cleanup_module
from gateway.authserver.storage.cleanup import KEPT, Cleaner, sweep
from gateway.authserver.storage.database import Database
from gateway.authserver.storage.tables import (
    access_tokens,
    authorization_codes,
    device_codes,
    families,
    metadata,
    refresh_tokens,
    sessions,
)
from tests.authserver.conftest import Clock, Endpoints, add_client, postgresql_only
from tests.e2e.programs import wait_until

NOW = 1_800_000_000
LONG_AGO = NOW - KEPT - 1
A_DAY_AGO = NOW - KEPT
EXPIRING = (access_tokens, authorization_codes, device_codes, families, sessions)


def _add(database: Database, table: Table, count: int = 1, **values: object) -> None:
    """Inserts rows, with something in every column that must not be empty."""
    rows = []
    for index in range(count):
        row: dict[str, object] = {}
        for column in table.c:
            if not column.nullable:
                row[column.name] = 0 if column.type.python_type is int else "x"
            if column.type.python_type is bytes:
                row[column.name] = f"{values} {index}".encode()
        if "id" in table.c:
            row["id"] = f"{values} {index}"
        rows.append(row | values)
    with database.transaction() as connection:
        connection.execute(insert(table), rows)


def _count(database: Database, table: Table) -> int:
    with database.transaction() as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()


def _sweep(database: Database, limit: int = 1000) -> int:
    with database.transaction() as connection:
        return sweep(connection, NOW + 0.5, limit)


@pytest.mark.parametrize("table", EXPIRING, ids=str)
def test_a_row_goes_a_day_after_it_has_expired_and_no_sooner(
    database: Database, table: Table
) -> None:
    approval = {"family_id": "family"} if table is device_codes else {}
    for expires_at in (NOW + 1, NOW - 1, A_DAY_AGO, LONG_AGO):
        _add(database, table, expires_at=expires_at, **approval)

    assert _sweep(database) == 1

    with database.transaction() as connection:
        left = connection.execute(select(table.c.expires_at)).scalars().all()
    assert sorted(left) == [A_DAY_AGO, NOW - 1, NOW + 1]
    assert _sweep(database) == 0


def test_a_device_that_nobody_let_in_goes_ten_minutes_after_its_code_has_expired(
    database: Database,
) -> None:
    """Anybody can make such rows; of those that somebody approved, reuse has to be noticed."""
    _add(database, families, id="family", expires_at=NOW)
    for age in (599, 600, 601, KEPT, KEPT + 1):
        _add(database, device_codes, expires_at=NOW - age)
        _add(database, device_codes, expires_at=NOW - age, denied_at=5)
        _add(database, device_codes, expires_at=NOW - age, family_id="family")
        _add(database, device_codes, expires_at=NOW - age, family_id="family", used_at=5)

    _sweep(database)

    with database.transaction() as connection:
        columns = device_codes.c.family_id, device_codes.c.expires_at
        left = [tuple(row) for row in connection.execute(select(*columns))]
    assert sorted(NOW - expires_at for family, expires_at in left if family is None) == [
        *(599, 599),
        *(600, 600),
    ]
    assert sorted(NOW - expires_at for family, expires_at in left if family is not None) == [
        *(599, 599),
        *(600, 600),
        *(601, 601),
        *(KEPT, KEPT),
    ]


def test_devices_that_nobody_let_in_go_in_bounded_steps_too(database: Database) -> None:
    _add(database, device_codes, 25, expires_at=NOW - 601)
    assert [_sweep(database, limit=10) for _ in range(4)] == [10, 10, 5, 0]


def test_every_table_whose_rows_expire_is_cleaned_up(database: Database) -> None:
    """A new one must not be forgotten."""
    expiring = {table for table in metadata.tables.values() if "expires_at" in table.c}
    assert expiring == {*EXPIRING, refresh_tokens}


def test_a_used_refresh_token_stays_as_long_as_its_family_lives(database: Database) -> None:
    """However long it has expired itself: its reuse has to be noticed."""
    _add(database, families, id="living", expires_at=NOW - 1)
    _add(database, refresh_tokens, 3, family_id="living", expires_at=NOW - 90 * KEPT, used_at=5)

    assert _sweep(database) == 0
    assert _count(database, refresh_tokens) == 3


def test_a_family_goes_together_with_its_refresh_tokens(database: Database) -> None:
    _add(database, families, id="dead", expires_at=LONG_AGO)
    _add(database, refresh_tokens, 3, family_id="dead", expires_at=LONG_AGO, used_at=5)
    _add(database, refresh_tokens, 2, family_id="living", expires_at=LONG_AGO, used_at=5)

    assert _sweep(database) == 4
    assert _count(database, families) == 0
    assert _count(database, refresh_tokens) == 2


def test_a_step_is_bounded_and_a_family_goes_after_the_last_of_its_tokens(
    database: Database,
) -> None:
    _add(database, families, id="dead", expires_at=LONG_AGO)
    _add(database, refresh_tokens, 25, family_id="dead", expires_at=LONG_AGO)
    _add(database, access_tokens, 12, expires_at=LONG_AGO)

    assert _sweep(database, limit=10) == 20
    assert (_count(database, refresh_tokens), _count(database, access_tokens)) == (15, 2)
    assert _sweep(database, limit=10) == 12
    assert (_count(database, refresh_tokens), _count(database, families)) == (5, 1)
    assert _sweep(database, limit=10) == 6
    assert (_count(database, refresh_tokens), _count(database, families)) == (0, 0)
    assert _sweep(database, limit=10) == 0


def test_the_longest_expired_goes_first(database: Database) -> None:
    for age in range(20):
        _add(database, sessions, expires_at=LONG_AGO - age)

    _sweep(database, limit=5)

    with database.transaction() as connection:
        left = connection.execute(select(sessions.c.expires_at)).scalars().all()
    assert sorted(left) == [LONG_AGO - age for age in reversed(range(15))]


def test_several_gateways_sweep_at_the_same_moment_and_each_row_goes_once(
    database: Database,
) -> None:
    _add(database, access_tokens, 300, expires_at=LONG_AGO)
    everybody = threading.Barrier(4)

    def work() -> int:
        everybody.wait(10)
        done = 0
        while count := _sweep(database, limit=20):
            done += count
        return done

    with ThreadPoolExecutor(4) as executor:
        counts = [one.result() for one in [executor.submit(work) for _ in range(4)]]

    assert sum(counts) == 300
    assert _count(database, access_tokens) == 0


@postgresql_only("on SQLite there is one writer at a time")
def test_what_another_gateway_is_deleting_is_passed_over(database: Database) -> None:
    _add(database, access_tokens, 30, expires_at=LONG_AGO)
    with database.transaction() as connection:
        assert sweep(connection, NOW, 20) == 20
        assert _sweep(database, limit=20) == 10


@postgresql_only("on SQLite there is one writer at a time")
def test_a_family_that_is_just_being_extended_is_passed_over(database: Database) -> None:
    _add(database, families, id="extended", expires_at=LONG_AGO)
    with database.transaction() as connection:
        extend_family(connection, "extended", NOW + 600)
        assert _sweep(database) == 0
    assert _sweep(database) == 0
    assert _count(database, families) == 1


@contextmanager
def _running(database: Database, clock: Clock) -> Iterator[Cleaner]:
    clock.now = NOW + 0.5
    cleaner = Cleaner(database, clock)
    cleaner.start()
    try:
        yield cleaner
    finally:
        cleaner.close()


def test_a_backlog_goes_in_small_steps_while_others_write(
    database: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cleanup_module, "_INTERVAL", 0.01)
    monkeypatch.setattr(cleanup_module, "_LIMIT", 50)
    counts: list[int] = []

    def sweep_and_count(*arguments: object) -> int:
        counts.append(sweep(*arguments))
        return counts[-1]

    monkeypatch.setattr(cleanup_module, "sweep", sweep_and_count)
    _add(database, access_tokens, 1000, expires_at=LONG_AGO)

    with _running(database, clock):
        added = 0
        while _count(database, access_tokens):
            add_client(database, f"client {added}")
            added += 1

    assert max(counts) == 50
    assert sum(counts) == 1000
    assert added >= 20, "there was no step without another writer"


def test_without_a_backlog_it_looks_once_in_an_interval(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    cleaner = Cleaner(database, lambda: NOW)
    monkeypatch.setattr(cleanup_module, "_LIMIT", 10)
    assert cleaner._sweep() == cleanup_module._INTERVAL

    _add(database, access_tokens, 19, expires_at=LONG_AGO)
    assert 0 < cleaner._sweep() < 1
    assert cleaner._sweep() == cleanup_module._INTERVAL


def test_an_outage_is_logged_and_the_next_look_succeeds(
    database: Database,
    clock: Clock,
    query: Callable[..., object],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(cleanup_module, "_INTERVAL", 0.01)
    _add(database, access_tokens, expires_at=LONG_AGO)
    query("ALTER TABLE sessions RENAME TO elsewhere")

    with caplog.at_level(logging.WARNING), _running(database, clock):
        wait_until(lambda: "expired rows are not removed" in caplog.text)
        assert _count(database, access_tokens) == 1
        query("ALTER TABLE elsewhere RENAME TO sessions")
        wait_until(lambda: _count(database, access_tokens) == 0)


def test_closing_ends_the_thread_at_once_and_may_come_before_the_start(database: Database) -> None:
    Cleaner(database).close()
    cleaner = Cleaner(database)
    cleaner.start()
    started = time.monotonic()
    cleaner.close()
    assert time.monotonic() - started < 5
    assert not cleaner._thread.is_alive()


async def test_a_server_cleans_up_while_it_serves_and_stops_with_it(
    server: EmbeddedServer, endpoints: Endpoints
) -> None:
    assert server._cleaner._thread.is_alive()
    await server.close()
    assert not server._cleaner._thread.is_alive()
