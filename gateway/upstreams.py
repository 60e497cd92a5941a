"""The upstreams: from their settings to servers that requests can be forwarded to."""

import asyncio
import ssl
from collections.abc import Mapping
from contextlib import AsyncExitStack
from functools import partial
from urllib.parse import urlsplit

from gateway.policy.forwarding import Forward
from gateway.proxy.forward import forward
from gateway.proxy.health import HealthCheck, watch_health
from gateway.proxy.server import ServerOrigin
from gateway.proxy.upstream import Upstream, UpstreamLimits, UpstreamTimeouts
from gateway.serving import StartFailure
from gateway.settings import (
    GatewaySettings,
    RouteSettings,
    UnusablePair,
    UpstreamSettings,
    UpstreamTlsSettings,
    load_client_context,
)
from gateway.telemetry.metrics import Metrics

_DEFAULT_PORTS = {"http": 80, "https": 443}


async def open_upstreams(settings: GatewaySettings, stack: AsyncExitStack) -> dict[str, Upstream]:
    """Open every upstream, by its name; the stack closes them. Raises StartFailure."""
    upstreams = {}
    for name, described in settings.upstreams.items():
        timeouts = [
            _timeouts_of(route, described) for route in settings.routes if route.upstream == name
        ]
        upstream = upstreams[name] = Upstream(
            name,
            _read_servers(described),
            UpstreamLimits(described.limits.connections, described.limits.waiting),
            min((min(one.response, one.idle, one.total) for one in timeouts), default=1.0),
            reuses_after_body=described.reuse_after_body,
        )
        stack.push_async_callback(upstream.close)
        await upstream.open(described.timeouts.connect)
        if described.health_check is not None:
            asked = described.health_check
            host = None if asked.host is None else asked.host.encode("ascii")
            check = HealthCheck(asked.path, asked.interval, asked.timeout, host)
            task = asyncio.create_task(watch_health(upstream, check))
            stack.callback(task.cancel)
    return upstreams


def forwards_of(settings: GatewaySettings, upstreams: Mapping[str, Upstream]) -> dict[str, Forward]:
    """Give what forwards the requests of each route, by the route's name."""
    return {
        route.name: partial(
            forward,
            upstreams[route.upstream],
            _timeouts_of(route, settings.upstreams[route.upstream]),
        )
        for route in settings.routes
    }


def authorities_of(settings: GatewaySettings) -> dict[str, tuple[bytes, ...]]:
    """Give the authorities of each upstream's servers, the first of them first, by its name."""
    return {
        name: tuple(_read_server(server).authority for server in upstream.servers)
        for name, upstream in settings.upstreams.items()
    }


def add_upstream_gauges(metrics: Metrics, upstreams: Mapping[str, Upstream]) -> None:
    """Show the state of each server in the metrics."""
    metrics.add_gauge(
        "gateway_upstream_up",
        "Whether the server gets requests: it takes connections, and is neither unhealthy nor "
        "left out for its failures",
        ("upstream", "server"),
        lambda: [
            ((upstream.name, label), float(is_up))
            for upstream in upstreams.values()
            for label, is_up, _, _ in upstream.describe_servers()
        ],
        # Down as soon as one worker finds it so: that is what an alert is for.
        merge="least",
    )
    metrics.add_gauge(
        "gateway_upstream_connections",
        "Open connections to the server, by state",
        ("upstream", "server", "state"),
        lambda: [
            ((upstream.name, label, state), count)
            for upstream in upstreams.values()
            for label, _, idle, active in upstream.describe_servers()
            for state, count in (("idle", idle), ("active", active))
        ],
    )
    metrics.add_gauge(
        "gateway_upstream_waiting",
        "Requests that wait for a connection to the upstream",
        ("upstream",),
        lambda: [((one.name,), one.count_waiting()) for one in upstreams.values()],
    )


def _timeouts_of(route: RouteSettings, upstream: UpstreamSettings) -> UpstreamTimeouts:
    own, common = route.timeouts, upstream.timeouts
    total = own.total or common.total or float("inf")
    return UpstreamTimeouts(
        connect=min(own.connect or common.connect, total),
        response=min(own.response or common.response, total),
        idle=own.idle or common.idle,
        total=total,
    )


def _read_servers(upstream: UpstreamSettings) -> list[ServerOrigin]:
    tls = upstream.tls or UpstreamTlsSettings()
    context = None
    if any(server.startswith("https:") for server in upstream.servers):
        try:
            context = load_client_context(tls.ca, tls.certificate, tls.key)
        except UnusablePair as unusable:
            raise StartFailure(f"tls of an upstream: {unusable}") from None
    return [_read_server(server, context, tls.server_name) for server in upstream.servers]


def _read_server(
    server: str, context: ssl.SSLContext | None = None, name: str | None = None
) -> ServerOrigin:
    if server.startswith("unix:"):
        # A name that no other service on this machine has, as curl and nginx send it.
        return ServerOrigin(server, b"localhost", path=server.removeprefix("unix:"))
    url = urlsplit(server)
    host = url.hostname or ""
    port = url.port or _DEFAULT_PORTS[url.scheme]
    shown = f"[{host}]" if ":" in host else host
    is_default = port == _DEFAULT_PORTS[url.scheme]
    is_secure = context is not None and url.scheme == "https"
    return ServerOrigin(
        label=f"{shown}:{port}",
        authority=(shown if is_default else f"{shown}:{port}").encode("ascii"),
        host=host,
        port=port,
        tls=context if is_secure else None,
        tls_name=(name or host) if is_secure else None,
    )
