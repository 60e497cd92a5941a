"""Several workers on one port: shared, replaced, drained, and one gateway to whoever looks."""

import contextlib
import http.client
import itertools
import json
import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from tests.e2e.programs import GATEWAY, Gateway, wait_until
from tests.e2e.workers_stage import (
    PATIENCE,
    SCOPE,
    Client,
    Service,
    clients_of_each,
    clients_of_each_more,
    connections_of,
    guarded_settings_for,
    lives,
    no_client_left,
    refuses,
    series,
    service,
    settings_for,
    value,
    workers_of,
)

__all__ = ["no_client_left", "service"]

Start = Callable[..., Gateway]


def test_two_workers_have_half_of_the_connections_each(start_gateway: Start, service: str) -> None:
    gateway = start_gateway(settings_for(service))
    assert len(workers_of(gateway)) == 2
    clients_of_each(gateway, 10)


def test_the_word_of_the_command_goes_before_that_of_the_file(
    start_gateway: Start, service: str
) -> None:
    gateway = start_gateway(settings_for(service), words=["--workers", "3"])
    assert len(workers_of(gateway)) == 3


@pytest.mark.parametrize("words", [(), ("--workers", "1")])
def test_one_worker_is_the_process_itself(
    start_gateway: Start, service: str, words: tuple[str, ...]
) -> None:
    gateway = start_gateway(settings_for(service, workers=2 if words else 1), words=words)
    assert workers_of(gateway) == []
    assert value(series(gateway), "gateway_workers") == 1


@pytest.mark.parametrize("word", ["0", "-1", "1025", "two", "1.5", "", "٣"])
def test_a_number_that_makes_no_sense_is_refused(word: str, tmp_path: Path) -> None:
    command = [GATEWAY, "run", "-c", tmp_path / "no.yaml", f"--workers={word}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert re.fullmatch(r"gateway run: .*write a number from 1 to 1024, or auto.*\n", done.stderr)


def test_metrics_are_those_of_all_workers(start_gateway: Start, service: str) -> None:
    gateway = start_gateway(settings_for(service))
    for client in clients_of_each(gateway, 3):
        assert client.ask() == 200
    samples = series(gateway)
    assert value(samples, "gateway_requests_total") == 12
    assert value(samples, "gateway_request_duration_seconds_count") == 12
    assert value(samples, "gateway_workers") == 2
    assert samples["gateway_connections[('listener', 'guard')]"] == 6
    assert value(samples, "gateway_upstream_up") == 1
    # What a route can yield is there from the start.
    assert samples["gateway_refusals_total[('reason', 'no_route'), ('route', '-')]"] == 0


def test_a_worker_that_is_killed_under_load_is_replaced(start_gateway: Start, service: str) -> None:
    """Only requests on its own connections fail, one at most on each; no counter goes down."""
    gateway = start_gateway(settings_for(service))
    first, second = workers_of(gateway)
    port = gateway.address[1]
    enough, failed, served = threading.Event(), [], itertools.count()

    def call() -> None:
        client = Client(gateway)
        while not enough.is_set():
            try:
                assert client.ask() == 200
                next(served)
            except (http.client.HTTPException, OSError) as error:
                failed.append(error)
                client = Client(gateway)

    threads = [threading.Thread(target=call) for _ in range(10)]
    for thread in threads:
        thread.start()
    wait_until(lambda: value(series(gateway), "gateway_requests_total") > 100)
    before = series(gateway)
    its_connections = connections_of(first, port)
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: len(set(workers_of(gateway)) - {first}) == 2, PATIENCE)
    wait_until(lambda: value(series(gateway), "gateway_workers") == 2, PATIENCE)
    enough.set()
    for thread in threads:
        thread.join(PATIENCE)
    after = series(gateway)

    assert second in workers_of(gateway)
    assert 0 < len(failed) <= its_connections == 5
    for name, count in before.items():
        if "_total[" in name or "_count[" in name or "_bucket[" in name or "_sum[" in name:
            assert after[name] >= count, name
    assert value(after, "gateway_worker_restarts_total") == 1
    # What the dead one counted and had not told yet is all that may be missing.
    assert value(after, "gateway_requests_total") <= next(served) + len(failed)
    gateway.program.wait_for_line(rf"worker 0 \(process {first}\) ended by signal 9")
    assert clients_of_each  # and the port is shared anew
    Client(gateway).ask()


def test_a_revocation_through_one_worker_holds_in_all(start_gateway: Start, service: str) -> None:
    """Those that remember the token in the processes that did not hear of it first."""
    gateway = start_gateway(guarded_settings_for(service))
    gateway.add_client("shop", "--grant", "client_credentials", "--scope", SCOPE)
    token = gateway.issue_token("shop", SCOPE)
    clients = clients_of_each(gateway, 1, token)
    for client in clients:
        assert client.ask() == 200  # from memory
    done = gateway.command("token", "revoke", token)
    assert done.returncode == 0
    assert "2 workers acknowledged" in done.stdout + done.stderr
    assert [client.ask() for client in clients] == [401, 401]
    # Each worker heard of it; it was one revocation.
    assert value(series(gateway), "gateway_revocations_total") == 1


