"""login, call, whoami and logout: their words and exit codes where nothing is there to talk to."""

import json
import subprocess
import sys
import time

import pytest

from gateway.cli.main import main
from gateway.client.store import Account, CredentialStore

NOWHERE = "http://127.0.0.1:1"


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv("BROWSER", raising=False)
    monkeypatch.chdir(tmp_path)
    return CredentialStore(tmp_path / "gateway")


@pytest.fixture
def signed_in(store):
    now = time.time()
    for client in ("first", "second"):
        store.put(
            Account(NOWHERE, client, None, "AT1", "RT1", "a b", now, now + 600, now, (), (NOWHERE,))
        )
    return store


@pytest.mark.parametrize("command", ["whoami", "logout", "call GET http://127.0.0.1:1/"])
def test_who_is_not_signed_in_is_told_so(command, capsys):
    assert main(command.split()) == 1
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert "not signed in anywhere" in said.err


@pytest.mark.parametrize(
    "words",
    [
        ["call", "GET", "http://api.example/"],
        ["call", "GET", "http://127.0.0.1/", "-H", "Authorization: Bearer x"],
        ["call", "GET"],
        ["login", NOWHERE, "--device", "--no-browser"],
    ],
)
def test_wrong_usage_is_one_line_and_2(words, capsys):
    assert main(words) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        ["login", NOWHERE],
        ["login"],
        ["login", "http://login.example"],
        ["call", "GET", f"{NOWHERE}/x"],
        ["call", "GET", f"{NOWHERE}/x", "-d", "@nothing-here"],
        ["call", "GET", f"{NOWHERE}/x", "--issuer", "https://other.example"],
    ],
)
def test_what_cannot_be_done_is_one_line_and_1(words, signed_in, capsys):
    assert main(words) == 1
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert said.err.startswith("gateway: ")


def test_a_sign_out_that_the_server_does_not_hear_forgets_all_the_same(signed_in, capsys):
    """Who signs out leaves no token on the machine, and learns that others may still be good."""
    assert main(["logout"]) == 1
    assert "perhaps not revoked" in capsys.readouterr().err
    assert [account.client_id for account in signed_in.read()] == ["first"]
    assert main(["logout", "--all"]) == 1
    assert signed_in.read() == []


def test_whoami_says_what_is_known_when_nobody_can_be_asked(signed_in, capsys):
    assert main(["whoami", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["active"], told["client_id"], told["scope"]) == (None, "second", "a b")
    assert "cannot be reached" in told["reason"]
    assert main(["whoami"]) == 0
    text = capsys.readouterr().out
    assert "not known" in text
    assert not any(token in text for token in ("AT1", "RT1"))


def test_the_issuer_is_that_of_the_configuration_file_when_none_was_used(tmp_path, capsys):
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "gateway.yaml").write_text(
        "authorization_servers: {local: {embedded: {listen: '127.0.0.1:1', "
        f"issuer: '{NOWHERE}', scopes: {{a: A}}}}}}}}\n"
        "upstreams: {u: {servers: ['http://127.0.0.1:8000']}}\n"
        "routes: [{name: r, match: {path: /**}, require: {scopes: [a]}}]\n"
    )
    assert main(["login"]) == 1
    assert f"{NOWHERE}/.well-known/oauth-authorization-server" in capsys.readouterr().err


def test_the_client_role_loads_no_database_and_no_grants():
    program = (
        "import sys, gateway.cli.login, gateway.cli.call, gateway.cli.whoami, gateway.cli.logout\n"
        "print({name.split('.')[0] for name in sys.modules} & {'sqlalchemy', 'authlib'})"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"
