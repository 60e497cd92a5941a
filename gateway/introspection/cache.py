"""The cache of introspection answers, in memory.

Rules it keeps: an answer is only about "who is this token", keyed by the token's hash, by who was
asked and by the credentials that asked; no answer outlives the token's `exp`; an answer that was on
its way when a revocation that concerns it arrived is neither used nor kept; random tokens cannot
push good ones out, because refusals live in a bounded cache of their own.
"""

import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from cachetools import Cache, LRUCache

from gateway.policy.claims import compact
from gateway.policy.interfaces import Revocation
from gateway.policy.rejection import Reason
from gateway.policy.token import Inactive, Token
from gateway.policy.tokenformat import token_hash

_MAXIMUM_NEGATIVE_ENTRIES = 10_000
_PREFIX_LENGTH = 8
# The last part of a lifetime, in which a token in use is asked about anew, so that nobody waits.
_AHEAD = 0.1
# Lifetimes are up to this part shorter, so that what was learnt together is not asked together.
_SPREAD = 0.1


@dataclass(slots=True)
class Answer:
    """A cached answer: who the token is.

    Times are on the cache's monotonic clock, in seconds: from `fresh_until` on it is no answer any
    more. The first use from `asked_again_at` on makes it `is_due`: somebody is to ask anew.
    """

    verdict: Token | Inactive
    fresh_until: float
    asked_again_at: float = math.inf
    is_due: bool = False


@dataclass(slots=True)
class Flight:
    """A question that is on its way, and the revocations that arrived meanwhile.

    `is_revoked` says that the very token was; `revocations` are those of grants, clients, persons;
    `is_doubtful`, that there may have been others, which nobody here has heard of.
    """

    key: bytes
    is_revoked: bool = False
    is_doubtful: bool = False
    revocations: set[Revocation] = field(default_factory=set)

    def is_overtaken(self, verdict: Token | Inactive) -> bool:
        """Whether a revocation that arrived meanwhile may concern this answer.

        It may have been given before or after the commit, and so may the token: another one of the
        same person, issued since, is good.
        """
        return isinstance(verdict, Token) and (
            self.is_doubtful or any(revocation.concerns(verdict) for revocation in self.revocations)
        )


