"""One authorization server as the guard sees it: the cache first, then one question for many."""

import asyncio
import time
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Protocol, get_args

from gateway.introspection.cache import Answer, Flight, IntrospectionCache, cache_key
from gateway.introspection.fleet.history import SharedAnswer, Stamp
from gateway.policy.interfaces import (
    AuthorizationServerUnavailable,
    FailureKind,
    Introspector,
)
from gateway.policy.token import Inactive, Token
from gateway.telemetry.metrics import Metrics

if TYPE_CHECKING:
    # Loads the client of Redis, which a gateway alone does without.
    from gateway.introspection.fleet.answers import SharedAnswers

# A revocation that overtakes an answer has been committed: the next answer knows of it. Only others
# that come just as fast can overtake that one, too.
_MOST_QUESTIONS = 3


class RememberingServer(Protocol):
    """Who vouches for tokens as the guard sees it."""

    def remembered(self, token: str) -> Answer | None:
        """Give the answer that is at hand, without asking anybody."""
        ...

    async def ask(self, token: str) -> Answer:
        """Ask somebody. Raises AuthorizationServerUnavailable."""
        ...


class CachedIntrospector:
    """Asks `introspector` at most once at a time for each token, and remembers its answers.

    `source` is the digest of who is asked and with which credentials; `shared` is what other
    gateways have learnt, None where nothing is shared.
    """

    def __init__(
        self,
        name: str,
        introspector: Introspector,
        cache: IntrospectionCache,
        metrics: Metrics,
        *,
        source: bytes,
        shared: "SharedAnswers | None" = None,
    ) -> None:
        self.name = name
        self._introspector = introspector
        self._cache = cache
        self._source = source
        self._shared = shared
        self._metrics = metrics
        self._questions: dict[bytes, asyncio.Task[Answer]] = {}
        for result in ("active", "inactive", "error"):
            metrics.introspections.start_at_zero(name, result)
        metrics.introspection_duration.start_at_zero(name)
        for kind in get_args(FailureKind):
            metrics.introspection_errors.start_at_zero(name, kind)
        self._lookups = metrics.cache_lookups

    def remembered(self, token: str) -> Answer | None:
        """Give the answer that is at hand, without asking anybody."""
        key = cache_key(self._source, token)
        answer = self._cache.get(key)
        if answer is not None:
            self._lookups.count("hit" if isinstance(answer.verdict, Token) else "negative_hit")
            if answer.is_due:
                answer.is_due = False
                self._refresh(token, key, answer)
        return answer

    async def ask(self, token: str) -> Answer:
        """Ask the authorization server, or join those who are asking.

        Raises AuthorizationServerUnavailable. A caller that goes away takes nobody's answer along.
        """
        key = cache_key(self._source, token)
        task = self._questions.get(key)
        # One that has its answer is not joined: a revocation may have come since.
        if task is None or task.done():
            task = self._start(key, self._ask(token, key))
        else:
            self._lookups.count("coalesced")
        return await asyncio.shield(task)

    def _refresh(self, token: str, key: bytes, answer: Answer) -> None:
        """Ask about a token in use before its answer has aged; whoever uses it does not wait."""
        task = self._questions.get(key)
        if task is None or task.done():
            _ = self._start(key, self._ask_ahead(token, key, answer))

    def _start(self, key: bytes, question: Coroutine[None, None, Answer]) -> asyncio.Task[Answer]:
        task = asyncio.create_task(question)
        task.add_done_callback(lambda done: self._settle(key, done))
        self._questions[key] = task
        return task

    async def _ask(self, token: str, key: bytes) -> Answer:
        if self._shared is not None:
            answer = await self._look_at_shared(self._shared, token, key, 0.0)
            if answer is not None:
                self._lookups.count("redis_hit")
                return answer
        self._lookups.count("miss")
        try:
            return await self._ask_server(token, key)
        except AuthorizationServerUnavailable:
            stale = self._cache.get_stale(key)
            if stale is None:
                raise
            self._lookups.count("stale")
            return stale

    async def _ask_ahead(self, token: str, key: bytes, answer: Answer) -> Answer:
        if self._shared is not None:
            # Another gateway may have asked ahead before.
            left = self._cache.time_left(answer)
            found = await self._look_at_shared(self._shared, token, key, 2 * left)
            if found is not None:
                return found
        return await self._ask_server(token, key)

    async def _look_at_shared(
        self, shared: "SharedAnswers", token: str, key: bytes, least_lifetime: float
    ) -> Answer | None:
        flight = self._cache.depart(key)
        try:
            found = await shared.read(self._source, token)
            if found is None or found.lifetime <= least_lifetime:
                return None
            return self._cache.land(flight, found.verdict, found.lifetime)
        finally:
            self._cache.abandon(flight)

    async def _ask_server(self, token: str, key: bytes) -> Answer:
        for _ in range(_MOST_QUESTIONS):
            answer = await self._ask_once(token, key)
            if answer is not None:
                return answer
        raise AuthorizationServerUnavailable("revocations have overtaken every answer")

    async def _ask_once(self, token: str, key: bytes) -> Answer | None:
        flight = self._cache.depart(key)
        stamp = None if self._shared is None else self._shared.stamp()
        started = time.perf_counter()
        result = "error"
        was_asked = True
        try:
            verdict = await self._introspector.introspect(token)
            result = "active" if isinstance(verdict, Token) else "inactive"
            return self._land(flight, verdict, token, stamp)
        except AuthorizationServerUnavailable as error:
            self._metrics.introspection_errors.count(self.name, error.kind)
            was_asked = error.kind != "circuit_open"
            raise
        finally:
            self._cache.abandon(flight)
            if was_asked:
                seconds = time.perf_counter() - started
                self._metrics.introspections.count(self.name, result)
                self._metrics.introspection_duration.observe(self.name, seconds)

    def _land(
        self, flight: Flight, verdict: Token | Inactive, token: str, stamp: Stamp | None
    ) -> Answer | None:
        answer = self._cache.land(flight, verdict)
        if answer is None or self._shared is None or stamp is None:
            return answer
        lifetime = self._cache.time_left(answer)
        if isinstance(answer.verdict, Token) and lifetime > 0:
            self._shared.write(self._source, token, SharedAnswer(answer.verdict, lifetime), stamp)
        return answer

    def _settle(self, key: bytes, task: asyncio.Task[Answer]) -> None:
        if self._questions.get(key) is task:
            del self._questions[key]
        if not task.cancelled():
            # Read it, so that nobody is warned of an error that no waiter was left to see.
            task.exception()
