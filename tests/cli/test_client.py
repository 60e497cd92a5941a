"""`gateway client …`."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.cli.main import main
from gateway.policy.tokenformat import has_valid_checksum
from tests.cli.embedded import FOREIGN, worker, write_configuration

Run = Callable[..., tuple[int, str, str]]
ADD = ("client", "add", "shop", "--grant", "client_credentials")
BOTH = ("--scope", "orders:read orders:write")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_configuration(tmp_path)


@pytest.fixture
def run(file: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command with that configuration; gives exit code, output and errors."""

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([*arguments, "-c", str(file)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_a_client_is_added_and_its_secret_printed_as_scripts_expect(run: Run, file: Path) -> None:
    code, out, err = run(*ADD, *BOTH, "--json")

    printed = json.loads(out)
    assert code == 0
    assert printed.keys() == {"client_id", "client_secret"}
    assert printed["client_id"] == "shop"
    assert has_valid_checksum(printed["client_secret"], "cs")
    assert err == f"gateway: created the database {file.parent}/state/gateway.db\n"
    assert printed["client_secret"] not in run("client", "show", "shop", "--json")[1]


def test_for_people_the_secret_stands_alone_on_standard_output(run: Run) -> None:
    _, out, err = run(*ADD)
    assert [line.split()[0] for line in out.splitlines()] == ["client_id", "client_secret"]
    assert err.endswith("the secret is shown this once; only its hash is stored\n")


def test_clients_are_listed_and_shown(run: Run) -> None:
    run(*ADD, "--scope", "orders:read", "--scope", "orders:write")
    run("client", "add", "api", "--introspect")

    assert run("client", "list")[1].splitlines() == [
        "ID    GRANTS              SCOPES                    INTROSPECTS",
        "api   -                   -                         yes",
        "shop  client_credentials  orders:read orders:write  no",
    ]
    listed = json.loads(run("client", "list", "--json")[1])
    assert [client["client_id"] for client in listed] == ["api", "shop"]
    shown = json.loads(run("client", "show", "shop", "--json")[1])
    assert shown == listed[1]
    assert shown["scopes"] == ["orders:read", "orders:write"]
    assert not shown["may_introspect"]
    assert "orders:read orders:write" in run("client", "show", "shop")[1]


def test_an_empty_list_is_empty(run: Run) -> None:
    assert json.loads(run("client", "list", "--json")[1]) == []
    code, out, err = run("client", "list")
    assert (code, out) == (0, "")
    assert "no clients yet" in err


def test_rotating_prints_another_secret(run: Run) -> None:
    first = json.loads(run(*ADD, "--json")[1])
    code, out, err = run("client", "rotate", "shop", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["client_id"] == "shop"
    assert json.loads(out)["client_secret"] != first["client_secret"]


def test_removing_without_a_gateway_says_so(run: Run) -> None:
    run(*ADD)
    code, out, err = run("client", "remove", "shop")
    assert (code, err) == (0, "")
    assert out == (
        "removed client shop: no gateway is running here; the revocation is in the database\n"
    )
    assert run("client", "show", "shop")[0] == 1


def test_removing_tells_the_workers(run: Run, file: Path) -> None:
    run(*ADD)
    with worker(file, 4711, b"ok\n") as heard:
        code, out, _ = run("client", "remove", "shop", "--json")
    assert code == 0
    assert json.loads(out) == {"client_id": "shop", "removed": True, "acknowledged": 1}
    assert [json.loads(line) for line in heard] == [
        {
            "issuer": "http://127.0.0.1:8081",
            "kind": "client",
            "value": "shop",
            "source": "command",
        }
    ]


def test_removing_fails_when_a_worker_stays_silent_and_removes_all_the_same(
    run: Run, file: Path
) -> None:
    run(*ADD)
    with worker(file, 4711, None):
        code, out, err = run("client", "remove", "shop")
    assert (code, out) == (1, "")
    assert err == (
        "gateway: every token of client shop is revoked in the database, but worker pid 4711 did "
        "not acknowledge and may still accept it for 45s; end what does not answer to be sure\n"
    )
    assert run("client", "show", "shop")[0] == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (ADD, "there is a client shop already"),
        (("client", "add", "a b", "--introspect"), "a client id is"),
        (("client", "add", "other"), "needs a grant"),
        (("client", "add", "other", "--grant", "password"), "no such grant: password"),
        (
            ("client", "add", "other", "--grant", "client_credentials", "--scope", "admin"),
            "scope admin is not declared; add it under authorization_servers.local.embedded.scopes",
        ),
        (("client", "show", "nobody"), "there is no client 'nobody'"),
        (("client", "rotate", "nobody"), "there is no client 'nobody'"),
        (("client", "remove", "no\x1b[2Jbody"), r"there is no client 'no\x1b[2Jbody'"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_1(
    run: Run, arguments: tuple[str, ...], words: str
) -> None:
    run(*ADD)
    code, out, err = run(*arguments)
    assert (code, out) == (1, "")
    assert err.startswith("gateway: ")
    assert words in err
    assert err.count("\n") == 1


def test_a_configuration_without_an_embedded_server_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_configuration(tmp_path, FOREIGN)
    assert main(["client", "list", "-c", str(file)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "no authorization server of this configuration is embedded" in captured.err
    assert captured.err.count("\n") == 1


def test_a_database_that_cannot_be_opened_is_one_line(run: Run, file: Path) -> None:
    (file.parent / "state").touch()
    code, out, err = run("client", "list")
    assert (code, out) == (1, "")
    assert str(file.parent / "state") in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("command", ["add", "list", "show", "rotate", "remove"])
def test_every_command_has_help_with_an_example(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["client", command, "--help"]) == 0
    assert f"Example: gateway client {command}" in capsys.readouterr().out
