"""A WebSocket service behind `gateway run`, spoken to by the `websockets` library on both ends."""

import threading
import time
from contextlib import contextmanager

import pytest
import requests
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.sync.server import serve

from tests.e2e.programs import embedded_server, running_gateway

# The promise is a second; the rest is for a machine that is busy with other tests.
CLOSED_SECONDS = 3.0


def echo(socket):
    for message in socket:
        socket.send(message)


@contextmanager
def running_service():
    with serve(echo, "127.0.0.1", 0, max_size=None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield "http://{}:{}".format(*server.socket.getsockname())
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    with running_service() as service:
        settings = {
            "authorization_servers": {"local": embedded_server({"chat": "Talk"}, lifetime="10m")},
            "upstreams": {"service": {"servers": [service]}},
            "routes": [
                {
                    "name": "socket",
                    "match": {"path": "/socket"},
                    "require": {"scopes": ["chat"]},
                    "upgrade": ["websocket"],
                },
                {"name": "plain", "match": {"path": "/plain"}, "require": {"scopes": ["chat"]}},
            ],
        }
        with running_gateway(settings, tmp_path_factory.mktemp("gw")) as running:
            running.add_client("chatter", "--grant", "client_credentials", "--scope", "chat")
            yield running


@pytest.fixture
def token(gateway):
    return gateway.issue_token("chatter", "chat")


def open_socket(gateway, path="/socket", token=None):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    url = gateway.url.replace("http://", "ws://", 1) + path
    return connect(url, additional_headers=headers, max_size=None, proxy=None)


def test_messages_of_every_size_come_back(gateway, token):
    """Texts, bytes, an empty one, 8 MiB in one, and a hundred sent before the first is read."""
    with open_socket(gateway, token=token) as socket:
        for message in ("one", b"\x00\xff", "", b"x" * 8 * 1024 * 1024):
            socket.send(message)
            assert socket.recv(timeout=30) == message
        for number in range(100):
            socket.send(str(number))
        assert [socket.recv(timeout=30) for _ in range(100)] == [str(n) for n in range(100)]


def test_without_a_token_there_is_no_socket(gateway):
    with pytest.raises(InvalidStatus) as refused:
        open_socket(gateway)
    assert refused.value.response.status_code == 401


def test_a_route_that_does_not_say_so_opens_no_socket(gateway, token):
    """The service is asked without Upgrade, and has an ordinary answer."""
    with pytest.raises(InvalidStatus) as refused:
        open_socket(gateway, "/plain", token)
    assert refused.value.response.status_code == 426


@pytest.mark.parametrize("by", ["endpoint", "command"])
def test_revoking_the_token_closes_its_socket_and_no_other(gateway, token, by):
    other = gateway.issue_token("chatter", "chat")
    with open_socket(gateway, token=token) as socket, open_socket(gateway, token=other) as kept:
        socket.send("still here")
        assert socket.recv(timeout=30) == "still here"
        if by == "endpoint":
            answer = requests.post(
                f"{gateway.authorization_server_url}/oauth2/revoke",
                data={"token": token},
                auth=("chatter", gateway.secrets["chatter"]),
                timeout=10,
            )
            assert answer.status_code == 200
        else:
            done = gateway.command("token", "revoke", token)
            assert done.returncode == 0, done.stderr
        started = time.monotonic()
        with pytest.raises(ConnectionClosed):
            socket.recv(timeout=30)
        assert time.monotonic() - started < CLOSED_SECONDS
        kept.send("still here")
        assert kept.recv(timeout=30) == "still here"
