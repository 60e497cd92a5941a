"""The composition root: one configuration becomes one running gateway.

Here, and only here, the rooms are joined: the embedded server is handed to the guard as an
Introspector, and the guard's cache hears of revocations as a RevocationSink.
"""

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Literal

from aiohttp import http_parser

from gateway.admin.application import Readiness, create_application
from gateway.introspection.cache import IntrospectionCache
from gateway.introspection.coalescing import CachedIntrospector
from gateway.introspection.messages import SOURCES
from gateway.introspection.revocations import RevocationListener
from gateway.middleware.admission import AdmissionJudge
from gateway.middleware.answers import AnswerEditor
from gateway.middleware.entrance import Entrance
from gateway.middleware.front import FrontServer
from gateway.middleware.guard import Guard, GuardLimits
from gateway.middleware.instance import InstanceUnknown, own_pseudonym
from gateway.middleware.metadata import ProtectedResource
from gateway.middleware.origins import ClientOrigins
from gateway.middleware.outgoing import OutgoingHeaders
from gateway.middleware.rate_store import FallbackRateStore, MemoryRateStore
from gateway.middleware.record import Recorder
from gateway.middleware.watch import TunnelWatch
from gateway.policy.interfaces import (
    AuthorizationServerUnavailable,
    RateStore,
    RevocationSink,
)
from gateway.policy.tokenformat import new_token
from gateway.serving import (
    DRAIN_SECONDS,
    Addresses,
    StartFailure,
    bind_all,
    find_addresses,
    front_limits,
    listen,
    open_entrances,
    open_handshakes,
    serve,
    take_real_port,
)
from gateway.settings import GatewaySettings, compile_routes
from gateway.telemetry.access_log import AccessLog, LogEntry, never_blocking
from gateway.telemetry.metrics import Metrics
from gateway.tls import Handshake, TlsSite
from gateway.upstreams import add_upstream_gauges, authorities_of, forwards_of, open_upstreams
from gateway.vouching import (
    find_embedded,
    make_state_dir,
    open_introspectors,
    source_of,
    with_choices,
)

if TYPE_CHECKING:
    from gateway.authserver.server import EmbeddedServer
    from gateway.fleet import Fleet

__all__ = [
    "Addresses",
    "RunningGateway",
    "Share",
    "StartFailure",
    "make_state_dir",
    "open_gateway",
    "open_introspectors",
    "run_gateway",
]

_STDOUT = 1
_LACK_OF_REDIS = (
    "redis: nothing is shared, and revocations on other hosts are not heard of; "
    "answers come from memory and the authorization servers"
)


def _ignore(*_: object) -> None:
    """Take no note."""


@dataclass(frozen=True, slots=True)
class Share:
    """Which of so many processes this one is; they serve the same listeners."""

    number: int
    count: int

    @property
    def is_first(self) -> bool:
        """Whether it does what one of them does for all."""
        return self.number == 0

    @property
    def is_whole(self) -> bool:
        """Whether there is no other."""
        return self.count == 1


_WHOLE = Share(0, 1)


class RunningGateway:
    """A gateway that serves; made by `run_gateway` or `open_gateway`."""

    def __init__(
        self,
        addresses: Addresses,
        metrics: Metrics,
        server: FrontServer,
        recorder: Recorder,
        embedded: "EmbeddedServer | None",
        fleet: "Fleet | None",
        entrances: Mapping[str, Entrance],
        handshakes: Mapping[str, Handshake],
    ) -> None:
        self.addresses = addresses
        self.metrics = metrics
        self.embedded = embedded
        self.entrances = entrances
        self.handshakes = handshakes
        self.is_draining = False
        self._server = server
        self._recorder = recorder
        self._fleet = fleet
        self._sites: list[asyncio.Server | TlsSite] = []

    async def readiness(self) -> Readiness:
        """Say whether the gateway can serve, and what it does without.

        A foreign authorization server that is down is no reason to take the gateway out: what it
        remembers goes on working, and every other gateway would be taken out with it. Neither is
        a Redis that is gone.
        """
        if self.is_draining:
            return Readiness("draining")
        if self.embedded is not None:
            try:
                # Nobody has this token; what counts is that the database could say so.
                await self.embedded.introspect(new_token("at"))
            except AuthorizationServerUnavailable as error:
                return Readiness(f"the embedded authorization server cannot answer: {error}")
        if self._fleet is not None and not self._fleet.is_connected:
            return Readiness(lack=_LACK_OF_REDIS)
        return Readiness()

    @property
    def front(self) -> FrontServer:
        """What makes the protocol of a client's connection."""
        return self._server

    async def accept(self, sockets: Iterable[socket.socket]) -> None:
        """Begin to accept clients."""
        entrance, handshake = self.entrances["guard"], self.handshakes.get("guard")
        for sock in sockets:
            self._sites.append(await listen(self._server, sock, entrance, handshake))

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
    make_state_dir(settings)
    async with AsyncExitStack() as stack:
        sockets = bind_all(settings, stack)
        gateway = await stack.enter_async_context(
            open_gateway(settings, find_addresses(sockets), access_log_descriptor)
        )
        admin = create_application(gateway.metrics, gateway.readiness, settings.admin_listen.host)
        await serve(admin, sockets.admin, stack, gateway.entrances["admin"])
        if gateway.embedded is not None and sockets.authorization_server is not None:
            name = "authorization_server"
            application = gateway.embedded.application()
            await serve(
                application,
                sockets.authorization_server,
                stack,
                gateway.entrances[name],
                gateway.handshakes.get(name),
            )
        await gateway.accept(sockets.guard)
        stack.push_async_callback(gateway.drain)
        yield gateway


