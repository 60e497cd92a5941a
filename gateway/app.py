"""The composition root: one configuration becomes one running gateway.

Here, and only here, the rooms are joined: the embedded server is handed to the guard as an
Introspector, and the guard's cache hears of revocations as a RevocationSink.
"""

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Literal, cast
from urllib.parse import urlsplit

from aiohttp import http_parser

from gateway.admin.application import create_application
from gateway.introspection.cache import IntrospectionCache
from gateway.introspection.coalescing import CachedIntrospector
from gateway.introspection.revocations import SOURCES, RevocationListener, publish
from gateway.introspection.rfc7662 import HttpIntrospector
from gateway.middleware.front import FrontLimits, FrontServer
from gateway.middleware.guard import Guard, GuardLimits
from gateway.middleware.metadata import ProtectedResource
from gateway.middleware.record import Recorder
from gateway.middleware.watch import TunnelWatch
from gateway.policy.interfaces import AuthorizationServerUnavailable, Introspector, RevocationSink
from gateway.policy.tokenformat import new_token
from gateway.proxy.forward import forward
from gateway.proxy.upstream import Upstream, UpstreamTimeouts
from gateway.serving import (
    BACKLOG,
    DRAIN_SECONDS,
    Addresses,
    StartFailure,
    bind_all,
    find_addresses,
    serve,
    take_real_port,
)
from gateway.settings import GatewaySettings, compile_routes
from gateway.telemetry.access_log import AccessLog, LogEntry, never_blocking
from gateway.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from gateway.authserver.server import EmbeddedServer

__all__ = [
    "Addresses",
    "RunningGateway",
    "StartFailure",
    "make_state_dir",
    "open_introspectors",
    "run_gateway",
]

_STDOUT = 1


def _ignore(*_: object) -> None:
    """Take no note."""


@asynccontextmanager
async def open_introspectors(
    settings: GatewaySettings,
    metrics: Metrics | None = None,
    log_request: Callable[[str, str, str, int, float], None] = _ignore,
) -> AsyncIterator[dict[str, Introspector]]:
    """Open everyone who vouches for tokens, by the names of the configuration.

    The embedded server, if there is one, is among them and can be told by its `application`.
    Raises StartFailure.
    """
    metrics = metrics or Metrics()
    async with AsyncExitStack() as stack:
        introspectors: dict[str, Introspector] = {}
        for name, server in settings.authorization_servers.items():
            if server.introspection is not None:
                asked = server.introspection
                client = HttpIntrospector(
                    issuer=asked.issuer,
                    url=asked.url,
                    client_id=asked.client_id,
                    client_secret=asked.client_secret.get_secret_value(),
                    timeout=asked.timeout,
                )
                stack.push_async_callback(client.close)
                introspectors[name] = client
            else:
                embedded = await asyncio.to_thread(
                    _open_embedded, name, settings, metrics, log_request
                )
                stack.push_async_callback(embedded.close)
                introspectors[name] = embedded
        yield introspectors


def _open_embedded(
    name: str,
    settings: GatewaySettings,
    metrics: Metrics,
    log_request: Callable[[str, str, str, int, float], None],
) -> "EmbeddedServer":
    # Imported here: a guard in front of a foreign server loads neither SQLAlchemy nor Authlib.
    from gateway.authserver.metadata import GRANT_TYPES
    from gateway.authserver.options import embedded_options
    from gateway.authserver.server import EmbeddedServer
    from gateway.authserver.storage.database import DatabaseUnavailable

    options = embedded_options(settings)
    assert options is not None  # noqa: S101 - for the type checker: `name` is it
    make_state_dir(settings)
    for result in ("succeeded", "failed", "throttled"):
        metrics.sign_ins.start_at_zero(result)
    for grant_type in GRANT_TYPES:
        metrics.tokens_issued.start_at_zero(grant_type)
    try:
        return EmbeddedServer(
            options,
            partial(publish, settings.state_dir),
            metrics.tokens_issued.count,
            log_request,
            count_sign_in=metrics.sign_ins.count,
        )
    except (DatabaseUnavailable, ValueError) as error:
        raise StartFailure(f"database of authorization server {name!r}: {error}") from error


