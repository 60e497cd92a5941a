"""An upstream: which of its servers takes the next request, and whether one more may wait.

Of two servers that are picked at random the one with fewer requests on their way takes the next
(the power of two choices): as good as looking at all of them, and no herd runs to the idlest one.
"""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from random import random  # noqa: TID251 - spreads load, guards nothing

from gateway.policy.forwarding import UpstreamFailure
from gateway.policy.rejection import Reason
from gateway.proxy.connection import UpstreamConnection
from gateway.proxy.resolving import Resolving, needs_resolving
from gateway.proxy.server import Server, ServerOrigin

log = logging.getLogger(__name__)

# A server that fails so often in a row is left out, for longer each time.
_FAILURES_TO_EJECT = 3
_EJECTION_SECONDS = 5.0
_LONGEST_EJECTION_SECONDS = 60.0
# What may be sent a second time: a fifth of the requests, and always some a second. An upstream
# that breaks down is not to be hit by more than it was.
_REPEATS_PER_REQUEST = 0.2
_REPEATS_PER_SECOND = 10.0
_MOST_REPEATS_AT_ONCE = 100.0


@dataclass(frozen=True, slots=True)
class UpstreamTimeouts:
    """In seconds: for a connection to stand, for an answer to begin, between two of its bytes.

    `total` bounds the whole exchange, until the last byte of the answer.
    """

    connect: float
    response: float
    idle: float
    total: float = float("inf")


@dataclass(frozen=True, slots=True)
class UpstreamLimits:
    """How many connections to each server, how many requests may wait for one."""

    connections: int
    waiting: int


