"""Migrations: atomic, once, from wherever the program was started."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from alembic import op
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from gateway.authserver import migration as migration_module
from gateway.authserver.database import DatabaseUnavailable
from gateway.authserver.migration import migrate
from gateway.authserver.tables import SCHEMA, metadata

ROOT = Path(__file__).parents[2]


def _tables(file: Path) -> set[str]:
    with closing(sqlite3.connect(file)) as connection:
        return {
            name
            for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")
        }


def test_a_database_is_created_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/new folder/100%/gateway.db"

    first, second = migrate(url), migrate(url)

    assert (first.previous, first.current, first.has_changed) == (None, "0001", True)
    assert (second.previous, second.current, second.has_changed) == ("0001", "0001", False)
    assert first.path == tmp_path / "new folder/100%/gateway.db"
    assert first.path.exists()


def test_the_migrations_lead_to_the_schema_that_the_code_knows(tmp_path: Path) -> None:
    migrate(f"sqlite:///{tmp_path}/a.db")

    engine = create_engine(f"sqlite:///{tmp_path}/a.db")
    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), metadata)
        migrated = {
            " ".join(sql.split())
            for (sql,) in connection.exec_driver_sql(
                "SELECT sql FROM sqlite_master WHERE sql NOT NULL AND tbl_name != 'alembic_version'"
            )
        }
    engine.dispose()
    assert differences == []

    # What Alembic does not compare: checks, actions on deletion, the way the rows are kept.
    engine = create_engine(f"sqlite:///{tmp_path}/b.db")
    with engine.begin() as connection:
        metadata.create_all(connection)
        created = {
            " ".join(sql.split())
            for (sql,) in connection.exec_driver_sql(
                "SELECT sql FROM sqlite_master WHERE sql NOT NULL"
            )
        }
    engine.dispose()
    assert {_without_order(sql) for sql in migrated} == {_without_order(sql) for sql in created}


def _without_order(sql: str) -> frozenset[str]:
    return frozenset(sql.replace("(", " ").replace(")", " ").replace(",", " ").split())


def test_the_newest_migration_is_the_schema_that_the_code_knows() -> None:
    configuration = Config()
    configuration.set_main_option("script_location", "gateway.authserver:migrations")
    assert ScriptDirectory.from_config(configuration).get_heads() == [SCHEMA]


def test_a_database_that_is_up_to_date_is_opened_without_alembic(tmp_path: Path) -> None:
    """It costs every worker a tenth of a second and 12 MiB."""
    url = f"sqlite:///{tmp_path}/a.db"
    migrate(url)
    program = (
        "import sys; from gateway.authserver.migration import migrate\n"
        "print(migrate(sys.argv[1]).has_changed, 'alembic' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, url],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        timeout=60,
    )
    assert done.stdout == "False False\n"


def test_processes_that_start_at_the_same_moment_migrate_once(tmp_path: Path) -> None:
    """Each waits at the start for the line that lets all of them go."""
    program = (
        "import sys; from gateway.authserver.migration import migrate\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "print(migrate(sys.argv[1]).has_changed)"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, f"sqlite:///{tmp_path}/state/gateway.db"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    outcomes = [process.communicate(timeout=60) for process in processes]

    assert [process.returncode for process in processes] == [0, 0, 0, 0], outcomes
    assert sorted(out for out, _ in outcomes) == ["False\n", "False\n", "False\n", "True\n"]


def test_a_migration_that_breaks_off_leaves_the_database_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    create_index = op.create_index

    def fail(*args: object) -> None:
        create_index(*args)
        raise RuntimeError("broken off")

    monkeypatch.setattr(op, "create_index", fail)
    with pytest.raises(RuntimeError, match="broken off"):
        migrate(url)
    assert _tables(tmp_path / "a.db") == set()

    monkeypatch.undo()
    assert migrate(url).has_changed
    assert _tables(tmp_path / "a.db") == {"alembic_version", "clients", "access_tokens"}


def test_the_database_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    migrate(url)
    with closing(sqlite3.connect(tmp_path / "a.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")

    with pytest.raises(DatabaseUnavailable, match=r"schema 9999.*newer version"):
        migrate(url)


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_text("these are notes of mine, and no database at all" * 100)

    with pytest.raises(DatabaseUnavailable, match="not a database"):
        migrate(f"sqlite:///{tmp_path}/a.db")

    assert (tmp_path / "a.db").read_text().startswith("these are notes")


def test_a_folder_that_cannot_be_made_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(DatabaseUnavailable, match=r"file.*(Not a directory|File exists)"):
        migrate(f"sqlite:///{tmp_path}/file/a.db")


def test_waiting_for_another_process_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migration_module, "_LOCK_TIMEOUT", 0.1)
    with (
        migration_module._locked(tmp_path / "a.db.lock"),
        pytest.raises(DatabaseUnavailable, match=r"a\.db\.lock"),
    ):
        migrate(f"sqlite:///{tmp_path}/a.db")
