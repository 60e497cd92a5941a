"""nginx in front of the guard, by a unix socket, with the configuration that is shipped."""

import json
import os
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests
from websockets.sync.client import connect

from tests.e2e.programs import Gateway, Program, running_gateway, wait_until
from tests.e2e.test_websockets import running_service
from tests.parts.ports import free_port
from tests.serving.certificates import Pair

SHIPPED = Path(__file__).parents[2] / "deploy" / "nginx" / "gateway.conf"
AROUND = """
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
    include {folder}/gateway.conf;
}}
"""


class Mirror(BaseHTTPRequestHandler):
    """Answers with what it was asked: the target and the headers."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        seen = {"target": self.path, "headers": {k.lower(): v for k, v in self.headers.items()}}
        if self.path == "/broken":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")
            self.close_connection = True
            return
        body = json.dumps(seen).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def mirror() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Mirror) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("nginx")


@pytest.fixture(scope="module")
def gateway(mirror: str, folder: Path) -> Iterator[Gateway]:
    with running_service() as socket_service:
        settings = {
            "listen": f"unix:{folder}/gateway.sock",
            "public_url": "https://api.example.com",
            "trusted_proxies": ["unix"],
            "upstreams": {
                "mirror": {"servers": [mirror]},
                "socket": {"servers": [socket_service]},
            },
            "routes": [
                {
                    "name": "socket",
                    "match": {"path": "/socket"},
                    "upstream": "socket",
                    "public": True,
                    "upgrade": ["websocket"],
                },
                {
                    "name": "mirror",
                    "match": {"path": "/**"},
                    "upstream": "mirror",
                    "public": True,
                },
            ],
        }
        with running_gateway(settings, folder / "gateway") as gateway:
            yield gateway


@pytest.fixture(scope="module")
def pair(folder: Path) -> Pair:
    return Pair(folder).write()


@pytest.fixture(scope="module")
def url(nginx: Path, gateway: Gateway, folder: Path, pair: Pair) -> Iterator[str]:
    """Where nginx listens."""
    port = free_port()
    text = SHIPPED.read_text(encoding="utf-8")
    live = "/etc/letsencrypt/live/api.example.com"
    for shipped, ours in {
        "listen 443 ssl;": f"listen 127.0.0.1:{port} ssl;",
        "server unix:/run/gateway/gateway.sock;": f"server unix:{folder}/gateway.sock;",
        f"ssl_certificate {live}/fullchain.pem;": f"ssl_certificate {pair.certificate};",
        f"ssl_certificate_key {live}/privkey.pem;": f"ssl_certificate_key {pair.key};",
    }.items():
        assert text.count(shipped) == 1, shipped
        text = text.replace(shipped, ours)
    (folder / "gateway.conf").write_text(text, encoding="utf-8")
    configuration = folder / "nginx.conf"
    # The workers of a master that is root are else "nobody", who may open nothing here.
    user = "user root;\n" if os.geteuid() == 0 else ""
    configuration.write_text(user + AROUND.format(folder=folder), encoding="utf-8")
    program = Program([nginx, "-p", folder, "-c", configuration], folder / "output", cwd=folder)
    found = f"https://localhost:{port}"

    def is_up() -> bool:
        assert program.process.poll() is None, program.text()
        try:
            return ask(found, pair, "/up").status_code == 200
        except requests.ConnectionError:
            return False

    try:
        wait_until(is_up, 30, "nginx accepts connections")
        yield found
    finally:
        program.stop()


def ask(url: str, pair: Pair, target: str, **headers: str) -> requests.Response:
    return requests.get(url + target, headers=headers, verify=str(pair.certificate), timeout=20)


def test_service_learns_the_client_from_nginx_and_from_nobody_else(url: str, pair: Pair) -> None:
    forged = {"X-Forwarded-For": "192.0.2.66", "X-Forwarded-Proto": "http"}
    seen = ask(url, pair, "/a%7Eb?c=%2F", **forged).json()
    assert seen["target"] == "/a~b?c=%2F"
    assert seen["headers"]["x-forwarded-for"] == "127.0.0.1"
    assert seen["headers"]["x-forwarded-proto"] == "https"
    assert seen["headers"]["x-forwarded-host"] == url.removeprefix("https://")


@pytest.mark.parametrize("target", ["/a//b", "/a/%2e%2e/b", "/a%2Fb"])
def test_path_reaches_the_guard_as_the_client_wrote_it(url: str, pair: Pair, target: str) -> None:
    """Nothing is mended before it is judged: the guard refuses what nginx would have normalised."""
    with requests.Session() as session:
        request = requests.Request("GET", url).prepare()
        request.url = url + target
        answer = session.send(request, verify=str(pair.certificate), timeout=20)
    assert answer.status_code == 400


def test_connections_to_the_guard_are_kept(url: str, pair: Pair, gateway: Gateway) -> None:
    for _ in range(5):
        assert ask(url, pair, "/up").status_code == 200
    metrics = requests.get(f"{gateway.admin_url}/metrics", timeout=10).text
    assert 'gateway_connections{listener="guard"} 1.0' in metrics


def test_answer_that_was_cut_off_is_not_made_whole(url: str, pair: Pair) -> None:
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        ask(url, pair, "/broken")


def test_websocket_passes_both(url: str, pair: Pair) -> None:
    context = ssl.create_default_context(cafile=str(pair.certificate))
    address = url.replace("https://", "wss://") + "/socket"
    with connect(address, ssl=context, max_size=None, proxy=None) as socket:
        for message in ("one", b"x" * 1024 * 1024):
            socket.send(message)
            assert socket.recv(timeout=30) == message
