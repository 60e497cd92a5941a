"""The gateway's listeners: where they are bound, and how those that are not the guard's serve.

Sockets are bound before anything else is opened, so that a port that is taken is known first, and
so that everything made after knows the port where the configuration says 0.
"""

import asyncio
import socket
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

from aiohttp import web

from gateway.middleware.front import EndpointProtocol, FrontLimits
from gateway.settings import Address, GatewaySettings

DRAIN_SECONDS = 30.0
BACKLOG = 1024
# Of the listeners that are not the guard's: nobody sends them much, nobody has reason to be slow.
_ENDPOINT_LIMITS = FrontLimits(
    headers=64, header_bytes=16 * 1024, head_seconds=10.0, idle_seconds=75.0, drain_seconds=30.0
)
# Which key says where each listens.
_KEYS = {
    "guard": "listen",
    "admin": "admin_listen",
    "authorization_server": "authorization_servers.*.embedded.listen",
}


class StartFailure(Exception):  # noqa: N818 - what became of the start
    """The gateway cannot start; the text is one line that says why."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the listeners really are, also when the configuration says port 0."""

    guard: Address
    admin: Address
    authorization_server: Address | None


def bind_all(settings: GatewaySettings, stack: AsyncExitStack) -> dict[str, socket.socket]:
    """Bind `guard`, `admin` and perhaps `authorization_server`; the stack closes them.

    Raises StartFailure.
    """
    wanted = {"guard": settings.listen, "admin": settings.admin_listen}
    for server in settings.authorization_servers.values():
        if server.embedded is not None:
            wanted["authorization_server"] = server.embedded.listen
    sockets = {}
    for what, address in wanted.items():
        try:
            sock = socket.create_server(
                (address.host, address.port),
                family=socket.AF_INET6 if ":" in address.host else socket.AF_INET,
                backlog=BACKLOG,
            )
        except OSError as error:
            raise StartFailure(
                f"cannot listen on {address}: {error.strerror or error}; "
                f"change {_KEYS[what]}, or end what listens there"
            ) from error
        stack.callback(sock.close)
        sockets[what] = sock
    return sockets


def find_addresses(sockets: Mapping[str, socket.socket]) -> Addresses:
    """Say where the sockets are bound."""
    found = {what: Address(*sock.getsockname()[:2]) for what, sock in sockets.items()}
    return Addresses(found["guard"], found["admin"], found.get("authorization_server"))


def take_real_port(settings: GatewaySettings, addresses: Addresses) -> GatewaySettings:
    """Give the settings with a public origin that clients can use.

    One that was derived from port 0 gets the port that it became.
    """
    if settings.listen.port != 0 or not settings.public_url.endswith(":0"):
        return settings
    public_url = f"{settings.public_url.removesuffix(':0')}:{addresses.guard.port}"
    return settings.model_copy(update={"public_url": public_url})


async def serve(application: web.Application, sock: socket.socket, stack: AsyncExitStack) -> None:
    """Serve an application that is not the guard; the stack ends it."""
    make_protocol = await start(application, stack)
    loop = asyncio.get_running_loop()
    site = await loop.create_server(make_protocol, sock=sock, backlog=BACKLOG)
    stack.callback(site.close)


async def start(
    application: web.Application, stack: AsyncExitStack
) -> Callable[[], EndpointProtocol]:
    """Start an application that is not the guard, and give what makes the protocol of a connection.

    The stack ends it.
    """
    runner = web.AppRunner(
        application, access_log=None, handle_signals=False, shutdown_timeout=DRAIN_SECONDS
    )
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    server = runner.server
    assert server is not None  # noqa: S101 - for the type checker: it has been set up
    return partial(EndpointProtocol, server, _ENDPOINT_LIMITS, loop=asyncio.get_running_loop())
