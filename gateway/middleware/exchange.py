"""One request on its way through the gateway: what came in, where the answer goes, how it ended.

It is the `Client` that `forward` writes to, and what `record` reads when all is done.
"""

import asyncio
import random  # noqa: TID251 - for request ids, which need not be unguessable
import struct
import time
from collections.abc import Sequence
from contextlib import suppress
from socket import SO_LINGER, SOL_SOCKET
from typing import Protocol

from aiohttp import HttpVersion11, StreamReader, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import RawRequestMessage
from multidict import CIMultiDictProxy

from gateway.introspection.cache import Answer
from gateway.middleware.bounded import BrokenBody
from gateway.policy.cors import CorsRules
from gateway.policy.forwarding import BodyFailure, Forwarded, ForwardRequest
from gateway.policy.headers import HeaderPair
from gateway.policy.rate_limits import Standing, rate_fields
from gateway.policy.rejection import Reason
from gateway.policy.routes import Route
from gateway.policy.token import Token
from gateway.policy.trailers import filter_request_trailers

_LEAST_BYTES_PER_SECOND = 500
_RESET = struct.pack("ii", 1, 0)


class ClientConnection(Protocol):
    """What an exchange needs to know of the connection that it came over."""

    transport: asyncio.Transport | None
    must_measure: bool
    drain_seconds: float
    forwarded_headers: list[HeaderPair] | None
    """X-Forwarded-For and -Proto for whoever is not trusted, as soon as they were asked for."""

    @property
    def peername(self) -> object:
        """The address at the other end."""
        ...

    @property
    def writing_paused(self) -> bool:
        """Whether the kernel takes no more for now."""
        ...

    async def wait_until_writable(self) -> None:
        """Wait until the kernel takes more. Raises ConnectionError when the client is gone."""
        ...

    def trailers_behind(self, body: StreamReader) -> Sequence[HeaderPair]:
        """Give the fields that stood behind a body, which has arrived whole."""
        ...

    @property
    def ssl_context(self) -> object:
        """None on a connection without TLS."""
        ...

    def begin_tunnel(self) -> tuple[asyncio.Transport, bytes]:
        """Give up the connection, and the bytes behind the last request. Raises ConnectionError."""
        ...

    def end_tunnel(self) -> None:
        """Note that the connection is closed."""
        ...


class AnswerEditor(Protocol):
    """Whoever changes an upstream's answer as its route says."""

    def edit(
        self, exchange: "Exchange", request: ForwardRequest, fields: list[HeaderPair]
    ) -> list[HeaderPair]:
        """Give the fields of the answer's head as the client is to see them."""
        ...


class Exchange:
    """The request and its outcome; aiohttp's server is given this in place of a request of its own.

    `authority` is the Host header as it came; `ambiguities` are the kinds in which the path is
    ambiguous, which its route must allow; `cors` says who may read the refusal of a method that no
    route of the path takes, or of what none allows in it; `standings` how the client stands with
    the limits of its route, as far as they were held against the request. `started` is on
    time.perf_counter's clock, `duration`
    in seconds, `ended_at` in Unix seconds.
    """

    # What an exchange has until something else is known of it. No __slots__: most of these are
    # never set, and to set all of them for every request costs more than to look them up here.
    host: str | None = None
    authority: bytes | None = None
    path = ""
    ambiguities: frozenset[str] = frozenset()
    route: Route | None = None
    cors: CorsRules | None = None
    answer: Answer | None = None
    standings: tuple[Standing, ...] = ()
    upstream: str | None = None
    status = 0
    reason: Reason | None = None
    detail = ""
    bytes_received = 0
    bytes_sent = 0
    forwarded: Forwarded | None = None
    editor: AnswerEditor | None = None
    duration = 0.0
    ended_at = 0.0

    def __init__(
        self,
        message: RawRequestMessage,
        content: StreamReader,
        protocol: ClientConnection,
        request_id: str,
    ) -> None:
        self.started = time.perf_counter()
        self.request_id = request_id
        self.message = message
        self.content = content
        self.protocol = protocol
        self.method = message.method
        self.headers: CIMultiDictProxy[str] = message.headers
        self.speaks_http_1_1 = message.version == HttpVersion11
        # After any Upgrade, aiohttp's parser drops what stands behind it in the same segment: the
        # next request may be lost, or begin in its middle.
        self.keep_alive = not (message.should_close or message.upgrade)

    @property
    def peer(self) -> str:
        """The address at the other end of the connection."""
        peername = self.protocol.peername
        return str(peername[0]) if isinstance(peername, tuple) else "unix"

    @property
    def own_fields(self) -> list[HeaderPair]:
        """What the gateway adds to whatever answer there is."""
        admission = self.route.admission if self.route is not None else None
        fields: list[HeaderPair] = []
        if admission is not None and admission.token_cookie is not None:
            fields.append((b"Vary", b"Cookie"))
        if admission is not None and admission.rates is not None:
            fields += rate_fields(admission.rates, self.standings)
        return fields

    @property
    def token(self) -> Token | None:
        """Who asks, when somebody vouched for them."""
        verdict = self.answer.verdict if self.answer is not None else None
        return verdict if isinstance(verdict, Token) else None

    def crossing_trailers(self, fields: Sequence[HeaderPair]) -> list[HeaderPair]:
        """Give the trailers of the request that go on to the upstream."""
        connection = [
            value for name, value in self.message.raw_headers if name.lower() == b"connection"
        ]
        crossing = filter_request_trailers(fields, connection)
        adaptation = self.route.adaptation if self.route is not None else None
        edits = adaptation.request_headers if adaptation is not None else None
        return crossing if edits is None else edits.strip(crossing)

    # What aiohttp asks of its own requests.

    def _cancel(self, error: BaseException) -> None:
        self.content.set_exception(error)

    # What `forward` asks of a client.

    def write(self, data: bytes) -> None:
        """Send bytes to the client. Raises ConnectionError when it is gone."""
        transport = self.protocol.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client is gone")
        transport.write(data)

    def pass_hints(self, fields: Sequence[HeaderPair]) -> None:
        """Send a 103 with these fields (RFC 8297), if there are any and the client can read it."""
        fields = self.edit_trailers(list(fields))
        if fields and self.speaks_http_1_1:
            lines = [b"HTTP/1.1 103 Early Hints", *(b"%b: %b" % pair for pair in fields), b"\r\n"]
            # A client that is gone is noticed with the answer itself.
            with suppress(ConnectionError):
                self.write(b"\r\n".join(lines))

    @property
    def is_congested(self) -> bool:
        """Whether the client takes less than it is sent."""
        return self.protocol.writing_paused

    async def drain(self) -> None:
        """Wait until the client takes more. Raises ConnectionError when it takes too long."""
        try:
            async with asyncio.timeout(self.protocol.drain_seconds):
                await self.protocol.wait_until_writable()
        except TimeoutError:
            self.abort()
            raise ConnectionResetError("the client does not take its answer") from None

    def edit_answer(self, request: ForwardRequest, fields: list[HeaderPair]) -> list[HeaderPair]:
        """Give the fields of an answer's head as the client is to see them."""
        return fields if self.editor is None else self.editor.edit(self, request, fields)

    def edit_trailers(self, fields: list[HeaderPair]) -> list[HeaderPair]:
        """Give the trailers of an answer, or its hints, as the client is to see them."""
        adaptation = self.route.adaptation if self.route is not None else None
        edits = adaptation.response_headers if adaptation is not None else None
        return fields if edits is None else edits.strip(fields)

    def abort(self) -> None:
        """Break the client's connection, with a reset.

        A mere close would be the proper end of an answer that has no length (HTTP/1.0).
        """
        transport = self.protocol.transport
        if transport is not None:
            sock = transport.get_extra_info("socket")
            if sock is not None:
                sock.setsockopt(SOL_SOCKET, SO_LINGER, _RESET)
            transport.abort()

    def begin_tunnel(self) -> tuple[asyncio.Transport, bytes]:
        """Give up the client's connection, and the bytes that came behind the request."""
        return self.protocol.begin_tunnel()

    def end_tunnel(self, bytes_received: int) -> None:
        """Note that the connection is closed, and how many bytes came over it."""
        self.bytes_received = bytes_received
        self.protocol.end_tunnel()


