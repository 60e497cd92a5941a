"""What `gateway demo` sets up before it runs: the legacy service, the places, who may do what."""

import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gateway.app import StartFailure
from gateway.cli.demo_words import CONFIGURATION, PASSWORD_WORDS
from gateway.client.order_desk import OrderDeskOptions
from gateway.settings import Address, GatewaySettings, load

_SCOPES = ("orders:read", "orders:write")


@dataclass(frozen=True, slots=True)
class Places:
    """Where everything listens."""

    guard: Address
    admin: Address
    authorization_server: Address
    desk: Address
    legacy: Address


@dataclass(frozen=True, slots=True)
class Cast:
    """Who is registered, with the secrets that are shown this one time."""

    user: str
    password: str = field(repr=False)
    client: str
    client_secret: str = field(repr=False)
    desk: OrderDeskOptions


@contextmanager
def legacy_service() -> Iterator[Address]:
    """Run the legacy service beside the demo, and give its address. Raises StartFailure."""
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


def choose_places(legacy: Address) -> Places:
    """Take the usual ports, and free ones in place of those that are taken. Raises StartFailure."""
    return Places(_place(8080), _place(9090), _place(8081), _place(8082), legacy)


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


def write_configuration(file: Path, places: Places) -> GatewaySettings:
    """Write the demo's configuration, and load it."""
    file.write_text(
        CONFIGURATION.format(
            guard=places.guard,
            admin=places.admin,
            authorization_server=places.authorization_server,
            legacy=places.legacy,
        ),
        encoding="utf-8",
    )
    return load(file)


def register(settings: GatewaySettings, places: Places) -> Cast:
    """Add a person and the clients to the embedded server."""
    from gateway.authserver.administration import Administration
    from gateway.authserver.options import embedded_options

    options = embedded_options(settings)
    assert options is not None  # noqa: S101 - for the type checker: the demo's file has one
    desk_url = f"http://{places.desk}"
    password = _readable_password()
    with Administration(options) as administration:
        user = administration.add_user("alice", password)
        machine = administration.add_client(
            "demo", grant_types=["client_credentials"], scopes=_SCOPES[:1]
        )
        desk = administration.add_client(
            "order-desk",
            name="Order desk",
            grant_types=["authorization_code", "refresh_token"],
            scopes=_SCOPES,
            redirect_uris=[f"{desk_url}/callback"],
        )
        administration.add_client(
            "gateway-cli",
            name="gateway, in a terminal",
            is_public=True,
            grant_types=[
                "authorization_code",
                "refresh_token",
                "urn:ietf:params:oauth:grant-type:device_code",
            ],
            scopes=_SCOPES,
            redirect_uris=["http://127.0.0.1/callback"],
        )
    return Cast(
        user=user.name,
        password=password,
        client=machine.client.id,
        client_secret=machine.secret or "",
        desk=OrderDeskOptions(
            issuer=options.issuer,
            client_id=desk.client.id,
            client_secret=desk.secret or "",
            guard_url=f"http://{places.guard}",
            base_url=desk_url,
            scopes=_SCOPES,
            account_url=f"{options.issuer}/account",
        ),
    )


def _readable_password() -> str:
    # 24 bits for the words and 6 for the number: plenty behind a throttle, for an afternoon.
    words = [secrets.choice(PASSWORD_WORDS) for _ in range(4)]
    return "-".join([*words, str(secrets.randbelow(90) + 10)])
