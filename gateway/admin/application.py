"""The pages of the operator's port.

On loopback it answers only to names of loopback: a page of a stranger's site, whose name has been
pointed at 127.0.0.1, must not read it through the operator's browser (DNS rebinding).
"""

from collections.abc import Awaitable, Callable
from typing import Protocol

from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from gateway.policy.host import normalize_host

_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})

Readiness = Callable[[], Awaitable[str | None]]


class ReadableMetrics(Protocol):
    """The metrics of one process or of several."""

    async def read(self) -> bytes:
        """Write all of them in Prometheus's text format."""
        ...


def create_application(
    metrics: ReadableMetrics, why_not_ready: Readiness, listens_on: str
) -> web.Application:
    """Build the application of a listener on the address `listens_on`.

    `why_not_ready` gives None when the gateway can serve, else the reason in words.
    """
    is_loopback = listens_on in ("localhost", "::1") or listens_on.startswith("127.")
    names = _LOOPBACK_NAMES | {normalize_host(listens_on) or f"[{listens_on}]"}

    @web.middleware
    async def check_host(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if is_loopback and normalize_host(request.headers.get("Host", "")) not in names:
            return web.Response(status=421, text="This is not the host that you asked for.\n")
        response = await handler(request)
        response.headers["Cache-Control"] = "no-store"
        response.headers["Server"] = "gateway"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    async def show_metrics(_: web.Request) -> web.Response:
        return web.Response(
            body=await metrics.read(), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )

    async def show_health(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def show_readiness(_: web.Request) -> web.Response:
        reason = await why_not_ready()
        if reason is None:
            return web.Response(text="ready\n")
        return web.Response(status=503, text=f"{reason}\n")

    application = web.Application(middlewares=[check_host], client_max_size=1024)
    application.router.add_get("/metrics", show_metrics)
    application.router.add_get("/healthz", show_health)
    application.router.add_get("/readyz", show_readiness)
    return application
