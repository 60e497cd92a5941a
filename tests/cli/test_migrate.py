"""`gateway migrate`, and what the other commands do to a database without the newest schema."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from gateway.authserver.storage.tables import SCHEMA
from gateway.cli.main import main
from tests.cli.embedded import CONFIGURATION, FOREIGN, write_configuration
from tests.parts.postgresql import ENCODED_PASSWORD, PASSWORD, PostgresServer

Run = Callable[..., tuple[int, str, str]]
ADD = ("client", "add", "shop", "--grant", "client_credentials", "--json")


@pytest.fixture(params=["sqlite", "postgresql"])
def kind(request: pytest.FixtureRequest) -> str:
    """The kind of database that the test runs on."""
    return request.param


@pytest.fixture
def url(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """The URL of a database without a schema, which is in the environment as well."""
    if kind == "sqlite":
        yield f"sqlite:///{tmp_path}/state/gateway.db"
        return
    server: PostgresServer = request.getfixturevalue("postgresql")
    name = server.create_database()
    monkeypatch.setenv("DATABASE_URL", server.url(name))
    yield server.url(name)
    server.drop_database(name)


@pytest.fixture
def described(kind: str, url: str) -> str:
    """What messages call the database."""
    if kind == "sqlite":
        return url.removeprefix("sqlite:///")
    return url.replace(f":{ENCODED_PASSWORD}", "")


@pytest.fixture
def run(kind: str, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command with a configuration that names the database; gives code, output, errors."""
    named = "{env: DATABASE_URL}" if kind == "postgresql" else "sqlite:///gateway.db"
    text = CONFIGURATION.replace("embedded:\n", f"embedded:\n      database: {named}\n")
    file = write_configuration(tmp_path, text)

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([*arguments, "-c", str(file)])
        captured = capsys.readouterr()
        for word in (PASSWORD, ENCODED_PASSWORD):
            assert word not in captured.out + captured.err
        return code, captured.out, captured.err

    return run


def _set_schema(url: str, schema: str) -> None:
    statement = f"UPDATE alembic_version SET version_num = '{schema}'"
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as file, file:
            file.execute(statement)
    else:
        with psycopg.connect(url) as connection:
            connection.execute(statement)


def test_it_says_what_it_did_and_may_be_repeated(run: Run, described: str) -> None:
    assert run("migrate") == (0, f"created schema {SCHEMA} in {described}\n", "")
    assert run("migrate") == (0, f"{described} has schema {SCHEMA} already\n", "")


def test_scripts_read_what_it_did(run: Run, described: str) -> None:
    code, out, err = run("migrate", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out) == {
        "database": described,
        "previous": None,
        "current": SCHEMA,
        "changed": True,
    }
    assert json.loads(run("migrate", "--json")[1])["changed"] is False


def test_administrative_commands_create_the_schema_and_say_so(run: Run, described: str) -> None:
    code, _, err = run(*ADD)
    assert code == 0
    assert err == f"gateway: created the database {described}\n"
    assert run("client", "list")[2] == ""


def test_the_schema_of_a_newer_version_is_one_clear_line(
    run: Run, url: str, described: str
) -> None:
    run("migrate")
    _set_schema(url, "9999")

    code, out, err = run("migrate")

    assert (code, out) == (1, "")
    assert err.startswith(f"gateway: {described} has schema 9999")
    assert "newer version" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("kind", ["postgresql"], indirect=True)
def test_a_gateway_does_not_start_on_a_server_without_the_schema(run: Run, described: str) -> None:
    code, out, err = run("run")

    assert (code, out) == (1, "")
    last = err.splitlines()[-1]
    assert f"{described} has no schema yet; create it with: gateway migrate" in last


@pytest.mark.parametrize("kind", ["postgresql"], indirect=True)
def test_a_gateway_does_not_start_on_a_server_with_another_schema(run: Run, url: str) -> None:
    run("migrate")
    _set_schema(url, "0001")

    code, _, err = run("run")

    assert code == 1
    assert "has schema 0001" in err.splitlines()[-1]
    assert err.splitlines()[-1].endswith("gateway migrate")


def test_a_server_that_is_away_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = CONFIGURATION.replace(
        "embedded:\n", "embedded:\n      database: postgresql://app@127.0.0.1:1/gateway\n"
    )
    file = write_configuration(tmp_path, text)
    for command in (("migrate",), ADD, ("run",)):
        assert main([*command, "-c", str(file)]) == 1
        last = capsys.readouterr().err.splitlines()[-1]
        assert last.startswith("gateway: ")
        assert "postgresql://app@127.0.0.1:1/gateway" in last
        assert "refused" in last


def test_without_an_embedded_server_there_is_nothing_to_migrate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_configuration(tmp_path, FOREIGN)
    assert main(["migrate", "-c", str(file)]) == 1
    assert "embedded" in capsys.readouterr().err