class ExchangeBody:
    """The request's body as it arrives, bounded in length and in the pauses it may make."""

    __slots__ = ("_content", "_exchange", "_limit", "_timeout", "_waited", "length")

    def __init__(
        self, exchange: Exchange, length: int | None, *, limit: int, timeout: float
    ) -> None:
        self._exchange = exchange
        self._content = exchange.content
        self._limit = limit
        self._timeout = timeout
        self._waited = 0.0
        self.length = length

    def take(self) -> bytes:
        """Give what has arrived, without waiting. Raises BodyFailure."""
        error = self._content.exception()
        if error is not None:
            raise _body_failure(error) from error
        return self._count(self._content.read_nowait())

    @property
    def is_complete(self) -> bool:
        """Whether `take` gave the last of it."""
        return self._content.at_eof()

    async def read(self) -> bytes:
        """Give more, waiting for it; b"" at the end. Raises BodyFailure."""
        # A body that drips, byte by byte, would else hold its connections for ever.
        allowed = self._timeout + self._exchange.bytes_received / _LEAST_BYTES_PER_SECOND
        started = time.monotonic()
        try:
            async with asyncio.timeout(min(self._timeout, max(0.0, allowed - self._waited))):
                return self._count(await self._content.readany())
        except TimeoutError:
            raise BodyFailure(
                Reason.REQUEST_TIMEOUT,
                f"{self._exchange.bytes_received} bytes of the body came, then too little",
            ) from None
        except (web.RequestPayloadError, HttpProcessingError) as error:
            raise _body_failure(error) from error
        finally:
            self._waited += time.monotonic() - started

    def trailers(self) -> Sequence[HeaderPair]:
        """Give the fields that go on behind the body, once all of it has been given."""
        received = self._exchange.protocol.trailers_behind(self._content)
        return self._exchange.crossing_trailers(received) if received else received

    def _count(self, data: bytes) -> bytes:
        self._exchange.bytes_received += len(data)
        if self._exchange.bytes_received > self._limit:
            raise BodyFailure(Reason.BODY_TOO_LARGE, f"the body exceeds {self._limit} bytes")
        return data


def _body_failure(error: BaseException) -> BodyFailure:
    if isinstance(error, BrokenBody):
        return BodyFailure(error.reason, str(error))
    return BodyFailure(Reason.MALFORMED_REQUEST, "the body is malformed")


def new_request_id() -> str:
    """Make a request id of 96 random bits."""
    return f"{_ids.getrandbits(96):024x}"


# An id for the logs need not be unguessable, and the system's generator costs a system call.
_ids = random.Random(random.SystemRandom().getrandbits(256))  # noqa: S311 - see above
