"""The outermost of the middlewares: keeps the books of each request.

It is also the last line of defence: an exception anywhere inside becomes a refusal, never a
forwarded request and never a traceback.
"""

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable

from gateway.middleware.exchange import Exchange
from gateway.middleware.refuse import build_refusal, refuse
from gateway.policy.method import USUAL_METHODS
from gateway.policy.rejection import REFUSALS, Reason, Rejection
from gateway.telemetry.access_log import CLIENT_GONE, AccessLog, LogEntry
from gateway.telemetry.metrics import NO_ROUTE, Metrics

log = logging.getLogger(__name__)

_STATUS_TEXTS = {status: str(status) for status in range(100, 600)}
_METHODS = frozenset(USUAL_METHODS)
_NO_UPSTREAM = "-"
# A token that somebody put into the path is no less a token.
_TOKEN = re.compile("gw_(at|cs)_[A-Za-z0-9]+")
# Books are kept in batches: done request by request, between two others, the same work costs
# several times as much. A scrape and the end settle what is open.
_BATCH = 64
_BATCH_SECONDS = 0.1


class Recorder:
    """Wraps the guard for aiohttp's server."""

    def __init__(
        self,
        guard: Callable[[Exchange], Awaitable[None]],
        metrics: Metrics,
        access_log: AccessLog,
        metadata_url: str,
    ) -> None:
        self._guard = guard
        self._metrics = metrics
        self._access_log = access_log
        self._metadata_url = metadata_url
        # Whether each request is the last one of its connection.
        self.is_draining = False
        self._done: list[Exchange] = []
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        metrics.on_scrape(self.settle)

    async def __call__(self, exchange: Exchange) -> None:
        """Answer a request, and record how it went."""
        if self.is_draining:
            exchange.keep_alive = False
        try:
            await self._guard(exchange)
        except asyncio.CancelledError:
            exchange.status = CLIENT_GONE
            raise
        except ConnectionError:
            exchange.status = CLIENT_GONE
            exchange.keep_alive = False
        except Exception:
            log.exception("request %s failed inside the gateway", exchange.request_id)
            await self._fail(exchange)
        finally:
            self._record(exchange)

    def refuse_malformed(self, exchange: Exchange, reason: Reason, detail: str) -> None:
        """Refuse what could not even be parsed, and record it."""
        exchange.method = "-"
        exchange.reason = reason
        exchange.detail = detail
        exchange.status = REFUSALS[reason].status
        answer = build_refusal(
            Rejection(reason),
            exchange.request_id,
            self._metadata_url,
            wants_html=False,
            is_head=False,
            connection="close",
        )
        exchange.bytes_sent = len(answer)
        try:
            exchange.write(answer)
        except ConnectionError:
            exchange.status = CLIENT_GONE
        self._record(exchange)

    async def _fail(self, exchange: Exchange) -> None:
        has_begun = exchange.status != 0 or (
            exchange.forwarded is not None and exchange.forwarded.status != 0
        )
        exchange.keep_alive = False
        exchange.reason = Reason.INTERNAL_ERROR
        try:
            if has_begun:
                exchange.abort()
            else:
                await refuse(exchange, Rejection(Reason.INTERNAL_ERROR), self._metadata_url)
        except ConnectionError:
            exchange.status = CLIENT_GONE

    def _record(self, exchange: Exchange) -> None:
        exchange.duration = time.perf_counter() - exchange.started
        exchange.ended_at = time.time()
        self._done.append(exchange)
        if len(self._done) >= _BATCH:
            self.settle()
        elif self._timer is None:
            self._timer = self._loop.call_later(_BATCH_SECONDS, self.settle)

    def settle(self) -> None:
        """Count and log the requests that have ended since the last time."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        done, self._done = self._done, []
        for exchange in done:
            route = exchange.route.name if exchange.route is not None else NO_ROUTE
            self._count(exchange, route)
            if self._access_log.wants(is_refused=exchange.reason is not None):
                self._access_log.write(self._entry(exchange, route), exchange.ended_at)

    def _count(self, exchange: Exchange, route: str) -> None:
        metrics = self._metrics
        method = exchange.method if exchange.method in _METHODS else "other"
        status = _STATUS_TEXTS.get(exchange.status) or str(exchange.status)
        metrics.requests.count(route, method, status)
        metrics.request_duration.observe(exchange.upstream or _NO_UPSTREAM, exchange.duration)
        if exchange.reason is not None:
            metrics.count_refusal(route, exchange.reason)
        forwarded = exchange.forwarded
        if forwarded is not None and forwarded.result and exchange.upstream is not None:
            metrics.count_upstream(exchange.upstream, forwarded)

    def _entry(self, exchange: Exchange, route: str) -> LogEntry:
        token = exchange.token
        forwarded = exchange.forwarded
        return LogEntry(
            request_id=exchange.request_id,
            peer=exchange.peer,
            method=exchange.method,
            host=exchange.host or "",
            path=_TOKEN.sub(r"gw_\1_***", exchange.path),
            route=route,
            status=exchange.status,
            reason=exchange.reason,
            detail=exchange.detail,
            client_id=token.client_id if token is not None else None,
            subject=token.subject if token is not None else None,
            upstream=exchange.upstream,
            server=forwarded.server if forwarded is not None else None,
            duration=exchange.duration,
            upstream_duration=forwarded.seconds_to_head if forwarded is not None else 0.0,
            bytes_received=exchange.bytes_received,
            bytes_sent=exchange.bytes_sent,
        )
