"""The cache of introspection answers, in memory.

Rules it keeps: an answer is only about "who is this token", keyed by the token's hash and by who
was asked; no answer outlives the token's `exp`; an answer that was on its way when a revocation
that concerns it arrived is neither used nor kept; random tokens cannot push good ones out, because
refusals live in a bounded cache of their own.
"""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from cachetools import Cache, LRUCache

from gateway.policy.headers import HeaderPair, identity_headers
from gateway.policy.interfaces import Revocation
from gateway.policy.rejection import Reason
from gateway.policy.token import Inactive, Token
from gateway.policy.tokenformat import token_hash

_MAXIMUM_NEGATIVE_ENTRIES = 10_000
_PREFIX_LENGTH = 8


@dataclass(frozen=True, slots=True)
class Answer:
    """A cached answer: who the token is and what upstreams are told of it.

    `fresh_until` is on the cache's monotonic clock, in seconds.
    """

    verdict: Token | Inactive
    identity: tuple[HeaderPair, ...]
    fresh_until: float


@dataclass(slots=True)
class Flight:
    """A question that is on its way, and the revocations that arrived meanwhile.

    `is_revoked` says that the very token was; `revocations` are those of grants, clients, persons.
    """

    key: bytes
    is_revoked: bool = False
    revocations: set[Revocation] = field(default_factory=set)

    def is_overtaken(self, verdict: Token | Inactive) -> bool:
        """Whether a revocation that arrived meanwhile may concern this answer.

        It may have been given before or after the commit, and so may the token: another one of the
        same person, issued since, is good.
        """
        return isinstance(verdict, Token) and any(
            revocation.concerns(verdict) for revocation in self.revocations
        )


class IntrospectionCache:
    """Answers of all authorization servers, bounded; also the sink of revocations.

    Lifetimes are in seconds.
    """

    def __init__(
        self,
        *,
        max_lifetime: float,
        negative_lifetime: float,
        max_entries: int,
        monotonic: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._max_lifetime = max_lifetime
        self._negative_lifetime = negative_lifetime
        self._monotonic = monotonic
        self._wall_clock = wall_clock
        self._active: LRUCache[bytes, Answer] = LRUCache(max_entries)
        self._inactive: LRUCache[bytes, Answer] = LRUCache(
            min(max_entries, _MAXIMUM_NEGATIVE_ENTRIES)
        )
        self._flights: dict[int, Flight] = {}
        self._prefixes: set[bytes] = set()

    @staticmethod
    def source_prefix(authorization_server: str) -> bytes:
        """Give what stands before each key of this server: answers of two never mix."""
        return hashlib.sha256(authorization_server.encode()).digest()[:_PREFIX_LENGTH]

    def get(self, key: bytes) -> Answer | None:
        """Give a fresh answer, or None."""
        answer = self._active.get(key)
        if answer is None:
            answer = self._inactive.get(key)
            if answer is None:
                return None
        if answer.fresh_until > self._monotonic():
            return answer
        self._forget(key)
        return None

    def depart(self, key: bytes) -> Flight:
        """Note that a question is on its way. It must come back through `land` or `abandon`."""
        self._prefixes.add(key[:_PREFIX_LENGTH])
        flight = Flight(key)
        self._flights[id(flight)] = flight
        return flight

    def land(self, flight: Flight, verdict: Token | Inactive) -> Answer | None:
        """Take the answer to a question; None when it has to be asked again.

        That is where a grant, a client or a person was revoked meanwhile that the answer names. A
        token that was revoked itself meanwhile is refused, whatever the answer says.
        """
        self.abandon(flight)
        if flight.is_revoked:
            return self._keep(flight.key, Inactive(Reason.REVOKED_TOKEN))
        if flight.is_overtaken(verdict):
            return None
        return self._keep(flight.key, verdict)

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

    def count_entries(self) -> int:
        """Say how many answers are held, stale ones included."""
        return len(self._active) + len(self._inactive)

    def _keep(self, key: bytes, verdict: Token | Inactive) -> Answer:
        now = self._monotonic()
        if isinstance(verdict, Inactive):
            answer = Answer(verdict, (), now + self._negative_lifetime)
            self._active.pop(key, None)
            if self._negative_lifetime > 0:
                self._inactive[key] = answer
            return answer
        lifetime = self._max_lifetime
        if verdict.expires_at is not None:
            lifetime = min(lifetime, verdict.expires_at - self._wall_clock())
        answer = Answer(verdict, tuple(identity_headers(verdict)), now + lifetime)
        self._inactive.pop(key, None)
        if lifetime > 0:
            self._active[key] = answer
        return answer

    def _forget(self, key: bytes) -> None:
        self._active.pop(key, None)
        self._inactive.pop(key, None)


def cache_key(prefix: bytes, token: str) -> bytes:
    """Name a token to the cache: never by itself, only by its hash and by who is asked."""
    return prefix + token_hash(token)
