"""Clients, a service, and looks at the processes of a gateway with several workers."""

import contextlib
import http.client
import socket
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.programs import Gateway, embedded_server, wait_until

SCOPE = "orders:read"
PATIENCE = 20.0


class Service(BaseHTTPRequestHandler):
    """Answers at once, or under /slow when it is let."""

    protocol_version = "HTTP/1.1"
    may_answer = threading.Event()
    waiting = 0

    def do_GET(self) -> None:
        if self.path == "/slow":
            type(self).waiting += 1
            self.may_answer.wait(PATIENCE)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def service() -> Iterator[str]:
    """The URL of a service that takes no time, unless it is asked for /slow."""
    Service.may_answer.clear()
    Service.waiting = 0
    with ThreadingHTTPServer(("127.0.0.1", 0), Service) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        Service.may_answer.set()
        server.shutdown()
        thread.join()


def settings_for(service: str, **changes: object) -> dict[str, object]:
    return {
        "workers": 2,
        "upstreams": {"legacy": {"servers": [service]}},
        "routes": [{"name": "all", "match": {"path": "/**"}, "public": True}],
        **changes,
    }


def guarded_settings_for(service: str) -> dict[str, object]:
    return settings_for(
        service,
        authorization_servers={"local": embedded_server({SCOPE: "See your orders"})},
        routes=[{"name": "all", "match": {"path": "/**"}, "require": {"scopes": [SCOPE]}}],
    )


def workers_of(gateway: Gateway) -> list[int]:
    """Gives the process ids of a gateway's workers."""
    children = Path(f"/proc/{gateway.pid}/task/{gateway.pid}/children").read_text()
    return [
        int(word) for word in children.split() if b"gateway.workers.worker" in _command_of(word)
    ]


def lives(pid: int) -> bool:
    """Says whether a process runs; one that has ended and is not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def connections_of(pid: int, port: int) -> int:
    """Gives how many connections a process has to clients of a port, from what the system says."""
    inodes = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            inodes.add(str(descriptor.readlink()))
    lines = Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]
    fields = (line.split() for line in lines)
    return sum(
        f"socket:[{field[9]}]" in inodes and int(field[1].rpartition(":")[2], 16) == port
        for field in fields
    )


class Client:
    """One connection to the guard, kept open; all that were made are closed after each test."""

    made: ClassVar[list["Client"]] = []

    def __init__(self, gateway: Gateway, token: str | None = None) -> None:
        self.connection = http.client.HTTPConnection(*gateway.address, timeout=PATIENCE)
        self.connection.connect()
        self.made.append(self)
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}

    def ask(self, path: str = "/a") -> int:
        self.begin(path)
        return self.end()

    def begin(self, path: str) -> None:
        # Without http.client's silent second try on another connection.
        self.connection.auto_open = 0
        self.connection.request("GET", path, headers=self.headers)

    def end(self) -> int:
        answer = self.connection.getresponse()
        answer.read()
        return answer.status


def series(gateway: Gateway) -> dict[str, float]:
    """Gives every sample of /metrics by its name and labels."""
    answer = requests.get(f"{gateway.admin_url}/metrics", timeout=PATIENCE)
    return {
        f"{sample.name}{sorted(sample.labels.items())}": sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def value(samples: Mapping[str, float], name: str) -> float:
    """Gives the sum of all samples of a name."""
    return sum(one for key, one in samples.items() if key.partition("[")[0] == name)


def clients_of_each(gateway: Gateway, count: int, token: str | None = None) -> list[Client]:
    """Gives so many connections to each worker, when there are no others: they go in turn."""
    name = "gateway_connections[('listener', 'authorization_server')]"
    wait_until(lambda: not series(gateway).get(name))
    clients = [Client(gateway, token) for _ in range(count * len(workers_of(gateway)))]
    for client in clients:
        assert client.ask() == 200
    port = gateway.address[1]
    found = {pid: connections_of(pid, port) for pid in workers_of(gateway)}
    assert set(found.values()) == {count}, found
    return clients


@pytest.fixture(autouse=True)
def no_client_left() -> Iterator[None]:
    yield
    while Client.made:
        Client.made.pop().connection.close()


def clients_of_each_more(gateway: Gateway, clients: list[Client]) -> list[Client]:
    """Gives as many connections more, one to each worker again."""
    more = [Client(gateway) for _ in clients]
    for client in more:
        assert client.ask() == 200
    return more


def refuses(gateway: Gateway) -> bool:
    try:
        socket.create_connection(gateway.address, 1).close()
    except ConnectionRefusedError:
        return True
    return False


def _command_of(pid: str) -> bytes:
    """A process's command line; empty when it has ended meanwhile."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""
