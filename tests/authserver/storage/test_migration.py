"""Migrations: atomic, once, from wherever the program was started, on either kind of database."""

import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest
from alembic import command, op
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, inspect, text

from gateway.authserver.records.clients import Client, list_clients
from gateway.authserver.records.tokens import find_token
from gateway.authserver.storage import migration as migration_module
from gateway.authserver.storage import sqlite
from gateway.authserver.storage.database import Database, DatabaseUnavailable, describe_database
from gateway.authserver.storage.migration import check_schema, migrate, prepare
from gateway.authserver.storage.tables import SCHEMA, metadata
from gateway.policy.rejection import Reason
from tests.authserver.conftest import postgresql_only, sqlite_only

ROOT = Path(__file__).parents[2]
NOW = 1_800_000_000


@contextmanager
def _open(url: str) -> Iterator[Connection]:
    """Gives a connection that is none of the gateway's own, in a transaction."""
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        yield connection
    engine.dispose()


def _tables(url: str) -> set[str]:
    with _open(url) as connection:
        return set(inspect(connection).get_table_names())


def _migrate_to(url: str, schema: str) -> None:
    """Does what `migrate` did when that schema was the newest."""
    if url.startswith("sqlite"):
        sqlite.create_private_file(sqlite.database_path(url))
    configuration = Config()
    configuration.set_main_option("script_location", "gateway.authserver.storage:migrations")
    with _open(url) as connection:
        configuration.attributes["connection"] = connection
        command.upgrade(configuration, schema)


