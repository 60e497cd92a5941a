"""Everything that a measurement needs, started and joined: who listens where, who asks whom.

Core 0 has the proxies under test and nothing else. Core 1 has the rest: the load generator, an
nginx that is the legacy service and counts introspections, and a gateway that is the authorization
server for both sides alike.
"""

import base64
import http.client
import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from benchmarks.processes import free_ports, running
from benchmarks.proxies import (
    GATEWAY,
    OTHER_CORE,
    PROXY_CORE,
    Start,
    filled,
    running_nginx,
    start_apache,
    start_caddy,
    start_decision_service,
    start_envoy,
    start_gateway,
    start_haproxy,
    start_nginx,
)
from tests.parts.get import locate

__all__ = [
    "ANSWER",
    "GATEWAY",
    "OTHER_CORE",
    "PROXY_CORE",
    "TOKENS",
    "Row",
    "Stage",
    "filled",
    "running_nginx",
    "set_up",
]

TOKENS = 1000
ANSWER = (
    '{"order":17,"customer":"c-20931","status":"shipped",'
    '"total":"129.90","currency":"EUR","items":[31]}'
)


@dataclass(frozen=True)
class Row:
    """One line of the table: a proxy, set up in one way."""

    name: str
    port: int
    pid: int
    asks: int | None = None  # the port at which its introspections arrive
    asked: Path | None = None  # the log with one line for each introspection of all sides
    decision_pid: int | None = None  # whom it asks about each request, on the other core

    def introspections(self) -> int:
        """Gives how many introspections have arrived from this side since the start."""
        if self.asked is None:
            return 0
        line = f"{self.asks} POST /oauth2/introspect 200\n"
        with self.asked.open(encoding="utf-8") as file:
            return sum(found == line for found in file)


@dataclass(frozen=True)
class Stage:
    """What stands ready to be measured."""

    rows: tuple[Row, ...]
    tokens: Path


# Who asks the authorization server, each through a port of its own.
ASKERS = ("gateway", "nginx", "apache", "haproxy", "envoy", "caddy")


@contextmanager
def set_up(folder: Path) -> Iterator[Stage]:
    """Starts everything in an empty folder and gives it until the block ends."""
    ports = iter(free_ports(30))  # more than are needed
    backend, server, plain = next(ports), next(ports), next(ports)
    asks = {name: next(ports) for name in ASKERS}
    with ExitStack() as stack:
        surroundings = folder / "surroundings"
        words: dict[str, object] = {f"{name}_asks_port": port for name, port in asks.items()}
        words |= {"backend_port": backend, "authorization_server_port": server, "answer": ANSWER}
        _start_surroundings(stack, surroundings, words)
        issuer = f"http://127.0.0.1:{server}"
        admin = [next(ports), next(ports)]
        secret, tokens = _start_authorization_server(
            stack, folder / "authorization_server", issuer, admin
        )
        credentials = base64.b64encode(f"guard:{secret}".encode()).decode()
        asked = surroundings / "asked.log"

        def words_for(name: str, port: int) -> dict[str, object]:
            return {
                "port": port,
                "backend_port": backend,
                "introspection_port": asks[name],
                "introspection_credentials": credentials,
                "secret": secret,
            }

        def gateway_row(log: str, title: str) -> Row:
            port, admin_port = next(ports), next(ports)
            settings = _settings_of_guard(port, admin_port, log, issuer, asks["gateway"], backend)
            pid = start_gateway(stack, folder / f"gateway-{log}", settings, secret, port)
            return Row(title, port, pid, asks["gateway"], asked)

        def peer_row(name: str, title: str, start: Start) -> Row:
            port = next(ports)
            pid = start(stack, folder / name, words_for(name, port))
            return Row(title, port, pid, asks[name], asked)

        def asking_row(name: str, title: str, start: Start) -> Row:
            port, decision = next(ports), next(ports)
            decision_pid = start_decision_service(
                stack, folder / f"{name}-decision", words_for(name, decision)
            )
            words = {"port": port, "backend_port": backend, "decision_port": decision}
            pid = start(stack, folder / name, words)
            return Row(title, port, pid, asks[name], asked, decision_pid)

        silent, logging = next(ports), next(ports)
        words = {"plain_port": plain, "silent_port": silent, "logging_port": logging}
        nginx = start_nginx(stack, folder / "nginx", words | words_for("nginx", silent))
        yield Stage(
            rows=(
                Row("nginx, plain proxy, no log", plain, nginx),
                Row("nginx auth_request, no log", silent, nginx, asks["nginx"], asked),
                gateway_row("none", "gateway, no log"),
                peer_row("haproxy", "HAProxy with Lua, no log", start_haproxy),
                asking_row("envoy", "Envoy ext_authz, no log", start_envoy),
                peer_row("apache", "Apache mod_auth_openidc, no log", start_apache),
                asking_row("caddy", "Caddy forward_auth, no log", start_caddy),
                Row("nginx auth_request, log", logging, nginx, asks["nginx"], asked),
                gateway_row("all", "gateway, log"),
            ),
            tokens=tokens,
        )


