"""`gateway token …`."""

import io
import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from unittest.mock import AsyncMock

import pytest

from gateway.cli import embedded
from gateway.cli.main import main
from gateway.policy.tokenformat import has_valid_checksum, new_token, token_hash
from tests.cli.embedded import worker, write_configuration

Run = Callable[..., tuple[int, str, str]]
ISSUE = ("token", "issue", "--client", "shop")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = write_configuration(tmp_path)
    added = main(
        ["client", "add", "shop", "--grant", "client_credentials"]
        + ["--scope", "orders:read orders:write", "-c", str(file)]
    )
    assert added == 0
    return file


@pytest.fixture
def run(file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command with that configuration; gives exit code, output and errors."""

    def run(*arguments: str, stdin: str = "") -> tuple[int, str, str]:
        capsys.readouterr()
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        code = main([*arguments, "-c", str(file)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_the_output_of_issue_is_the_token_and_nothing_else(run: Run) -> None:
    code, out, err = run(*ISSUE)
    assert code == 0
    assert has_valid_checksum(out.removesuffix("\n"))
    assert err == "gateway: for 10m, scope orders:read orders:write; shown this once\n"


def test_a_token_is_issued_as_asked_for(run: Run) -> None:
    code, out, err = run(
        *ISSUE, "--scope", "orders:read", "--lifetime", "90s", "--audience", "https://a", "--json"
    )
    issued = json.loads(out)
    assert (code, err) == (0, "")
    assert has_valid_checksum(issued.pop("access_token"))
    assert issued == {"token_type": "Bearer", "expires_in": 90, "scope": "orders:read"}


def test_a_token_is_inspected(run: Run) -> None:
    token = run(*ISSUE, "--audience", "https://a")[1].strip()

    code, out, err = run("token", "inspect", token, "--json")
    said = json.loads(out)
    assert (code, err) == (0, "")
    assert said["expires_at"] - said.pop("issued_at") == 600
    assert said.pop("expires_at") > time.time()
    assert said == {
        "active": True,
        "reason": None,
        "why": None,
        "client_id": "shop",
        "subject": None,
        "username": None,
        "scope": "orders:read orders:write",
        "audience": ["https://a"],
        "revoked_at": None,
    }
    code, out, _ = run("token", "inspect", token)
    assert code == 0
    assert out.splitlines()[:4] == [
        "active     yes",
        "client_id  shop",
        "subject    - (the client itself)",
        "username   -",
    ]


def test_a_token_that_is_not_active_is_exit_1_with_the_reason(run: Run) -> None:
    token = run(*ISSUE)[1].strip()
    run("token", "revoke", token)
    code, out, _ = run("token", "inspect", token, "--json")
    assert (code, json.loads(out)["reason"]) == (1, "revoked_token")
    assert json.loads(out)["why"] == "it was revoked itself"
    code, out, _ = run("token", "inspect", token)
    assert code == 1
    assert out.startswith("active     no: revoked_token, it was revoked itself\n")

    code, out, err = run("token", "inspect", new_token("at"), "--json")
    assert (code, json.loads(out)) == (
        1,
        {"active": False, "reason": "inactive_token", "why": None},
    )
    code, out, err = run("token", "inspect", new_token("at"))
    assert (code, out) == (1, "")
    assert "no token of this authorization server" in err


def test_a_token_is_read_from_standard_input(run: Run) -> None:
    token = run(*ISSUE)[1].strip()
    assert run("token", "inspect", "-", stdin=f"{token}\n")[0] == 0
    assert run("token", "revoke", "-", stdin=token)[0] == 0
    assert run("token", "inspect", "-", stdin=token)[0] == 1
    code, _, err = run("token", "revoke", "-", stdin="\n")
    assert code == 2
    assert "TOKEN is empty" in err


def test_revoking_without_a_gateway_commits_and_says_so(run: Run) -> None:
    token = run(*ISSUE)[1].strip()
    code, out, err = run("token", "revoke", token)
    assert (code, err) == (0, "")
    assert out == "revoked: no gateway is running here; the revocation is in the database\n"
    assert run("token", "inspect", token)[0] == 1


def test_revoking_tells_every_worker(run: Run, file: Path) -> None:
    token = run(*ISSUE)[1].strip()
    with worker(file, 1, b"ok\n") as first, worker(file, 2, b"ok\n") as second:
        code, out, _ = run("token", "revoke", token)
    assert (code, out) == (0, "revoked: 2 workers acknowledged\n")
    assert first == second
    assert json.loads(first[0])["value"] == token_hash(token).hex()
    with worker(file, 3, b"ok\n"):
        assert json.loads(run("token", "revoke", token, "--json")[1]) == {
            "revoked": True,
            "acknowledged": 1,
        }


def test_revoking_fails_when_a_worker_stays_silent_and_revokes_all_the_same(
    run: Run, file: Path
) -> None:
    token = run(*ISSUE)[1].strip()
    with worker(file, 1, b"ok\n"), worker(file, 4711, None), worker(file, 4712, None):
        code, out, err = run("token", "revoke", token)
    assert (code, out) == (1, "")
    assert err == (
        "gateway: the token is revoked in the database, but workers pid 4711, 4712 did not "
        "acknowledge and may still accept it for 45s; end what does not answer to be sure\n"
    )
    assert run("token", "inspect", token)[0] == 1


def test_the_whole_command_gives_up_a_silent_worker_and_names_it(run: Run, file: Path) -> None:
    token = run(*ISSUE)[1].strip()
    with worker(file, 4711, None):
        done = subprocess.run(
            [sys.executable, "-m", "gateway", "token", "revoke", "-", "-c", str(file)],
            input=token,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            cwd=Path(__file__).parents[2],
        )
    assert done.returncode == 1
    assert "4711" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("age", [0.0, 1.4])
def test_what_the_start_took_is_taken_from_the_waiting(
    run: Run, monkeypatch: pytest.MonkeyPatch, age: float
) -> None:
    """The whole command is to take two seconds, the start of the interpreter included."""
    token = run(*ISSUE)[1].strip()
    announce = AsyncMock(return_value=0)
    monkeypatch.setattr(embedded, "announce_to_all", announce)
    monkeypatch.setattr(embedded, "_measure_age", lambda: age)
    assert run("token", "revoke", token)[0] == 0
    assert announce.call_args.kwargs["timeout"] == embedded._choose_patience(age)


@pytest.mark.parametrize(
    ("age", "patience"), [(0.0, 1.0), (0.8, 1.0), (1.2, 0.6), (1.7, 0.3), (100.0, 0.3)]
)
def test_a_command_that_was_slow_to_start_waits_less(age: float, patience: float) -> None:
    assert embedded._choose_patience(age) == pytest.approx(patience)


def test_the_age_of_a_process_is_measured() -> None:
    program = "from gateway.cli.embedded import _measure_age; print(_measure_age())"
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert 0.02 < float(done.stdout) < time.monotonic() - started + 0.02


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("token", "issue", "--client", "nobody"), "there is no client 'nobody'"),
        ((*ISSUE, "--scope", "admin"), "may not have the scope admin"),
        ((*ISSUE, "--audience", "a b"), "an audience is"),
        (("token", "revoke", "nonsense"), "no token of this authorization server"),
        (("token", "revoke", new_token("at")), "no token of this authorization server"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_1(
    run: Run, arguments: tuple[str, ...], words: str
) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (1, "")
    assert err.startswith("gateway: ")
    assert words in err
    assert err.count("\n") == 1
    assert "gw_at_" not in err


def test_a_lifetime_has_the_bounds_of_the_configuration(run: Run) -> None:
    assert run(*ISSUE, "--lifetime", "24h")[0] == 0
    code, out, err = run(*ISSUE, "--lifetime", "86401s")
    assert (code, out) == (2, "")
    assert "--lifetime: 86401s is too long; write 1s to 24h" in err


@pytest.mark.parametrize("command", [("token", "revoke"), ("client", "remove"), ("token", "issue")])
def test_a_locked_database_is_told_in_words_with_the_mend(
    run: Run, file: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    """Here a shell holds the write lock, as a transaction that nobody ends does."""
    monkeypatch.setattr("gateway.authserver.storage.sqlite.connect.__defaults__", (0.05,))
    token = run(*ISSUE)[1].strip()
    database = file.parent / "state" / "gateway.db"
    arguments = {"revoke": (token,), "remove": ("shop",), "issue": ("--client", "shop")}
    with closing(sqlite3.connect(database, isolation_level=None)) as shell:
        shell.execute("BEGIN IMMEDIATE")
        code, out, err = run(*command, *arguments[command[1]])
    assert (code, out) == (1, "")
    assert err == (
        f"gateway: another process holds the write lock of {database}, such as a backup or a "
        "sqlite3 shell with an open transaction, so nothing was changed; end that process "
        f"(fuser {database} names who has the file open), and repeat the command\n"
    )
    assert run(*command, *arguments[command[1]])[0] == 0


def test_a_database_that_is_locked_for_readers_too_is_told_in_the_same_words(
    run: Run, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.authserver.storage.sqlite.connect.__defaults__", (0.05,))
    database = file.parent / "state" / "gateway.db"
    with closing(sqlite3.connect(database, isolation_level=None)) as shell:
        shell.execute("PRAGMA locking_mode = EXCLUSIVE")
        shell.execute("BEGIN EXCLUSIVE")
        code, out, err = run("token", "inspect", new_token("at"))
    assert (code, out) == (1, "")
    assert err.startswith(f"gateway: another process holds the write lock of {database}, such")


@pytest.mark.parametrize("lifetime", ["10", "soon", "10ms", "0s", "1500ms"])
def test_a_lifetime_that_is_none_is_a_wrong_use(run: Run, lifetime: str) -> None:
    code, out, err = run(*ISSUE, "--lifetime", lifetime)
    assert (code, out) == (2, "")
    assert "--lifetime" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("command", ["issue", "inspect", "revoke"])
def test_every_command_has_help_with_an_example(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["token", command, "--help"]) == 0
    assert f"Example: gateway token {command}" in capsys.readouterr().out


@pytest.mark.parametrize("group", ["token", "client", "user"])
def test_the_help_of_each_group_has_an_example(
    group: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([group, "--help"]) == 0
    assert f"\n  Example: gateway {group} " in capsys.readouterr().out