class IntrospectionCache:
    """Answers of all authorization servers, bounded; also the sink of revocations.

    Lifetimes are in seconds. For `stale_if_error` more of them, an answer is kept for the case that
    its authorization server cannot be asked. `spread` gives a number from 0 to 1 for each answer:
    how much of the part that lifetimes may differ by is taken off.
    """

    def __init__(
        self,
        *,
        max_lifetime: float,
        negative_lifetime: float,
        max_entries: int,
        stale_if_error: float = 0.0,
        monotonic: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        spread: Callable[[], float] = random.random,
    ) -> None:
        self._max_lifetime = max_lifetime
        self._negative_lifetime = negative_lifetime
        self._stale_if_error = stale_if_error
        self._spread = spread
        self._monotonic = monotonic
        self._wall_clock = wall_clock
        self._active: LRUCache[bytes, Answer] = LRUCache(max_entries)
        self._inactive: LRUCache[bytes, Answer] = LRUCache(
            min(max_entries, _MAXIMUM_NEGATIVE_ENTRIES)
        )
        self._flights: dict[int, Flight] = {}
        self._prefixes: set[bytes] = set()

    def get(self, key: bytes) -> Answer | None:
        """Give a fresh answer, or None."""
        answer = self._active.get(key)
        if answer is None:
            answer = self._inactive.get(key)
            if answer is None:
                return None
        now = self._monotonic()
        if answer.fresh_until > now:
            if answer.asked_again_at <= now:
                answer.asked_again_at, answer.is_due = math.inf, True
            return answer
        if answer.fresh_until + self._stale_if_error <= now or isinstance(answer.verdict, Inactive):
            self._forget(key)
        return None

    def get_stale(self, key: bytes) -> Answer | None:
        """Give an active answer that is fresh no more, for when nobody can be asked; or None."""
        answer = self._active.get(key)
        if answer is None or answer.fresh_until + self._stale_if_error <= self._monotonic():
            return None
        return answer

    def time_left(self, answer: Answer) -> float:
        """Give for how long an answer is fresh, in seconds; 0 or less when it is not."""
        return answer.fresh_until - self._monotonic()

    def depart(self, key: bytes) -> Flight:
        """Note that a question is on its way. It must come back through `land` or `abandon`."""
        self._prefixes.add(key[:_PREFIX_LENGTH])
        flight = Flight(key)
        self._flights[id(flight)] = flight
        return flight

    def land(
        self, flight: Flight, verdict: Token | Inactive, lifetime: float = math.inf
    ) -> Answer | None:
        """Take the answer to a question; None when it has to be asked again.

        That is where a grant, a client or a person was revoked meanwhile that the answer names. A
        token that was revoked itself meanwhile is refused, whatever the answer says. `lifetime` is
        what is left of it, in seconds, where somebody else has asked before.
        """
        self.abandon(flight)
        if flight.is_revoked:
            return self._keep(flight.key, Inactive(Reason.REVOKED_TOKEN))
        if flight.is_overtaken(verdict):
            return None
        return self._keep(flight.key, verdict, lifetime)

    def abandon(self, flight: Flight) -> None:
        """Note that a question will have no answer."""
        self._flights.pop(id(flight), None)

    def revoke(self, revocation: Revocation) -> None:
        """Forget what has been revoked, and mark the questions on their way. RevocationSink.

        A token is forgotten whoever was asked about it: its hash names no other one.
        """
        if revocation.kind == "token":
            self._revoke_token(bytes.fromhex(revocation.value))
        else:
            self._revoke_all(revocation)

    def _revoke_token(self, token_hash: bytes) -> None:
        for prefix in self._prefixes:
            self._forget(prefix + token_hash)
            self._keep(prefix + token_hash, Inactive(Reason.REVOKED_TOKEN))
        for flight in self._flights.values():
            flight.is_revoked = flight.is_revoked or flight.key[_PREFIX_LENGTH:] == token_hash

    def _revoke_all(self, revocation: Revocation) -> None:
        # Looked at without LRUCache's own look-up, which would count as a use of each.
        look = Cache.__getitem__
        for key in [
            key
            for key in self._active
            if isinstance(verdict := look(self._active, key).verdict, Token)
            and revocation.concerns(verdict)
        ]:
            self._forget(key)
        for flight in self._flights.values():
            flight.revocations.add(revocation)

    def distrust(self) -> None:
        """Forget every active token: revocations may have gone unheard. RevocationSink."""
        self._active.clear()
        for flight in self._flights.values():
            flight.is_doubtful = True

    def count_entries(self) -> int:
        """Say how many answers are held, stale ones included."""
        return len(self._active) + len(self._inactive)

    def _keep(self, key: bytes, verdict: Token | Inactive, lifetime: float = math.inf) -> Answer:
        now = self._monotonic()
        if isinstance(verdict, Inactive):
            answer = Answer(verdict, now + self._negative_lifetime)
            self._active.pop(key, None)
            if self._negative_lifetime > 0:
                self._inactive[key] = answer
            return answer
        lifetime = min(lifetime, self._max_lifetime * (1 - _SPREAD * self._spread()))
        asked_again_at = now + (1 - _AHEAD) * lifetime
        if verdict.expires_at is not None:
            left = verdict.expires_at - self._wall_clock()
            if left <= lifetime:
                # It ends with its token: there is nothing to ask anew.
                lifetime, asked_again_at = left, math.inf
        self._inactive.pop(key, None)
        if lifetime <= 0:
            return Answer(verdict, now + lifetime)
        answer = Answer(compact(verdict), now + lifetime, asked_again_at)
        self._active[key] = answer
        return answer

    def _forget(self, key: bytes) -> None:
        self._active.pop(key, None)
        self._inactive.pop(key, None)


def cache_key(source: bytes, token: str) -> bytes:
    """Name a token to the cache: never by itself, only by its hash and by who is asked.

    `source` is the digest of who is asked, and with which credentials: answers of two never mix.
    """
    return source[:_PREFIX_LENGTH] + token_hash(token)