@asynccontextmanager
async def open_gateway(
    settings: GatewaySettings,
    addresses: Addresses,
    access_log_descriptor: int = _STDOUT,
    share: Share = _WHOLE,
) -> AsyncIterator[RunningGateway]:
    """Open everything but the listeners, which are at `addresses`. Raises StartFailure."""
    _require_c_parser()
    make_state_dir(settings)
    settings = take_real_port(settings, addresses)
    table = compile_routes(settings)
    metrics = Metrics(table.routes)
    cache = IntrospectionCache(
        max_lifetime=settings.introspection_cache.max_lifetime,
        negative_lifetime=settings.introspection_cache.negative_lifetime,
        max_entries=settings.introspection_cache.max_entries,
        stale_if_error=settings.introspection_cache.stale_if_error or 0.0,
    )
    pseudonym = _own_pseudonym(settings)
    # One of them counts what all of them hear.
    count = metrics.revocations.count if share.is_first else _ignore
    async with AsyncExitStack() as stack:
        access_log = AccessLog(
            stack.enter_context(never_blocking(access_log_descriptor)),
            _log_format(settings, access_log_descriptor),
            settings.access_log,
            is_shared=not share.is_whole,
        )
        stack.callback(access_log.flush)
        fleet = None
        if settings.redis is not None:
            # Imported here: a gateway that shares nothing does without the client of Redis.
            from gateway.fleet import open_fleet

            fleet = await stack.enter_async_context(
                open_fleet(settings.redis, pseudonym, metrics, count)
            )
        introspectors = await stack.enter_async_context(
            open_introspectors(
                settings,
                metrics,
                partial(_log_endpoint, access_log),
                None if fleet is None else fleet.stream,
            )
        )
        cached_introspectors = {
            name: CachedIntrospector(
                name,
                introspector,
                cache,
                metrics,
                source=source_of(settings.authorization_servers[name]),
                # What a JWT says is known here: nobody needs to be asked, in no tier.
                shared=None
                if fleet is None or settings.authorization_servers[name].jwt
                else fleet.answers,
            )
            for name, introspector in introspectors.items()
        }
        servers = with_choices(settings, cached_introspectors)
        watch = TunnelWatch(cache, servers, table.routes)
        # Before the first request: who revokes must find every worker that could remember a token.
        await stack.enter_async_context(_listen_for_revocations(settings, watch, metrics, count))
        if fleet is not None:
            await stack.enter_async_context(fleet.follow(watch))
        upstreams = await open_upstreams(settings, stack)
        add_upstream_gauges(metrics, upstreams)
        _add_gauges(metrics, cache)
        metrics.add_gauge(
            "gateway_tunnels", "Open tunnels, such as WebSockets", ("route",), watch.count
        )
        resource = ProtectedResource(table, settings.public_url)
        origins = ClientOrigins(settings.public_url, table.hosts, settings.trusted_proxies)
        guard = Guard(
            table=table,
            judge=AdmissionJudge(servers, origins, _rate_store(fleet)),
            forwards=forwards_of(settings, upstreams),
            resource=resource,
            headers=OutgoingHeaders(origins, pseudonym),
            limits=GuardLimits(
                settings.limits.header_bytes, settings.limits.body, settings.timeouts.body
            ),
            watch=watch,
            editor=AnswerEditor(origins, authorities_of(settings)),
        )
        recorder = Recorder(guard, metrics, access_log, resource.metadata_url(None))
        stack.callback(recorder.settle)
        entrances = open_entrances(settings, metrics)
        handshakes = await stack.enter_async_context(open_handshakes(settings, metrics))
        front = FrontServer(
            recorder,
            recorder.refuse_malformed,
            front_limits(settings),
            entrances["guard"],
        )
        embedded = find_embedded(settings, introspectors)
        yield RunningGateway(
            addresses, metrics, front, recorder, embedded, fleet, entrances, handshakes
        )


def _rate_store(fleet: "Fleet | None") -> RateStore:
    own = MemoryRateStore()
    return own if fleet is None else FallbackRateStore(fleet.rates, own)


def _require_c_parser() -> None:
    # aiohttp's parser in Python differs from the one in C that its advisories are tested on.
    if http_parser.HttpRequestParser is http_parser.HttpRequestParserPy:
        raise StartFailure("aiohttp has no C parser on this system; install one of its wheels")


def _own_pseudonym(settings: GatewaySettings) -> str:
    try:
        return own_pseudonym(settings.state_dir)
    except InstanceUnknown as error:
        raise StartFailure(str(error)) from error


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
    settings: GatewaySettings,
    sink: RevocationSink,
    metrics: Metrics,
    count: Callable[[str], None],
) -> AsyncIterator[None]:
    for source in SOURCES:
        metrics.revocations.start_at_zero(source)
    listener = RevocationListener(settings.state_dir, sink, count)
    try:
        await listener.__aenter__()
    except OSError as error:
        raise StartFailure(f"state_dir {settings.state_dir}: {error}") from error
    try:
        yield
    finally:
        await listener.__aexit__()


def _add_gauges(metrics: Metrics, cache: IntrospectionCache) -> None:
    # Of several, each says that it is one.
    metrics.add_gauge("gateway_workers", "Processes that serve", (), lambda: [((), 1)])
    metrics.add_gauge(
        "gateway_introspection_cache_entries",
        "Introspection answers that are held",
        ("tier",),
        lambda: [(("memory",), cache.count_entries())],
    )
