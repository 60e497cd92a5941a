"""One authorization server as the guard sees it: the cache first, then one question for many."""

import asyncio
import time
from typing import get_args

from gateway.introspection.cache import Answer, Flight, IntrospectionCache, cache_key
from gateway.policy.interfaces import (
    AuthorizationServerUnavailable,
    FailureKind,
    Introspector,
)
from gateway.policy.token import Token
from gateway.telemetry.metrics import Metrics

# A revocation that overtakes an answer has been committed: the next answer knows of it. Only others
# that come just as fast can overtake that one, too.
_MOST_QUESTIONS = 3


class CachedIntrospector:
    """Asks `introspector` at most once at a time for each token, and remembers its answers."""

    def __init__(
        self, name: str, introspector: Introspector, cache: IntrospectionCache, metrics: Metrics
    ) -> None:
        self.name = name
        self._introspector = introspector
        self._cache = cache
        self._prefix = cache.source_prefix(name)
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
        answer = self._cache.get(cache_key(self._prefix, token))
        if answer is not None:
            self._lookups.count("hit" if isinstance(answer.verdict, Token) else "negative_hit")
        return answer

    async def ask(self, token: str) -> Answer:
        """Ask the authorization server, or join those who are asking.

        Raises AuthorizationServerUnavailable. A caller that goes away takes nobody's answer along.
        """
        key = cache_key(self._prefix, token)
        task = self._questions.get(key)
        # One that has its answer is not joined: a revocation may have come since.
        if task is None or task.done():
            self._lookups.count("miss")
            task = asyncio.create_task(self._ask(token, key))
            task.add_done_callback(lambda done: self._settle(key, done))
            self._questions[key] = task
        else:
            self._lookups.count("coalesced")
        return await asyncio.shield(task)

    async def _ask(self, token: str, key: bytes) -> Answer:
        for _ in range(_MOST_QUESTIONS):
            answer = await self._ask_once(token, self._cache.depart(key))
            if answer is not None:
                return answer
        raise AuthorizationServerUnavailable("revocations have overtaken every answer")

    async def _ask_once(self, token: str, flight: Flight) -> Answer | None:
        started = time.perf_counter()
        result = "error"
        was_asked = True
        try:
            verdict = await self._introspector.introspect(token)
            result = "active" if isinstance(verdict, Token) else "inactive"
            return self._cache.land(flight, verdict)
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

    def _settle(self, key: bytes, task: asyncio.Task[Answer]) -> None:
        if self._questions.get(key) is task:
            del self._questions[key]
        if not task.cancelled():
            # Read it, so that nobody is warned of an error that no waiter was left to see.
            task.exception()