class RunningGateway:
    """A gateway that accepts connections; made by `run_gateway`."""

    def __init__(
        self,
        addresses: Addresses,
        metrics: Metrics,
        server: FrontServer,
        recorder: Recorder,
        embedded: Introspector | None,
    ) -> None:
        self.addresses = addresses
        self.metrics = metrics
        self.is_draining = False
        self._server = server
        self._recorder = recorder
        self._embedded = embedded
        self._sites: list[asyncio.Server] = []

    async def why_not_ready(self) -> str | None:
        """Give None when the gateway can serve, else the reason.

        A foreign authorization server that is down is no reason to take the gateway out: what it
        remembers goes on working, and every other gateway would be taken out with it.
        """
        if self.is_draining:
            return "draining"
        if self._embedded is not None:
            try:
                # Nobody has this token; what counts is that the database could say so.
                await self._embedded.introspect(new_token("at"))
            except AuthorizationServerUnavailable as error:
                return f"the embedded authorization server cannot answer: {error}"
        return None

    async def accept(self, sock: socket.socket) -> None:
        """Begin to accept clients."""
        loop = asyncio.get_running_loop()
        self._sites.append(await loop.create_server(self._server, sock=sock, backlog=BACKLOG))

    async def drain(self) -> None:
        """Stop accepting, let the requests under way finish, close what remains."""
        self.is_draining = True
        self._recorder.is_draining = True
        for site in self._sites:
            site.close()
        await self._server.drain(DRAIN_SECONDS)


@asynccontextmanager
async def run_gateway(
    settings: GatewaySettings, access_log_descriptor: int = _STDOUT
) -> AsyncIterator[RunningGateway]:
    """Run a gateway until the context is left; then it drains. Raises StartFailure."""
    _require_c_parser()
    make_state_dir(settings)
    table = compile_routes(settings)
    metrics = Metrics(
        table.routes,
        {
            name: urlsplit(upstream.servers[0]).netloc
            for name, upstream in settings.upstreams.items()
        },
    )
    cache = IntrospectionCache(
        max_lifetime=settings.introspection_cache.max_lifetime,
        negative_lifetime=settings.introspection_cache.negative_lifetime,
        max_entries=settings.introspection_cache.max_entries,
    )
    async with AsyncExitStack() as stack:
        access_log = AccessLog(
            stack.enter_context(never_blocking(access_log_descriptor)),
            _log_format(settings, access_log_descriptor),
            settings.access_log,
        )
        stack.callback(access_log.flush)
        sockets = bind_all(settings, stack)
        addresses = find_addresses(sockets)
        settings = take_real_port(settings, addresses)
        introspectors = await stack.enter_async_context(
            open_introspectors(settings, metrics, partial(_log_endpoint, access_log))
        )
        cached_introspectors = {
            name: CachedIntrospector(name, introspector, cache, metrics)
            for name, introspector in introspectors.items()
        }
        watch = TunnelWatch(cache, cached_introspectors, table.routes)
        # Before the first request: who revokes must find every worker that could remember a token.
        await stack.enter_async_context(_listen_for_revocations(settings, watch, metrics))
        upstreams = _open_upstreams(settings, stack)
        _add_gauges(metrics, cache, upstreams)
        metrics.add_gauge(
            "gateway_tunnels", "Open tunnels, such as WebSockets", ("route",), watch.count
        )
        resource = ProtectedResource(table, settings.public_url)
        guard = Guard(
            table=table,
            introspectors=cached_introspectors,
            forwards={name: partial(forward, upstream) for name, upstream in upstreams.items()},
            resource=resource,
            trusted_proxies=settings.trusted_proxies,
            limits=GuardLimits(
                settings.limits.header_bytes, settings.limits.body, settings.timeouts.body
            ),
            watch=watch,
        )
        recorder = Recorder(guard, metrics, access_log, resource.metadata_url(None))
        stack.callback(recorder.settle)
        front = FrontServer(
            recorder,
            recorder.refuse_malformed,
            FrontLimits(
                headers=settings.limits.headers,
                header_bytes=settings.limits.header_bytes,
                head_seconds=settings.timeouts.head,
                idle_seconds=settings.timeouts.idle,
                drain_seconds=settings.timeouts.body,
            ),
        )
        embedded = _find_embedded(settings, introspectors)
        gateway = RunningGateway(addresses, metrics, front, recorder, embedded)
        admin = create_application(metrics, gateway.why_not_ready, settings.admin_listen.host)
        await serve(admin, sockets["admin"], stack)
        if embedded is not None:
            await serve(embedded.application(), sockets["authorization_server"], stack)
        await gateway.accept(sockets["guard"])
        stack.push_async_callback(gateway.drain)
        yield gateway


