"""The guard's look-up: off the event loop, together where many ask, and never without an end."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from gateway.authserver import lookup as lookup_module
from gateway.authserver.administration import Administration, NewSecret
from gateway.authserver.database import Database, DatabaseUnavailable
from gateway.authserver.lookup import _STATEMENT, TokenLookup
from gateway.authserver.options import AuthorizationServerOptions
from gateway.policy.tokenformat import new_token, token_hash


@pytest.fixture
async def lookup(
    options: AuthorizationServerOptions, administration: Administration
) -> AsyncIterator[TokenLookup]:
    database = Database(options.database_url)
    lookup = TokenLookup(database)
    yield lookup
    await asyncio.to_thread(lookup.close)
    database.close()


class Gate:
    """Stands before the read and counts; the thread waits there until it is opened."""

    def __init__(self, lookup: TokenLookup, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened = threading.Event()
        self.reads: list[int] = []
        self.threads: set[str] = set()
        read = lookup._read

        def wait(hashes: Sequence[bytes]) -> object:
            self.reads.append(len(hashes))
            self.threads.add(threading.current_thread().name)
            assert self.opened.wait(10)
            return read(hashes)

        monkeypatch.setattr(lookup, "_read", wait)


async def test_the_read_goes_by_the_primary_key(lookup: TokenLookup, database_file: Path) -> None:
    with closing(sqlite3.connect(database_file)) as connection:
        plan = connection.execute(f"EXPLAIN QUERY PLAN {_STATEMENT}", (b"",)).fetchall()
    assert [row[3] for row in plan] == ["SEARCH access_tokens USING PRIMARY KEY (hash=?)"]


async def test_each_gets_the_answer_to_its_own_question(
    lookup: TokenLookup, administration: Administration, shop: NewSecret
) -> None:
    issued = [administration.issue_token("shop", lifetime=seconds) for seconds in range(1, 51)]
    hashes = [new.record.hash for new in issued] + [token_hash(new_token("at"))]

    found = await asyncio.gather(*(lookup.find(token_hash) for token_hash in hashes))

    assert found == [new.record for new in issued] + [None]


async def test_who_asks_during_a_read_shares_the_next_one(
    lookup: TokenLookup, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(lookup, monkeypatch)
    questions = [asyncio.create_task(lookup.find(bytes(32))) for _ in range(100)]
    await asyncio.sleep(0)  # all of them have asked
    gate.opened.set()
    await asyncio.gather(*questions)

    assert gate.reads == [1, 99]
    assert threading.current_thread().name not in gate.threads


async def test_a_question_is_answered_by_a_read_that_began_after_it(
    lookup: TokenLookup,
    administration: Administration,
    shop: NewSecret,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A revocation that was committed before the question is seen, whatever was under way."""
    issued = administration.issue_token("shop")
    gate = Gate(lookup, monkeypatch)
    early = asyncio.create_task(lookup.find(issued.record.hash))
    await asyncio.sleep(0)
    administration.revoke_token(issued.token)
    late = asyncio.create_task(lookup.find(issued.record.hash))
    await asyncio.sleep(0)
    gate.opened.set()

    await early
    found = await late
    assert found is not None
    assert found.revoked_at is not None


async def test_a_read_that_never_ends_is_an_outage(
    lookup: TokenLookup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookup_module, "_DEADLINE", 0.05)
    gate = Gate(lookup, monkeypatch)
    try:
        with pytest.raises(DatabaseUnavailable, match="no answer"):
            await lookup.find(bytes(32))
        with pytest.raises(DatabaseUnavailable, match="no answer"):
            await lookup.find(bytes(32))
    finally:
        gate.opened.set()


async def test_who_hangs_up_leaves_the_others_their_answers(
    lookup: TokenLookup, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(lookup, monkeypatch)
    questions = [asyncio.create_task(lookup.find(bytes(32))) for _ in range(5)]
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


async def test_an_exclusive_lock_is_an_outage_and_passes(
    lookup: TokenLookup, database_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookup_module, "_BUSY_TIMEOUT", 0.05)
    with closing(sqlite3.connect(database_file, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        other.execute("DELETE FROM access_tokens")
        other.execute("COMMIT")
        with pytest.raises(DatabaseUnavailable, match="locked"):
            await lookup.find(bytes(32))
    assert await lookup.find(bytes(32)) is None


async def test_a_connection_that_broke_is_not_used_again(
    lookup: TokenLookup, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await lookup.find(bytes(32)) is None
    assert lookup._connection is not None
    lookup._connection.execute("ALTER TABLE access_tokens RENAME TO elsewhere")

    with pytest.raises(DatabaseUnavailable, match="no such table"):
        await lookup.find(bytes(32))

    assert lookup._connection is None


async def test_closing_does_not_leave_a_question_without_an_answer(
    lookup: TokenLookup, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(lookup, monkeypatch)
    questions = [asyncio.create_task(lookup.find(bytes(32))) for _ in range(3)]
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
