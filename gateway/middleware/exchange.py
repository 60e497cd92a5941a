"""One request on its way through the gateway: what came in, where the answer goes, how it ended.

It is the `Client` that `forward` writes to, and what `record` reads when all is done.
"""

import asyncio
import struct
from socket import SO_LINGER, SOL_SOCKET

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from gateway.policy.headers import HeaderPair
from gateway.policy.rejection import Reason
from gateway.policy.routes import Route
from gateway.policy.token import Token
from gateway.proxy.exchange import BodyFailure, Forwarded

_RESET = struct.pack("ii", 1, 0)


class Exchange:
    """The request and its outcome. Only `record` makes one."""

    __slots__ = (
        "bytes_received",
        "bytes_sent",
        "detail",
        "forwarded",
        "host",
        "keep_alive",
        "method",
        "path",
        "peer",
        "reason",
        "request",
        "request_id",
        "route",
        "speaks_http_1_1",
        "status",
        "token",
        "upstream",
    )

    def __init__(self, request: web.BaseRequest, request_id: str) -> None:
        self.request = request
        self.request_id = request_id
        self.method = request.method
        version = request.version
        self.speaks_http_1_1 = version.major == 1 and version.minor == 1
        # After any Upgrade, aiohttp's parser drops what stands behind it in the same segment: the
        # next request may be lost, or begin in its middle.
        self.keep_alive = request.keep_alive and not request._message.upgrade  # noqa: SLF001
        peername = request.get_extra_info("peername")
        self.peer: str = peername[0] if isinstance(peername, tuple) else "unix"
        # As far as they are known; until then the log shows what came.
        self.host: str | None = None
        self.path = ""
        self.route: Route | None = None
        self.token: Token | None = None
        self.upstream: str | None = None
        self.status = 0
        self.reason: Reason | None = None
        self.detail = ""
        self.bytes_received = 0
        self.bytes_sent = 0
        self.forwarded: Forwarded | None = None

    @property
    def headers(self) -> tuple[HeaderPair, ...]:
        """The fields of the request as they came."""
        return self.request.raw_headers

    def write(self, data: bytes) -> None:
        """Send bytes to the client. Raises ConnectionError when it is gone."""
        transport = self.request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client is gone")
        transport.write(data)

    async def drain(self) -> None:
        """Wait until the client takes more."""
        await self.request.writer.drain()

    def abort(self) -> None:
        """Break the client's connection, with a reset.

        A mere close would be the proper end of an answer that has no length (HTTP/1.0).
        """
        transport = self.request.transport
        if transport is not None:
            sock = transport.get_extra_info("socket")
            if sock is not None:
                sock.setsockopt(SOL_SOCKET, SO_LINGER, _RESET)
            transport.abort()


class ExchangeBody:
    """The request's body as it arrives, bounded in length and in the pauses it may make."""

    __slots__ = ("_content", "_exchange", "_limit", "_timeout", "length")

    def __init__(
        self, exchange: Exchange, length: int | None, *, limit: int, timeout: float
    ) -> None:
        self._exchange = exchange
        self._content = exchange.request.content
        self._limit = limit
        self._timeout = timeout
        self.length = length

    def take(self) -> bytes:
        """Give what has arrived, without waiting. Raises BodyFailure."""
        error = self._content.exception()
        if error is not None:
            raise BodyFailure(Reason.MALFORMED_REQUEST, "the body is malformed") from error
        return self._count(self._content.read_nowait())

    @property
    def is_complete(self) -> bool:
        """Whether `take` gave the last of it."""
        return self._content.at_eof()

    async def read(self) -> bytes:
        """Give more, waiting for it; b"" at the end. Raises BodyFailure."""
        try:
            async with asyncio.timeout(self._timeout):
                return self._count(await self._content.readany())
        except TimeoutError:
            raise BodyFailure(
                Reason.REQUEST_TIMEOUT, f"no byte of the body within {self._timeout:g}s"
            ) from None
        except (web.RequestPayloadError, HttpProcessingError) as error:
            raise BodyFailure(Reason.MALFORMED_REQUEST, "the body is malformed") from error

    def _count(self, data: bytes) -> bytes:
        self._exchange.bytes_received += len(data)
        if self._exchange.bytes_received > self._limit:
            raise BodyFailure(Reason.BODY_TOO_LARGE, f"the body exceeds {self._limit} bytes")
        return data
