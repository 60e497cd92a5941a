"""The database file: whose it is, who may write to it, and whether it is still the same one."""

import os
import sqlite3
import stat
import threading
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from gateway.authserver.options import AuthorizationServerOptions
from gateway.authserver.records.clients import insert_client
from gateway.authserver.storage import sqlite as sqlite_module
from gateway.authserver.storage.database import Database, DatabaseUnavailable, begin_write
from gateway.authserver.storage.migration import migrate
from gateway.authserver.storage.sqlite import connect, create_private_file, database_path
from tests.authserver.conftest import add_client, count_clients, new_client, sqlite_only

about_the_file = sqlite_only("a server has no file, and locks rows")


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite:///relative.db",
        "sqlite:////tmp/a.db?mode=ro",
        "sqlite:////tmp/a.db#x",
        "sqlite:////tmp/a\0.db",
        "/tmp/a.db",
        "",
    ],
)
def test_only_a_file_with_an_absolute_path_is_a_database(url: str) -> None:
    with pytest.raises(ValueError, match="absolute path"):
        database_path(url)


def test_the_path_is_taken_literally() -> None:
    assert database_path("sqlite:////tmp/a%20b/ü c.db") == Path("/tmp/a%20b/ü c.db")


@about_the_file
def test_nobody_but_the_owner_reads_the_database_or_what_lies_beside_it(
    database: Database, database_file: Path
) -> None:
    add_client(database, "one")

    files = list(database_file.parent.iterdir())

    assert {file.name for file in files} >= {"gateway.db", "gateway.db-wal", "gateway.db-shm"}
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert stat.S_IMODE(database_file.parent.stat().st_mode) == 0o700


def test_a_generous_umask_does_not_open_the_file(tmp_path: Path) -> None:
    previous = os.umask(0)
    try:
        assert create_private_file(tmp_path / "a.db")
    finally:
        os.umask(previous)
    assert stat.S_IMODE((tmp_path / "a.db").stat().st_mode) == 0o600


def test_an_existing_file_is_left_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "a.db"
    file.write_bytes(b"content")
    file.chmod(0o640)

    assert not create_private_file(file)

    assert file.read_bytes() == b"content"
    assert stat.S_IMODE(file.stat().st_mode) == 0o640


@pytest.mark.parametrize(("user", "gives_away"), [(0, True), (1000, False)])
def test_root_creates_the_file_for_the_owner_of_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: int, gives_away: bool
) -> None:
    owners: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setattr(os, "fchown", lambda _, uid, gid: owners.append((uid, gid)))

    create_private_file(tmp_path / "a.db")

    folder = tmp_path.stat()
    assert owners == ([(folder.st_uid, folder.st_gid)] if gives_away else [])


@about_the_file
def test_every_connection_syncs_at_commit_and_enforces_references(
    database: Database, database_file: Path
) -> None:
    """2 is FULL: with NORMAL a loss of power could undo a revocation that was reported as done."""
    with database.transaction() as connection:
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 2
        assert connection.execute(text("PRAGMA foreign_keys")).scalar() == 1
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
    with closing(connect(database_file)) as raw:
        assert raw.execute("PRAGMA synchronous").fetchone() == (2,)
        assert raw.execute("PRAGMA foreign_keys").fetchone() == (1,)


@about_the_file
def test_a_writer_waits_for_another_writer(database: Database) -> None:
    is_writing, may_commit = threading.Event(), threading.Event()

    def write() -> None:
        with database.transaction() as connection:
            begin_write(connection)
            is_writing.set()
            assert may_commit.wait(10)
            insert_client(connection, new_client("a"))

    first = threading.Thread(target=write)
    first.start()
    assert is_writing.wait(10)
    second = threading.Thread(target=add_client, args=(database, "b"))
    second.start()
    assert count_clients(database) == 0  # readers wait for nobody
    may_commit.set()
    first.join(10)
    second.join(10)

    assert count_clients(database) == 2


@about_the_file
def test_nobody_else_writes_between_the_start_of_a_write_and_its_first_change(
    database: Database, database_file: Path
) -> None:
    """What is read in between is still so when the change is made."""
    with (
        database.transaction() as connection,
        closing(sqlite3.connect(database_file, timeout=0, isolation_level=None)) as other,
    ):
        begin_write(connection)
        begin_write(connection)  # once is enough, and twice is no harm
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")


@about_the_file
def test_a_lock_that_is_never_given_back_is_an_outage(
    options: AuthorizationServerOptions, database_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_module.connect, "__defaults__", (0.05,))
    migrate(options.database_url)
    database = Database(options.database_url)
    with closing(sqlite3.connect(database_file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseUnavailable, match="locked"):
            add_client(database, "one")
    database.close()


@about_the_file
def test_a_database_that_has_gone_is_an_outage_and_not_a_new_empty_one(
    database: Database, database_file: Path
) -> None:
    add_client(database, "one")
    database_file.unlink()

    with pytest.raises(DatabaseUnavailable, match="No such file"):
        count_clients(database)
    with pytest.raises(sqlite3.OperationalError):
        connect(database_file)

    assert not database_file.exists()


@about_the_file
def test_a_database_that_was_replaced_is_an_outage(
    database: Database, options: AuthorizationServerOptions, database_file: Path
) -> None:
    """The open connections would go on with the old one, where nobody else sees a revocation."""
    add_client(database, "one")
    database_file.rename(database_file.with_name("moved.db"))
    migrate(options.database_url)

    with pytest.raises(DatabaseUnavailable, match="replaced"):
        count_clients(database)


def test_a_database_that_is_not_there_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnavailable, match="No such file"):
        Database(f"sqlite:///{tmp_path}/none.db")
