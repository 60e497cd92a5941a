"""The way of a connection from the process that accepts it to the worker that serves it.

Here is the supervisor's end; the worker's is in `reception`.

Rule: a connection is always in somebody's hands, and never in two. The supervisor keeps its own
descriptor of each that it hands over until the worker has acknowledged it, and the worker reads not
one byte of a connection before it has. So what a dead worker did not acknowledge it has not
touched: somebody else can serve it from its first byte.

Wire: messages over a pair of sockets (SOCK_SEQPACKET). To the worker: the listener's number, one
byte, and a number for each of the connections whose descriptors come along. From the worker: `T`
and the numbers that it took, `G` and the numbers of those that are gone, or `L`: it leaves, and
what it has not taken it will not take.
"""

import asyncio
import contextlib
import logging
import socket
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

log = logging.getLogger(__name__)

MOST_IN_A_MESSAGE = 32
MESSAGE_BYTES = 1 + 8 * 1024
# A worker that hangs gets no more than what it has not taken so far, nor for longer.
_MOST_UNTAKEN = 64
_LATE_SECONDS = 0.5

Leave = Callable[[], None]
"""Called once, when a connection is gone."""


def open_passage() -> tuple[socket.socket, socket.socket]:
    """Make the two ends: the supervisor's, which never blocks, and the worker's."""
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    here.setblocking(False)
    return here, there


@dataclass(slots=True, eq=False)
class Connection:
    """A connection that was accepted; `leave` is called when it is gone."""

    number: int
    listener: int
    sock: socket.socket
    leave: Leave

    def close(self) -> None:
        """End it: nobody serves it."""
        self.sock.close()
        self.leave()


class Passage:
    """The supervisor's end of the way to one worker.

    Args:
        worker: the worker's number.
        sock: this end.
        on_change: called when the worker has taken connections, or some are gone.
        on_end: called once, when the worker takes no more.
    """

    def __init__(
        self,
        worker: int,
        sock: socket.socket,
        on_change: Callable[[], None],
        on_end: Callable[["Passage"], None],
    ) -> None:
        self.worker = worker
        self.is_full = False
        self._open: dict[int, Leave] = {}
        self._sock = sock
        self._untaken: dict[int, Connection] = {}
        # Since when it has been waited for the worker to take something.
        self._waiting_since = 0.0
        self._on_change = on_change
        self._on_end = on_end
        self._is_open = True
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sock, self._read)

    @property
    def count(self) -> int:
        """How many connections the worker has, those included that are on their way to it."""
        return len(self._open)

    @property
    def is_able(self) -> bool:
        """Whether the worker takes what it is given, as far as can be told."""
        if self.is_full or len(self._untaken) >= _MOST_UNTAKEN:
            return False
        return not self._untaken or self._loop.time() - self._waiting_since < _LATE_SECONDS

    def expect(self, connection: Connection) -> None:
        """Count a connection that will be handed over next."""
        if not self._untaken:
            self._waiting_since = self._loop.time()
        self._open[connection.number] = connection.leave
        self._untaken[connection.number] = connection

    def take_back(self, connections: Iterable[Connection]) -> None:
        """Count connections no more that were not handed over after all."""
        for one in connections:
            del self._open[one.number], self._untaken[one.number]

    def hand_over(self, listener: int, connections: Sequence[Connection]) -> bool:
        """Send connections that it expects, all of one listener; MOST_IN_A_MESSAGE at most.

        Gives False when the passage takes no more for now.
        """
        numbers = array("Q", [one.number for one in connections])
        message = [bytes((listener,)), numbers.tobytes()]
        try:
            socket.send_fds(self._sock, message, [one.sock.fileno() for one in connections])
        except ConnectionError:
            # The worker is gone. What it took before that is still to be read, up to the end: then
            # the rest is taken back.
            return True
        except OSError as error:
            # No room, or too many descriptors on their way: what the worker takes makes room.
            if not isinstance(error, BlockingIOError):
                log.warning("a connection cannot be handed to worker %d: %s", self.worker, error)
            return False
        return True

    def finish(self) -> None:
        """Hand over nothing any more; the worker takes what is on its way, and then drains."""
        with contextlib.suppress(OSError):  # it is gone already
            self._sock.shutdown(socket.SHUT_WR)

    def close(self) -> list[Connection]:
        """Close this end, and give the connections that the worker has not taken.

        Those that it has are gone, or will be when it has answered what is under way.
        """
        if self._is_open:
            self._is_open = False
            self._loop.remove_reader(self._sock)
            self._sock.close()
        untaken, self._untaken = self._untaken, {}
        taken, self._open = self._open, {}
        for number, leave in taken.items():
            if number not in untaken:
                leave()
        return list(untaken.values())

    def _read(self) -> None:
        while self._is_open:
            try:
                message = self._sock.recv(MESSAGE_BYTES)
            except BlockingIOError:
                break
            except ConnectionError:
                continue  # the worker is gone, but what it has said before can still be read
            if not message or message[:1] == b"L":
                self._on_end(self)
                return
            numbers = array("Q", message[1:])
            if message[:1] == b"T":
                for number in numbers:
                    self._untaken.pop(number).sock.close()
                self._waiting_since = self._loop.time()
            else:
                for number in numbers:
                    leave = self._open.pop(number, None)
                    if leave is not None:
                        leave()
        self.is_full = False
        self._on_change()