def test_a_revocation_at_the_endpoint_holds_in_all(start_gateway: Start, service: str) -> None:
    gateway = start_gateway(guarded_settings_for(service))
    gateway.add_client("shop", "--grant", "client_credentials", "--scope", SCOPE)
    for _ in range(5):
        token = gateway.issue_token("shop", SCOPE)
        clients = clients_of_each(gateway, 1, token)
        status = requests.post(
            f"{gateway.authorization_server_url}/oauth2/revoke",
            data={"token": token},
            auth=("shop", gateway.secrets["shop"]),
            timeout=PATIENCE,
        ).status_code  # an answer that is kept keeps its connection
        assert status == 200
        assert [client.ask() for client in clients] == [401, 401]
        for client in clients:
            client.connection.close()
        wait_until(lambda: series(gateway)["gateway_connections[('listener', 'guard')]"] == 0)


def test_a_replaced_worker_serves_the_authorization_server_again(
    start_gateway: Start, service: str
) -> None:
    gateway = start_gateway(guarded_settings_for(service))
    gateway.add_client("shop", "--grant", "client_credentials", "--scope", SCOPE)
    token = gateway.issue_token("shop", SCOPE)
    first = min(workers_of(gateway))
    os.kill(first, signal.SIGKILL)
    # Who connects meanwhile waits, and is not turned away.
    assert gateway.issue_token("shop", SCOPE) != token
    assert first not in workers_of(gateway)
    assert Client(gateway, token).ask() == 200


def test_sigterm_drains_all_workers(start_gateway: Start, service: str) -> None:
    gateway = start_gateway(settings_for(service))
    clients = clients_of_each(gateway, 1)
    idle = clients_of_each_more(gateway, clients)
    for client in clients:
        client.begin("/slow")
    wait_until(lambda: Service.waiting == 2)
    gateway.program.process.send_signal(signal.SIGTERM)
    gateway.program.wait_for_line("draining")
    wait_until(lambda: refuses(gateway))
    assert requests.get(f"{gateway.admin_url}/readyz", timeout=PATIENCE).status_code == 503
    assert requests.get(f"{gateway.admin_url}/healthz", timeout=PATIENCE).status_code == 200
    # Those that wait for nothing are closed at once.
    assert [client.connection.sock.recv(1) for client in idle] == [b"", b""]
    workers = workers_of(gateway)
    assert len(workers) == 2
    Service.may_answer.set()
    assert [client.end() for client in clients] == [200, 200]
    assert gateway.program.process.wait(PATIENCE) == 0
    assert not any(map(lives, workers))
    assert len(gateway.access_log()) == 6


def test_a_worker_that_is_told_to_end_finishes_and_is_replaced(
    start_gateway: Start, service: str
) -> None:
    gateway = start_gateway(settings_for(service))
    first, second = workers_of(gateway)
    clients = clients_of_each(gateway, 1)
    for client in clients:
        client.begin("/slow")
    wait_until(lambda: Service.waiting == 2)
    os.kill(first, signal.SIGTERM)
    wait_until(lambda: len(workers_of(gateway)) == 3, PATIENCE)
    wait_until(lambda: value(series(gateway), "gateway_workers") == 3, PATIENCE)
    assert Client(gateway).ask() == 200
    Service.may_answer.set()
    assert [client.end() for client in clients] == [200, 200]
    wait_until(lambda: not lives(first), PATIENCE)
    assert second in workers_of(gateway)
    assert value(series(gateway), "gateway_requests_total") == 5


def test_workers_end_with_their_supervisor(start_gateway: Start, service: str) -> None:
    gateway = start_gateway(settings_for(service))
    workers = workers_of(gateway)
    client = Client(gateway)
    client.begin("/slow")
    wait_until(lambda: Service.waiting == 1)
    gateway.program.process.kill()
    wait_until(lambda: refuses(gateway))
    # What is under way is finished first.
    Service.may_answer.set()
    assert client.end() == 200
    wait_until(lambda: not any(map(lives, workers)), PATIENCE)


def test_a_worker_that_cannot_start_fails_the_start_with_one_line(
    service: str, tmp_path: Path
) -> None:
    settings = guarded_settings_for(service)
    embedded = settings["authorization_servers"]["local"]["embedded"]  # type: ignore[index]
    embedded["database"] = "sqlite:////proc/nowhere/gateway.db"
    file = tmp_path / "gateway.yaml"
    file.write_text(
        json.dumps({"listen": "127.0.0.1:0", "admin_listen": "127.0.0.1:0", **settings})
    )
    command = [GATEWAY, "run", "-c", file]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert re.fullmatch(r"gateway: database of authorization server 'local': .*\n", done.stderr)