def _run_processes(url: str, count: int) -> list[str]:
    """Migrates in several processes; each waits at the start for the line that lets all go."""
    program = (
        "import sys; from gateway.authserver.storage.migration import migrate\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "print(migrate(sys.argv[1]).previous)"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, url],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(count)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    outcomes = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0] * count, outcomes
    return sorted(out.strip() for out, _ in outcomes)


def test_a_database_is_created_once(empty_database_url: str) -> None:
    first, second = migrate(empty_database_url), migrate(empty_database_url)

    assert (first.previous, first.current, first.has_changed) == (None, SCHEMA, True)
    assert (second.previous, second.current, second.has_changed) == (SCHEMA, SCHEMA, False)
    assert first.database == describe_database(empty_database_url)


def test_the_folder_of_a_file_is_created(tmp_path: Path) -> None:
    assert migrate(f"sqlite:///{tmp_path}/new folder/100%/gateway.db").has_changed
    assert (tmp_path / "new folder/100%/gateway.db").exists()


def test_the_migrations_lead_to_the_schema_that_the_code_knows(empty_database_url: str) -> None:
    migrate(empty_database_url)

    with _open(empty_database_url) as connection:
        differences = compare_metadata(MigrationContext.configure(connection), metadata)
    assert differences == []


@sqlite_only("it keeps the statements, with what Alembic does not compare")
def test_the_migrations_keep_rows_as_the_code_would(
    empty_database_url: str, tmp_path: Path
) -> None:
    """Checks, actions on deletion, and tables that are kept in the order of their keys."""
    migrate(empty_database_url)
    created_url = f"sqlite:///{tmp_path}/created.db"
    with _open(created_url) as connection:
        metadata.create_all(connection)

    assert _statements(empty_database_url) == _statements(created_url)


def _statements(url: str) -> set[frozenset[str]]:
    with _open(url) as connection:
        statements = connection.execute(
            text(
                "SELECT sql FROM sqlite_master WHERE sql NOT NULL AND tbl_name NOT LIKE 'alembic%'"
            )
        ).scalars()
        return {
            frozenset(sql.replace("(", " ").replace(")", " ").replace(",", " ").split())
            for sql in statements
        }


def test_the_newest_migration_is_the_schema_that_the_code_knows() -> None:
    configuration = Config()
    configuration.set_main_option("script_location", "gateway.authserver.storage:migrations")
    assert ScriptDirectory.from_config(configuration).get_heads() == [SCHEMA]


@pytest.fixture
def first_schema(empty_database_url: str) -> str:
    """A database of the first schema, with clients, and with tokens in every state."""
    _migrate_to(empty_database_url, "0001")
    with _open(empty_database_url) as connection:
        connection.execute(
            text("INSERT INTO clients VALUES (:id, :hash, :grants, :scopes, :introspects, 5)"),
            [
                {
                    "id": "shop",
                    "hash": b"secret of shop",
                    "grants": "client_credentials",
                    "scopes": "orders:read orders:write",
                    "introspects": False,
                },
                {
                    "id": "api",
                    "hash": b"secret of api",
                    "grants": "",
                    "scopes": "",
                    "introspects": True,
                },
            ],
        )
        connection.execute(
            text(
                "INSERT INTO access_tokens VALUES"
                " (:hash, :client, 'orders:read', 'https://a https://b', 7, :expires, :revoked)"
            ),
            [
                {"hash": b"live", "client": "shop", "expires": NOW + 1, "revoked": None},
                {"hash": b"expired", "client": "shop", "expires": NOW - 1, "revoked": None},
                {"hash": b"revoked", "client": "shop", "expires": NOW + 1, "revoked": NOW - 5},
                {"hash": b"orphaned", "client": None, "expires": NOW + 1, "revoked": NOW - 5},
            ],
        )
    return empty_database_url


def test_tokens_of_the_first_schema_live_and_die_as_before(first_schema: str) -> None:
    done = migrate(first_schema)

    assert (done.previous, done.current) == ("0001", SCHEMA)
    with closing(Database(first_schema)) as database, database.transaction() as connection:
        found = {
            name: find_token(connection, name)
            for name in (b"live", b"expired", b"revoked", b"orphaned")
        }
    assert {name: token and token.find_fault(NOW) for name, token in found.items()} == {
        b"live": None,
        b"expired": Reason.EXPIRED_TOKEN,
        b"revoked": Reason.REVOKED_TOKEN,
        b"orphaned": Reason.REVOKED_TOKEN,
    }
    live = found[b"live"]
    assert live is not None
    assert (live.client_id, live.subject, live.username) == ("shop", None, None)
    assert (live.scope, live.audience) == ("orders:read", "https://a https://b")
    assert (live.issued_at, live.expires_at, live.revoked_at) == (7, NOW + 1, None)
    assert found[b"revoked"].revoked_at == NOW - 5


def test_clients_of_the_first_schema_are_what_they_were(first_schema: str) -> None:
    migrate(first_schema)

    with closing(Database(first_schema)) as database, database.transaction() as connection:
        api, shop = list_clients(connection)
    assert api.epoch != shop.epoch
    assert api == Client(
        id="api",
        secret_hash=b"secret of api",
        grant_types=frozenset(),
        scopes=frozenset(),
        may_introspect=True,
        created_at=5,
        epoch=api.epoch,
    )
    assert shop == Client(
        id="shop",
        secret_hash=b"secret of shop",
        grant_types=frozenset({"client_credentials"}),
        scopes=frozenset({"orders:read", "orders:write"}),
        may_introspect=False,
        created_at=5,
        epoch=shop.epoch,
    )


def test_processes_that_start_at_the_same_moment_migrate_once(first_schema: str) -> None:
    assert _run_processes(first_schema, 3) == ["0001", SCHEMA, SCHEMA]


def test_processes_that_start_at_the_same_moment_create_once(empty_database_url: str) -> None:
    assert _run_processes(empty_database_url, 3) == [SCHEMA, SCHEMA, "None"]


def test_a_migration_that_breaks_off_leaves_the_database_as_it_was(
    first_schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_index = op.create_index

    def fail(name: str, *arguments: object) -> None:
        create_index(name, *arguments)
        if name == "ix_device_codes_expires_at":  # the last thing that is made
            raise RuntimeError("broken off")

    with monkeypatch.context() as patch:
        patch.setattr(op, "create_index", fail)
        with pytest.raises(RuntimeError, match="broken off"):
            migrate(first_schema)
    assert _tables(first_schema) == {"alembic_version", "clients", "access_tokens"}
    with _open(first_schema) as connection:
        assert connection.execute(text("SELECT count(*) FROM access_tokens")).scalar() == 4

    assert migrate(first_schema).previous == "0001"
    assert _tables(first_schema) == {"alembic_version", *metadata.tables}


def test_a_database_that_is_up_to_date_is_opened_without_alembic(database: Database) -> None:
    """It costs every worker a tenth of a second and 12 MiB."""
    program = (
        "import sys; from gateway.authserver.storage.migration import migrate\n"
        "print(migrate(sys.argv[1]).has_changed, 'alembic' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, database.url],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        timeout=60,
    )
    assert done.stdout == "False False\n"


def test_the_database_of_a_newer_version_is_left_alone(
    database: Database, query: Callable[..., object]
) -> None:
    query("UPDATE alembic_version SET version_num = '9999'")

    with pytest.raises(DatabaseUnavailable, match=r"schema 9999.*newer version"):
        migrate(database.url)
    with pytest.raises(DatabaseUnavailable, match=r"schema 9999.*newer version"):
        prepare(database.url)


@sqlite_only("a server is shared: see below")
def test_a_starting_gateway_migrates_a_file_of_its_own(first_schema: str) -> None:
    assert prepare(first_schema).previous == "0001"
    assert not prepare(first_schema).has_changed


@postgresql_only("a file belongs to one gateway: see above")
def test_a_starting_gateway_refuses_a_server_with_an_older_schema(first_schema: str) -> None:
    with pytest.raises(DatabaseUnavailable, match=r"schema 0001.*0002.*gateway migrate"):
        prepare(first_schema)

    assert _tables(first_schema) == {"alembic_version", "clients", "access_tokens"}
    migrate(first_schema)
    assert not prepare(first_schema).has_changed


@postgresql_only("a file belongs to one gateway: see above")
def test_a_starting_gateway_refuses_a_server_without_a_schema(empty_database_url: str) -> None:
    with pytest.raises(DatabaseUnavailable, match=r"no schema yet.*gateway migrate"):
        prepare(empty_database_url)
    assert _tables(empty_database_url) == set()


def test_no_message_of_a_migration_holds_a_password() -> None:
    url = "postgresql://app:sesame@127.0.0.1:1/gateway"
    for action in (migrate, check_schema, prepare):
        with pytest.raises(DatabaseUnavailable) as raised:
            action(url)
        assert str(raised.value).startswith("postgresql://app@127.0.0.1:1/gateway: ")
        assert "sesame" not in str(raised.value)
        assert "\n" not in str(raised.value)


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_text("these are notes of mine, and no database at all" * 100)

    with pytest.raises(DatabaseUnavailable, match="not a database"):
        migrate(f"sqlite:///{tmp_path}/a.db")

    assert (tmp_path / "a.db").read_text().startswith("these are notes")


def test_a_folder_that_cannot_be_made_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(DatabaseUnavailable, match=r"file.*(Not a directory|File exists)"):
        migrate(f"sqlite:///{tmp_path}/file/a.db")


def test_waiting_for_another_process_ends(
    first_schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migration_module, "_LOCK_TIMEOUT", 0.1)
    with _holding_the_lock(first_schema), pytest.raises(DatabaseUnavailable, match="holds"):
        migrate(first_schema)
    assert migrate(first_schema).has_changed


@contextmanager
def _holding_the_lock(url: str) -> Iterator[None]:
    if url.startswith("sqlite"):
        path = sqlite.database_path(url)
        with migration_module._locked(path.with_name(path.name + ".lock")):
            yield
    else:
        with psycopg.connect(url) as connection:
            connection.execute(f"SELECT pg_advisory_xact_lock({migration_module._ADVISORY_LOCK})")
            yield


@sqlite_only("a server makes them wait for one another itself")
def test_a_writer_with_the_lock_of_the_file_is_waited_for_and_then_an_outage(
    first_schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite.connect, "__defaults__", (0.05,))
    path = sqlite.database_path(first_schema)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseUnavailable, match="locked"):
            migrate(first_schema)
    assert migrate(first_schema).has_changed
