"""Answers about tokens that any gateway of the fleet has had, in Redis.

Rules: a value counts only if a gateway of this fleet wrote it for this very question, its time is
not over, and nothing revoked since concerns it, of which this gateway knows because it has heard
every revocation. Anything else, and any trouble, is a miss. Only active tokens are kept there, so
that random ones fill nothing.

One connection takes what has gathered while it was busy, in one go. What Redis does not answer in
time is a miss, and it is not asked again before it has answered a probe.
"""

import asyncio
import json
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from gateway.introspection.fleet.feed import RevocationFeed
from gateway.introspection.fleet.history import SharedAnswer, Stamp
from gateway.introspection.fleet.sealing import Seal
from gateway.policy.token import Token
from gateway.policy.tokenformat import token_hash

log = logging.getLogger(__name__)

_MOST_AT_ONCE = 128
# Answers of a server that says very much are not shared, so that no value is large.
_LONGEST_VALUE = 64 * 1024
# What waits to be written while Redis is slow; more is not shared.
_MOST_WAITING = 4096
_PAUSE_SECONDS = 1.0


class SharedAnswers:
    """Reads and writes what the fleet knows of tokens. `timeout` is in seconds."""

    def __init__(
        self,
        redis: Redis,
        seal: Seal,
        feed: RevocationFeed,
        *,
        timeout: float,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._redis = redis
        self._seal = seal
        self._feed = feed
        self._timeout = timeout
        self._wall_clock = wall_clock
        self._reads: deque[tuple[str, asyncio.Future[bytes]]] = deque()
        self._writes: deque[tuple[str, bytes, int]] = deque()
        self._wake = asyncio.Event()
        self.is_up = True

    def stamp(self) -> Stamp | None:
        """Give how far this gateway has heard; take it before asking. None: share nothing."""
        return self._feed.stamp if self._feed.is_in_step else None

    async def read(self, source: bytes, token: str) -> SharedAnswer | None:
        """Give what the fleet knows of a token from that source; None where it knows nothing."""
        if not self.is_up or not self._feed.is_in_step:
            return None
        digest = token_hash(token)
        place = self._place(source, digest)
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._reads.append((place, future))
        self._wake.set()
        try:
            async with asyncio.timeout(self._timeout):
                sealed = await future
        except TimeoutError:
            return None
        content = self._seal.open(place.encode(), sealed)
        found = None if content is None else _read_content(content)
        if found is None:
            return None
        stamp, until, verdict = found
        # Looked at only now: a revocation may have come while Redis was asked.
        if not self._feed.vouches_for(stamp, verdict, digest):
            return None
        return SharedAnswer(verdict, until - self._wall_clock())

    def write(self, source: bytes, token: str, answer: SharedAnswer, stamp: Stamp) -> None:
        """Share an answer; `stamp` is how far this gateway had heard when it asked."""
        if not self.is_up or len(self._writes) >= _MOST_WAITING:
            return
        place = self._place(source, token_hash(token))
        content = _write_content(stamp, self._wall_clock() + answer.lifetime, answer.verdict)
        sealed = self._seal.close(place.encode(), content)
        milliseconds = int(answer.lifetime * 1000)
        if len(sealed) <= _LONGEST_VALUE and milliseconds > 0:
            self._writes.append((place, sealed, milliseconds))
            self._wake.set()

    async def run(self) -> None:
        """Take what gathers to Redis, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._reads or self._writes:
                try:
                    async with asyncio.timeout(self._timeout):
                        await self._exchange()
                except (RedisError, OSError, TimeoutError) as error:
                    await self._recover(error)

    def _place(self, source: bytes, digest: bytes) -> str:
        return f"{self._feed.prefix}:token:{self._seal.name(source, digest)}"

    async def _exchange(self) -> None:
        reads = [self._reads.popleft() for _ in range(min(len(self._reads), _MOST_AT_ONCE))]
        try:
            async with self._redis.pipeline(transaction=False) as pipeline:
                for place, _ in reads:
                    # Not GET: whatever stands there, no more of it is read than may be ours.
                    _ = pipeline.getrange(place, 0, _LONGEST_VALUE)
                for _ in range(min(len(self._writes), _MOST_AT_ONCE)):
                    place, sealed, milliseconds = self._writes.popleft()
                    _ = pipeline.set(place, sealed, px=milliseconds)
                results = await pipeline.execute(raise_on_error=False)
            for (_, future), result in zip(reads, results, strict=False):
                # An error instead of a value is of another's making: a miss.
                if not future.done():
                    future.set_result(result if isinstance(result, bytes) else b"")
            self._tell_of_errors(results)
        finally:
            _give_up(reads)

    def _tell_of_errors(self, results: list[Any]) -> None:
        error = next((result for result in results if isinstance(result, RedisError)), None)
        if error is not None:
            log.warning("redis: an answer about a token could not be shared: %s", error)

    async def _recover(self, error: Exception) -> None:
        """Ask nothing of Redis before it answers again."""
        self.is_up = False
        log.error(
            "redis does not answer, going on without it: %s", str(error) or "no answer in time"
        )
        _give_up(self._reads)
        self._reads.clear()
        self._writes.clear()
        while not self.is_up:
            await self._redis.connection_pool.disconnect(inuse_connections=False)
            await asyncio.sleep(_PAUSE_SECONDS)
            try:
                async with asyncio.timeout(self._timeout):
                    await self._redis.ping()
            except (RedisError, OSError, TimeoutError):
                continue
            self.is_up = True
        log.warning("redis answers again")


def _give_up(reads: "deque[tuple[str, asyncio.Future[bytes]]] | list[Any]") -> None:
    for _, future in reads:
        if not future.done():
            future.set_result(b"")


def _write_content(stamp: Stamp, until: float, token: Token) -> bytes:
    members = {
        "issuer": token.issuer,
        "client_id": token.client_id,
        "subject": token.subject,
        "username": token.username,
        "scopes": sorted(token.scopes),
        "audience": token.audience,
        "expires_at": token.expires_at,
        "claims": dict(token.claims.items()),
    }
    return json.dumps([stamp.number, stamp.tag, until, members]).encode()


def _read_content(content: bytes) -> tuple[Stamp, float, Token] | None:
    """Read what a gateway of the fleet has written; None when it is one of another version."""
    try:
        number, tag, until, members = json.loads(content)
        scopes, audience = frozenset(members.pop("scopes")), tuple(members.pop("audience"))
        return Stamp(number, tag), until, Token(**members, scopes=scopes, audience=audience)
    except (TypeError, ValueError, KeyError, AttributeError):
        return None
