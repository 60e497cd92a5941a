"""One connection to an upstream: HTTP/1.1, one exchange at a time, streaming with back-pressure.

Rule: a response reaches the client only as far as it is well framed. What is malformed, cut off or
unasked for ends the connection, and is never taken for the beginning or the end of anything.
"""

import asyncio
import fcntl
import ssl
import termios
from collections.abc import Callable
from typing import cast

import httptools

from gateway.policy.forwarding import Client, UpstreamFailure
from gateway.policy.headers import MalformedHead
from gateway.policy.rejection import Reason
from gateway.proxy.answer import MalformedAnswer, ReceivedAnswer

_MAXIMUM_HEAD = 256 * 1024
_WRITE_HIGH_WATER = 256 * 1024
_BEGINNING = b"HTTP/1."
_NOTHING = bytes(4)


class UpstreamConnection(ReceivedAnswer, asyncio.Protocol):
    """A connection; `on_close` is called with it when it is gone."""

    __slots__ = (
        "_descriptor",
        "_drain_waiter",
        "_failure",
        "_has_ended",
        "_is_busy",
        "_is_reading_paused",
        "_is_writing_paused",
        "_on_close",
        "_waiter",
        "deadline",
        "ends_at",
        "exchanges",
        "loop",
        "timeout_detail",
        "transport",
        "upload_deadline",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        on_close: Callable[["UpstreamConnection"], None],
    ) -> None:
        self.loop = loop
        self._on_close = on_close
        self.transport: asyncio.Transport | None = None
        # Of the socket, where what can be read from it is an answer; -1 of none.
        self._descriptor = -1
        super().__init__()
        self._waiter: asyncio.Future[None] | None = None
        self._drain_waiter: asyncio.Future[None] | None = None
        self._is_reading_paused = False
        self._is_writing_paused = False
        self._is_busy = False
        # Whether the upstream has said that it sends no more.
        self._has_ended = False
        self.exchanges = 0
        # On the loop's clock; the pool's sweep looks at them. Infinite: nothing is due. As long as
        # a body is on its way to the upstream, only `upload_deadline` counts: until it is there,
        # the upstream owes no answer.
        self.deadline = float("inf")
        self.upload_deadline: float | None = None
        # When the exchange as a whole must be over.
        self.ends_at = float("inf")
        self.timeout_detail = ""
        self._failure: Exception | None = None

    @property
    def is_usable(self) -> bool:
        """Whether a new exchange may begin on it."""
        transport = self.transport
        return transport is not None and not transport.is_closing()

    @property
    def is_quiet(self) -> bool:
        """Whether nothing has come that nobody asked for, and that has not been read yet.

        It would be taken for the next answer. What TLS sends for itself cannot be told from it.
        """
        descriptor = self._descriptor
        return descriptor < 0 or fcntl.ioctl(descriptor, termios.FIONREAD, _NOTHING) == _NOTHING

    @property
    def may_have_more(self) -> bool:
        """Whether its last answer is one that sloppy services send a body behind, unasked."""
        return not self._body_allowed or self.status in (204, 304)

    # The exchange, as `forward` sees it.

    def begin(
        self,
        data: bytes,
        *,
        is_head: bool,
        upgrade: bytes | None = None,
        client: Client | None = None,
    ) -> None:
        """Send the beginning of a request: its head, and its body as far as it is there.

        `upgrade` is the protocol that the request asks for, if any; `client` gets early hints.
        """
        if self.exchanges:
            self.reset(body_allowed=not is_head)
        else:
            self._body_allowed = not is_head
        self.upgrade = upgrade
        self.client = client
        self.exchanges += 1
        self._is_busy = True
        self.write(data)

    def expect_answer_by(self, deadline: float, ends_at: float) -> None:
        """Set when the answer must have begun, and when it must be over; on the loop's clock."""
        self.timeout_detail = "its answer did not begin in time"
        self.deadline = deadline
        self.ends_at = ends_at

    def write(self, data: bytes) -> None:
        """Send more of the request. Data for a connection that is gone is dropped."""
        if self.transport is not None:
            self.transport.write(data)

    async def drain(self) -> None:
        """Wait until more may be written. Raises UpstreamFailure when the connection is gone."""
        if self._failure is not None:
            raise self._failure
        if self._is_writing_paused:
            self._drain_waiter = self.loop.create_future()
            try:
                await self._drain_waiter
            finally:
                self._drain_waiter = None

    async def wait_for_head(self) -> None:
        """Wait for the response's head. Raises UpstreamFailure, or what `break_off` was given."""
        while not self.has_head and self._failure is None:
            self._waiter = self.loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        if self._failure is not None:
            # It broke right behind the head, of which the client has seen nothing yet.
            raise self._failure

    async def read(self) -> bytes:
        """Give what has arrived of the body, waiting for some; b"" at its end.

        Raises UpstreamFailure when it was cut off, or what `break_off` was given.
        """
        while not self._chunks:
            if self.is_complete:
                return b""
            if self._failure is not None:
                raise self._failure
            await self._wait()
        return self.take()

    def take(self) -> bytes:
        """Give what has arrived of the body, without waiting."""
        chunks = self._chunks
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        self._received = 0
        if self._is_reading_paused:
            self._is_reading_paused = False
            transport = self.transport
            if transport is not None and not transport.is_closing():
                transport.resume_reading()
        return data

    def end(self) -> bool:
        """Note that the exchange is over; say whether the connection may serve another one.

        If not, it is closed.
        """
        self._is_busy = False
        self.client = None
        self.deadline = self.ends_at = float("inf")
        self.upload_deadline = None
        if not (self.is_complete and self.can_be_reused) or self._failure is not None:
            self.close()
            return False
        if not self._body_allowed:
            # The parser was told nothing of HEAD, and still waits for a body.
            self._parser = httptools.HttpResponseParser(self)
        return self.is_usable

    def release(self) -> bytes:
        """Give what came behind a 101, and keep nothing of the exchange: others read from now."""
        tail, self.tail = self.tail, b""
        self.is_complete = True
        self.can_be_reused = False
        self.headers = self._fields = self.trailers = []
        del self._parser
        return tail

    def close(self) -> None:
        """Close at once, without ceremony."""
        if self.transport is not None:
            self.transport.abort()

    def break_off(self, error: Exception) -> None:
        """End the exchange because the rest of the request cannot be had; `error` says why.

        The upstream sees a request that was cut off, never one that looks whole.
        """
        self.can_be_reused = False
        if self._failure is None and not self.is_complete:
            self._failure = error
        self._wake()
        self.close()

    def time_out(self, now: float) -> None:
        """End the exchange if its deadline has passed; `now` is on the loop's clock."""
        if self.ends_at <= now:
            self._fail(Reason.UPSTREAM_TIMEOUT, "the exchange took longer than it may in all")
        elif self.upload_deadline is not None:
            if self.upload_deadline <= now:
                self._fail(Reason.UPSTREAM_TIMEOUT, "it does not take the request's body")
        elif self.deadline <= now:
            self._fail(Reason.UPSTREAM_TIMEOUT, self.timeout_detail)

    async def _wait(self) -> None:
        self._waiter = self.loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _fail(self, reason: Reason, detail: str) -> None:
        if self._failure is None and not self.is_complete:
            self._failure = UpstreamFailure(
                reason, detail, was_untouched=not self._bytes_of_head and not self.has_head
            )
        self._wake()
        drain_waiter = self._drain_waiter
        if drain_waiter is not None and not drain_waiter.done():
            if self._failure is not None:
                drain_waiter.set_exception(self._failure)
            else:
                drain_waiter.set_result(None)
        self.close()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=_WRITE_HIGH_WATER)
        if self.transport.get_extra_info("ssl_object") is None:
            sock = self.transport.get_extra_info("socket")
            self._descriptor = -1 if sock is None else sock.fileno()

    def data_received(self, data: bytes) -> None:
        """Parse what the upstream sent."""
        if not self._is_busy or self.is_complete:
            # Nobody asked for it (a response smuggled behind the last one, CVE-2022-24761's kin).
            self.can_be_reused = False
            self.close()
            return
        try:
            self._count(data)
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as switch:
            if self.status != 101:
                self._fail(Reason.UPSTREAM_INVALID, "it switches protocols unasked")
                return
            # No more of it until somebody takes it.
            self.tail = data[switch.args[0] :]
            if self.transport is not None:
                self.transport.pause_reading()
        except MalformedAnswer as error:
            self.can_be_reused = False
            self._fail(Reason.UPSTREAM_INVALID, str(error))
            return
        except httptools.HttpParserError as error:
            # What came after the end is not ours to read, and fails nothing.
            self.can_be_reused = False
            cause = error.__context__
            self._fail(
                Reason.UPSTREAM_INVALID,
                str(cause) if isinstance(cause, MalformedAnswer | MalformedHead) else str(error),
            )
            return
        if not self.has_head and self._bytes_of_head > _MAXIMUM_HEAD:
            self._fail(Reason.UPSTREAM_INVALID, "its head is too large")
            return
        waiter = self._waiter
        if self.has_head and waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _count(self, data: bytes) -> None:
        """Bound what brings no body: the head, and trailers. Raises MalformedAnswer."""
        if not self.has_head:
            if not self._bytes_of_head and data[: len(_BEGINNING)] != _BEGINNING[: len(data)]:
                # The parser takes other protocols for this one.
                raise MalformedAnswer("it does not begin as an answer does")
            self._bytes_of_head += len(data)
        else:
            if self._bytes_without_body > _MAXIMUM_HEAD:
                raise MalformedAnswer("its trailers are too large")
            self._bytes_without_body += len(data)  # until `on_body` takes some

    def eof_received(self) -> bool:
        """Close our side too; `connection_lost` follows."""
        if self.transport is not None:
            secured = self.transport.get_extra_info("ssl_object")
            # Anybody on the way can end the connection beneath TLS (RFC 9112, section 9.8). uvloop
            # does not even tell of that here.
            self._has_ended = secured is None or _says_end(secured)
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """Finish or fail the exchange, and tell the pool."""
        self.transport = None
        self._descriptor = -1
        if self._is_busy and not self.is_complete:
            until_close = self.has_head and self.length is None and not self.is_chunked
            if until_close and self._has_ended and error is None and self._failure is None:
                self.is_complete = True
                self._wake()
            elif self.has_head:
                self._fail(Reason.UPSTREAM_INVALID, "it closed before the end of its answer")
            else:
                self._fail(Reason.UPSTREAM_UNAVAILABLE, "it closed before it had answered")
        drain_waiter = self._drain_waiter
        if drain_waiter is not None and not drain_waiter.done():
            drain_waiter.set_result(None)
        self._on_close(self)

    def pause_reading(self) -> None:
        """Let the kernel keep what more the upstream sends."""
        if not self._is_reading_paused:
            self._is_reading_paused = True
            if self.transport is not None:
                self.transport.pause_reading()

    def pause_writing(self) -> None:
        """The kernel takes no more for now."""
        self._is_writing_paused = True

    def resume_writing(self) -> None:
        """It takes more again."""
        self._is_writing_paused = False
        drain_waiter = self._drain_waiter
        if drain_waiter is not None and not drain_waiter.done():
            drain_waiter.set_result(None)


def _says_end(secured: ssl.SSLObject) -> bool:
    """Say whether the other side of a TLS connection has said that it sends no more."""
    try:
        return not secured.read(1)
    except ssl.SSLZeroReturnError:
        return True
    except ssl.SSLError:
        return False
