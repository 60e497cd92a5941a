"""TLS and unix sockets where several processes serve one listener."""

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import requests

from tests.e2e.programs import Gateway, running_gateway, wait_until
from tests.serving.certificates import Pair, client_context
from tests.serving.test_limits import ask, guard_settings, speaking


def metrics(gateway: Gateway) -> str:
    return requests.get(f"{gateway.admin_url}/metrics", timeout=10).text


@pytest.fixture
def path() -> Iterator[Path]:
    with TemporaryDirectory(prefix="gateway-") as folder:
        yield Path(folder) / "gateway.sock"


def test_workers_serve_a_unix_socket_that_is_gone_at_the_end(tmp_path: Path, path: Path) -> None:
    settings = {
        **guard_settings(),
        "workers": 2,
        "listen": f"unix:{path}",
        "public_url": "https://api.example.com",
    }
    with running_gateway(settings, tmp_path) as gateway, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(4)]
        for client in clients:
            client.connect(str(path))
            assert ask(client) == b"HTTP/1.1 404"
        assert 'gateway_connections{listener="guard"} 4.0' in metrics(gateway)
    assert not path.exists()


def test_workers_speak_tls_and_count_handshakes_in_one_place(tmp_path: Path) -> None:
    pair = Pair(tmp_path / "tls").write()
    settings = {**guard_settings(), "workers": 2, "tls": pair.settings}
    with running_gateway(settings, tmp_path) as gateway:
        for _ in range(4):
            with (
                socket.create_connection(gateway.address) as raw,
                speaking(raw, has_tls=True) as client,
            ):
                assert client.getpeercert(binary_form=True)
                assert ask(client) == b"HTTP/1.1 404"
        with socket.create_connection(gateway.address) as raw:
            raw.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert b"HTTP" not in raw.recv(100)
        failures = 'gateway_tls_handshake_failures_total{listener="guard"} 1.0'
        wait_until(lambda: failures in metrics(gateway))
        wait_until(lambda: 'gateway_connections{listener="guard"} 0.0' in metrics(gateway))
        text = metrics(gateway)
        assert text.count('gateway_tls_certificate_not_after_seconds{listener="guard"}') == 1
        expiry = float(text.partition('_not_after_seconds{listener="guard"} ')[2].split()[0])
        assert expiry > 1.7e9


def test_renewed_certificate_is_shown_by_every_worker(tmp_path: Path) -> None:
    pair = Pair(tmp_path / "tls").write()
    settings = {**guard_settings(), "workers": 2, "tls": pair.settings}
    with running_gateway(settings, tmp_path) as gateway:
        pair.write()
        trusting = client_context(pair)

        def is_new_everywhere() -> bool:
            """Two connections at a time are in different workers."""
            with contextlib.ExitStack() as stack:
                for _ in range(2):
                    raw = stack.enter_context(socket.create_connection(gateway.address))
                    try:
                        stack.enter_context(trusting.wrap_socket(raw, server_hostname="localhost"))
                    except OSError:
                        return False
            return True

        wait_until(is_new_everywhere, seconds=30)