def test_a_worker_that_does_not_start_again_is_tried_again_ever_more_slowly(
    start_gateway: Start, service: str
) -> None:
    """The other one serves, and the log says why."""
    gateway = start_gateway(settings_for(service))
    first, second = workers_of(gateway)
    state = gateway.configuration.parent / "state"
    state.chmod(0o777)  # who may write there could take a worker's place: none starts
    os.kill(first, signal.SIGKILL)
    gateway.program.wait_for_line("worker 0 does not start: state_dir .*others may write to it")
    assert Client(gateway).ask() == 200
    assert requests.get(f"{gateway.admin_url}/readyz", timeout=PATIENCE).text == "ready\n"
    assert workers_of(gateway)[0] == second or second in workers_of(gateway)
    state.chmod(0o700)
    gateway.program.wait_for_line("worker 0 serves again")
    assert value(series(gateway), "gateway_workers") == 2


def test_a_changed_file_does_not_change_a_worker_that_is_replaced(
    start_gateway: Start, service: str
) -> None:
    gateway = start_gateway(settings_for(service))
    gateway.configuration.write_text("broken: [")
    first, _ = workers_of(gateway)
    os.kill(first, signal.SIGKILL)
    gateway.program.wait_for_line("worker 0 serves again")
    clients_of_each(gateway, 2)


def test_it_is_not_ready_while_no_worker_answers(start_gateway: Start, service: str) -> None:
    gateway = start_gateway(settings_for(service))
    with stopped(*workers_of(gateway)):
        answer = requests.get(f"{gateway.admin_url}/readyz", timeout=PATIENCE)
        assert (answer.status_code, answer.text) == (503, "no worker answers\n")
        # What they have told before is shown all the same.
        assert value(series(gateway), "gateway_workers") == 2
    wait_until(lambda: requests.get(f"{gateway.admin_url}/readyz", timeout=9).status_code == 200)


def test_connections_pass_a_worker_that_hangs(start_gateway: Start, service: str) -> None:
    """But for those that it was given before that could be known, which wait for it."""
    gateway = start_gateway(settings_for(service))
    first, second = workers_of(gateway)
    with stopped(first):
        waiting = [Client(gateway), Client(gateway)]
        for client in waiting:
            client.begin("/a")
        wait_until(lambda: connections_of(second, gateway.address[1]) == 1)
        wait_until(lambda: passed_over(gateway, second))
        # By the time that it took to take none, and not by how many wait already.
        assert len(Client.made) - connections_of(second, gateway.address[1]) < 64
    assert [client.end() for client in waiting] == [200, 200]


def passed_over(gateway: Gateway, second: int) -> bool:
    """Says whether two connections in a row went to that worker."""
    before = connections_of(second, gateway.address[1])
    for _ in range(2):
        Client(gateway)
    wait_until(lambda: connections_of(second, gateway.address[1]) > before)
    return connections_of(second, gateway.address[1]) == before + 2


@contextlib.contextmanager
def stopped(*pids: int) -> Iterator[None]:
    """Holds processes up, as if they hung, until the block ends."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def test_everybody_may_be_told_to_end_at_once(start_gateway: Start, service: str) -> None:
    """As systemd does: the supervisor and every worker get SIGTERM."""
    gateway = start_gateway(settings_for(service))
    clients = clients_of_each(gateway, 1)
    for client in clients:
        client.begin("/slow")
    wait_until(lambda: Service.waiting == 2)
    workers = workers_of(gateway)
    for pid in (*workers, gateway.pid):
        os.kill(pid, signal.SIGTERM)
    wait_until(lambda: refuses(gateway))
    Service.may_answer.set()
    assert [client.end() for client in clients] == [200, 200]
    assert gateway.program.process.wait(PATIENCE) == 0
    assert not any(map(lives, workers))


def test_each_request_has_a_line_in_the_log_whoever_served_it(
    start_gateway: Start, service: str
) -> None:
    gateway = start_gateway(settings_for(service))
    clients = clients_of_each(gateway, 2)
    for number in range(50):
        for client in clients:
            assert client.ask("/" + "x" * (100 * number)) == 200
    assert gateway.program.stop() == 0
    log = gateway.access_log()
    assert len(log) == 204
    assert {entry["status"] for entry in log} == {200}


def test_workers_run_the_same_program_whatever_lies_in_the_working_directory(
    start_gateway: Start, service: str, tmp_path: Path
) -> None:
    for name in ("gateway", "asyncio", "json"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('taken in')")
    gateway = start_gateway(settings_for(service), cwd=tmp_path)
    assert len(workers_of(gateway)) == 2
    assert Client(gateway).ask() == 200
