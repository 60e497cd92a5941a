"""TLS as foreign programs see it: curl, openssl, requests; on both listeners that clients reach."""

import json
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.e2e.programs import Gateway, running_gateway, wait_until
from tests.parts.ports import free_port
from tests.serving.certificates import Pair


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return Pair(tmp_path_factory.mktemp("tls")).write()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, pair: Pair) -> Iterator[Gateway]:
    embedded = {
        "listen": f"127.0.0.1:{free_port()}",
        "tls": pair.settings,
        "scopes": {"orders:read": "See your orders"},
    }
    settings = {
        "tls": pair.settings,
        "authorization_servers": {"local": {"embedded": embedded}},
        "upstreams": {"nobody": {"servers": ["http://127.0.0.1:9"]}},
        "routes": [{"name": "orders", "match": {"path": "/orders"}, "require": {}}],
    }
    with running_gateway(settings, tmp_path_factory.mktemp("gateway")) as gateway:
        yield gateway


def test_curl_trusts_the_guard_and_finds_its_metadata(
    gateway: Gateway, pair: Pair, curl: Path
) -> None:
    assert gateway.url.startswith("https://")
    url = f"{gateway.url}/.well-known/oauth-protected-resource"
    command = [curl, "--silent", "--show-error", "--http2", "--cacert", pair.certificate, url]
    metadata = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert metadata["resource"] == gateway.url
    assert metadata["authorization_servers"] == [gateway.authorization_server_url]


def test_authorization_server_speaks_tls_under_its_own_issuer(gateway: Gateway, pair: Pair) -> None:
    issuer = gateway.authorization_server_url
    assert issuer is not None
    assert issuer.startswith("https://")
    url = f"{issuer}/.well-known/oauth-authorization-server"
    metadata = requests.get(url, verify=str(pair.certificate), timeout=10).json()
    assert metadata["issuer"] == issuer
    assert metadata["token_endpoint"] == f"{issuer}/oauth2/token"


def test_connections_to_the_authorization_server_are_counted_from_the_first_byte_on(
    gateway: Gateway,
) -> None:
    """And so they are bounded, as those to the guard are."""
    host, _, port = str(gateway.authorization_server_url).removeprefix("https://").rpartition(":")
    with socket.create_connection((host, int(port)), timeout=10):
        line = 'gateway_connections{listener="authorization_server"} 1.0'
        wait_until(
            lambda: line in requests.get(f"{gateway.admin_url}/metrics", timeout=10).text,
        )


def test_plain_http_to_the_authorization_server_is_no_request(gateway: Gateway) -> None:
    issuer = gateway.authorization_server_url
    assert issuer is not None
    with pytest.raises(requests.ConnectionError):
        requests.get(issuer.replace("https:", "http:"), timeout=10)


@pytest.mark.parametrize("listener", ["guard", "authorization_server"])
def test_client_cannot_ask_for_a_new_handshake(
    gateway: Gateway, openssl: Path, listener: str
) -> None:
    """It costs the server much more than the client (CVE-2011-1473)."""
    url = gateway.url if listener == "guard" else gateway.authorization_server_url
    assert url is not None
    address = url.removeprefix("https://")
    command = [openssl, "s_client", "-connect", address, "-tls1_2"]
    done = subprocess.run(command, input=b"R\n", capture_output=True, timeout=30, check=False)
    assert b"RENEGOTIATING" in done.stderr + done.stdout
    assert b"no renegotiation" in done.stderr


def test_session_is_resumed(gateway: Gateway) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    session = None
    for is_resumed in (False, True):
        with (
            socket.create_connection(gateway.address, timeout=10) as connection,
            context.wrap_socket(connection, session=session) as client,
        ):
            assert client.session_reused is is_resumed
            session = client.session


def test_nothing_was_logged_of_failed_handshakes(gateway: Gateway) -> None:
    with socket.create_connection(gateway.address, timeout=10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert b"HTTP" not in connection.recv(100)
    text = requests.get(f"{gateway.admin_url}/metrics", timeout=10).text
    assert 'gateway_tls_handshake_failures_total{listener="guard"} 0.0' not in text
    assert "Traceback" not in gateway.program.text()
    assert gateway.program.text().count("ssl") == 0
