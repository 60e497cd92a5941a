"""The guard's look-up: off the event loop, together where many ask, and never without an end."""

import asyncio
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection, delete

from gateway.authserver.records import lookup as lookup_module
from gateway.authserver.records import reading as reading_module
from gateway.authserver.records.clients import delete_client, find_client, revoke_client
from gateway.authserver.records.families import begin_family, revoke_family
from gateway.authserver.records.grants import allow, delete_grant
from gateway.authserver.records.lookup import TokenLookup
from gateway.authserver.records.reading import POSTGRESQL_STATEMENT, SQLITE_STATEMENT
from gateway.authserver.records.tokens import Holder, find_token, insert_token, revoke_token
from gateway.authserver.records.users import insert_user, set_password
from gateway.authserver.storage.database import Database, DatabaseUnavailable, begin_write
from gateway.authserver.storage.postgresql import connect_for_reading
from gateway.authserver.storage.tables import families, users
from gateway.policy.rejection import Reason
from tests.authserver.conftest import add_client, postgresql_only, sqlite_only
from tests.parts.postgresql import PostgresServer

NOW = 1_800_000_000
TOKEN = bytes(32)


@pytest.fixture
async def lookup(database: Database) -> AsyncIterator[TokenLookup]:
    lookup = TokenLookup(database)
    yield lookup
    await asyncio.to_thread(lookup.close)


@pytest.fixture
def shop(database: Database) -> str:
    """A client's name."""
    add_client(database, "shop")
    return "shop"


def _issue(database: Database, client_id: str, hashes: Sequence[bytes]) -> None:
    with database.transaction() as connection:
        holder = Holder.of_client(find_client(connection, client_id))
        for token_hash in hashes:
            _insert(connection, token_hash, holder)


def _insert(connection: Connection, token_hash: bytes, holder: Holder) -> None:
    insert_token(
        connection,
        token_hash,
        holder,
        scope="orders:read",
        audience="https://api.example",
        issued_at=NOW,
        expires_at=NOW + 600,
    )


@pytest.fixture
def persons_token(database: Database, shop: str) -> Holder:
    """In whose name the token of a person is issued."""
    with database.transaction() as connection:
        user = insert_user(connection, "ann", "a hash", NOW)
        grant = allow(connection, user.id, shop, "orders:read", NOW)
        family = begin_family(
            connection,
            grant,
            find_client(connection, shop),
            user.epoch,
            scope="orders:read",
            audience="",
            now=NOW,
            expires_at=NOW + 600,
        )
        holder = Holder.of_family(family)
        _insert(connection, TOKEN, holder)
    return holder


