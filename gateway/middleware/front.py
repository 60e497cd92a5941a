"""aiohttp's low-level server, as the gateway uses it.

What aiohttp does by itself and a guard must not: answer malformed requests with pages that repeat
the attacker's bytes, wait for a request's head without end, leave a body's reader waiting when its
framing breaks, make a task of every request. Only this file and `endpoint` know of it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, cast

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import ERROR, RequestHandler, _ErrInfo

from gateway.middleware.entrance import Entrance
from gateway.middleware.exchange import Exchange, new_request_id
from gateway.policy.headers import HeaderPair
from gateway.policy.rejection import Reason

log = logging.getLogger(__name__)

_LINGER_SECONDS = 5.0
# Of what comes in one piece; more would let a stranger make much work of few bytes.
_MOST_HEADS_APART = 16
_DRAIN_STEP_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class FrontLimits:
    """What a client may send and how long it may take; bytes and seconds."""

    headers: int
    header_bytes: int
    head_seconds: float
    idle_seconds: float
    drain_seconds: float


RefuseMalformed = Callable[[Exchange, Reason, str], None]
Handler = Callable[[Exchange], Awaitable[None]]
Leave = Callable[[], None]


class BoundedProtocol(RequestHandler):
    """A client's connection: counted, and its heads bounded in size and in time.

    aiohttp bounds each field of a head, and the time until a first request not at all. `leave` is
    what the entrance gave when it has let the connection in already.
    """

    __slots__ = (
        "_entrance",
        "_head_bytes",
        "_head_handle",
        "_head_tail",
        "_last_body",
        "_leave",
        "_limits",
        "must_measure",
    )

    def __init__(
        self,
        server: web.Server,
        limits: FrontLimits,
        entrance: Entrance,
        leave: Leave | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            server,
            access_log=cast(Any, None),
            keepalive_timeout=limits.idle_seconds,
            lingering_time=_LINGER_SECONDS,
            max_headers=limits.headers,
            max_line_size=limits.header_bytes,
            max_field_size=limits.header_bytes,
            # Bodies pass as they are; nothing here inflates what a stranger sent.
            auto_decompress=False,
            **kwargs,
        )
        self._limits = limits
        self._entrance = entrance
        self._leave = leave
        self._head_bytes = 0
        # Its last three bytes, in which its end may have begun.
        self._head_tail = b""
        self._head_handle: asyncio.TimerHandle | None = None
        self._last_body: StreamReader | None = None
        # Whether a head of this connection may have been larger than allowed; measuring each would
        # cost every request.
        self.must_measure = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to serve, if the entrance lets the connection in."""
        if self._leave is None:
            self._leave = self._entrance.enter(transport.get_extra_info("peername"))
        if self._leave is None:
            self._manager = None  # so that aiohttp takes no note of its end, either
            cast(asyncio.Transport, transport).abort()
        else:
            super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Parse; bound the time and the size of a head that comes in pieces."""
        if not self._is_amid_body():
            # Bodies are not searched: they may be large, and hold anything.
            end = self._find_end_of_head(data)
            if 0 < end < len(data):
                data = self._receive_heads(data, end)
        is_amid_body = self._is_amid_body()
        count = self._request_count
        RequestHandler.data_received(self, data)
        if self._request_count != count:
            self._disarm()
            if self._head_bytes + len(data) > self._limits.header_bytes:
                self.must_measure = True
            self._head_bytes = 0
            self._head_tail = b""
            message, body = self._messages[-1]
            if isinstance(message, _ErrInfo):
                self._break_body()
            else:
                self._last_body = body
        elif data and not is_amid_body and not self._buffer_paused:
            # No head is whole yet, whether or not another request is being served.
            self._head_bytes += len(data)
            self._head_tail = (self._head_tail + data[-3:])[-3:]
            if self._head_handle is None:
                self._arm()
            if self._head_bytes > 2 * self._limits.header_bytes:
                self.drop(Reason.HEADERS_TOO_LARGE, f"more than {self._head_bytes} bytes")

    def _receive_heads(self, data: bytes, end: int) -> bytes:
        """Parse heads one by one, the first of which ends at `end`, and give what is left.

        Behind the last request of a connection (`Connection: close`, HTTP/1.0) the parser takes
        nothing more, and would give up that request with what stands behind it in one piece.
        """
        for _ in range(_MOST_HEADS_APART):
            self.data_received(data[:end])
            data = data[end:]
            end = 0 if self._is_amid_body() else self._find_end_of_head(data)
            if not 0 < end < len(data):
                break
        return data

    def _find_end_of_head(self, data: bytes) -> int:
        """Give where the open head ends within `data`, though it may have begun before; or 0."""
        tail = self._head_tail
        found = (tail + data).find(b"\r\n\r\n") if tail else data.find(b"\r\n\r\n")
        return max(0, found + 4 - len(tail)) if found >= 0 else 0

    def _is_amid_body(self) -> bool:
        body = self._last_body
        return body is not None and not body.is_eof()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Disarm the timer, and make room for another."""
        self._disarm()
        leave, self._leave = self._leave, None
        if leave is not None:
            leave()
        super().connection_lost(exc)

    def drop(self, reason: Reason, detail: str) -> None:  # noqa: ARG002 - for those who tell
        """End the connection, whose next request is refused before it is whole."""
        self.force_close()

    def _arm(self) -> None:
        self._head_handle = self._loop.call_later(self._limits.head_seconds, self._time_out)

    def _disarm(self) -> None:
        if self._head_handle is not None:
            self._head_handle.cancel()
            self._head_handle = None

    def _time_out(self) -> None:
        self._head_handle = None
        if self._request_in_progress:
            # The answer to the request before it goes first.
            self._arm()
        else:
            self.drop(Reason.REQUEST_TIMEOUT, "its head did not arrive in time")

    def _break_body(self) -> None:
        # The parser has given up, perhaps amid a body that somebody reads, or will.
        body = self._last_body
        if body is not None and not body.is_eof():
            body.set_exception(web.RequestPayloadError("the body is malformed"))

    def log_exception(self, *args: Any, **kwargs: Any) -> None:
        """Log what aiohttp met, but for a body that broke: that has been answered and recorded."""
        if not isinstance(kwargs.get("exc_info"), web.RequestPayloadError):
            super().log_exception(*args, **kwargs)


class FrontProtocol(BoundedProtocol):
    """One client's connection to the guard."""

    __slots__ = ("_front", "drain_seconds", "forwarded_headers")

    def __init__(self, front: "FrontServer", **kwargs: Any) -> None:
        super().__init__(front, front.limits, front.entrance, **kwargs)
        self._front = front
        self.drain_seconds = front.limits.drain_seconds
        self.forwarded_headers: list[HeaderPair] | None = None

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
            async with asyncio.timeout(_LINGER_SECONDS):
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
