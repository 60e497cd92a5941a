"""aiohttp's low-level server, as the gateway uses it.

What aiohttp does by itself and a guard must not: answer malformed requests with pages that repeat
the attacker's bytes, make a task of every request. What it reads for itself and must not, `bounded`
reads first. Only these two files and `endpoint` know of it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import ERROR, _ErrInfo

from gateway.middleware.bounded import LINGER_SECONDS, BoundedProtocol, FrontLimits, Leave
from gateway.middleware.entrance import Entrance
from gateway.middleware.exchange import Exchange, new_request_id
from gateway.policy.headers import HeaderPair
from gateway.policy.rejection import Reason

log = logging.getLogger(__name__)

_DRAIN_STEP_SECONDS = 0.05


RefuseMalformed = Callable[[Exchange, Reason, str], None]
Handler = Callable[[Exchange], Awaitable[None]]


class FrontProtocol(BoundedProtocol):
    """One client's connection to the guard."""

    __slots__ = ("_front", "_trailers", "drain_seconds", "forwarded_headers")

    def __init__(self, front: "FrontServer", **kwargs: Any) -> None:
        super().__init__(front, front.limits, front.entrance, **kwargs)
        self._front = front
        self.drain_seconds = front.limits.drain_seconds
        self.forwarded_headers: list[HeaderPair] | None = None
        # Of the requests that wait in line or are being served, behind which body each stood.
        self._trailers: dict[StreamReader, Sequence[HeaderPair]] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note who it is: the log wants to know when they are gone."""
        super().connection_made(transport)
        # Kept by the property, as long as the connection stands to be asked.
        _ = self.peername

    def eof_received(self) -> None:
        """Take a client that says it sends no more for one that is gone, as nginx does.

        Who has closed cannot be told from who only stops to send, and the upstream is not to work
        for nobody. With a reset: a mere close would be the proper end of an answer without length.
        """
        if self._request_in_progress and self._current_request is not None:
            cast(Exchange, self._current_request).abort()

    def drop(self, reason: Reason, detail: str) -> None:
        """Refuse the request that is not whole, when no other is being answered, and close."""
        if not self._request_in_progress:
            exchange = Exchange(ERROR, EMPTY_PAYLOAD, self, new_request_id())
            self._front.refuse_malformed(exchange, reason, detail)
        self.force_close()

    def keep_trailers(self, body: StreamReader, trailers: Sequence[HeaderPair]) -> None:
        """Keep them until the request has been answered."""
        self._trailers[body] = trailers

    def trailers_behind(self, body: StreamReader) -> Sequence[HeaderPair]:
        """Give the fields that stood behind a body, which has arrived whole."""
        return self._trailers.get(body, ())

    async def start(self) -> None:
        """Serve the connection's requests, one after the other, in this one task.

        aiohttp's own loop makes a task and four more coroutines for each request: a twentieth of
        all that a warm request costs.
        """
        messages = self._messages
        while not self._force_close:
            if not messages:
                self._waiter = self._loop.create_future()
                try:
                    await self._waiter
                finally:
                    self._waiter = None
            message, payload = messages.popleft()
            if self._parser is not None:
                self._parser.message_consumed()
            if self._buffer_paused and len(messages) <= self._msg_queue_resume_size:
                self._resume_reading_if_drained()
            if not await self._serve(message, payload) or self._close:
                break
            closes_at = self._next_keepalive_close_time = (
                self._loop.time() + self._keepalive_timeout
            )
            if self._keepalive_handle is None:
                self._keepalive_handle = self._loop.call_at(closes_at, self._process_keepalive)
        if not self._force_close:
            self._task_handler = None
            if self.transport is not None:
                self.transport.close()

    async def _serve(self, message: RawRequestMessage | _ErrInfo, payload: StreamReader) -> bool:
        """Answer one request, and say whether another one may follow."""
        self._request_in_progress = True
        try:
            if isinstance(message, _ErrInfo):
                self._refuse_unparsed(message)
                return False
            exchange = Exchange(message, payload, self, new_request_id())
            self._current_request = exchange  # type: ignore[assignment] # it needs no more of one
            await self._front.handler(exchange)
            self._request_in_progress = False
            return (payload.is_eof() or await self._linger(payload)) and exchange.keep_alive
        except asyncio.CancelledError:
            self.force_close()
            raise
        except Exception:
            # The handler answers everything: what it has sent before this nobody knows.
            log.exception("a request failed beyond its refusal")
            if self.transport is not None:
                self.transport.abort()
            return False
        finally:
            self._current_request = None
            self._request_in_progress = False
            if self._trailers:
                self._trailers.pop(payload, None)
            if self._handler_waiter is not None and not self._handler_waiter.done():
                self._handler_waiter.set_result(None)

    def _refuse_unparsed(self, error: _ErrInfo) -> None:
        """Refuse what is no request, in our words: the parser's quote it; its kind says enough."""
        exchange = Exchange(ERROR, EMPTY_PAYLOAD, self, new_request_id())
        is_too_large = isinstance(error.exc, LineTooLong) or "Too many headers" in error.message
        reason = Reason.HEADERS_TOO_LARGE if is_too_large else Reason.MALFORMED_REQUEST
        self._front.refuse_malformed(exchange, reason, type(error.exc).__name__)

    async def _linger(self, payload: StreamReader) -> bool:
        """Read off a body that nobody wanted, for a while, and say whether that was all of it.

        Closed at once, the connection would be reset, and the answer lost on its way.
        """
        try:
            async with asyncio.timeout(LINGER_SECONDS):
                # Who read it until now has been cancelled, and lets go of it in its next step.
                await asyncio.sleep(0)
                while not payload.is_eof() and not self._force_close:
                    await payload.readany()
        except (TimeoutError, web.RequestPayloadError):
            return False
        return payload.is_eof()

    async def wait_until_writable(self) -> None:
        """Wait until the kernel takes more. Raises ConnectionError when the client is gone."""
        if self._paused:
            await self._drain_helper()

    def begin_tunnel(self) -> tuple[asyncio.Transport, bytes]:
        """Give up the connection, and what came behind the request that asked for it.

        aiohttp has kept those bytes without a look at them. Raises ConnectionError when the client
        is gone.
        """
        transport = self.transport
        if transport is None or not self._upgraded:
            raise ConnectionResetError("the client is gone")
        self._disarm()
        self.keep_alive(val=False)
        tail, self._message_tail = self._message_tail, b""
        self._parser = None
        return transport, tail

    def end_tunnel(self) -> None:
        """Note that the connection is closed, as soon as the request has been recorded."""
        self._loop.call_soon(self.connection_lost, None)

    def announce_end(self) -> None:
        """Have the answer under way say that it is the last one, unless its head has gone.

        Where more requests have arrived already, the last of them will say it.
        """
        if self._request_in_progress and self._current_request is not None and not self._messages:
            cast(Exchange, self._current_request).keep_alive = False

    def close_if_idle(self) -> None:
        """Close, unless a request has arrived that is not answered yet."""
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            self.force_close()


