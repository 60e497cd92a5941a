"""A tunnel: two connections that speak another protocol than HTTP from now on.

Bytes pass as they are, as fast as the slower side takes them; an end on one side becomes an end on
the other, and the way back stays open. Nothing is looked at but the number of bytes.
"""

import asyncio
import struct
from socket import SO_LINGER, SOL_SOCKET
from typing import Final

_WRITE_HIGH_WATER = 64 * 1024
# How long a side may take what is left for it when the other one has closed, in seconds.
_LINGER_SECONDS: Final = 5.0
_RESET = struct.pack("ii", 1, 0)


class _End(asyncio.Protocol):
    """One side, from which bytes go to the `other`."""

    __slots__ = ("count", "has_ended", "is_lost", "other", "transport", "tunnel")

    other: "_End"

    def __init__(self, tunnel: "Tunnel", transport: asyncio.Transport) -> None:
        self.tunnel = tunnel
        self.transport = transport
        self.count = 0
        self.has_ended = False
        self.is_lost = False

    def data_received(self, data: bytes) -> None:
        """Pass bytes on."""
        self.count += len(data)
        self.other.transport.write(data)

    def eof_received(self) -> bool:
        """Pass the end on; the way back stays open until it ends, too."""
        self.has_ended = True
        other = self.other
        if other.has_ended or not other.transport.can_write_eof():
            self.tunnel.close()
        elif not other.transport.is_closing():
            other.transport.write_eof()
        # TLS has no half-closed connections, and would complain of a yes.
        return self.transport.can_write_eof()

    def pause_writing(self) -> None:
        """Take no more from the other side than this one takes."""
        if not self.other.transport.is_closing():
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        """Take more again."""
        if not self.other.transport.is_closing():
            self.other.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Close the other side: in order, or with a break when this one broke."""
        self.is_lost = True
        self.tunnel.lose(self, exc)


class Tunnel:
    """Joins two connections; both are read from `start` on."""

    __slots__ = ("_client", "_done", "_linger_handle", "_loop", "_upstream")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        client: asyncio.Transport,
        upstream: asyncio.Transport,
    ) -> None:
        self._loop = loop
        self._done: asyncio.Future[None] = loop.create_future()
        self._linger_handle: asyncio.TimerHandle | None = None
        self._client = _End(self, client)
        self._upstream = _End(self, upstream)
        self._client.other = self._upstream
        self._upstream.other = self._client

    @property
    def bytes_received(self) -> int:
        """How many bytes the client has sent."""
        return self._client.count

    @property
    def bytes_sent(self) -> int:
        """How many bytes the upstream has sent."""
        return self._upstream.count

    def start(self, from_client: bytes, from_upstream: bytes) -> None:
        """Take both connections over, and pass on what each has sent already."""
        for end in (self._client, self._upstream):
            end.transport.set_protocol(end)
            end.transport.set_write_buffer_limits(high=_WRITE_HIGH_WATER)
            if not end.transport.is_closing():
                end.transport.resume_reading()
        if from_client:
            self._client.data_received(from_client)
        if from_upstream:
            self._upstream.data_received(from_upstream)

    async def wait(self) -> None:
        """Wait until both connections are gone."""
        await asyncio.shield(self._done)

    def close(self) -> None:
        """Close both sides, as soon as each has taken what was sent to it."""
        for end in (self._client, self._upstream):
            end.transport.close()
        self._linger()

    def abort(self) -> None:
        """Break both sides at once."""
        for end in (self._client, self._upstream):
            _break(end)

    def lose(self, end: _End, exc: Exception | None) -> None:
        """Note that one side is gone."""
        other = end.other
        if other.is_lost:
            if self._linger_handle is not None:
                self._linger_handle.cancel()
            if not self._done.done():
                self._done.set_result(None)
        elif exc is not None:
            _break(other)
        else:
            other.transport.close()
            self._linger()

    def _linger(self) -> None:
        if self._linger_handle is None and not self._done.done():
            self._linger_handle = self._loop.call_later(_LINGER_SECONDS, self.abort)


def _break(end: _End) -> None:
    """Close with a reset: a mere end could be taken for the end of what was said."""
    if end.is_lost:
        return
    sock = end.transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(SOL_SOCKET, SO_LINGER, _RESET)
    end.transport.abort()
