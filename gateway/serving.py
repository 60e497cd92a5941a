"""The gateway's listeners: where they are bound, and how those that are not the guard's serve.

Sockets are bound before anything else is opened, so that a port that is taken is known first, and
so that everything made after knows the port where the configuration says 0.
"""

import asyncio
import errno
import logging
import resource
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial

from aiohttp import web

from gateway.middleware.bounded import BoundedProtocol, FrontLimits
from gateway.middleware.endpoint import EndpointProtocol
from gateway.middleware.entrance import Entrance
from gateway.policy.connections import (
    ConnectionBounds,
    Refused,
    Shares,
    needed_descriptors,
    share_descriptors,
)
from gateway.settings import (
    Address,
    GatewaySettings,
    ListenAddress,
    TlsSettings,
    UnixAddress,
)
from gateway.settings.addresses import first_with_port, networks_among
from gateway.settings.certificates import UnusablePair
from gateway.telemetry.metrics import Metrics
from gateway.tls import Handshake, ListenerCertificate, TlsSite, see_off, watch
from gateway.unix import bind_unix, remove_unix

log = logging.getLogger(__name__)

DRAIN_SECONDS = 30.0
BACKLOG = 1024
# Of the listeners that are not the guard's: nobody sends them much, nobody has reason to be slow.
_ENDPOINT_LIMITS = FrontLimits(
    headers=64, header_bytes=16 * 1024, head_seconds=10.0, idle_seconds=75.0, drain_seconds=30.0
)
# Who serves only a page of their own to few.
_FEW_CONNECTIONS = ConnectionBounds(total=256, per_address=256)
# Which key says where each listens.
_KEYS = {
    "guard": "listen",
    "admin": "admin_listen",
    "authorization_server": "authorization_servers.*.embedded.listen",
}
# What else than another listener is in the way of an address.
_MENDS = {
    errno.EADDRNOTAVAIL: "give this machine the address",
    errno.EAFNOSUPPORT: "let this system have IPv6",
    errno.EACCES: "allow the gateway's user the port",
}


class StartFailure(Exception):  # noqa: N818 - what became of the start
    """The gateway cannot start; the text is one line that says why."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the listeners really are, also when the configuration says port 0."""

    guard: tuple[ListenAddress, ...]
    admin: Address
    authorization_server: Address | None


@dataclass(frozen=True, slots=True)
class Sockets:
    """The sockets at which the gateway listens; those of the guard in the order of `listen`."""

    guard: tuple[socket.socket, ...]
    admin: socket.socket
    authorization_server: socket.socket | None


def bind_all(settings: GatewaySettings, stack: AsyncExitStack) -> Sockets:
    """Bind every address, or none; the stack closes them. Raises StartFailure."""
    bound = {
        name: tuple(_bind_for(name, address, stack) for address in addresses)
        for name, addresses in _listening(settings).items()
    }
    [admin], [server] = bound["admin"], bound.get("authorization_server", (None,))
    return Sockets(bound["guard"], admin, server)


def _bind_for(name: str, address: ListenAddress, stack: AsyncExitStack) -> socket.socket:
    try:
        return _bind(address, stack)
    except OSError as error:
        if isinstance(address, UnixAddress) and error.errno != errno.EADDRINUSE:
            mend = "let the gateway's user make it"
        else:
            mend = _MENDS.get(error.errno or 0, "end what listens there")
        raise StartFailure(
            f"cannot listen on {address}: {error.strerror or error}; "
            f"change {_KEYS[name]}, or {mend}"
        ) from error


def _bind(address: ListenAddress, stack: AsyncExitStack) -> socket.socket:
    if isinstance(address, UnixAddress):
        sock, status = bind_unix(address.path, BACKLOG)
        stack.callback(remove_unix, address.path, status)
    else:
        # IPv6 alone on ::, whatever the system's default is: 0.0.0.0 can be had beside it.
        sock = socket.create_server(
            (address.host, address.port),
            family=socket.AF_INET6 if ":" in address.host else socket.AF_INET,
            backlog=BACKLOG,
        )
    stack.callback(sock.close)
    return sock


