"""Who may come in by a listener: counted before a byte is read, shut out beyond the bounds.

A connection beyond the bounds is closed at once, as Envoy does it: a 503 would have to wait for a
request, or for a whole TLS handshake, of the very client that has too many already; and to leave it
in the kernel's queue, as HAProxy does, would let that client hold up everybody behind it.
"""

from collections.abc import Callable
from functools import partial

from gateway.policy.connections import ConnectionBounds, ConnectionCount, Refused


def _ignore(*_: object) -> None:
    """Take no note."""


class Entrance:
    """The connections of one listener; `count_refused` hears why one was not let in."""

    def __init__(
        self, bounds: ConnectionBounds, count_refused: Callable[[Refused], None] = _ignore
    ) -> None:
        self._connections = ConnectionCount(bounds)
        self.count_refused = count_refused

    @property
    def count(self) -> int:
        """How many are in."""
        return self._connections.total

    def has_room(self, peername: object) -> bool:
        """Say whether a connection from there would be let in now; counts nothing."""
        return self._connections.has_room(_address(peername))

    def enter(self, peername: object) -> Callable[[], None] | None:
        """Let a connection in, and give what to call when it is gone; None when it must go now.

        `peername` is what a socket says of its other end: no pair on a unix socket.
        """
        admitted = self._connections.admit(_address(peername))
        if isinstance(admitted, Refused):
            self.count_refused(admitted)
            return None
        return partial(self._connections.release, admitted)


def _address(peername: object) -> str | None:
    return str(peername[0]) if isinstance(peername, tuple) else None
