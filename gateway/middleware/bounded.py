"""A client's connection, bounded: what aiohttp's parser gets of it, and when.

What aiohttp does by itself and a listener must not: wait for a request's head without end, leave a
body's reader waiting when its framing breaks, take a trailer for a field of the next request.

Rule: the parser is given one head at a time, and no byte behind it before the body that the head
announces has been counted off. Where a message ends is decided here.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from aiohttp import StreamReader, web
from aiohttp.hdrs import CONTENT_LENGTH
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import RequestHandler, _ErrInfo

from gateway.middleware.entrance import Entrance
from gateway.policy.chunks import ChunkReader, MalformedChunks
from gateway.policy.headers import HeaderPair
from gateway.policy.rejection import Reason

LINGER_SECONDS: Final = 5.0
_END_OF_HEAD: Final = b"\r\n\r\n"
_LAST_CHUNK: Final = b"0\r\n\r\n"

Leave = Callable[[], None]


@dataclass(frozen=True, slots=True)
class FrontLimits:
    """What a client may send and how long it may take; bytes and seconds."""

    headers: int
    header_bytes: int
    head_seconds: float
    idle_seconds: float
    drain_seconds: float


class BrokenBody(web.RequestPayloadError):
    """What whoever reads a body gets when its framing breaks; `reason` is why it is refused."""

    def __init__(self, failure: MalformedChunks) -> None:
        self.reason = failure.reason
        super().__init__(str(failure))


class BoundedProtocol(RequestHandler):
    """A client's connection: counted, and its heads bounded in size and in time.

    aiohttp bounds each field of a head, and the time until a first request not at all. `leave` is
    what the entrance gave when it has let the connection in already.
    """

    __slots__ = (
        "_body",
        "_body_left",
        "_chunks",
        "_entrance",
        "_head_bytes",
        "_head_handle",
        "_head_tail",
        "_leave",
        "_limits",
        "_unparsed",
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
            lingering_time=LINGER_SECONDS,
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
        # What is still to come of a body with a length; of one in chunks, who reads it for whom.
        self._body_left = 0
        self._chunks: ChunkReader | None = None
        self._body: StreamReader | None = None
        # What stands behind as many requests as may wait in line.
        self._unparsed = b""
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
        """Parse, message by message; aiohttp calls it with b"" to go on where it had to stop."""
        if self._unparsed:
            data, self._unparsed = self._unparsed + data, b""
        if not data:
            RequestHandler.data_received(self, data)
            return
        at = 0
        while at < len(data) and not (self._force_close or self._close):
            if self._upgraded:
                # What comes now is for whoever the connection is given to.
                RequestHandler.data_received(self, data[at:])
                return
            if self._body_left:
                end = min(len(data), at + self._body_left)
                self._body_left -= end - at
                RequestHandler.data_received(self, data[at:end])
                at = end
            elif self._chunks is not None:
                at = self._receive_chunks(self._chunks, data, at)
            elif len(self._messages) >= self._max_msg_queue_size:
                # Reading has been paused; it goes on when the line has moved up.
                self._unparsed = data[at:]
                return
            else:
                at = self._receive_head(data, at)

    def _receive_head(self, data: bytes, at: int) -> int:
        """Parse the open head, as far as it is there, and give where what is there of it ends."""
        end = self._find_end_of_head(data, at)
        piece = data[at:end]
        count = self._request_count
        RequestHandler.data_received(self, piece)
        if self._request_count != count:
            self._begin_body(len(piece))
        else:
            # No head is whole yet, whether or not another request is being served.
            self._head_bytes += len(piece)
            self._head_tail = (self._head_tail + piece[-3:])[-3:]
            if self._head_handle is None:
                self._head_handle = self._loop.call_later(self._limits.head_seconds, self._time_out)
            if self._head_bytes > 2 * self._limits.header_bytes:
                self.drop(Reason.HEADERS_TOO_LARGE, f"more than {self._head_bytes} bytes")
        return end

    def _find_end_of_head(self, data: bytes, at: int) -> int:
        """Give where the open head ends, though its end may have begun before; or all there is."""
        tail = self._head_tail
        if tail:
            found = (tail + data[at : at + 3]).find(_END_OF_HEAD)
            if found >= 0:
                return at + found + len(_END_OF_HEAD) - len(tail)
        found = data.find(_END_OF_HEAD, at)
        return found + len(_END_OF_HEAD) if found >= 0 else len(data)

    def _begin_body(self, size: int) -> None:
        """Note what is to come behind a head, whose last piece has so many bytes."""
        if self._head_handle is not None:
            self._disarm()
        if self._head_bytes + size > self._limits.header_bytes:
            self.must_measure = True
        self._head_bytes = 0
        self._head_tail = b""
        message, body = self._messages[-1]
        if body is EMPTY_PAYLOAD or body.is_eof() or isinstance(message, _ErrInfo):
            return
        if message.chunked:
            self._body = body
            self._chunks = ChunkReader(
                trailer_bytes=self._limits.header_bytes, most_trailers=self._limits.headers
            )
        else:
            self._body_left = int(message.headers[CONTENT_LENGTH])

    def _receive_chunks(self, chunks: ChunkReader, data: bytes, at: int) -> int:
        """Give the parser a body in chunks of our own, without trailers: they are kept here.

        It takes the last of them for a field of the request that follows.
        """
        body = self._body
        assert body is not None  # noqa: S101 - for the type checker: chunks are read for somebody
        try:
            piece, end = chunks.read(data, at)
        except MalformedChunks as failure:
            # Somebody reads it, or will. Nothing that follows is looked at.
            body.set_exception(BrokenBody(failure))
            return len(data)
        if piece:
            RequestHandler.data_received(self, b"%x\r\n%b\r\n" % (len(piece), piece))
        if chunks.is_complete:
            self._chunks = self._body = None
            if chunks.trailers:
                self.keep_trailers(body, chunks.trailers)
            RequestHandler.data_received(self, _LAST_CHUNK)
        return end

    def keep_trailers(self, body: StreamReader, trailers: Sequence[HeaderPair]) -> None:
        """Take the fields behind a body, before its end is told; nobody asks for them here."""

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

    def _disarm(self) -> None:
        if self._head_handle is not None:
            self._head_handle.cancel()
            self._head_handle = None

    def _time_out(self) -> None:
        self._head_handle = None
        if self._request_in_progress:
            # The answer to the request before it goes first.
            self._head_handle = self._loop.call_later(self._limits.head_seconds, self._time_out)
        else:
            self.drop(Reason.REQUEST_TIMEOUT, "its head did not arrive in time")

    def log_exception(self, *args: Any, **kwargs: Any) -> None:
        """Log what aiohttp met, but for a body that broke: that has been answered and recorded."""
        if not isinstance(kwargs.get("exc_info"), web.RequestPayloadError):
            super().log_exception(*args, **kwargs)
