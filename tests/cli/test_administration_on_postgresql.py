"""The commands that administer the embedded server, on a database that gateways share."""

import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.cli.main import main
from tests.cli.embedded import CONFIGURATION, write_configuration
from tests.parts.postgresql import ENCODED_PASSWORD, PostgresServer

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def url(postgresql: PostgresServer) -> Iterator[str]:
    """The URL of an empty database, with its password."""
    name = postgresql.create_database()
    yield postgresql.url(name)
    postgresql.drop_database(name)


@pytest.fixture
def run(
    tmp_path: Path, url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Run:
    """Runs a command with the URL in the environment; gives exit code, output and errors."""
    configuration = CONFIGURATION.replace(
        "      access_token_lifetime",
        "      database: {env: DATABASE}\n      access_token_lifetime",
    )
    file = write_configuration(tmp_path, configuration)
    monkeypatch.setenv("DATABASE", url)

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"correct horse\n")))
        code = main([*arguments, "-c", str(file)])
        captured = capsys.readouterr()
        assert ENCODED_PASSWORD not in captured.out + captured.err
        return code, captured.out, captured.err

    return run


def test_clients_people_and_tokens_are_administered_in_postgresql(run: Run, url: str) -> None:
    """The first command creates the schema, and says so without the password."""
    code, out, err = run(
        *("client", "add", "shop", "--grant", "client_credentials"),
        *("--scope", "orders:read", "--json"),
    )
    assert code == 0
    database = url.rpartition("/")[2].partition("?")[0]
    assert err.startswith("gateway: created the database postgresql://")
    assert database in err
    assert run("user", "add", "alice", "--password-stdin")[0] == 0
    token = run("token", "issue", "--client", "shop")[1].strip()
    assert json.loads(run("token", "inspect", token, "--json")[1])["active"]

    assert run("client", "revoke", "shop")[0] == 0

    code, out, _ = run("token", "inspect", token, "--json")
    assert (code, json.loads(out)["why"]) == (1, "its client's tokens were revoked")
    assert run("user", "disable", "alice")[0] == 0
    assert json.loads(run("user", "list", "--json")[1])[0]["disabled_at"] is not None
    assert run("user", "remove", "alice")[0] == 0
    assert run("client", "remove", "shop")[0] == 0
    assert json.loads(run("client", "list", "--json")[1]) == []


def test_a_server_that_is_not_there_is_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE", f"postgresql://gateway:{ENCODED_PASSWORD}@127.0.0.1:9/gateway")
    code, out, err = run("client", "list")
    assert (code, out) == (1, "")
    assert err.startswith("gateway: postgresql://gateway@127.0.0.1:9/gateway: ")
    assert err.count("\n") == 1


def test_a_url_that_only_the_driver_refuses_is_one_line(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE", f"postgresql://u:{ENCODED_PASSWORD}@127.0.0.1/x?nonsense=1")
    code, out, err = run("client", "list")
    assert (code, out) == (1, "")
    assert err.startswith("gateway: the database must be postgresql://")
    assert err.count("\n") == 1