class FrontServer(web.Server):
    """The server of the guard's listener: `handler` for requests, a refusal for the rest."""

    def __init__(
        self,
        handler: Handler,
        refuse_malformed: RefuseMalformed,
        limits: FrontLimits,
        entrance: Entrance,
    ) -> None:
        super().__init__(
            # The protocol calls it with an exchange of its own; aiohttp only passes it on.
            cast(Any, handler),
            handler_cancellation=True,
        )
        self.handler = handler
        self.refuse_malformed: RefuseMalformed = refuse_malformed
        self.limits = limits
        self.entrance = entrance

    async def drain(self, seconds: float) -> None:
        """Let the requests under way finish, for so long at most; close all that is idle.

        aiohttp's own shutdown stops reading at once: it would cut off every upload.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        step = 0.001
        for connection in self.connections:
            cast(FrontProtocol, connection).announce_end()
        while self._connections and loop.time() < end:
            for connection in self.connections:
                cast(FrontProtocol, connection).close_if_idle()
            await asyncio.sleep(step)
            step = min(2 * step, _DRAIN_STEP_SECONDS)
        for transport in tuple(self._connections.values()):
            transport.abort()
        # A last step: those who were cut off record it.
        await self.shutdown(_DRAIN_STEP_SECONDS)

    def __call__(self, leave: Leave | None = None) -> FrontProtocol:
        """Make the protocol of a new connection; `leave` when the entrance has let it in."""
        return FrontProtocol(self, leave=leave, loop=self._loop)