class Upstream:
    """Servers that do the same work. Made in the event loop; `open` it before the first request.

    Deadlines are attributes of the connections, and one sweep looks at them a few times within the
    shortest: arming a timer for every request and disarming it again costs more than it serves.
    `shortest_timeout` is that, in seconds. `reuses_after_body` says that its servers read bodies to
    their end, so that a connection that carried one may carry another request.
    """

    def __init__(
        self,
        name: str,
        origins: Sequence[ServerOrigin],
        limits: UpstreamLimits,
        shortest_timeout: float,
        *,
        reuses_after_body: bool = False,
    ) -> None:
        self.name = name
        self.reuses_after_body = reuses_after_body
        self.origins = tuple(origins)
        self.loop = asyncio.get_running_loop()
        self.servers: tuple[Server, ...] = ()
        # Those whose last requests are on their way.
        self._leaving: list[Server] = []
        self._limits = limits
        # Those that may be chosen.
        self._usable: tuple[Server, ...] = ()
        # The requests that wait for a server, in their order, with those that have failed them.
        self._waiting: dict[asyncio.Future[Server], tuple[Server, ...]] = {}
        self._repeats_left = _REPEATS_PER_SECOND
        self._repeats_counted_at = self.loop.time()
        self._sweep_seconds = min(0.5, max(0.01, shortest_timeout / 10))
        self._sweep_handle: asyncio.TimerHandle | None = None
        self._is_closed = False
        named = tuple(origin for origin in self.origins if needs_resolving(origin))
        self._resolving = Resolving(named, self._take_addresses) if named else None
        self._resolving_task: asyncio.Task[None] | None = None
        for origin in self.origins:
            if origin not in named:
                self._take_addresses(origin, (origin.path or origin.host,))

    async def open(self, seconds: float) -> None:
        """Look the servers' names up, for so many seconds at most; they are looked up again later.

        A name that is not known yet keeps nothing from starting.
        """
        if self._resolving is None:
            return
        self._resolving_task = asyncio.create_task(self._resolving.run())
        await self._look_up(seconds)

    async def close(self) -> None:
        """Close every connection."""
        self._is_closed = True
        if self._resolving_task is not None:
            self._resolving_task.cancel()
            await asyncio.wait([self._resolving_task])
        if self._sweep_handle is not None:
            self._sweep_handle.cancel()
        for server in (*self.servers, *self._leaving):
            server.close()

    # For each request, as `forward` sees it.

    def take_server(self, tried: tuple[Server, ...] = ()) -> Server | None:
        """Choose a server for a request, which counts as on its way to it until `release`.

        None when the request has to wait (`wait_for_server`). Those that it has `tried` are out.
        """
        if self._waiting:
            return None
        self._repeats_left += _REPEATS_PER_REQUEST
        return self._choose(tried)

    def _choose(self, tried: tuple[Server, ...]) -> Server | None:
        candidates: Sequence[Server] = self._usable
        if tried:
            candidates = self._untried(self._usable, tried) or self._untried(self.servers, tried)
        if not candidates:
            return None
        best = candidates[0] if len(candidates) == 1 else _pick(candidates)
        if best.in_flight >= best.bound:
            free = [server for server in candidates if server.in_flight < server.bound]
            if not free:
                return None
            best = min(free, key=_count_in_flight)
        best.in_flight += 1
        return best

    async def wait_for_server(self, tried: tuple[Server, ...], seconds: float) -> Server:
        """Wait for a server, for so many seconds at most. Raises UpstreamFailure."""
        if not self.servers:
            await self._look_up(seconds)
            server = self._choose(tried)
            if server is not None:
                return server
            raise UpstreamFailure(
                Reason.UPSTREAM_UNAVAILABLE, f"no server of {self.name} has an address"
            )
        if len(self._waiting) >= self._limits.waiting:
            raise UpstreamFailure(
                Reason.UPSTREAM_UNAVAILABLE,
                f"all connections are taken, and {len(self._waiting)} requests wait for one",
                is_full=True,
            )
        place: asyncio.Future[Server] = self.loop.create_future()
        self._waiting[place] = tried
        self.watch_deadlines()
        try:
            async with asyncio.timeout(seconds):
                return await self._await_place(place)
        except TimeoutError:
            raise UpstreamFailure(
                Reason.UPSTREAM_UNAVAILABLE,
                f"no connection became free within {seconds:g}s",
                is_full=True,
            ) from None
        finally:
            self._waiting.pop(place, None)

    async def _await_place(self, place: asyncio.Future[Server]) -> Server:
        try:
            return await place
        except asyncio.CancelledError:
            if not place.cancelled():
                # It was given in the very moment in which nobody wanted it any more.
                self.release(place.result(), None)
            raise

    def watch_deadlines(self) -> None:
        """See to the deadlines of connections; call it when one has been opened."""
        if self._sweep_handle is None and not self._is_closed:
            self._sweep_handle = self.loop.call_later(self._sweep_seconds, self._sweep)

    def release(self, server: Server, connection: UpstreamConnection | None) -> None:
        """Take a server back, and the connection that was used, if there was one."""
        if connection is not None:
            server.take_back(connection)
        server.in_flight -= 1
        if self._waiting:
            self._serve_waiting()

    def has_untried(self, tried: tuple[Server, ...]) -> bool:
        """Say whether there is a server that a request has not tried."""
        return len(tried) < len(self.servers) and bool(self._untried(self.servers, tried))

    def may_repeat(self) -> bool:
        """Say whether a request may be sent a second time, and count that it is."""
        now = self.loop.time()
        earned = (now - self._repeats_counted_at) * _REPEATS_PER_SECOND
        self._repeats_counted_at = now
        self._repeats_left = min(self._repeats_left + earned, _MOST_REPEATS_AT_ONCE)
        if self._repeats_left < 1.0:
            return False
        self._repeats_left -= 1.0
        return True

    # What becomes known of the servers.

    def note_failure(self, server: Server) -> None:
        """Count a failure of a server, which is left out for a while when it has had several."""
        server.failures += 1
        if server.failures < _FAILURES_TO_EJECT or server.is_ejected or len(self.servers) < 2:
            return
        seconds = min(_EJECTION_SECONDS * 2**server.ejections, _LONGEST_EJECTION_SECONDS)
        server.ejections += 1
        server.is_ejected = True
        log.warning(
            "upstream %s: %s failed %d times and is left out for %gs",
            self.name,
            server.origin.label,
            server.failures,
            seconds,
        )
        self.loop.call_later(seconds, self._admit, server)
        self._judge_servers()

    def note_success(self, server: Server) -> None:
        """Note that a server has answered; call it where `failures` is not 0."""
        server.failures = 0
        server.ejections = 0
        if server.is_on_probation or server.is_ejected:
            server.is_on_probation = server.is_ejected = False
            self._judge_servers()

    def note_health(self, server: Server, *, is_healthy: bool) -> None:
        """Take what an active check has found."""
        if is_healthy and server.failures:
            self.note_success(server)
        if server.is_healthy != is_healthy:
            server.is_healthy = is_healthy
            self._judge_servers()

    def _admit(self, server: Server) -> None:
        # One request at a time, and one failure more leaves it out again.
        if server.is_ejected and not self._is_closed:
            server.is_ejected = False
            server.is_on_probation = True
            self._judge_servers()

    def _judge_servers(self) -> None:
        fit = tuple(one for one in self.servers if one.is_healthy and not one.is_ejected)
        is_any_proven = any(not one.is_on_probation for one in fit)
        for one in self.servers:
            is_limited = one.is_on_probation and is_any_proven
            one.bound = 1 if is_limited else self._limits.connections
        # When none is fit, any of them is a better answer than none.
        self._usable = fit or self.servers
        self._serve_waiting()

    def _take_addresses(self, origin: ServerOrigin, addresses: tuple[str, ...]) -> None:
        old = {one.address: one for one in self.servers if one.origin is origin}
        new = {
            address: old.get(address)
            or Server(self.loop, origin, address, self._limits.connections)
            for address in addresses
        }
        others = tuple(one for one in self.servers if one.origin is not origin)
        self.servers = (*others, *new.values())
        for address, server in old.items():
            if address not in new:
                server.retire()
                self._leaving.append(server)
        self._judge_servers()

    async def _look_up(self, seconds: float) -> None:
        if self._resolving is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._resolving.look_up()

    # What an operator sees.

    def count_waiting(self) -> int:
        """Give the number of requests that wait for a connection."""
        return len(self._waiting)

    def describe_servers(self) -> Iterator[tuple[str, bool, int, int]]:
        """Give label, whether it is used, and the idle and active connections of each server."""
        for origin in self.origins:
            here = [one for one in self.servers if one.origin is origin]
            is_up = any(one.is_up and one.is_healthy and not one.is_ejected for one in here)
            counts = [one.count_connections() for one in here]
            yield origin.label, is_up, sum(i for i, _ in counts), sum(a for _, a in counts)

    @staticmethod
    def _untried(servers: tuple[Server, ...], tried: tuple[Server, ...]) -> tuple[Server, ...]:
        return tuple(server for server in servers if server not in tried)

    def _serve_waiting(self) -> None:
        while self._waiting:
            place = next(iter(self._waiting))
            if not place.done():
                server = self._choose(self._waiting[place])
                if server is None:
                    return
                place.set_result(server)
            # Out of the line at once: whoever comes next must not count it.
            del self._waiting[place]

    def _sweep(self) -> None:
        self._sweep_handle = None
        now = self.loop.time()
        self._leaving = [server for server in self._leaving if server.sweep(now)]
        has_connections = [server.sweep(now) for server in self.servers]
        if any(has_connections) or self._leaving or self._waiting:
            self.watch_deadlines()


def _pick(servers: Sequence[Server]) -> Server:
    """Give the less busy one of two at random."""
    first = int(random() * len(servers))  # noqa: S311 - spreads load, guards nothing
    # Any but that one: what is negative counts from the end.
    second = first - 1 - int(random() * (len(servers) - 1))  # noqa: S311 - as above
    one, other = servers[first], servers[second]
    return one if one.in_flight <= other.in_flight else other


def _count_in_flight(server: Server) -> int:
    return server.in_flight