def _listening(settings: GatewaySettings) -> dict[str, tuple[ListenAddress, ...]]:
    """Give the addresses of every listener as the configuration has them."""
    listening: dict[str, tuple[ListenAddress, ...]] = {
        "guard": settings.listen,
        "admin": (settings.admin_listen,),
    }
    for server in settings.authorization_servers.values():
        if server.embedded is not None:
            listening["authorization_server"] = (server.embedded.listen,)
    return listening


def find_addresses(sockets: Sockets) -> Addresses:
    """Say where the sockets are bound."""
    server = sockets.authorization_server
    return Addresses(
        tuple(map(_find_address, sockets.guard)),
        Address(*sockets.admin.getsockname()[:2]),
        None if server is None else Address(*server.getsockname()[:2]),
    )


def _find_address(sock: socket.socket) -> ListenAddress:
    name = sock.getsockname()
    return UnixAddress(name) if isinstance(name, str) else Address(*name[:2])


def take_real_port(settings: GatewaySettings, addresses: Addresses) -> GatewaySettings:
    """Give the settings with a public origin that clients can use.

    One that was derived from port 0 gets the port that it became.
    """
    guard = first_with_port(addresses.guard)
    if guard is None or not settings.public_url.endswith(":0"):
        return settings
    public_url = f"{settings.public_url.removesuffix(':0')}:{guard.port}"
    return settings.model_copy(update={"public_url": public_url})


