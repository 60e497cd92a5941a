"""Watches the open tunnels: none outlives the right by which it was opened.

A request is judged once, a tunnel as long as it stands: a revocation that this worker hears of
closes it at once; once a second, or as its route says, it is held against the token's expiry and
the route's demands, and the authorization server is asked again when its answer is no longer fresh.

Rule: it fails closed. An authorization server that cannot answer is asked again for a while; then
the tunnel is closed.
"""

import asyncio
import hmac
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from gateway.introspection.cache import Answer
from gateway.introspection.coalescing import RememberingServer
from gateway.policy.decision import decide
from gateway.policy.forwarding import OpenTunnel
from gateway.policy.interfaces import AuthorizationServerUnavailable, Revocation, RevocationSink
from gateway.policy.rejection import Reason
from gateway.policy.routes import Route
from gateway.policy.token import Inactive, Token
from gateway.policy.tokenformat import token_hash

log = logging.getLogger(__name__)


class Watched:
    """A tunnel, or a request that may become one, and by what right.

    `answer` and `token` are None on a public route. `reason` says why the watch closed it.
    """

    __slots__ = (
        "answer",
        "bytes",
        "due",
        "moved_at",
        "reason",
        "route",
        "stale_since",
        "task",
        "token",
        "tunnel",
    )

    def __init__(self, route: Route, token: str | None, answer: Answer | None) -> None:
        self.route = route
        self.token = token
        self.answer = answer
        self.tunnel: OpenTunnel | None = None
        self.reason: Reason | None = None
        self.task: asyncio.Task[None] | None = None
        self.stale_since: float | None = None
        self.bytes = 0
        self.moved_at = time.monotonic()
        # When it is to be looked at next.
        self.due = 0.0

    def attach(self, tunnel: OpenTunnel) -> None:
        """Note that the tunnel is open; one whose right has ended meanwhile is closed."""
        self.tunnel = tunnel
        self.moved_at = time.monotonic()
        if self.reason is not None:
            tunnel.abort()

    def end(self, reason: Reason | None) -> None:
        """Close the tunnel, now or as soon as it opens."""
        if self.reason is None:
            self.reason = reason
        if self.tunnel is not None:
            self.tunnel.abort()

    def concerns(self, revocation: Revocation) -> bool:
        """Say whether a revocation takes the right to this tunnel."""
        if self.answer is None or self.token is None:
            return False
        if revocation.kind == "token":
            return hmac.compare_digest(token_hash(self.token).hex(), revocation.value)
        verdict = self.answer.verdict
        return isinstance(verdict, Token) and revocation.concerns(verdict)


class TunnelWatch:
    """All tunnels of this worker. It passes revocations on to a sink, and obeys them itself."""

    def __init__(
        self,
        sink: RevocationSink,
        introspectors: Mapping[str, RememberingServer],
        routes: Iterable[Route],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sink = sink
        self._introspectors = introspectors
        upgraded = [route for route in routes if route.upgrade]
        self._names = tuple(route.name for route in upgraded)
        self._step_seconds = min((route.tunnels.check for route in upgraded), default=1.0)
        self._monotonic = monotonic
        self._watched: set[Watched] = set()
        self._handle: asyncio.TimerHandle | None = None

    def add(self, route: Route, token: str | None, answer: Answer | None) -> Watched:
        """Watch a request that was allowed by an answer about its token."""
        if route.is_public:
            token = answer = None
        watched = Watched(route, token, answer)
        self._watched.add(watched)
        if answer is not None and self._introspector(watched).remembered(token or "") is not answer:
            # A revocation may have come between the answer and now.
            watched.stale_since = self._monotonic()
        if self._handle is None:
            self._arm()
        return watched

    def remove(self, watched: Watched) -> None:
        """Watch it no longer."""
        self._watched.discard(watched)
        if watched.task is not None:
            watched.task.cancel()
        if not self._watched and self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def count(self) -> list[tuple[tuple[str, ...], float]]:
        """Give the number of open tunnels of each route that allows any."""
        counts = Counter(one.route.name for one in self._watched if one.tunnel is not None)
        return [((name,), counts[name]) for name in self._names]

    def revoke(self, revocation: Revocation) -> None:
        """Forget what was revoked, and close its tunnels. RevocationSink."""
        self._sink.revoke(revocation)
        for watched in tuple(self._watched):
            if watched.concerns(revocation):
                watched.end(Reason.REVOKED_TOKEN)

    def distrust(self) -> None:
        """Forget every answer, and have the tokens of all tunnels asked about anew."""
        self._sink.distrust()
        for watched in self._watched:
            if watched.answer is not None and watched.stale_since is None:
                watched.stale_since = self._monotonic()
            watched.due = 0.0

    def _arm(self) -> None:
        self._handle = asyncio.get_running_loop().call_later(self._step_seconds, self._step)

    def _step(self) -> None:
        now = self._monotonic()
        wall = time.time()
        for watched in tuple(self._watched):
            if watched.due <= now:
                # The steps are those of the shortest check; none is to wait for one more.
                watched.due = now + watched.route.tunnels.check - self._step_seconds / 2
                self._look_at(watched, now, wall)
        self._arm()

    def _look_at(self, watched: Watched, now: float, wall: float) -> None:
        tunnel = watched.tunnel
        if tunnel is not None:
            moved = tunnel.bytes_received + tunnel.bytes_sent
            if moved != watched.bytes:
                watched.bytes = moved
                watched.moved_at = now
            elif now - watched.moved_at >= watched.route.tunnels.idle:
                watched.end(None)
        answer = watched.answer
        if answer is None or not _still_opens(watched, answer, wall):
            return
        if watched.stale_since is None:
            if answer.fresh_until > now:
                return
            watched.stale_since = now
        if now - watched.stale_since >= watched.route.tunnels.outage:
            watched.end(Reason.AUTHORIZATION_SERVER_UNAVAILABLE)
        elif watched.task is None:
            watched.task = asyncio.create_task(self._ask_again(watched))

    async def _ask_again(self, watched: Watched) -> None:
        introspector = self._introspector(watched)
        token = watched.token or ""
        try:
            answer = introspector.remembered(token) or await introspector.ask(token)
        except AuthorizationServerUnavailable:
            return
        except Exception:
            log.exception("a tunnel's token could not be judged again")
            watched.end(Reason.INTERNAL_ERROR)
            return
        finally:
            watched.task = None
        watched.answer = answer
        watched.stale_since = None
        _still_opens(watched, answer, time.time())

    def _introspector(self, watched: Watched) -> RememberingServer:
        return self._introspectors[watched.route.authorization_server or ""]


def _still_opens(watched: Watched, answer: Answer, now: float) -> bool:
    """Hold a token against what its route demands, now; end the tunnel when it does not hold."""
    verdict = answer.verdict
    refused = verdict if isinstance(verdict, Inactive) else decide(watched.route, verdict, now)
    if refused is not None:
        watched.end(refused.reason)
    return refused is None
