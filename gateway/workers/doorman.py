"""Accepts connections, and hands each to the worker that has the fewest.

Rule: nothing here waits, and nothing is lost. Who cannot be served now stays in the kernel's queue
of the listener; what was accepted for a worker that died goes to another one.
"""

import asyncio
import itertools
import logging
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.policy.sharing import choose_least_busy
from gateway.workers.passage import MOST_IN_A_MESSAGE, Connection, Passage

log = logging.getLogger(__name__)

_ACCEPTED_AT_ONCE = MOST_IN_A_MESSAGE
_PAUSE_SECONDS = 1.0
_FULL_SECONDS = 0.05

# Workers tell of connections that are gone a few at a time, so the count may be behind for as long;
# on a busy machine for longer.
_NEXT_LOOK_SECONDS = 0.01
_LOOKS = 5
_MOST_DOUBTFUL = 256


class Entrance(Protocol):
    """Who may come in."""

    def has_room(self, peername: object) -> bool:
        """Say whether a connection from there would be let in now."""
        ...

    def enter(self, peername: object) -> Callable[[], None] | None:
        """Let a connection in, and give what to call when it is gone; None when it must go now."""
        ...


@dataclass(slots=True, eq=False)
class Listener:
    """A listening socket, and whom its connections go to.

    `worker` is the only one who serves it, where that is not everyone.
    """

    sock: socket.socket
    entrance: Entrance
    worker: int | None = None
    is_accepting: bool = False
    is_resting: bool = False


class Doorman:
    """Accepts for all workers, from `open` to `close`.

    A listener's number is its place among `listeners`.
    """

    def __init__(self, listeners: Sequence[Listener]) -> None:
        self._listeners = tuple(listeners)
        self._passages: list[Passage] = []
        # Accepted, and in nobody's hands: of a worker that died before it took them.
        self._homeless: list[Connection] = []
        # Accepted when there was no room for them, until the last look.
        self._doubtful: set[socket.socket] = set()
        self._numbers = itertools.count()
        self._turn = 0
        self._is_open = False
        self._is_closed = False
        self._loop = asyncio.get_running_loop()
        for listener in self._listeners:
            listener.sock.setblocking(False)

    def open(self) -> None:
        """Begin to accept."""
        self._is_open = True
        self.settle()

    def add(self, passage: Passage) -> None:
        """Hand connections to this worker, too."""
        self._passages.append(passage)
        self.settle()

    def remove(self, passage: Passage) -> None:
        """Hand this worker nothing any more, and what it has not taken to others."""
        if passage in self._passages:
            self._passages.remove(passage)
        self._homeless.extend(passage.close())
        if self._is_closed:
            self._turn_away()
        else:
            self.settle()

    def count(self) -> list[tuple[int, int]]:
        """Give how many connections each worker has, by its number."""
        return [(passage.worker, passage.count) for passage in self._passages]

    def close(self) -> None:
        """Accept nothing any more. Workers take what is on its way, and then nothing comes."""
        self._is_open = False
        self._is_closed = True
        for listener in self._listeners:
            self._stop(listener)
            listener.sock.close()
        self._turn_away()
        for passage in self._passages:
            passage.finish()

    def settle(self) -> None:
        """Hand over what waits, and accept again where somebody can be handed something."""
        waiting, self._homeless = self._homeless, []
        for connection in waiting:
            passage = self._choose(self._listeners[connection.listener])
            if passage is None:
                self._homeless.append(connection)
            else:
                passage.expect(connection)
                self._hand_over(passage, connection.listener, [connection])
        for number, listener in enumerate(self._listeners):
            if self._is_open and not listener.is_accepting and not listener.is_resting:
                listener.is_accepting = self._choose(listener) is not None
                if listener.is_accepting:
                    self._loop.add_reader(listener.sock, self._accept, number, listener)

    def _choose(self, listener: Listener) -> Passage | None:
        able = [
            passage
            for passage in self._passages
            if passage.is_able and listener.worker in (None, passage.worker)
        ]
        if not able:
            return None
        if len(able) == 1:
            return able[0]
        place = choose_least_busy([passage.count for passage in able], self._turn % len(able))
        self._turn = place + 1
        return able[place]

    def _accept(self, number: int, listener: Listener) -> None:
        """Accept what there is, a bounded number at a time, and hand it over."""
        batches: dict[Passage, list[Connection]] = {}
        for _ in range(_ACCEPTED_AT_ONCE):
            passage = self._choose(listener)
            if passage is None:
                # Nobody can take anything: the kernel keeps the rest.
                self._stop(listener)
                break
            connection = self._accept_one(number, listener)
            if connection is None:
                break
            passage.expect(connection)
            batches.setdefault(passage, []).append(connection)
        for passage, batch in batches.items():
            self._hand_over(passage, number, batch)

    def _accept_one(self, number: int, listener: Listener) -> Connection | None:
        """Accept a connection that is let in; None when there is none now."""
        while True:
            try:
                sock, address = listener.sock.accept()
            except (BlockingIOError, InterruptedError):
                return None
            except ConnectionAbortedError:
                continue
            except OSError as error:
                # No descriptor is free, most likely: until one is, the kernel keeps them.
                log.error("connections cannot be accepted: %s", error)
                self._stop(listener)
                listener.is_resting = True
                self._loop.call_later(_PAUSE_SECONDS, self._wake, listener)
                return None
            has_room = listener.entrance.has_room(address)
            if not has_room and len(self._doubtful) < _MOST_DOUBTFUL:
                self._doubtful.add(sock)
                self._look_later(number, sock, address, _LOOKS)
                continue
            leave = listener.entrance.enter(address)
            if leave is not None:
                return Connection(next(self._numbers), number, sock, leave)
            sock.close()

    def _look_later(self, number: int, sock: socket.socket, address: object, looks: int) -> None:
        self._loop.call_later(
            _NEXT_LOOK_SECONDS, self._look_again, number, sock, address, looks - 1
        )

    def _look_again(self, number: int, sock: socket.socket, address: object, looks: int) -> None:
        """Let a connection in for which a place has become free, or close it."""
        entrance = self._listeners[number].entrance
        if looks and not self._is_closed and not entrance.has_room(address):
            self._look_later(number, sock, address, looks)
            return
        self._doubtful.discard(sock)
        leave = None if self._is_closed else entrance.enter(address)
        if leave is None:
            sock.close()
            return
        self._homeless.append(Connection(next(self._numbers), number, sock, leave))
        self.settle()

    def _hand_over(self, passage: Passage, listener: int, batch: Sequence[Connection]) -> None:
        if not passage.hand_over(listener, batch):
            passage.is_full = True
            passage.take_back(batch)
            self._homeless.extend(batch)
            self._loop.call_later(_FULL_SECONDS, self._try_again, passage)

    def _turn_away(self) -> None:
        homeless, self._homeless = self._homeless, []
        for connection in homeless:
            connection.close()

    def _try_again(self, passage: Passage) -> None:
        passage.is_full = False
        self.settle()

    def _stop(self, listener: Listener) -> None:
        if listener.is_accepting:
            listener.is_accepting = False
            self._loop.remove_reader(listener.sock)

    def _wake(self, listener: Listener) -> None:
        listener.is_resting = False
        self.settle()
