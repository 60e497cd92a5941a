"""One server of an upstream: its keep-alive connections, and what is known of it."""

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

from gateway.policy.forwarding import UpstreamFailure
from gateway.policy.rejection import Reason
from gateway.proxy.connection import UpstreamConnection

_MAXIMUM_IDLE = 256
_MAXIMUM_IDLE_SECONDS = 55.0
# Longer than a second small segment waits for the acknowledgement of the first (40 ms on Linux).
_REST_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class ServerOrigin:
    """A server as the configuration names it.

    `label` is its name in metrics and logs, `authority` what the Host header calls it. `path` is
    that of a unix socket, which has no host and port. With `tls` its certificate must be good for
    `tls_name`.
    """

    label: str
    authority: bytes
    host: str = ""
    port: int = 0
    path: str | None = None
    tls: ssl.SSLContext | None = None
    tls_name: str | None = None


class Server:
    """An address that requests are forwarded to. The upstream that it belongs to judges it."""

    __slots__ = (
        "_connections",
        "_idle",
        "_loop",
        "_resting",
        "address",
        "bound",
        "ejections",
        "failures",
        "in_flight",
        "is_ejected",
        "is_healthy",
        "is_on_probation",
        "is_retired",
        "is_up",
        "origin",
    )

    def __init__(
        self, loop: asyncio.AbstractEventLoop, origin: ServerOrigin, address: str, bound: int
    ) -> None:
        # Kept, because asking for the running loop costs a system call on Python 3.11.
        self._loop = loop
        self.origin = origin
        # An IP address, or the path of a socket.
        self.address = address
        # How many requests may be on their way to it, and how many are.
        self.bound = bound
        self.in_flight = 0
        # Whether the last connection stood.
        self.is_up = True
        # What the active checks say.
        self.is_healthy = True
        # What requests say: failures in a row; whether it is left out for them, and how often it
        # was; whether it has yet to prove itself after that.
        self.failures = 0
        self.is_ejected = False
        self.ejections = 0
        self.is_on_probation = False
        # The name no longer leads to it.
        self.is_retired = False
        self._idle: list[tuple[UpstreamConnection, float]] = []
        # Those whose last answer may not be over.
        self._resting: deque[tuple[UpstreamConnection, float]] = deque()
        self._connections: set[UpstreamConnection] = set()

    def take_idle(self) -> UpstreamConnection | None:
        """Give the idle connection that was used last, if there is one."""
        if not self._idle and self._resting:
            self._wake_rested(self._loop.time())
        while self._idle:
            connection, _ = self._idle.pop()
            if connection.is_usable:
                if connection.is_quiet:
                    return connection
                connection.close()
        return None

    def _wake_rested(self, now: float) -> None:
        rested = now - _REST_SECONDS
        while self._resting and self._resting[0][1] <= rested:
            self._idle.append(self._resting.popleft())

    async def connect(self, seconds: float) -> UpstreamConnection:
        """Open a new connection, within so many seconds. Raises UpstreamFailure."""
        label = self.origin.label
        try:
            async with asyncio.timeout(seconds):
                connection = await self._open()
        except TimeoutError:
            self.is_up = False
            raise UpstreamFailure(
                Reason.UPSTREAM_TIMEOUT, f"{label} did not take a connection within {seconds:g}s"
            ) from None
        except (OSError, ValueError) as error:
            self.is_up = False
            raise UpstreamFailure(
                Reason.UPSTREAM_UNAVAILABLE, f"no connection to {label}: {_explain(error)}"
            ) from error
        self.is_up = True
        transport = connection.transport
        if transport is None or transport.is_closing():
            # It was closed before this coroutine went on, and nobody would hear of it any more.
            raise UpstreamFailure(
                Reason.UPSTREAM_UNAVAILABLE, f"{label} closed the connection at once"
            )
        self._connections.add(connection)
        return connection

    async def _open(self) -> UpstreamConnection:
        origin, loop = self.origin, self._loop
        make = partial(UpstreamConnection, loop, self._connections.discard)
        if origin.path is not None:
            _, connection = await loop.create_unix_connection(make, origin.path)
            return connection
        transport, connection = await loop.create_connection(
            make, self.address, origin.port, ssl=origin.tls, server_hostname=origin.tls_name
        )
        sock: socket.socket | None = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def take_back(self, connection: UpstreamConnection) -> None:
        """Keep a connection for the next request if it can be used again, else close it."""
        if not connection.end():
            return
        # What may still come is seen as long as nobody asks for anything: it closes the connection.
        idle = self._resting if connection.may_have_more else self._idle
        if self.is_retired or len(idle) >= _MAXIMUM_IDLE:
            connection.close()
        else:
            idle.append((connection, self._loop.time()))

    def count_connections(self) -> tuple[int, int]:
        """Give the numbers of idle and of active connections."""
        unused = (*self._idle, *self._resting)
        idle = sum(connection.is_usable for connection, _ in unused)
        return idle, len(self._connections) - idle

    def sweep(self, now: float) -> bool:
        """End what is past its deadline or idle for too long; say whether connections are left."""
        for connection in tuple(self._connections):
            connection.time_out(now)
        stale = now - _MAXIMUM_IDLE_SECONDS
        self._wake_rested(now)
        # The list is in the order of release, so what has been idle longest stands first.
        while self._idle and (self._idle[0][1] < stale or not self._idle[0][0].is_usable):
            self._idle.pop(0)[0].close()
        return bool(self._connections)

    def retire(self) -> None:
        """Take no more requests; those on their way end as they may."""
        self.is_retired = True
        for unused in (self._idle, self._resting):
            _close(connection for connection, _ in unused)
            unused.clear()

    def close(self) -> None:
        """Close every connection."""
        self.is_retired = True
        _close(self._connections)


def _close(connections: Iterable[UpstreamConnection]) -> None:
    for connection in tuple(connections):
        connection.close()


def _explain(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"no TLS: {error.reason or error}"
    said = (error.strerror if isinstance(error, OSError) else None) or str(error)
    # What breaks off a handshake says nothing at all.
    return said or "it broke the connection off"
