"""The PostgreSQL server: how it is reached, and what becomes of us when it dies or stands still."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing

import psycopg
import pytest
from sqlalchemy import text

from gateway.authserver.storage.database import Database, DatabaseUnavailable
from gateway.authserver.storage.migration import check_schema, migrate
from gateway.authserver.storage.postgresql import BoundedConnection, parse_url
from tests.authserver.conftest import add_client, count_clients, postgresql_only
from tests.parts.postgresql import PASSWORD, PostgresServer

on_the_server = postgresql_only("all of this is about the server")


@pytest.fixture
def mortal(postgresql: PostgresServer) -> Iterator[PostgresServer]:
    """The server of this session, which runs again after the test."""
    yield postgresql
    if not postgresql.is_running:
        postgresql.start()


def _fail(database: Database) -> str:
    with pytest.raises(DatabaseUnavailable) as raised:
        count_clients(database)
    message = str(raised.value)
    assert "\n" not in message
    assert PASSWORD not in message
    return message


def _run(database: Database, *steps: str | Callable[[], object]) -> None:
    """Executes statements in one transaction, and calls what is none."""
    with database.transaction() as connection:
        for step in steps:
            if isinstance(step, str):
                connection.execute(text(step))
            else:
                step()


@on_the_server
def test_a_server_is_reached_by_its_unix_socket(
    database_url: str, postgresql: PostgresServer
) -> None:
    name = str(parse_url(database_url)["dbname"])
    with closing(Database(postgresql.socket_url(name))) as database:
        add_client(database, "one")
    with closing(Database(database_url)) as database:
        assert count_clients(database) == 1


@on_the_server
def test_a_session_is_durable_bounded_in_time_and_reads_what_is_committed(
    database: Database,
) -> None:
    with database.transaction() as connection:
        settings = {
            name: connection.execute(text(f"SHOW {name}")).scalar()
            for name in (
                "transaction_isolation",
                "synchronous_commit",
                "statement_timeout",
                "lock_timeout",
                "enable_seqscan",
            )
        }
    assert settings == {
        "transaction_isolation": "read committed",
        "synchronous_commit": "on",
        "statement_timeout": "2s",
        "lock_timeout": "2s",
        "enable_seqscan": "off",
    }


@on_the_server
def test_a_database_that_commits_without_syncing_is_overruled(
    database_url: str, postgresql: PostgresServer
) -> None:
    """A revocation that was reported as done must outlive a loss of power."""
    name = str(parse_url(database_url)["dbname"])
    with postgresql.connect() as administrator:
        administrator.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
        administrator.execute(
            f"ALTER DATABASE {name} SET default_transaction_isolation = serializable"
        )
    with closing(Database(database_url)) as database, database.transaction() as connection:
        assert connection.execute(text("SHOW synchronous_commit")).scalar() == "on"
        assert connection.execute(text("SHOW transaction_isolation")).scalar() == "read committed"


def test_a_wrong_password_is_an_outage_that_does_not_repeat_it(postgresql: PostgresServer) -> None:
    with closing(Database(postgresql.url("postgres", password="se%40cret"))) as database:
        message = _fail(database)
    assert "password authentication failed" in message
    assert "se@cret" not in message
    assert "se%40cret" not in message


def test_a_database_that_does_not_exist_is_an_outage_that_names_it(
    postgresql: PostgresServer,
) -> None:
    """With the mend: it is what a first `gateway migrate` meets."""
    words = 'database "nowhere" does not exist; create it first: createdb nowhere'
    with closing(Database(postgresql.url("nowhere"))) as database:
        assert words in _fail(database)
    with pytest.raises(DatabaseUnavailable, match=f"{words}$"):
        migrate(postgresql.url("nowhere"))
    with pytest.raises(DatabaseUnavailable, match=f"{words}$"):
        check_schema(postgresql.url("nowhere"))


def test_a_url_that_cannot_be_read_is_an_outage_that_does_not_quote_it() -> None:
    """The library would take the rest of the password for a host, and name it."""
    for url in ("postgresql://app:se@cret@db/gateway", "postgresql://db/gateway?secret=1"):
        with pytest.raises(DatabaseUnavailable, match="percent-encoding") as raised:
            Database(url)
        assert "cret" not in str(raised.value).replace("percent", "")


@on_the_server
def test_a_statement_that_takes_too_long_is_an_outage(
    database: Database,
) -> None:
    with pytest.raises(DatabaseUnavailable, match="statement timeout"):
        _run(database, "SET statement_timeout = 50", "SELECT pg_sleep(60)")
    assert count_clients(database) == 0


@on_the_server
def test_a_lock_that_is_never_given_back_is_an_outage(
    database: Database, database_url: str
) -> None:
    with psycopg.connect(database_url) as other:
        other.execute("LOCK TABLE clients")
        with pytest.raises(DatabaseUnavailable, match="lock timeout"):
            _run(database, "SET lock_timeout = 50", "SELECT * FROM clients")
    assert count_clients(database) == 0


@on_the_server
def test_a_server_that_is_killed_is_an_outage_and_heals_when_it_is_back(
    database: Database, mortal: PostgresServer
) -> None:
    add_client(database, "one")

    mortal.kill()
    assert "failed" in _fail(database)
    mortal.start()

    assert count_clients(database) == 1


@on_the_server
def test_a_server_that_was_restarted_in_between_is_not_noticed(
    database: Database, mortal: PostgresServer
) -> None:
    """Every pooled connection is dead then, and none is used."""
    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(database.transaction()).execute(text("SELECT 1"))
    mortal.kill()
    mortal.start()

    with ExitStack() as stack:
        for _ in range(3):
            connection = stack.enter_context(database.transaction())
            assert connection.execute(text("SELECT count(*) FROM clients")).scalar() == 0


@on_the_server
def test_a_server_that_is_killed_amid_a_transaction_has_stored_nothing_of_it(
    database_url: str, mortal: PostgresServer
) -> None:
    migrate(database_url)
    with closing(Database(database_url)) as database:
        add_client(database, "one")
        with pytest.raises(DatabaseUnavailable):
            _run(database, "DELETE FROM clients", mortal.kill)
        mortal.start()
        assert count_clients(database) == 1


@on_the_server
def test_a_statement_under_way_when_the_server_is_killed_is_an_outage_at_once(
    database: Database, mortal: PostgresServer
) -> None:
    is_asleep = threading.Event()

    def sleep() -> float:
        started = time.monotonic()
        with pytest.raises(DatabaseUnavailable):
            _run(database, "SELECT 1", is_asleep.set, "SELECT pg_sleep(60)")
        return time.monotonic() - started

    with ThreadPoolExecutor(1) as executor:
        sleeping = executor.submit(sleep)
        assert is_asleep.wait(10)
        mortal.kill()
        assert sleeping.result(30) < 2


@on_the_server
def test_a_server_that_stands_still_is_an_outage_within_the_time_limits(
    database: Database, mortal: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own limits do not help then, nor does the system, which goes on acknowledging."""
    monkeypatch.setattr(BoundedConnection, "patience", 0.2)
    count_clients(database)
    mortal.pause()
    try:
        started = time.monotonic()
        assert "does not answer" in _fail(database)  # on the connection that was there
        assert "timeout" in _fail(database)  # on a new one
        assert time.monotonic() - started < 10
    finally:
        mortal.resume()
    assert count_clients(database) == 0
