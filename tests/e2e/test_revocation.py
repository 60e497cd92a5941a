"""A revocation from another process: the gateway runs, or is stopped, or is not there."""

import json
import os
import signal
import threading
import time

import pytest
import requests

from tests.e2e.programs import embedded_server, wait_until


@pytest.fixture
def gateway(start_gateway, httpbin):
    gateway = start_gateway(
        {
            "authorization_servers": {"local": embedded_server({"orders:read": "See orders"})},
            "upstreams": {"legacy": {"servers": [httpbin]}},
            "routes": [
                {"name": "all", "match": {"path": "/**"}, "require": {"scopes": ["orders:read"]}}
            ],
        }
    )
    gateway.add_client("shop", "--grant", "client_credentials", "--scope", "orders:read")
    return gateway


def issue_token(gateway) -> str:
    done = gateway.command("token", "issue", "--client", "shop", "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["access_token"]


def get(gateway, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    return requests.get(f"{gateway.url}/status/200", headers=headers, timeout=30).status_code


def test_no_request_that_starts_after_the_command_reported_success_passes(gateway):
    """Callers hammer the gateway with a cached token while it is revoked."""
    token = issue_token(gateway)
    assert get(gateway, token) == 200
    revoked_at: list[float] = []
    seen: list[tuple[float, int]] = []

    def call() -> None:
        with requests.Session() as session:
            session.headers["Authorization"] = f"Bearer {token}"
            while not revoked_at or time.monotonic() < revoked_at[0] + 0.3:
                started = time.monotonic()
                seen.append((started, session.get(f"{gateway.url}/status/200").status_code))

    callers = [threading.Thread(target=call) for _ in range(8)]
    for caller in callers:
        caller.start()
    done = gateway.command("token", "revoke", token)
    revoked_at.append(time.monotonic())
    for caller in callers:
        caller.join()
    assert done.returncode == 0, done.stderr
    after = [status for started, status in seen if started > revoked_at[0]]
    assert any(status == 200 for _, status in seen)
    assert after
    assert set(after) == {401}


def test_a_stopped_gateway_makes_the_command_fail_and_say_why(gateway):
    """Kill -STOP: it does not wait for ever, and names who may still let the token pass: exit 1."""
    token = issue_token(gateway)
    assert get(gateway, token) == 200
    os.kill(gateway.pid, signal.SIGSTOP)
    try:
        # It ends by itself: whoever waits for it here loses patience in a minute.
        done = gateway.command("token", "revoke", token)
    finally:
        os.kill(gateway.pid, signal.SIGCONT)
    assert done.returncode == 1
    assert str(gateway.pid) in done.stderr
    assert "Traceback" not in done.stderr
    # What was sent is heard as soon as the process runs again.
    deadline = time.monotonic() + 10
    while get(gateway, token) != 401:
        assert time.monotonic() < deadline


def test_without_a_gateway_the_command_commits_says_so_and_succeeds(gateway):
    """The revocation stands in the database, and a gateway that starts later knows it."""
    token = issue_token(gateway)
    gateway.program.stop()
    done = gateway.command("token", "revoke", token)
    assert done.returncode == 0
    assert "no gateway is running" in (done.stdout + done.stderr).lower()
    inspected = gateway.command("token", "inspect", token, "--json")
    assert json.loads(inspected.stdout)["active"] is False


def test_what_a_killed_gateway_left_behind_does_not_hinder_a_revocation(gateway):
    """Kill -9 leaves a socket; nobody listens there, so nobody has to acknowledge."""
    token = issue_token(gateway)
    gateway.program.process.kill()
    gateway.program.process.wait()
    done = gateway.command("token", "revoke", token)
    assert done.returncode == 0, done.stderr


def test_a_gateway_whose_database_is_gone_says_that_it_is_not_ready(gateway):
    """/readyz is 503 with the reason in words; /healthz goes on saying that the process lives."""
    assert requests.get(f"{gateway.admin_url}/readyz", timeout=10).status_code == 200
    (gateway.configuration.parent / "state" / "gateway.db").unlink()
    answer = requests.get(f"{gateway.admin_url}/readyz", timeout=10)
    assert answer.status_code == 503
    assert "authorization server" in answer.text
    assert requests.get(f"{gateway.admin_url}/healthz", timeout=10).status_code == 200


def test_guessing_a_clients_secret_stands_in_the_log_of_refusals(start_gateway, httpbin):
    """With the address that it came from; never with what was guessed."""
    gateway = start_gateway(
        {
            "access_log": "refusals",
            "authorization_servers": {"local": embedded_server({"orders:read": "See orders"})},
            "upstreams": {"legacy": {"servers": [httpbin]}},
            "routes": [{"name": "all", "match": {"path": "/**"}, "require": {}}],
        }
    )
    url = f"{gateway.authorization_server_url}/oauth2/token"
    form = {"grant_type": "client_credentials"}
    requests.post(url, data=form, auth=("shop", "guessed-secret"), timeout=10)
    wait_until(gateway.access_log)
    [entry] = gateway.access_log()
    assert (entry["outcome"], entry["status"], entry["peer"]) == ("refused", 401, "127.0.0.1")
    assert entry["path"] == "/oauth2/token"
    assert "guessed-secret" not in gateway.program.output.read_text() + gateway.program.text()
