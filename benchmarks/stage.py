"""Everything that a measurement needs, started and joined: who listens where, who asks whom.

Core 0 has the proxies under test and nothing else. Core 1 has the rest: the load generator, an
nginx that is the legacy service and counts introspections, and a gateway that is the authorization
server for both sides alike.
"""

import base64
import http.client
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from benchmarks.processes import free_ports, running
from tests.parts.get import locate

PROXY_CORE, OTHER_CORE = 0, 1
TOKENS = 1000
ANSWER = (
    '{"order":17,"customer":"c-20931","status":"shipped",'
    '"total":"129.90","currency":"EUR","items":[31]}'
)
PEERS = Path(__file__).parent / "peers"
APACHE_MODULES = Path("/usr/lib/apache2/modules")
GATEWAY = Path(sys.executable).parent / "gateway"


@dataclass(frozen=True)
class Row:
    """One line of the table: a proxy, set up in one way."""

    name: str
    port: int
    pid: int
    asks: Path | None  # the log with one line for each introspection it made

    def introspections(self) -> int:
        """Gives how many introspections have arrived from this side since the start."""
        if self.asks is None:
            return 0
        return sum(" /oauth2/introspect 200" in line for line in self.asks.open(encoding="utf-8"))


@dataclass(frozen=True)
class Stage:
    """What stands ready to be measured."""

    rows: tuple[Row, ...]
    tokens: Path


@contextmanager
def set_up(folder: Path) -> Iterator[Stage]:
    """Starts everything in an empty folder and gives it until the block ends."""
    (
        backend, gateway_asks, nginx_asks, authorization_server,
        plain, nginx_silent, nginx_logging, gateway_silent, gateway_logging,
        apache_asks, apache, *admin,
    ) = free_ports(15)  # fmt: skip
    with ExitStack() as stack:
        _start_surroundings(
            stack,
            folder / "surroundings",
            {
                "backend_port": backend,
                "gateway_asks_port": gateway_asks,
                "nginx_asks_port": nginx_asks,
                "apache_asks_port": apache_asks,
                "authorization_server_port": authorization_server,
                "answer": ANSWER,
            },
        )
        issuer = f"http://127.0.0.1:{authorization_server}"
        secret, tokens = _start_authorization_server(
            stack, folder / "authorization_server", issuer, admin[:2]
        )
        asked = folder / "surroundings"
        nginx = _start_nginx(
            stack,
            folder / "nginx",
            {
                "backend_port": backend,
                "introspection_port": nginx_asks,
                "introspection_credentials": base64.b64encode(f"guard:{secret}".encode()).decode(),
                "plain_port": plain,
                "silent_port": nginx_silent,
                "logging_port": nginx_logging,
            },
        )
        apache_pid = _start_apache(
            stack,
            folder / "apache",
            {
                "port": apache,
                "backend_port": backend,
                "introspection_port": apache_asks,
                "secret": secret,
                "modules": APACHE_MODULES,
            },
        )
        gateways = {
            log: _start_gateway(
                stack,
                folder / f"gateway-{log}",
                {
                    "listen": f"127.0.0.1:{port}",
                    "admin_listen": f"127.0.0.1:{admin_port}",
                    "public_url": f"http://127.0.0.1:{port}",
                    "access_log": log,
                    "authorization_servers": {
                        "corporate": {
                            "introspection": {
                                "issuer": issuer,
                                "url": f"http://127.0.0.1:{gateway_asks}/oauth2/introspect",
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
                },
                secret,
                port,
            )
            for log, port, admin_port in (
                ("none", gateway_silent, admin[2]),
                ("all", gateway_logging, admin[3]),
            )
        }
        yield Stage(
            rows=(
                Row("nginx, plain proxy, no log", plain, nginx, None),
                Row("nginx auth_request, no log", nginx_silent, nginx, asked / "nginx-asked.log"),
                Row(
                    "gateway, no log", gateway_silent, gateways["none"], asked / "gateway-asked.log"
                ),
                Row(
                    "Apache mod_auth_openidc, no log",
                    apache,
                    apache_pid,
                    asked / "apache-asked.log",
                ),
                Row("nginx auth_request, log", nginx_logging, nginx, asked / "nginx-asked.log"),
                Row("gateway, log", gateway_logging, gateways["all"], asked / "gateway-asked.log"),
            ),
            tokens=tokens,
        )


def filled(template: str, words: Mapping[str, object]) -> str:
    """Gives a peer's configuration with the benchmark's words in it."""
    text = (PEERS / template).read_text(encoding="utf-8")
    for name, value in words.items():
        text = text.replace(f"@{name}@", str(value))
    return text


@contextmanager
def running_nginx(folder: Path, core: int, location: str) -> Iterator[tuple[int, int]]:
    """Runs an nginx that does what `location` says, and gives its process id and its port."""
    folder.mkdir()
    (port,) = free_ports(1)
    words = {"folder": folder, "port": port, "location": location}
    (folder / "nginx.conf").write_text(filled("nginx/one_location.conf", words), encoding="utf-8")
    command = [locate("nginx"), "-p", folder, "-c", folder / "nginx.conf"]
    with running(command, core, folder / "output", [port]) as process:
        yield process.pid, port


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


def _start_nginx(stack: ExitStack, folder: Path, words: Mapping[str, object]) -> int:
    folder.mkdir()
    words = {**words, "folder": folder, "introspect": folder / "introspect.conf"}
    (folder / "introspect.conf").write_text(filled("nginx/introspect.conf", words))
    (folder / "nginx.conf").write_text(filled("nginx/guard.conf", words))
    command = [locate("nginx"), "-p", folder, "-c", folder / "nginx.conf"]
    ready = [int(str(words["logging_port"]))]
    return stack.enter_context(running(command, PROXY_CORE, folder / "output", ready)).pid


def _start_apache(stack: ExitStack, folder: Path, words: Mapping[str, object]) -> int:
    folder.mkdir()
    (folder / "apache.conf").write_text(
        filled("apache/guard.conf", {**words, "folder": folder}), encoding="utf-8"
    )
    locate("mod_auth_openidc")
    command = [locate("apache2"), "-f", folder / "apache.conf", "-DFOREGROUND"]
    ready = [int(str(words["port"]))]
    return stack.enter_context(running(command, PROXY_CORE, folder / "output", ready)).pid


def _start_gateway(
    stack: ExitStack, folder: Path, settings: Mapping[str, object], secret: str, port: int
) -> int:
    folder.mkdir()
    # JSON is YAML: what is quoted here cannot be misread there.
    (folder / "gateway.yaml").write_text(json.dumps(settings, indent=2))
    command = ["env", f"GUARD_SECRET={secret}", GATEWAY, "run", "-c", folder / "gateway.yaml"]
    process = stack.enter_context(running(command, PROXY_CORE, folder / "output", [port]))
    return process.pid


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
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
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