def raise_descriptor_limit() -> None:
    """Let the process open as many files as it may: each connection is one, its upstream another.

    The soft limit is low for the sake of programs that use select(), which cannot tell of many.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(OSError, ValueError):  # a sandbox forbids it: the bounds fit what there is
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def tell_of_few_descriptors(settings: GatewaySettings) -> None:
    """Say in the log when the system does not allow as many connections as the configuration."""
    wanted, shares = settings.limits.connections, _share_descriptors(settings)
    if shares.guard < wanted:
        has_embedded = "authorization_server" in _listening(settings)
        log.warning(
            "limits.connections: %d need %d file descriptors and the system allows %d, "
            "so only %d are taken; raise the limit (ulimit -n, LimitNOFILE), or lower the key",
            wanted,
            needed_descriptors(wanted, has_embedded=has_embedded),
            resource.getrlimit(resource.RLIMIT_NOFILE)[0],
            shares.guard,
        )


def _share_descriptors(settings: GatewaySettings) -> Shares:
    wanted = settings.limits.connections
    has_embedded = "authorization_server" in _listening(settings)
    available, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if available == resource.RLIM_INFINITY:
        available = needed_descriptors(wanted, has_embedded=has_embedded)
    return share_descriptors(available, wanted, has_embedded=has_embedded)


def open_entrances(settings: GatewaySettings, metrics: Metrics) -> dict[str, Entrance]:
    """Bound the connections of each listener, and count them, at whichever address they come.

    Where the system gives too few file descriptors for `limits.connections`, the guard takes so
    many connections that nothing else in the process lacks one.
    """
    shares = _share_descriptors(settings)
    entrances = {}
    trusted = networks_among(settings.trusted_proxies)
    for name in _listening(settings):
        total = getattr(shares, name)
        # The operator's port is the operator's; a browser at the sign-in needs a handful.
        per_address = {
            "guard": settings.limits.connections_per_address,
            "admin": total,
            "authorization_server": max(1, total // 2),
        }[name]
        bounds = ConnectionBounds(total, min(per_address, total), trusted)
        for reason in Refused:
            metrics.connections_refused.start_at_zero(name, reason)
        entrances[name] = Entrance(bounds, partial(metrics.connections_refused.count, name))
    metrics.add_gauge(
        "gateway_connections",
        "Open connections of clients",
        ("listener",),
        lambda: [((name,), entrance.count) for name, entrance in entrances.items()],
    )
    return entrances


@asynccontextmanager
async def open_handshakes(
    settings: GatewaySettings, metrics: Metrics
) -> AsyncIterator[dict[str, Handshake]]:
    """Load the certificates of the listeners that speak TLS, and renew them as they change on disk.

    Raises StartFailure.
    """
    handshakes = {}
    for name, (tls, limits) in _speaking_tls(settings).items():
        try:
            certificate = ListenerCertificate(name, tls)
        except UnusablePair as unusable:
            raise StartFailure(f"tls of listener {name}: {unusable}") from unusable
        metrics.tls_handshake_failures.start_at_zero(name)
        for result in ("success", "failure"):
            metrics.tls_reloads.start_at_zero(name, result)
        count_failure = partial(metrics.tls_handshake_failures.count, name)
        handshakes[name] = Handshake(certificate, limits, count_failure)
    if not handshakes:
        yield handshakes
        return
    certificates = [handshake.certificate for handshake in handshakes.values()]
    metrics.add_gauge(
        "gateway_tls_certificate_not_after_seconds",
        "When the certificate of a listener expires, in Unix seconds",
        ("listener",),
        lambda: [((one.listener,), one.not_after) for one in certificates],
        merge="least",
    )
    tasks = (
        asyncio.create_task(watch(certificates, metrics.tls_reloads.count)),
        asyncio.create_task(see_off(handshakes.values())),
    )
    try:
        yield handshakes
    finally:
        for task in tasks:
            task.cancel()


def _speaking_tls(settings: GatewaySettings) -> dict[str, tuple[TlsSettings, FrontLimits]]:
    speaking = {}
    if settings.tls is not None:
        speaking["guard"] = settings.tls, front_limits(settings)
    for server in settings.authorization_servers.values():
        if server.embedded is not None and server.embedded.tls is not None:
            speaking["authorization_server"] = server.embedded.tls, _ENDPOINT_LIMITS
    return speaking


def front_limits(settings: GatewaySettings) -> FrontLimits:
    """Give what bounds the connections to the guard."""
    return FrontLimits(
        headers=settings.limits.headers,
        header_bytes=settings.limits.header_bytes,
        head_seconds=settings.timeouts.head,
        idle_seconds=settings.timeouts.idle,
        drain_seconds=settings.timeouts.body,
    )


async def listen(
    make_protocol: Callable[..., BoundedProtocol],
    sock: socket.socket,
    entrance: Entrance,
    handshake: Handshake | None = None,
) -> asyncio.Server | TlsSite:
    """Accept clients at a bound socket; closing what this gives ends that."""
    if handshake is not None:
        return TlsSite(sock, make_protocol, entrance, handshake)
    # The loop's own accepts twice as fast; there the protocol itself asks the entrance.
    loop = asyncio.get_running_loop()
    if sock.family == socket.AF_UNIX:
        return await loop.create_unix_server(make_protocol, sock=sock, backlog=BACKLOG)
    return await loop.create_server(make_protocol, sock=sock, backlog=BACKLOG)


async def serve(
    application: web.Application,
    sock: socket.socket,
    stack: AsyncExitStack,
    entrance: Entrance | None = None,
    handshake: Handshake | None = None,
) -> None:
    """Serve an application that is not the guard; the stack ends it."""
    entrance = entrance or Entrance(_FEW_CONNECTIONS)
    make_protocol = await start(application, stack, entrance)
    site = await listen(make_protocol, sock, entrance, handshake)
    stack.callback(site.close)


async def start(
    application: web.Application, stack: AsyncExitStack, entrance: Entrance
) -> Callable[..., EndpointProtocol]:
    """Start an application that is not the guard, and give what makes the protocol of a connection.

    That takes `leave`, where the connection has been let in already. The stack ends it.
    """
    runner = web.AppRunner(
        application, access_log=None, handle_signals=False, shutdown_timeout=DRAIN_SECONDS
    )
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    server = runner.server
    assert server is not None  # noqa: S101 - for the type checker: it has been set up
    return partial(
        EndpointProtocol,
        server,
        _ENDPOINT_LIMITS,
        entrance,
        loop=asyncio.get_running_loop(),
    )