class Gate:
    """Stands before the read and counts; the thread waits there until it is opened."""

    def __init__(self, lookup: TokenLookup, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened = threading.Event()
        self.reads: list[int] = []
        self.threads: set[str] = set()
        read = lookup._reader.read

        def wait(hashes: Sequence[bytes]) -> object:
            self.reads.append(len(hashes))
            self.threads.add(threading.current_thread().name)
            assert self.opened.wait(10)
            return read(hashes)

        monkeypatch.setattr(lookup._reader, "read", wait)


@sqlite_only("each has words of its own for a plan")
def test_on_sqlite_every_table_is_read_by_its_key(database: Database, database_file: Path) -> None:
    with closing(sqlite3.connect(database_file)) as connection:
        plan = connection.execute(f"EXPLAIN QUERY PLAN {SQLITE_STATEMENT}", (b"",)).fetchall()
    steps = [row[3] for row in plan]
    assert len(steps) == 5
    assert steps[0] == "SEARCH access_tokens USING PRIMARY KEY (hash=?)"
    for step, table in zip(steps[1:], ("clients", "users", "grants", "families"), strict=True):
        assert step.startswith(f"SEARCH {table} USING")
        assert "(id=?)" in step


@postgresql_only("each has words of its own for a plan")
@pytest.mark.parametrize("count", [1, 1000])
def test_on_postgresql_every_table_is_read_by_its_key(
    database: Database, shop: str, count: int
) -> None:
    """Also while the tables are empty, for a plan made then is used again when they are full."""
    with closing(connect_for_reading(database.url)) as connection:
        hashes = [index.to_bytes(32) for index in range(count)]
        plan = connection.execute(f"EXPLAIN {POSTGRESQL_STATEMENT}", {"hashes": hashes})
        steps = [row[0].strip().removeprefix("->").strip() for row in plan]
    scans = [step.split("  (cost")[0] for step in steps if " Scan" in step.split("(")[0]]
    assert not any(scan.startswith("Seq Scan") for scan in scans), steps
    for table in ("access_tokens", "clients", "users", "grants", "families"):
        assert any(f"pk_{table}" in scan for scan in scans), steps


async def test_each_gets_the_answer_to_its_own_question(
    lookup: TokenLookup, database: Database, shop: str
) -> None:
    hashes = [index.to_bytes(32) for index in range(50)]
    _issue(database, shop, hashes)

    found = await asyncio.gather(*(lookup.find(one) for one in [*hashes, b"unknown", hashes[0]]))

    assert [token and token.hash for token in found] == [*hashes, None, hashes[0]]


async def test_the_answer_is_the_record_that_the_endpoints_read(
    lookup: TokenLookup, database: Database, persons_token: Holder
) -> None:
    found = await lookup.find(TOKEN)

    with database.transaction() as connection:
        assert found == find_token(connection, TOKEN)
    assert (found.subject, found.username) == (persons_token.user_id, "ann")
    assert found.is_revoked is False


def _disable_by_password(connection: Connection, holder: Holder) -> None:
    set_password(connection, holder.user_id, "another hash")


def _remove_person(connection: Connection, holder: Holder) -> None:
    begin_write(connection)
    connection.execute(delete(users).where(users.c.id == holder.user_id))


def _remove_family(connection: Connection, holder: Holder) -> None:
    begin_write(connection)
    connection.execute(delete(families).where(families.c.id == holder.family_id))


@pytest.mark.parametrize(
    "revoke",
    [
        lambda connection, _: revoke_token(connection, TOKEN, NOW),
        lambda connection, holder: revoke_family(connection, holder.family_id, NOW),
        lambda connection, holder: delete_grant(connection, holder.user_id, holder.client_id),
        lambda connection, holder: revoke_client(connection, holder.client_id),
        lambda connection, holder: delete_client(connection, holder.client_id),
        _disable_by_password,
        _remove_person,
        _remove_family,
    ],
    ids=[
        "token revoked",
        "family revoked",
        "grant taken back",
        "client revoked",
        "client removed",
        "password changed",
        "person removed",
        "family removed",
    ],
)
async def test_a_token_dies_with_anything_that_it_names(
    lookup: TokenLookup,
    database: Database,
    persons_token: Holder,
    revoke: Callable[[Connection, Holder], object],
) -> None:
    assert (await lookup.find(TOKEN)).find_fault(NOW) is None

    with database.transaction() as connection:
        revoke(connection, persons_token)

    found = await lookup.find(TOKEN)
    assert found.is_revoked is True
    assert found.find_fault(NOW) is Reason.REVOKED_TOKEN


async def test_who_asks_during_a_read_shares_the_next_one(
    lookup: TokenLookup, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(lookup, monkeypatch)
    questions = [asyncio.create_task(lookup.find(TOKEN)) for _ in range(100)]
    await asyncio.sleep(0)  # all of them have asked
    gate.opened.set()
    await asyncio.gather(*questions)

    assert gate.reads == [1, 99]
    assert threading.current_thread().name not in gate.threads


async def test_a_question_is_answered_by_a_read_that_began_after_it(
    lookup: TokenLookup, database: Database, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A revocation that was committed before the question is seen, whatever was under way."""
    _issue(database, shop, [TOKEN])
    gate = Gate(lookup, monkeypatch)
    early = asyncio.create_task(lookup.find(TOKEN))
    await asyncio.sleep(0)
    with database.transaction() as connection:
        revoke_token(connection, TOKEN, NOW)
    late = asyncio.create_task(lookup.find(TOKEN))
    await asyncio.sleep(0)
    gate.opened.set()

    await early
    found = await late
    assert found is not None
    assert found.revoked_at == NOW


async def test_a_read_that_never_ends_is_an_outage(
    lookup: TokenLookup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookup_module, "_DEADLINE", 0.05)
    gate = Gate(lookup, monkeypatch)
    try:
        with pytest.raises(DatabaseUnavailable, match="no answer"):
            await lookup.find(TOKEN)
        with pytest.raises(DatabaseUnavailable, match="no answer"):
            await lookup.find(TOKEN)
    finally:
        gate.opened.set()


async def test_who_hangs_up_leaves_the_others_their_answers(
    lookup: TokenLookup, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(lookup, monkeypatch)
    questions = [asyncio.create_task(lookup.find(TOKEN)) for _ in range(5)]
    await asyncio.sleep(0)
    questions[0].cancel()
    questions[3].cancel()
    await asyncio.sleep(0)
    gate.opened.set()

    answers = await asyncio.gather(*questions, return_exceptions=True)
    assert [isinstance(answer, asyncio.CancelledError) for answer in answers] == [
        True,
        False,
        False,
        True,
        False,
    ]
    assert [answers[index] for index in (1, 2, 4)] == [None, None, None]


@sqlite_only("a server has no lock of everything")
async def test_an_exclusive_lock_is_an_outage_and_passes(
    lookup: TokenLookup, database_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading_module, "_BUSY_TIMEOUT", 0.05)
    with closing(sqlite3.connect(database_file, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        other.execute("DELETE FROM access_tokens")
        other.execute("COMMIT")
        with pytest.raises(DatabaseUnavailable, match="locked"):
            await lookup.find(TOKEN)
    assert await lookup.find(TOKEN) is None


async def test_a_connection_on_which_a_read_failed_is_not_used_again(
    lookup: TokenLookup, query: Callable[..., object]
) -> None:
    assert await lookup.find(TOKEN) is None
    query("ALTER TABLE access_tokens RENAME TO elsewhere")

    with pytest.raises(DatabaseUnavailable, match="access_tokens"):
        await lookup.find(TOKEN)

    assert lookup._reader._connection is None
    query("ALTER TABLE elsewhere RENAME TO access_tokens")
    assert await lookup.find(TOKEN) is None


@postgresql_only("nobody ends a file's connections")
async def test_a_connection_that_the_server_ended_is_replaced_before_it_is_used(
    lookup: TokenLookup, query: Callable[..., object]
) -> None:
    assert await lookup.find(TOKEN) is None
    query(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid != pg_backend_pid()"
    )

    assert await lookup.find(TOKEN) is None


@postgresql_only("a file does not die")
async def test_a_server_that_is_killed_is_an_outage_and_heals_when_it_is_back(
    database_url: str, lookup: TokenLookup, postgresql: PostgresServer
) -> None:
    assert await lookup.find(TOKEN) is None

    postgresql.kill()
    try:
        started = time.monotonic()
        for question in [asyncio.create_task(lookup.find(TOKEN)) for _ in range(3)]:
            with pytest.raises(DatabaseUnavailable):
                await question
        assert time.monotonic() - started < 4
    finally:
        postgresql.start()

    assert await lookup.find(TOKEN) is None


async def test_closing_does_not_leave_a_question_without_an_answer(
    lookup: TokenLookup, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(lookup, monkeypatch)
    questions = [asyncio.create_task(lookup.find(TOKEN)) for _ in range(3)]
    await asyncio.sleep(0)
    shutdown = lookup._executor.shutdown

    def shut_down(**arguments: bool) -> None:
        gate.opened.set()  # closing has begun; now the read under way may end
        shutdown(**arguments)

    monkeypatch.setattr(lookup._executor, "shutdown", shut_down)
    await asyncio.to_thread(lookup.close)

    answers = await asyncio.wait_for(asyncio.gather(*questions, return_exceptions=True), 1)
    assert answers[0] is None
    assert all(isinstance(answer, DatabaseUnavailable) for answer in answers[1:])