def make_state_dir(settings: GatewaySettings) -> None:
    """Make the folder of databases and sockets, for its owner alone. Raises StartFailure."""
    try:
        if not settings.state_dir.exists():
            settings.state_dir.mkdir(mode=0o700, parents=True)
            settings.state_dir.chmod(0o700)  # whatever the umask took from it
    except OSError as error:
        raise StartFailure(f"state_dir {settings.state_dir}: {error.strerror}") from error
    status = settings.state_dir.stat()
    if status.st_mode & 0o022 or status.st_uid not in (os.geteuid(), 0):
        # Whoever may write here could take a worker's place, and with it every revocation.
        raise StartFailure(
            f"state_dir {settings.state_dir}: others may write to it; "
            f"chown it to the gateway's user and chmod 700"
        )
    if not os.access(settings.state_dir, os.W_OK | os.X_OK):
        raise StartFailure(f"state_dir {settings.state_dir}: it is not writable")


def _require_c_parser() -> None:
    # aiohttp's parser in Python differs from the one in C that its advisories are tested on.
    if http_parser.HttpRequestParser is http_parser.HttpRequestParserPy:
        raise StartFailure("aiohttp has no C parser on this system; install one of its wheels")


def _log_format(settings: GatewaySettings, descriptor: int) -> Literal["json", "text"]:
    if settings.log_format != "auto":
        return settings.log_format
    return "text" if os.isatty(descriptor) else "json"


def _log_endpoint(
    access_log: AccessLog, peer: str, method: str, path: str, status: int, seconds: float
) -> None:
    """Log a request to the authorization server's endpoints beside those to the guard."""
    is_refused = status >= HTTPStatus.BAD_REQUEST
    if access_log.wants(is_refused=is_refused):
        access_log.write(
            LogEntry(
                request_id="-",
                peer=peer,
                method=method,
                host="authorization-server",
                path=path,
                route="-",
                status=status,
                duration=seconds,
                is_refused=is_refused,
            ),
            time.time(),
        )


@asynccontextmanager
async def _listen_for_revocations(
    settings: GatewaySettings, sink: RevocationSink, metrics: Metrics
) -> AsyncIterator[None]:
    for source in SOURCES:
        metrics.revocations.start_at_zero(source)
    listener = RevocationListener(settings.state_dir, sink, metrics.revocations.count)
    try:
        await listener.__aenter__()
    except OSError as error:
        raise StartFailure(f"state_dir {settings.state_dir}: {error}") from error
    try:
        yield
    finally:
        await listener.__aexit__()


def _find_embedded(
    settings: GatewaySettings, introspectors: Mapping[str, Introspector]
) -> "EmbeddedServer | None":
    for name, server in settings.authorization_servers.items():
        if server.embedded is not None:
            return cast("EmbeddedServer", introspectors[name])
    return None


def _open_upstreams(settings: GatewaySettings, stack: AsyncExitStack) -> dict[str, Upstream]:
    upstreams = {}
    for name, upstream in settings.upstreams.items():
        url = urlsplit(upstream.servers[0])
        timeouts = upstream.timeouts
        upstreams[name] = Upstream(
            name,
            url.hostname or "",
            url.port or 80,
            UpstreamTimeouts(timeouts.connect, timeouts.response, timeouts.idle),
        )
        stack.callback(upstreams[name].close)
    return upstreams


def _add_gauges(
    metrics: Metrics, cache: IntrospectionCache, upstreams: Mapping[str, Upstream]
) -> None:
    metrics.add_gauge(
        "gateway_introspection_cache_entries",
        "Introspection answers that are held",
        ("tier",),
        lambda: [(("memory",), cache.count_entries())],
    )
    metrics.add_gauge(
        "gateway_upstream_up",
        "Whether the last connection to the server succeeded",
        ("upstream", "server"),
        lambda: [((one.name, one.server), float(one.is_up)) for one in upstreams.values()],
    )
    metrics.add_gauge(
        "gateway_upstream_connections",
        "Open connections to the server, by state",
        ("upstream", "server", "state"),
        lambda: [
            ((one.name, one.server, state), count)
            for one in upstreams.values()
            for state, count in one.count_connections()
        ],
    )
