"""The worker's end of the passage: takes connections and begins to serve them.

What the wire looks like, and who has a connection when, stands in `passage`.
"""

import asyncio
import socket
from array import array
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial

from gateway.workers.passage import MESSAGE_BYTES, MOST_IN_A_MESSAGE, Leave

_MESSAGES_AT_ONCE = 16
_GONE_SECONDS = 0.005
_GONE_IN_A_MESSAGE = 1024
_SETTLE_SECONDS = 0.1

Serve = Callable[[socket.socket, Leave], Awaitable[None]]
"""Begins to serve a connection; what it is given is called once, when the connection is gone."""


class Reception:
    """Takes connections, from `begin` until nothing will come any more.

    Args:
        sock: this end.
        listeners: by a listener's number its sockets' family, and what begins to serve one.
        on_end: called once, when nothing will come any more.
    """

    def __init__(
        self,
        sock: socket.socket,
        listeners: Mapping[int, tuple[int, Serve]],
        on_end: Callable[[], None],
    ) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._listeners = listeners
        self._on_end = on_end
        self._is_open = True
        # What could not be sent yet, each with what follows when it has been.
        self._unsent: deque[tuple[bytes, Callable[[], None] | None]] = deque()
        self._gone: list[int] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()

    def begin(self) -> None:
        """Begin to take connections."""
        self._loop.add_reader(self._sock, self._read)

    def leave(self) -> None:
        """Take nothing any more; the supervisor hands what is on its way to somebody else."""
        if self._is_open:
            self._loop.remove_reader(self._sock)
            self._send(b"L", self._await_end)

    async def settle(self) -> None:
        """Wait until what was taken is being served; handshakes under way are broken off."""
        if self._tasks:
            _, under_way = await asyncio.wait(self._tasks, timeout=_SETTLE_SECONDS)
            for task in under_way:
                task.cancel()

    def close(self) -> None:
        """Close this end."""
        if self._is_open:
            self._is_open = False
            self._loop.remove_reader(self._sock)
            self._loop.remove_writer(self._sock)
            self._sock.close()

    def _await_end(self) -> None:
        # What still arrives is closed here without a look; the supervisor has kept its own.
        self._loop.add_reader(self._sock, self._drop)

    def _drop(self) -> None:
        message = self._receive()
        if message is not None:
            for descriptor in message[1]:
                socket.close(descriptor)

    def _read(self) -> None:
        for _ in range(_MESSAGES_AT_ONCE):
            received = self._receive()
            if received is None:
                return
            message, descriptors = received
            numbers = array("Q", message[1:])
            for descriptor in descriptors[len(numbers) :]:
                socket.close(descriptor)
            # One that lacks its descriptor was lost for want of a free one: it ends here.
            self._note_gone(numbers[len(descriptors) :])
            taken = list(zip(numbers, descriptors, strict=False))
            self._send(b"T" + numbers.tobytes(), partial(self._open, message[0], taken))

    def _receive(self) -> tuple[bytes, list[int]] | None:
        """Give a message and its descriptors; None when there is none, or never will be."""
        try:
            message, descriptors, _, _ = socket.recv_fds(
                self._sock, MESSAGE_BYTES, MOST_IN_A_MESSAGE, socket.MSG_CMSG_CLOEXEC
            )
        except BlockingIOError:
            return None
        except OSError:
            message, descriptors = b"", []
        if message:
            return message, descriptors
        self.close()
        self._on_end()
        return None

    def _open(self, listener: int, taken: Iterable[tuple[int, int]]) -> None:
        family, serve = self._listeners[listener]
        for number, descriptor in taken:
            sock = socket.socket(family, socket.SOCK_STREAM, 0, descriptor)
            sock.setblocking(False)
            task = self._loop.create_task(self._serve(serve, sock, number))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _serve(self, serve: Serve, sock: socket.socket, number: int) -> None:
        await serve(sock, partial(self._note_gone, (number,)))

    def _note_gone(self, numbers: Iterable[int]) -> None:
        if not self._gone:
            # A few together: each message wakes the supervisor.
            self._loop.call_later(_GONE_SECONDS, self._tell_gone)
        self._gone.extend(numbers)

    def _tell_gone(self) -> None:
        gone, self._gone = self._gone, []
        for first in range(0, len(gone), _GONE_IN_A_MESSAGE):
            self._send(b"G" + array("Q", gone[first : first + _GONE_IN_A_MESSAGE]).tobytes(), None)

    def _send(self, message: bytes, then: Callable[[], None] | None) -> None:
        if not self._is_open:
            return
        self._unsent.append((message, then))
        if len(self._unsent) == 1:
            self._send_on()

    def _send_on(self) -> None:
        while self._unsent and self._is_open:
            message, then = self._unsent[0]
            try:
                self._sock.send(message)
            except BlockingIOError:
                self._loop.add_writer(self._sock, self._send_on)
                return
            except OSError:
                # The supervisor is gone. What it could not be told is for nobody any more.
                self.close()
                self._on_end()
                return
            self._unsent.popleft()
            if then is not None:
                then()
        if self._is_open:
            self._loop.remove_writer(self._sock)
