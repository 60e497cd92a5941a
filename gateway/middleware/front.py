"""aiohttp's low-level server, as the gateway uses it.

What aiohttp does by itself and a guard must not: answer malformed requests with pages that repeat
the attacker's bytes, wait for a request's head without end, leave a body's reader waiting when its
framing breaks. This file is the only one that knows of it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_exceptions import LineTooLong
from aiohttp.web_protocol import RequestHandler, _ErrInfo

from gateway.policy.rejection import Reason

_LINGER_SECONDS = 5.0


class Sent(web.StreamResponse):
    """An answer that has been written already: aiohttp has nothing left to do but go on, or close."""

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Do nothing."""
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Do nothing."""


# They hold no state of a request, so two of them serve all.
SENT_AND_OPEN = Sent()
SENT_AND_OPEN._keep_alive = True  # noqa: SLF001 - aiohttp has a setter for False alone
SENT_AND_CLOSED = Sent()
SENT_AND_CLOSED.force_close()


@dataclass(frozen=True, slots=True)
class FrontLimits:
    """What a client may send and how long it may take; bytes and seconds."""

    headers: int
    header_bytes: int
    head_seconds: float
    idle_seconds: float


RefuseMalformed = Callable[[web.BaseRequest, Reason, str], web.StreamResponse]


class FrontProtocol(RequestHandler):
    """One client's connection."""

    __slots__ = ("_front", "_head_bytes", "_head_handle", "must_measure")

    def __init__(self, front: "FrontServer", **kwargs: Any) -> None:
        super().__init__(front, **kwargs)
        self._front = front
        self._head_bytes = 0
        self._head_handle: asyncio.TimerHandle | None = None
        # Whether the head may be larger than allowed; measuring each would cost every request.
        self.must_measure = False

    def data_received(self, data: bytes) -> None:
        """Parse; bound the time and the size of a head that comes in pieces."""
        super().data_received(data)
        waiter = self._waiter
        if self._messages:
            if self._head_handle is not None:
                self._head_handle.cancel()
                self._head_handle = None
            self.must_measure = self._head_bytes + len(data) > self._front.limits.header_bytes
            self._head_bytes = 0
            if isinstance(self._messages[-1][0], _ErrInfo):
                self._break_body()
        elif waiter is not None and not waiter.done() and data:
            # Nothing is being served, and no head is whole yet.
            self._head_bytes += len(data)
            if self._head_handle is None:
                self._head_handle = self._loop.call_later(
                    self._front.limits.head_seconds, self.force_close
                )
            if self._head_bytes > 2 * self._front.limits.header_bytes:
                self.force_close()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Disarm the timer."""
        if self._head_handle is not None:
            self._head_handle.cancel()
            self._head_handle = None
        super().connection_lost(exc)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Refuse what could not be parsed, in our words."""
        if isinstance(exc, LineTooLong) or "Too many headers" in (message or ""):
            return self._front.refuse_malformed(
                request, Reason.HEADERS_TOO_LARGE, type(exc).__name__
            )
        # The parser's message quotes the request; its kind says enough.
        return self._front.refuse_malformed(request, Reason.MALFORMED_REQUEST, type(exc).__name__)

    def _break_body(self) -> None:
        # The parser has given up amid a body that somebody may be reading.
        current = self._current_request
        if current is not None and not current.content.is_eof():
            current.content.set_exception(web.RequestPayloadError("the body is malformed"))


class FrontServer(web.Server):
    """The server of the guard's listener: `handler` for what is a request, a refusal for the rest."""

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        refuse_malformed: RefuseMalformed,
        limits: FrontLimits,
    ) -> None:
        super().__init__(handler, handler_cancellation=True)
        self.refuse_malformed: RefuseMalformed = refuse_malformed
        self.limits = limits

    def __call__(self) -> FrontProtocol:
        """Make the protocol of a new connection."""
        return FrontProtocol(
            self,
            loop=self._loop,
            access_log=None,
            keepalive_timeout=self.limits.idle_seconds,
            lingering_time=_LINGER_SECONDS,
            max_headers=self.limits.headers,
            max_line_size=self.limits.header_bytes,
            max_field_size=self.limits.header_bytes,
            # Bodies pass as they are; nothing here inflates what a stranger sent.
            auto_decompress=False,
        )