def _settings_of_guard(
    port: int, admin: int, log: str, issuer: str, asks: int, backend: int
) -> dict[str, object]:
    return {
        "listen": f"127.0.0.1:{port}",
        "admin_listen": f"127.0.0.1:{admin}",
        "public_url": f"http://127.0.0.1:{port}",
        "access_log": log,
        "authorization_servers": {
            "corporate": {
                "introspection": {
                    "issuer": issuer,
                    "url": f"http://127.0.0.1:{asks}/oauth2/introspect",
                    "client_id": "guard",
                    "client_secret": {"env": "GUARD_SECRET"},
                }
            }
        },
        "upstreams": {"orders": {"servers": [f"http://127.0.0.1:{backend}"]}},
        "routes": [
            {
                "name": "read-orders",
                "match": {"path": "/orders/**", "methods": ["GET"]},
                "require": {"scopes": ["orders:read"]},
            }
        ],
    }


def _start_surroundings(stack: ExitStack, folder: Path, words: Mapping[str, object]) -> None:
    folder.mkdir()
    # mod_auth_openidc asks by https alone; it is told not to verify this one.
    command = [
        str(locate("openssl")),
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
    ]
    command += ["-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    command += ["-keyout", str(folder / "key.pem"), "-out", str(folder / "certificate.pem")]
    subprocess.run(command, check=True)
    configuration = folder / "nginx.conf"
    configuration.write_text(filled("nginx/surroundings.conf", {**words, "folder": folder}))
    ready = [int(str(words[name])) for name in words if name.endswith("asks_port")]
    command = [locate("nginx"), "-p", folder, "-c", configuration]
    stack.enter_context(running(command, OTHER_CORE, folder / "output", ready))


def _start_authorization_server(
    stack: ExitStack, folder: Path, issuer: str, guard_ports: list[int]
) -> tuple[str, Path]:
    """Gives the secret with which both sides ask, and the file of issued tokens."""
    folder.mkdir()
    configuration = folder / "gateway.yaml"
    settings = {
        "listen": f"127.0.0.1:{guard_ports[0]}",
        "admin_listen": f"127.0.0.1:{guard_ports[1]}",
        "public_url": f"http://127.0.0.1:{guard_ports[0]}",
        "authorization_servers": {
            "local": {
                "embedded": {
                    "listen": issuer.removeprefix("http://"),
                    "issuer": issuer,
                    "access_token_lifetime": "2h",
                    "scopes": {"orders:read": "See your orders"},
                }
            }
        },
        "upstreams": {"unused": {"servers": ["http://127.0.0.1:9"]}},
        "routes": [{"name": "unused", "match": {"path": "/**"}, "require": {}}],
    }
    configuration.write_text(json.dumps(settings, indent=2))
    guard = _add_client(configuration, "guard", "--introspect")
    load = _add_client(
        configuration, "load", "--grant", "client_credentials", "--scope", "orders:read"
    )
    port = int(issuer.rpartition(":")[2])
    command = [GATEWAY, "run", "-c", configuration]
    stack.enter_context(running(command, OTHER_CORE, folder / "output", [port]))
    tokens = folder / "tokens"
    tokens.write_text("".join(f"{token}\n" for token in _issue(port, "load", load)))
    return guard, tokens


def _add_client(configuration: Path, name: str, *options: str) -> str:
    command = [GATEWAY, "client", "add", name, "-c", configuration, *options, "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return str(json.loads(done.stdout)["client_secret"])


def _issue(port: int, client: str, secret: str) -> Iterator[str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    credentials = base64.b64encode(f"{client}:{secret}".encode()).decode()
    headers = {
        "Authorization": f"Basic {credentials}",
        "Content-Type": "application/x-www-form-urlencoded",
    }
    body = urlencode({"grant_type": "client_credentials", "scope": "orders:read"})
    for _ in range(TOKENS):
        connection.request("POST", "/oauth2/token", body, headers)
        yield str(json.loads(connection.getresponse().read())["access_token"])
    connection.close()
