"""The feed of revocations between the hosts of a fleet: a stream in Redis.

Each entry has the number after the last one, and Redis takes no number twice, so whoever reads sees
a gap. Who was away reads what was written meanwhile; where that is gone, or Redis has lost its end
and counted on, the gateway drops every answer that a revocation may have overtaken.
"""

import asyncio
import logging
import re
from collections.abc import Callable
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from gateway.introspection.fleet.history import (
    Entry,
    Gap,
    History,
    Stamp,
    read_entry,
    write_entry,
)
from gateway.introspection.fleet.sealing import Seal
from gateway.policy.interfaces import (
    Revocation,
    RevocationNotAcknowledged,
    RevocationSink,
    RevocationSource,
)
from gateway.policy.token import Token

log = logging.getLogger(__name__)

_LENGTH = 10_000
_READ_AT_ONCE = 1000
# As long a silence is looked into: Redis may have lost its end, and nothing new have come since.
_WAIT_SECONDS = 1.0
_PATIENCE_SECONDS = 1.0
_PAUSE_SECONDS = 1.0
_ID = re.compile(rb"([0-9]{1,18})-0")
_FIELD = b"r"
_ALREADY_TAKEN = "equal or smaller"


class RevocationStream:
    """The stream itself. `prefix` is how every key of this fleet begins, `host` who writes."""

    def __init__(self, redis: Redis, seal: Seal, host: str) -> None:
        self.prefix = f"gateway:{seal.name(b'fleet')[:16]}"
        self._key = f"{self.prefix}:revocations"
        self._redis = redis
        self._seal = seal
        self._host = host
        self._lock = asyncio.Lock()

    async def publish(
        self, revocation: Revocation, source: RevocationSource, *, timeout: float = 1.0
    ) -> None:
        """Tell every gateway of the fleet; `timeout` is in seconds.

        Raises RevocationNotAcknowledged when Redis does not take it.
        """
        try:
            async with asyncio.timeout(timeout), self._lock:
                await self.open()
                while not await self._append(revocation, source):
                    pass
        except (RedisError, OSError, TimeoutError, ValueError) as error:
            log.error("redis has not taken a revocation: %s", str(error) or "no answer in time")
            raise RevocationNotAcknowledged((), is_fleet_silent=True) from error

    async def open(self) -> None:
        """See to it that there is a first entry: where none is, nobody could tell an end lost."""
        async with asyncio.timeout(_PATIENCE_SECONDS):
            if not await self._redis.exists(self._key):
                await self._append(None, "command")

    async def wait(self, stamp: Stamp | None) -> None:
        """Wait for an entry after that one, though not for ever."""
        number = 0 if stamp is None else stamp.number
        async with asyncio.timeout(_WAIT_SECONDS + _PATIENCE_SECONDS):
            await self._redis.xread(
                {self._key: f"{number}-0"}, count=1, block=int(_WAIT_SECONDS * 1000)
            )

    async def read_from(self, stamp: Stamp | None) -> list[Entry]:
        """Read that entry and some of those after it. Raises Gap."""
        if stamp is None:
            raise Gap
        async with asyncio.timeout(_PATIENCE_SECONDS):
            found = await self._redis.xrange(
                self._key, min=f"{stamp.number}-0", max="+", count=_READ_AT_ONCE
            )
        return [self._read(one) for one in found or ()]

    async def read_end(self) -> list[Entry]:
        """Read the last entries, as far back as they can be read."""
        entries: list[Entry] = []
        async with asyncio.timeout(_PATIENCE_SECONDS):
            found = await self._redis.xrevrange(self._key, count=_READ_AT_ONCE)
        for one in found or ():
            try:
                entries.append(self._read(one))
            except Gap:
                break
        return entries[::-1]

    async def _append(self, revocation: Revocation | None, source: RevocationSource) -> bool:
        """Write the next entry; False when somebody else was faster."""
        last = await self._redis.xrevrange(self._key, count=1)
        number = 1 + (_number(last[0][0]) if last else 0)
        entry = write_entry(self._seal, number, revocation, source, self._host)
        try:
            await self._redis.xadd(
                self._key, {_FIELD: entry}, id=f"{number}-0", maxlen=_LENGTH, approximate=True
            )
        except ResponseError as error:
            if _ALREADY_TAKEN in str(error):
                return False
            raise
        return True

    def _read(self, one: Any) -> Entry:
        name, fields = one
        try:
            return read_entry(self._seal, _number(name), fields.get(_FIELD, b""))
        except ValueError:
            raise Gap from None


def _number(name: Any) -> int:
    match = _ID.fullmatch(name)
    if match is None:
        raise ValueError("the stream of revocations holds what no gateway wrote")
    return int(match[1])


class RevocationFeed:
    """Follows the stream, and has a sink forget what others have revoked.

    `count` is told the source of each revocation of another host than `host`.
    """

    def __init__(
        self,
        stream: RevocationStream,
        *,
        host: str,
        count: Callable[[str], None],
        count_gap: Callable[[], None],
    ) -> None:
        self._stream = stream
        self._host = host
        self._count = count
        self._count_gap = count_gap
        self._history = History()
        self.is_in_step = False
        # Set once it is known whether Redis tells of anything.
        self.has_tried = asyncio.Event()

    @property
    def prefix(self) -> str:
        """How every key of this fleet begins."""
        return self._stream.prefix

    @property
    def stamp(self) -> Stamp | None:
        """How far this gateway has heard."""
        return self._history.stamp

    def vouches_for(self, stamp: Stamp, token: Token, digest: bytes) -> bool:
        """Whether an answer of that time is good: nothing was revoked since that concerns it.

        Nobody can say so while revocations may go unheard.
        """
        return self.is_in_step and self._history.vouches_for(stamp, token, digest)

    async def run(self, sink: RevocationSink) -> None:
        """Follow the stream until cancelled."""
        is_silent = False
        while True:
            try:
                await self._catch_up(sink)
                self.has_tried.set()
                if is_silent:
                    log.warning("redis tells of revocations on other hosts again")
                is_silent = False
                while True:
                    await self._stream.wait(self._history.stamp)
                    await self._catch_up(sink)
            except (RedisError, OSError, TimeoutError, ValueError) as error:
                self.is_in_step = False
                self.has_tried.set()
                if not is_silent:
                    what = str(error) or "no answer in time"
                    log.error("redis does not tell of revocations on other hosts: %s", what)
                is_silent = True
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _catch_up(self, sink: RevocationSink) -> None:
        """Read what is new; begin anew where that does not follow on what was heard."""
        while True:
            try:
                new = self._history.follow(await self._stream.read_from(self._history.stamp))
            except Gap:
                await self._begin_anew(sink)
                continue
            self.is_in_step = True
            for entry in new:
                self._hear(entry, sink)
            if not new:
                return

    async def _begin_anew(self, sink: RevocationSink) -> None:
        self.is_in_step = False
        if self._history.stamp is not None:
            self._count_gap()
            log.warning("revocations on other hosts may have gone unheard: all answers are dropped")
        # Before and after: what was asked while the end was read may be older than that.
        sink.distrust()
        await self._stream.open()
        end = await self._stream.read_end()
        sink.distrust()
        if not end:
            raise ValueError("its last revocation is of no gateway of this fleet")
        self._history.restart(end)

    def _hear(self, entry: Entry, sink: RevocationSink) -> None:
        if entry.revocation is None:
            return
        sink.revoke(entry.revocation)
        if entry.host != self._host:
            self._count(entry.source)
