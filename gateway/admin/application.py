"""The pages of the operator's port.

On loopback it answers only to names of loopback: a page of a stranger's site, whose name has been
pointed at 127.0.0.1, must not read it through the operator's browser (DNS rebinding).
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from gateway.policy.host import normalize_host

_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether the gateway can serve.

    `reason` says why it cannot, None when it can; `lack` what it does without meanwhile.
    """

    reason: str | None = None
    lack: str | None = None


class ReadableMetrics(Protocol):
    """The metrics of one process or of several."""

    async def read(self) -> bytes:
        """Write all of them in Prometheus's text format."""
        ...


def create_application(
    metrics: ReadableMetrics, find_readiness: Callable[[], Awaitable[Readiness]], listens_on: str
) -> web.Application:
    """Build the application of a listener on the address `listens_on`.

    `find_readiness` is called each time that somebody asks.
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
        readiness = await find_readiness()
        if readiness.reason is not None:
            return web.Response(status=503, text=f"{readiness.reason}\n")
        lack = "" if readiness.lack is None else f"without {readiness.lack}\n"
        return web.Response(text=f"ready\n{lack}")

    application = web.Application(middlewares=[check_host], client_max_size=1024)
    application.router.add_get("/metrics", show_metrics)
    application.router.add_get("/healthz", show_health)
    application.router.add_get("/readyz", show_readiness)
    return application
