"""`gateway demo`: a legacy service, the guard, the authorization server, a client; ready to try."""

import asyncio
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import typer

from gateway.app import StartFailure, run_gateway
from gateway.cli.run import configure_logging, run_event_loop
from gateway.settings import Address, GatewaySettings, load

_CLIENT = "demo"
_SCOPES = ("orders:read",)
_CONFIGURATION = """\
# What `gateway demo` runs. A configuration of your own looks like this.
listen: {guard}
admin_listen: {admin}
state_dir: ./state

authorization_servers:
  local:
    embedded:
      listen: {authorization_server}
      issuer: http://{authorization_server}
      scopes:
        "orders:read": See your orders
        "orders:write": Change your orders

upstreams:
  orders:
    servers: [http://{legacy}]

routes:
  - name: read-orders
    match: {{path: /orders/**, methods: [GET]}}
    require: {{scopes: ["orders:read"]}}
  - name: write-orders
    match: {{path: /orders/**, methods: [POST]}}
    require: {{scopes: ["orders:write"]}}
  - name: health
    match: {{path: /healthz}}
    public: true
"""
_LINES = """\
# A legacy service that knows nothing of OAuth now stands behind a guard.
# Paste these lines into another terminal, one after the other.

# 1. Without a token: 401
curl -i {guard}/orders

# 2. The client asks the authorization server for a token
TOKEN=$(curl -s -u '{client}:{secret}' -d grant_type=client_credentials \\
  -d scope=orders:read {issuer}/oauth2/token | sed 's/.*"access_token": *"\\([^"]*\\)".*/\\1/')
echo "$TOKEN"

# 3. With the token: 200, and the legacy service's own answer
curl -i -H "Authorization: Bearer $TOKEN" {guard}/orders

# 4. Writing asks for another scope: 403, and the answer names it
curl -i -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' \\
  -d '{{"item": "coffee"}}' {guard}/orders

# 5. The client gives its token up
curl -i -u '{client}:{secret}' -d "token=$TOKEN" {issuer}/oauth2/revoke

# 6. From that moment on: 401
curl -i -H "Authorization: Bearer $TOKEN" {guard}/orders

# What was refused, and why: {admin}/metrics
# The configuration: {file}
"""


@dataclass(frozen=True, slots=True)
class _Places:
    guard: Address
    admin: Address
    authorization_server: Address
    legacy: Address


def demo() -> None:
    """Run all of it on embedded defaults, and print what to try, ready to paste.

    Everything is kept in a temporary folder and gone when the demo ends (Ctrl-C).

    Example: gateway demo
    """
    configure_logging()
    try:
        with tempfile.TemporaryDirectory(prefix="gateway-demo-") as folder, _legacy() as legacy:
            places = _choose_places(legacy)
            file = Path(folder) / "gateway.yaml"
            file.write_text(
                _CONFIGURATION.format(
                    guard=places.guard,
                    admin=places.admin,
                    authorization_server=places.authorization_server,
                    legacy=places.legacy,
                ),
                encoding="utf-8",
            )
            settings = load(file)
            run_event_loop(_serve(settings, _add_client(settings), file))
    except StartFailure as error:
        typer.echo(f"gateway: {error}", err=True)
        raise typer.Exit(1) from None


@contextmanager
def _legacy() -> Iterator[Address]:
    """Run the legacy service beside the demo."""
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway.cli.demo_legacy"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        # Ctrl-C is for the demo, which then ends its legacy service.
        start_new_session=True,
    )
    try:
        line = process.stdout.readline() if process.stdout is not None else b""
        if not line.strip().isdigit():
            raise StartFailure("the legacy service of the demo does not start")
        yield Address("127.0.0.1", int(line))
    finally:
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _choose_places(legacy: Address) -> _Places:
    """Take the usual ports, and free ones in place of those that are taken."""
    return _Places(_place(8080), _place(9090), _place(8081), legacy)


def _place(port: int) -> Address:
    for candidate in (port, 0):
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind(("127.0.0.1", candidate))
            except OSError:
                continue
            return Address("127.0.0.1", sock.getsockname()[1])
    raise StartFailure("no port is free on 127.0.0.1")


def _add_client(settings: GatewaySettings) -> str:
    """Register the demo's client and give its secret."""
    from gateway.authserver.administration import Administration
    from gateway.authserver.options import embedded_options

    options = embedded_options(settings)
    assert options is not None  # noqa: S101 - for the type checker: the demo's file has one
    with Administration(options) as administration:
        return administration.add_client(
            _CLIENT, grant_types=["client_credentials"], scopes=_SCOPES
        ).secret


async def _serve(settings: GatewaySettings, secret: str, file: Path) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with run_gateway(settings) as gateway:
        addresses = gateway.addresses
        typer.echo(
            _LINES.format(
                guard=f"http://{addresses.guard}",
                admin=f"http://{addresses.admin}",
                issuer=f"http://{addresses.authorization_server}",
                client=_CLIENT,
                secret=secret,
                file=file,
            )
        )
        if shutil.which("curl") is None:
            typer.echo("# curl is not on this system: apt-get install curl\n")
        typer.echo("# Requests appear below; Ctrl-C ends the demo.")
        sys.stdout.flush()
        await stop.wait()
