"""An upstream: its server, its pool of connections, its deadlines."""

import asyncio
import socket
from collections.abc import Iterable
from dataclasses import dataclass

from gateway.policy.forwarding import UpstreamFailure
from gateway.policy.rejection import Reason
from gateway.proxy.connection import UpstreamConnection

_MAXIMUM_IDLE = 256
_MAXIMUM_IDLE_SECONDS = 55.0


@dataclass(frozen=True, slots=True)
class UpstreamTimeouts:
    """In seconds: for a connection to stand, for an answer to begin, between two of its bytes."""

    connect: float
    response: float
    idle: float


class Upstream:
    """A server that requests are forwarded to, with its keep-alive connections.

    Deadlines are attributes of the connections, and one sweep looks at them a few times within the
    shortest: arming a timer for every request and disarming it again costs more than it serves.
    """

    def __init__(self, name: str, host: str, port: int, timeouts: UpstreamTimeouts) -> None:
        self.name = name
        self.host = host
        self.port = port
        self.server = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self.authority = (self.server.removesuffix(":80")).encode("ascii")
        self.timeouts = timeouts
        # Kept, because asking for the running loop costs a system call on Python 3.11.
        self.loop = asyncio.get_running_loop()
        self.is_up = True
        self._idle: list[tuple[UpstreamConnection, float]] = []
        self._connections: set[UpstreamConnection] = set()
        self._sweep_seconds = min(0.5, max(0.01, min(timeouts.response, timeouts.idle) / 10))
        self._sweep_handle: asyncio.TimerHandle | None = None
        self._is_closed = False

    def take_idle(self) -> UpstreamConnection | None:
        """Give the idle connection that was used last, if there is one."""
        while self._idle:
            connection, _ = self._idle.pop()
            if connection.is_usable:
                return connection
        return None

    async def connect(self) -> UpstreamConnection:
        """Open a new connection. Raises UpstreamFailure."""
        loop = self.loop
        try:
            async with asyncio.timeout(self.timeouts.connect):
                _, connection = await loop.create_connection(
                    lambda: UpstreamConnection(loop, self._connections.discard),
                    self.host,
                    self.port,
                )
        except TimeoutError:
            self.is_up = False
            raise UpstreamFailure(
                Reason.UPSTREAM_TIMEOUT,
                f"{self.server} did not take a connection within {self.timeouts.connect:g}s",
            ) from None
        except (OSError, UnicodeError) as error:
            self.is_up = False
            why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise UpstreamFailure(
                Reason.UPSTREAM_UNAVAILABLE, f"no connection to {self.server}: {why}"
            ) from error
        self.is_up = True
        transport = connection.transport
        if transport is None or transport.is_closing():
            # It was closed before this coroutine went on, and nobody would hear of it any more.
            raise UpstreamFailure(
                Reason.UPSTREAM_UNAVAILABLE, f"{self.server} closed the connection at once"
            )
        sock: socket.socket | None = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connections.add(connection)
        if self._sweep_handle is None and not self._is_closed:
            self._sweep_handle = loop.call_later(self._sweep_seconds, self._sweep)
        return connection

    def release(self, connection: UpstreamConnection) -> None:
        """Take a connection back."""
        if not connection.end():
            return
        if self._is_closed or len(self._idle) >= _MAXIMUM_IDLE:
            connection.close()
        else:
            self._idle.append((connection, self.loop.time()))

    def count_connections(self) -> Iterable[tuple[str, int]]:
        """Give the numbers of connections, by state."""
        idle = sum(connection.is_usable for connection, _ in self._idle)
        return (("idle", idle), ("active", len(self._connections) - idle))

    def close(self) -> None:
        """Close every connection."""
        self._is_closed = True
        if self._sweep_handle is not None:
            self._sweep_handle.cancel()
        for connection in tuple(self._connections):
            connection.close()

    def _sweep(self) -> None:
        loop = self.loop
        now = loop.time()
        for connection in tuple(self._connections):
            connection.time_out(now)
        stale = now - _MAXIMUM_IDLE_SECONDS
        # The list is in the order of release, so what has been idle longest stands first.
        while self._idle and (self._idle[0][1] < stale or not self._idle[0][0].is_usable):
            self._idle.pop(0)[0].close()
        self._sweep_handle = (
            loop.call_later(self._sweep_seconds, self._sweep) if self._connections else None
        )
