"""What a transaction is, on either kind of database, and what an outage looks like."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError

from gateway.authserver.options import AuthorizationServerOptions
from gateway.authserver.records.clients import insert_client
from gateway.authserver.records.families import (
    AuthorizationCode,
    claim_code,
    find_code,
    insert_code,
)
from gateway.authserver.storage import postgresql, sqlite
from gateway.authserver.storage.database import (
    Database,
    DatabaseUnavailable,
    begin_write,
    describe_database,
)
from gateway.authserver.storage.migration import migrate
from gateway.authserver.storage.tables import clients
from tests.authserver.conftest import add_client, count_clients, new_client, postgresql_only

CODE = AuthorizationCode(
    hash=bytes(32),
    family_id="family",
    client_id="shop",
    redirect_uri=None,
    code_challenge="challenge",
    expires_at=60,
)


@pytest.fixture
def code(database: Database) -> bytes:
    """The hash of a code that nobody has used."""
    with database.transaction() as connection:
        insert_code(connection, CODE)
    return CODE.hash


def test_a_transaction_that_raises_leaves_nothing_behind(database: Database) -> None:
    def fail() -> None:
        with database.transaction() as connection:
            insert_client(connection, new_client("a"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()

    assert count_clients(database) == 0
    add_client(database, "its locks are free again")


def test_a_transaction_that_has_only_read_lets_others_write_and_sees_it(database: Database) -> None:
    with database.transaction() as connection:
        assert connection.execute(select(clients)).all() == []
        add_client(database, "one")
        assert len(connection.execute(select(clients)).all()) == 1
        begin_write(connection)  # on SQLite a snapshot read before would make this fail


def test_what_is_not_committed_is_seen_by_nobody_else(database: Database) -> None:
    with database.transaction() as connection:
        insert_client(connection, new_client("a"))
        assert count_clients(database) == 0
    assert count_clients(database) == 1


def test_two_of_a_name_are_an_integrity_error_and_no_outage(database: Database) -> None:
    add_client(database, "one")
    with pytest.raises(IntegrityError):
        add_client(database, "one")
    assert count_clients(database) == 1


def test_of_twenty_that_claim_a_code_at_the_same_moment_one_gets_it(
    database: Database, code: bytes
) -> None:
    everybody = threading.Barrier(20)

    def claim() -> bool:
        everybody.wait(10)
        with database.transaction() as connection:
            return claim_code(connection, code, 1)

    with ThreadPoolExecutor(20) as executor:
        claims = [executor.submit(claim) for _ in range(20)]

    assert sorted(one.result() for one in claims) == [False] * 19 + [True]


def test_a_claim_that_is_rolled_back_has_burnt_nothing(database: Database, code: bytes) -> None:
    def fail() -> None:
        with database.transaction() as connection:
            assert claim_code(connection, code, 1)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()

    with database.transaction() as connection:
        found = find_code(connection, code)
        assert found is not None
        assert found.used_at is None
        assert claim_code(connection, code, 2)


def test_who_waits_for_a_claim_that_is_rolled_back_gets_the_code(
    database: Database, code: bytes
) -> None:
    has_claimed, may_end = threading.Event(), threading.Event()

    def claim_in_vain() -> None:
        with database.transaction() as connection:
            assert claim_code(connection, code, 1)
            has_claimed.set()
            assert may_end.wait(10)
            connection.rollback()

    def claim() -> bool:
        may_end.set()
        with database.transaction() as connection:
            return claim_code(connection, code, 2)

    with ThreadPoolExecutor(2) as executor:
        first = executor.submit(claim_in_vain)
        assert has_claimed.wait(10)
        second = executor.submit(claim)
        first.result(10)
        assert second.result(10)


def test_who_waits_too_long_for_a_connection_meets_an_outage(
    options: AuthorizationServerOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in (sqlite, postgresql):
        monkeypatch.setattr(kind, "PATIENCE", 0.05)
    migrate(options.database_url)
    with (
        closing(Database(options.database_url, connections=1)) as database,
        database.transaction(),
        pytest.raises(DatabaseUnavailable, match="timeout"),
    ):
        count_clients(database)


def test_the_text_of_an_outage_carries_no_values(database: Database) -> None:
    with pytest.raises(DatabaseUnavailable) as raised, database.transaction() as connection:
        connection.execute(text("SELECT * FROM absent WHERE a = :a"), {"a": "the-secret"})

    assert "absent" in str(raised.value)
    assert "\n" not in str(raised.value)
    assert "the-secret" not in str(raised.value)
    assert "the-secret" not in str(raised.value.__cause__)


@postgresql_only("SQLite's words hold no values")
def test_what_postgresql_could_not_read_is_not_repeated(database: Database) -> None:
    with pytest.raises(DatabaseUnavailable) as raised, database.transaction() as connection:
        connection.execute(text("SELECT CAST(CAST(:a AS text) AS integer)"), {"a": "the-secret"})

    assert str(raised.value) == "InvalidTextRepresentation (22P02)"


@pytest.mark.parametrize(
    ("url", "description"),
    [
        ("sqlite:////var/lib/gateway.db", "/var/lib/gateway.db"),
        ("postgresql://app:s%40cret@db:5432/gateway", "postgresql://app@db:5432/gateway"),
        ("postgres://app@db/gateway", "postgresql://app@db/gateway"),
        ("postgresql://db/gateway?password=secret&user=app", "postgresql://db/gateway?user=app"),
        ("postgresql://:secret@db/gateway", "postgresql://db/gateway"),
        ("postgresql:///gateway?host=/run/postgresql", None),
        (
            "postgresql://app:secret@one,[::1]:5433/gateway",
            "postgresql://app@one,[::1]:5433/gateway",
        ),
        ("postgresql://app:se@cret@db/gateway", "the PostgreSQL database"),
        ("postgresql://app:se/cret@db/gateway", "the PostgreSQL database"),
        ("postgresql://app:se#cret@db/gateway", "the PostgreSQL database"),
        ("postgresql://app:se:cret@db/gateway", "the PostgreSQL database"),
        ("postgresql://app:se?cret@db/gateway", "the PostgreSQL database"),
    ],
)
def test_messages_name_the_database_without_its_password(url: str, description: str | None) -> None:
    assert describe_database(url) == (description or url)
