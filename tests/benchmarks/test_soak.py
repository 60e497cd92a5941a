"""The soak: that it holds for a minute, and that it would say so if it did not."""

import json
from pathlib import Path

import pytest

from benchmarks.soak.__main__ import soak
from benchmarks.soak.load import Failure
from benchmarks.soak.verdict import Evidence, growth

BODY = json.dumps({"reason": "upstream_unavailable"})
SERVER = "127.0.0.1:8000"
CLOSED = "it closed before it had answered"


def failure(method: str = "GET", status: int = 502, body: str = BODY) -> Failure:
    return Failure(7, method, status, body, started=100.0, ended=100.1)


def evidence(folder: Path, *lines: str, killed: float | None = None) -> Evidence:
    log = folder / "server.log"
    log.write_text("".join(f"{line}\n" for line in lines), encoding="ascii")
    return Evidence({SERVER: log}, {SERVER: [] if killed is None else [killed]}, {"7"})


def test_a_minute_of_load_before_servers_that_break_and_die() -> None:
    figures, wrong = soak(52.0, 13.0)
    assert wrong == []
    assert figures["servers killed"] == 4
    assert int(str(figures["connections broken"])) > 0


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_request_that_was_on_a_new_connection_may_fail_when_that_breaks(
    tmp_path: Path, method: str
) -> None:
    seen = evidence(tmp_path, "got 100.05 7 1", "broke 100.06 7 1")
    assert seen.excuse(failure(method), SERVER, CLOSED) == "its connection was broken"
    assert seen.excuse(failure(method), "127.0.0.1:8001", CLOSED) is None


def test_get_on_a_used_connection_was_to_be_sent_again(tmp_path: Path) -> None:
    lines = ("got 100.05 7 2", "broke 100.06 7 2")
    assert evidence(tmp_path, *lines).excuse(failure("GET"), SERVER, CLOSED) is None
    assert evidence(tmp_path, *lines, killed=100.05).excuse(failure("GET"), SERVER, CLOSED) is None
    assert evidence(tmp_path, *lines).excuse(failure("POST"), SERVER, CLOSED) is not None


def test_post_may_fail_when_its_server_is_killed_or_leaves(tmp_path: Path) -> None:
    assert evidence(tmp_path).excuse(failure("POST"), SERVER, CLOSED) is None
    killed = evidence(tmp_path, killed=100.0)
    assert killed.excuse(failure("POST"), SERVER, CLOSED) == "its server was killed"
    # Nothing of it had gone to that one.
    assert killed.excuse(failure("POST"), SERVER, f"no connection to {SERVER}: refused") is None
    assert evidence(tmp_path, killed=90.0).excuse(failure("POST"), SERVER, CLOSED) is None
    left = evidence(tmp_path, "left 100.05 - 9")
    assert left.excuse(failure("POST"), SERVER, CLOSED) == "its connection was broken as it arrived"
    assert left.excuse(failure("GET"), SERVER, CLOSED) is None


@pytest.mark.parametrize(
    "other",
    [
        failure(status=0, body=""),
        failure(status=504, body=json.dumps({"reason": "upstream_timeout"})),
        failure(body=json.dumps({"reason": "upstream_invalid"})),
        failure(status=200, body="8"),
    ],
)
def test_nothing_excuses_another_answer_than_a_502(tmp_path: Path, other: Failure) -> None:
    seen = evidence(tmp_path, "got 100.05 7 1", "broke 100.06 7 1", killed=100.0)
    assert seen.excuse(other, SERVER, CLOSED) is None


def test_growth_is_that_of_the_last_third() -> None:
    assert growth([1, 9, 5, 5, 5, 5, 5, 7, 5]) == 2
