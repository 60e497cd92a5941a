"""`gateway user …`."""

import io
import json
import os
import pty
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.authserver.administration import Administration
from gateway.authserver.options import embedded_options
from gateway.authserver.records.clients import find_client
from gateway.authserver.records.grants import allow
from gateway.authserver.storage.database import Database
from gateway.cli.main import main
from gateway.settings import load
from tests.cli.embedded import worker, write_configuration

Run = Callable[..., tuple[int, str, str]]
PASSWORD = "correct horse"
ADD = ("user", "add", "alice", "--password-stdin")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_configuration(tmp_path)


@pytest.fixture
def run(file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command with that configuration; gives exit code, output and errors."""

    def run(*arguments: str, stdin: str | bytes = PASSWORD + "\n") -> tuple[int, str, str]:
        capsys.readouterr()
        given = stdin if isinstance(stdin, bytes) else stdin.encode()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
        code = main([*arguments, "-c", str(file)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def alice(run: Run) -> str:
    """Adds Alice, and gives her subject."""
    return json.loads(run(*ADD, "--json")[1])["subject"]


def allow_desk(run: Run, file: Path) -> None:
    """Lets Alice allow the client desk something."""
    assert run("client", "add", "desk", "--grant", "device_code", "--scope", "orders:read")[0] == 0
    options = embedded_options(load(file))
    assert options is not None
    with Administration(options) as administration:
        user = administration.get_user("alice")
    database = Database(options.database_url)
    with database.transaction() as connection:
        assert find_client(connection, "desk") is not None
        allow(connection, user.id, "desk", "orders:read", 1_800_000_000)
    database.close()


def test_a_person_is_added_by_a_password_on_standard_input(run: Run, file: Path) -> None:
    code, out, err = run(*ADD, "--json")
    added = json.loads(out)
    assert code == 0
    assert added.keys() == {"username", "subject"}
    assert added["username"] == "alice"
    assert uuid.UUID(added["subject"]).version == 4
    assert err == f"gateway: created the database {file.parent}/state/gateway.db\n"
    code, out, err = run("user", "add", "Bob", "--password-stdin")
    assert (code, err) == (0, "")
    assert out.startswith("added user bob, subject ")
    assert PASSWORD not in out


@pytest.mark.parametrize(
    "stdin", ["pass word 1", "pass word 1\n", "pass word 1\r\n", "pass word 1\nmore\n"]
)
def test_the_password_is_one_line_whatever_ends_it(
    run: Run, monkeypatch: pytest.MonkeyPatch, stdin: str
) -> None:
    given = []
    monkeypatch.setattr(
        Administration,
        "set_password",
        lambda _self, _name, password: given.append(password) or pytest.fail("enough"),
    )
    with pytest.raises(pytest.fail.Exception):
        run("user", "passwd", "alice", "--password-stdin", stdin=stdin)
    assert given == ["pass word 1"]


@pytest.mark.parametrize(
    ("stdin", "words"),
    [
        ("", "a password has 8 to 1024 characters"),
        ("\n", "a password has 8 to 1024 characters"),
        ("short\n", "a password has 8 to 1024 characters"),
        ("x" * 9000 + "\n", "a password has 8 to 1024 characters"),
        ("with\0control\n", "a password has no control characters"),
        (b"\xff\xfe\xfd long enough\n", "not UTF-8"),
    ],
)
def test_a_password_that_is_none_is_one_line_that_does_not_show_it(
    run: Run, stdin: str | bytes, words: str
) -> None:
    code, out, err = run(*ADD, stdin=stdin)
    assert (code, out) == (1, "")
    assert words in err
    assert err.splitlines()[-1].startswith("gateway: ")
    assert "short" not in err
    assert run("user", "show", "alice")[0] == 1


def test_without_a_terminal_the_option_is_named(run: Run) -> None:
    for command in (("add", "alice"), ("passwd", "alice")):
        code, out, err = run("user", *command)
        assert (code, out) == (1, "")
        assert "--password-stdin" in err


def test_a_password_is_no_argument(run: Run) -> None:
    """Everyone who may list the processes would see it."""
    assert run("user", "add", "alice", PASSWORD)[0] == 2
    assert run("user", "add", "alice", "--password", PASSWORD)[0] == 2


@pytest.mark.parametrize(
    ("second", "status", "words"),
    [(PASSWORD, 0, "added user alice"), ("another one", 1, "the two passwords differ")],
)
def test_on_a_terminal_the_password_is_asked_for_twice_and_not_shown(
    file: Path, second: str, status: int, words: str
) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-m", "gateway", *ADD[:3], "-c", str(file)])
    said = b""
    for prompt, answer in ((b"Password of alice: ", PASSWORD), (b"The same again: ", second)):
        while prompt not in said:
            said += os.read(terminal, 1024)
        os.write(terminal, f"{answer}\n".encode())
    while True:
        try:
            said += os.read(terminal, 1024)
        except OSError:  # the program has ended
            break
    _, ended = os.waitpid(pid, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(ended) == status
    assert words in said.decode()
    assert PASSWORD not in said.decode()


def test_everybody_is_listed_and_shown_with_who_has_access(
    run: Run, alice: str, file: Path
) -> None:
    allow_desk(run, file)
    run("user", "add", "bob", "--password-stdin")
    listed = json.loads(run("user", "list", "--json")[1])
    assert [user["username"] for user in listed] == ["alice", "bob"]
    assert listed[0].keys() == {"username", "subject", "created_at", "disabled_at"}
    table = run("user", "list")[1].splitlines()
    assert table[0].split() == ["NAME", "SUBJECT", "STATE", "CREATED"]
    assert table[1].startswith(f"alice  {alice}  enabled  20")
    shown = json.loads(run("user", "show", "Alice", "--json")[1])
    assert shown.pop("clients") == [
        {"client_id": "desk", "scopes": ["orders:read"], "updated_at": 1_800_000_000}
    ]
    assert shown == listed[0]
    assert "desk: orders:read" in run("user", "show", "alice")[1]


def test_an_empty_list_is_empty(run: Run) -> None:
    assert json.loads(run("user", "list", "--json")[1]) == []
    code, out, err = run("user", "list")
    assert (code, out) == (0, "")
    assert "no users yet" in err


@pytest.mark.parametrize(
    ("command", "words", "member"),
    [
        (("revoke", "alice"), "revoked every token of user alice", "revoked"),
        (("disable", "alice"), "disabled user alice", "disabled"),
        (("remove", "alice"), "removed user alice", "removed"),
        (
            ("passwd", "alice", "--password-stdin"),
            "changed the password of user alice",
            "changed",
        ),
    ],
)
def test_what_ends_a_persons_access_tells_the_workers_and_fails_when_one_is_silent(
    run: Run, file: Path, alice: str, command: tuple[str, ...], words: str, member: str
) -> None:
    """Silent: exit 1 with the words for it, and done in the database all the same."""
    with worker(file, 4711, b"ok\n") as heard:
        code, out, _ = run("user", *command)
    assert (code, out) == (0, f"{words}: 1 worker acknowledged\n")
    assert [json.loads(line) for line in heard] == [
        {
            "issuer": "http://127.0.0.1:8081",
            "kind": "person",
            "value": alice,
            "source": "command",
        }
    ]
    (file.parent / "state" / "workers" / "4711.sock").unlink(missing_ok=True)
    run(*ADD)
    said = json.loads(run("user", *command, "--json")[1])
    assert (said["username"], said[member], said["acknowledged"]) == ("alice", True, 0)
    run(*ADD)
    with worker(file, 4712, None):
        code, out, err = run("user", *command)
    assert (code, out) == (1, "")
    assert err.startswith(
        "gateway: every token of user alice is revoked in the database, but worker pid 4712 did "
        "not acknowledge"
    )


def test_one_clients_access_is_taken_back(run: Run, file: Path, alice: str) -> None:
    allow_desk(run, file)
    with worker(file, 4711, b"ok\n") as heard:
        code, out, _ = run("user", "revoke", "alice", "--client", "desk")
    assert code == 0
    assert out == "revoked the access of client desk to user alice: 1 worker acknowledged\n"
    assert [(json.loads(line)["kind"], json.loads(line)["value"]) for line in heard] == [
        ("grant", f"{alice} desk")
    ]
    assert json.loads(run("user", "show", "alice", "--json")[1])["clients"] == []


def test_a_disabled_person_is_shown_as_such_until_enabled(run: Run, alice: str) -> None:
    run("user", "disable", "alice")
    assert "  disabled  " in run("user", "list")[1]
    assert "\ndisabled " in run("user", "show", "alice")[1]
    assert run("user", "enable", "ALICE") == (0, "enabled user ALICE\n", "")
    assert json.loads(run("user", "enable", "alice", "--json")[1]) == {
        "username": "alice",
        "disabled": False,
    }
    assert "  enabled  " in run("user", "list")[1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (ADD, "there is a user alice already"),
        (("user", "add", "a b", "--password-stdin"), "a name has 1 to 100"),
        *(
            (("user", command, "nobody"), "there is no user 'nobody'")
            for command in ("show", "revoke", "disable", "enable", "remove")
        ),
        (("user", "passwd", "no\x1b[2Jbody", "--password-stdin"), r"no user 'no\x1b[2Jbody'"),
        (("user", "revoke", "alice", "--client", "none"), "there is no client 'none'"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_1(
    run: Run, alice: str, arguments: tuple[str, ...], words: str
) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (1, "")
    assert err.startswith("gateway: ")
    assert words in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "command", ["add", "list", "show", "passwd", "revoke", "disable", "enable", "remove"]
)
def test_every_command_has_help_with_an_example(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["user", command, "--help"]) == 0
    assert f"Example: gateway user {command}" in capsys.readouterr().out
