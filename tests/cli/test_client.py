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
        "ID    TYPE          GRANTS              SCOPES                    INTROSPECTS  STATE",
        "api   confidential  -                   -                         yes          enabled",
        "shop  confidential  client_credentials  orders:read orders:write  no           enabled",
    ]
    listed = json.loads(run("client", "list", "--json")[1])
    assert [client["client_id"] for client in listed] == ["api", "shop"]
    shown = json.loads(run("client", "show", "shop", "--json")[1])
    assert shown == listed[1]
    assert shown["scopes"] == ["orders:read", "orders:write"]
    assert not shown["may_introspect"]
    assert "orders:read orders:write" in run("client", "show", "shop")[1]


def test_all_that_a_client_has_is_added_and_shown(run: Run) -> None:
    """Grants may be spaced in one value; device_code is short for its URN."""
    code, out, _ = run(
        *("client", "add", "desk", "--name", "Order desk"),
        *("--grant", "authorization_code device_code", "--scope", "orders:read"),
        *("--redirect-uri", "https://desk.example/callback"),
        *("--redirect-uri", "http://127.0.0.1/callback"),
        *("--origin", "https://desk.example", "--public"),
        *("--access-token-lifetime", "5m", "--refresh-token-lifetime", "168h", "--json"),
    )
    assert code == 0
    assert json.loads(out) == {"client_id": "desk", "client_secret": None}
    shown = json.loads(run("client", "show", "desk", "--json")[1])
    assert shown.pop("created_at") > 1_700_000_000
    assert shown == {
        "client_id": "desk",
        "name": "Order desk",
        "public": True,
        "grant_types": [
            "authorization_code",
            "refresh_token",
            "urn:ietf:params:oauth:grant-type:device_code",
        ],
        "scopes": ["orders:read"],
        "redirect_uris": ["http://127.0.0.1/callback", "https://desk.example/callback"],
        "origins": ["https://desk.example"],
        "may_introspect": False,
        "access_token_lifetime": 300,
        "refresh_token_lifetime": 604_800,
        "disabled_at": None,
    }
    out = run("client", "show", "desk")[1]
    assert "authorization_code device_code refresh_token" in out
    assert out.count("redirect_uri ") == 2
    code, out, err = run("client", "add", "other", "--grant", "device_code", "--public")
    assert out == "client_id  other\n"
    assert "public; it has no secret" in err


def test_a_redirect_uri_alone_means_a_code_and_refreshing(run: Run) -> None:
    uri = ("--redirect-uri", "https://desk.example/callback")
    run("client", "add", "desk", *uri)
    run("client", "add", "once", *uri, "--no-refresh-token")
    listed = json.loads(run("client", "list", "--json")[1])
    assert [client["grant_types"] for client in listed] == [
        ["authorization_code", "refresh_token"],
        ["authorization_code"],
    ]


def test_a_lifetime_that_the_configuration_could_not_have_is_a_wrong_use(run: Run) -> None:
    code, out, err = run(*ADD, "--access-token-lifetime", "25h")
    assert (code, out) == (2, "")
    assert "--access-token-lifetime: 25h is too long; write 1s to 24h" in err


@pytest.mark.parametrize(
    ("command", "words", "member"),
    [
        ("revoke", "revoked every token of client shop", "revoked"),
        ("disable", "disabled client shop", "disabled"),
        ("remove", "removed client shop", "removed"),
    ],
)
def test_what_revokes_tells_the_workers_and_fails_when_one_is_silent(
    run: Run, file: Path, command: str, words: str, member: str
) -> None:
    """Silent: exit 1 with the words for it, and done in the database all the same."""
    run(*ADD)
    with worker(file, 4711, b"ok\n") as heard:
        code, out, _ = run("client", command, "shop")
    assert (code, out) == (0, f"{words}: 1 worker acknowledged\n")
    assert [(json.loads(line)["kind"], json.loads(line)["value"]) for line in heard] == [
        ("client", "shop")
    ]
    (file.parent / "state" / "workers" / "4711.sock").unlink(missing_ok=True)
    run(*ADD)
    code, out, _ = run("client", command, "shop", "--json")
    assert json.loads(out) == {"client_id": "shop", member: True, "acknowledged": 0}
    run(*ADD)
    with worker(file, 4712, None):
        code, out, err = run("client", command, "shop")
    assert (code, out) == (1, "")
    assert err.startswith(
        "gateway: every token of client shop is revoked in the database, but worker pid 4712 did "
        "not acknowledge"
    )


def test_a_disabled_client_is_listed_as_such_until_it_is_enabled(run: Run) -> None:
    run(*ADD)
    run("client", "disable", "shop")
    assert run("client", "list")[1].splitlines()[1].endswith("  disabled")
    assert "\ndisabled " in run("client", "show", "shop")[1]
    assert run("token", "issue", "--client", "shop")[0] == 1
    assert run("client", "enable", "shop") == (0, "enabled client shop\n", "")
    assert json.loads(run("client", "enable", "shop", "--json")[1]) == {
        "client_id": "shop",
        "disabled": False,
    }
    assert run("client", "list")[1].splitlines()[1].endswith("  enabled")
    assert run("token", "issue", "--client", "shop")[0] == 0


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
        (
            ("client", "add", "other", "--redirect-uri", "http://desk.example/callback"),
            'redirect URI "http://desk.example/callback" is plain http',
        ),
        (("client", "add", "other", "--grant", "device_code", "--origin", "*"), "origin: "),
        (("client", "revoke", "nobody"), "there is no client 'nobody'"),
        (("client", "disable", "nobody"), "there is no client 'nobody'"),
        (("client", "enable", "nobody"), "there is no client 'nobody'"),
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


COMMANDS = ["add", "list", "show", "rotate", "revoke", "disable", "enable", "remove"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["client", command, "--help"]) == 0
    assert f"Example: gateway client {command}" in capsys.readouterr().out
