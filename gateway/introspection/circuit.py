"""A circuit breaker before an authorization server: one that fails is asked seldom.

Rule: no client opens the circuit. Failures in a row only make the gateway ask a question of its
own, about a token that nobody has; when that fails, too, the circuit opens, and until such a
question is answered nobody waits for the server. So a token that makes the server stumble closes it
for nobody else.
"""

import asyncio
import logging
import random
import secrets
import time
from collections.abc import Callable
from typing import Literal, get_args

from gateway.policy.interfaces import AuthorizationServerUnavailable, Introspector
from gateway.policy.token import Inactive, Token

log = logging.getLogger(__name__)

CircuitState = Literal["closed", "half_open", "open", "credentials_refused"]
"""Asked; asked by the gateway alone, just now; not asked; not asked, since it refuses us."""

STATES: tuple[CircuitState, ...] = get_args(CircuitState)

_FAILURES_IN_A_ROW = 5
_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 30.0
_LONGEST_RETRY_AFTER_SECONDS = 60.0


class CircuitBreaker:
    """An introspector that asks another one as long as that one answers."""

    def __init__(
        self,
        name: str,
        introspector: Introspector,
        *,
        first_pause: float = _FIRST_PAUSE_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._introspector = introspector
        self._first_pause = first_pause
        self._monotonic = monotonic
        self.state: CircuitState = "closed"
        self._failures = 0
        self._asked_again_at = 0.0
        self._trial: asyncio.Task[None] | None = None

    async def introspect(self, token: str) -> Token | Inactive:
        """Ask about a token, unless the circuit is open. Raises AuthorizationServerUnavailable."""
        if self.state != "closed":
            seconds = max(1.0, self._asked_again_at - self._monotonic())
            raise AuthorizationServerUnavailable(
                f"{self._name} is not asked, it has failed too often", "circuit_open", seconds
            )
        try:
            verdict = await self._introspector.introspect(token)
        except AuthorizationServerUnavailable as error:
            self._note_failure(error)
            raise
        self._failures = 0
        return verdict

    async def close(self) -> None:
        """Ask no more."""
        if self._trial is not None:
            self._trial.cancel()

    def _note_failure(self, error: AuthorizationServerUnavailable) -> None:
        if error.kind == "unexpected_answer":
            # It answers; what it says of one token tells nothing of the others.
            return
        self._failures += 1
        has_had_enough = error.kind == "throttled" and error.retry_after is not None
        is_certain = has_had_enough or error.kind == "credentials_refused"
        if (is_certain or self._failures >= _FAILURES_IN_A_ROW) and self._trial is None:
            self._trial = asyncio.create_task(self._try(error if has_had_enough else None))

    async def _try(self, said: AuthorizationServerUnavailable | None) -> None:
        """Ask until there is an answer; at once, unless the server has said when."""
        pause = self._first_pause
        try:
            while True:
                if said is not None:
                    asked = min(said.retry_after or 0.0, _LONGEST_RETRY_AFTER_SECONDS)
                    # Up to a quarter more, so that gateways do not come back all at once.
                    await self._rest(said, max(pause, asked) * random.uniform(1.0, 1.25))  # noqa: S311
                    pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
                    self.state = "half_open"
                try:
                    await self._introspector.introspect(secrets.token_urlsafe(32))
                except AuthorizationServerUnavailable as error:
                    said = error
                else:
                    break
        finally:
            self._trial = None
        # Those that failed while it was asked count no more.
        self._failures = 0
        if self.state != "closed":
            log.warning("authorization server %s answers again", self._name)
        self.state = "closed"

    async def _rest(self, error: AuthorizationServerUnavailable, seconds: float) -> None:
        state: CircuitState = "open"
        if error.kind == "credentials_refused":
            state = "credentials_refused"
        if self.state == "closed":
            log.error("authorization server %s is not asked for now: %s", self._name, error)
        self.state = state
        self._asked_again_at = self._monotonic() + seconds
        await asyncio.sleep(seconds)
