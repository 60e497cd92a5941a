"""Server-sent events through the guard, from a source and to a client that nobody here wrote.

nginx with the nchan module sends what is posted to it to all who listen; the client is npm's
eventsource.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import pytest
import requests

from tests.e2e.programs import (
    Gateway,
    Program,
    embedded_server,
    running_gateway,
    wait_until,
)
from tests.e2e.terminals import running_node
from tests.parts.ports import free_port

EVENTS = 50
CONFIGURATION = """
load_module {module};
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location = /publish {{
            nchan_publisher;
            nchan_channel_id orders;
        }}
        location = /orders/events {{
            nchan_subscriber eventsource;
            nchan_channel_id orders;
            nchan_subscriber_first_message newest;
        }}
    }}
}}
"""


class Source:
    """A running source of events."""

    def __init__(self, url: str) -> None:
        self.url = url

    def publish(self, text: str) -> None:
        """Sends an event to all who listen."""
        done = requests.post(f"{self.url}/publish", data=text, timeout=10)
        assert done.status_code in (201, 202), done.text

    def listeners(self) -> int:
        """Gives how many connections it holds for those who listen."""
        answer = requests.get(
            f"{self.url}/publish", headers={"Accept": "application/json"}, timeout=10
        )
        return int(answer.json()["subscribers"]) if answer.status_code == 200 else 0


@pytest.fixture(scope="module")
def source(nchan: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Source]:
    nginx, module = nchan
    folder, port = tmp_path_factory.mktemp("nchan"), free_port()
    configuration = folder / "nginx.conf"
    text = CONFIGURATION.format(module=module, folder=folder, port=port)
    configuration.write_text(text, encoding="utf-8")
    program = Program([nginx, "-p", folder, "-c", configuration], folder / "output", cwd=folder)
    try:
        found = Source(f"http://127.0.0.1:{port}")
        wait_until(partial(is_up, found, program), 30, "nginx accepts connections")
        yield found
    finally:
        program.stop()


def is_up(source: Source, program: Program) -> bool:
    assert program.process.poll() is None, program.text()
    try:
        source.listeners()
    except requests.ConnectionError:
        return False
    return True


@pytest.fixture(scope="module")
def gateway(source: Source, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    settings = {
        "authorization_servers": {"local": embedded_server({"orders:read": "See orders"})},
        "upstreams": {"orders": {"servers": [source.url]}},
        "routes": [
            {
                "name": "events",
                "match": {"path": "/orders/events", "methods": ["GET"]},
                "require": {"scopes": ["orders:read"]},
            }
        ],
    }
    with running_gateway(settings, tmp_path_factory.mktemp("gw")) as gateway:
        gateway.add_client("screen", "--grant", "client_credentials", "--scope", "orders:read")
        yield gateway


Listen = Callable[[], AbstractContextManager[Program]]


@pytest.fixture
def listen(gateway: Gateway, eventsource: Path, tmp_path: Path) -> Listen:
    """Runs a client that listens through the guard."""
    arguments = [f"{gateway.url}/orders/events", gateway.issue_token("screen", "orders:read")]
    return partial(
        running_node,
        eventsource,
        "events.mjs",
        arguments,
        tmp_path,
        "^open$",
        packages="eventsource",
    )


def test_each_event_is_heard_before_the_next_is_sent(source: Source, listen: Listen) -> None:
    with listen() as client:
        for number in range(EVENTS):
            source.publish(f"order {number}")
            # Whoever gathered events would have this one wait for ever.
            client.wait_for_line(f"^heard order {number}$")
        assert "error" not in client.text()


def test_the_source_learns_that_a_client_has_gone(source: Source, listen: Listen) -> None:
    """And that one of two has, while the other goes on listening."""
    wait_until(lambda: source.listeners() == 0, what="nobody listens")
    with listen() as stays:
        with listen() as goes:
            wait_until(lambda: source.listeners() == 2, what="two listen")
            goes.process.kill()
            wait_until(lambda: source.listeners() == 1, what="one of them is gone")
        source.publish("for who is left")
        stays.wait_for_line("^heard for who is left$")
    wait_until(lambda: source.listeners() == 0, what="both are gone")


def test_without_a_token_the_source_hears_of_nobody(
    source: Source, gateway: Gateway, eventsource: Path, tmp_path: Path
) -> None:
    """A client that is refused does not come back by itself, as for every status but 200."""
    wait_until(lambda: source.listeners() == 0, what="nobody listens")
    arguments = [f"{gateway.url}/orders/events", "nonsense"]
    with running_node(
        eventsource, "events.mjs", arguments, tmp_path, "^error 401$", packages="eventsource"
    ) as client:
        assert client.process.wait(30) == 0  # nothing is left for it to wait for
    assert source.listeners() == 0
