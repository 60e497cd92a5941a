"""What this gateway shares with those on other hosts, as a configuration names it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from redis.asyncio import Redis
from redis.exceptions import RedisError

from gateway.introspection.fleet.answers import SharedAnswers
from gateway.introspection.fleet.connecting import RedisOptions, connect
from gateway.introspection.fleet.feed import RevocationFeed, RevocationStream
from gateway.introspection.fleet.rates import SharedRateStore
from gateway.introspection.fleet.sealing import Seal
from gateway.policy.interfaces import RevocationSink
from gateway.settings import RedisSettings, find_redis
from gateway.telemetry.metrics import Metrics

_PATIENCE_SECONDS = 2.0


class Fleet:
    """The shared parts; made by `open_fleet`."""

    def __init__(
        self,
        stream: RevocationStream,
        feed: RevocationFeed,
        answers: SharedAnswers,
        rates: SharedRateStore,
    ) -> None:
        self.stream = stream
        self.feed = feed
        self.answers = answers
        self.rates = rates

    @property
    def is_connected(self) -> bool:
        """Whether answers are shared, and the revocations of other hosts are heard."""
        return self.feed.is_in_step and self.answers.is_up

    @asynccontextmanager
    async def follow(self, sink: RevocationSink) -> AsyncIterator[None]:
        """Have the sink forget what is revoked on other hosts, and share answers meanwhile.

        Waits a moment for Redis: a gateway that has just started remembers nothing, and would ask
        the authorization server about all that the fleet knows.
        """
        tasks = [asyncio.create_task(self.feed.run(sink)), asyncio.create_task(self.answers.run())]
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_PATIENCE_SECONDS):
                    await self.feed.has_tried.wait()
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def open_stream(settings: RedisSettings, host: str) -> AsyncIterator[RevocationStream]:
    """Open the way by which other hosts are told of revocations; `host` is this one's name."""
    async with _connect(settings) as redis:
        yield RevocationStream(redis, Seal(settings.secret.get_secret_value()), host)


@asynccontextmanager
async def open_fleet(
    settings: RedisSettings, host: str, metrics: Metrics, count: Callable[[str], None]
) -> AsyncIterator[Fleet]:
    """Open all that is shared; `count` is told the source of each revocation of another host.

    Where Redis does not answer, it is done without.
    """
    async with _connect(settings) as redis:
        seal = Seal(settings.secret.get_secret_value())
        stream = RevocationStream(redis, seal, host)
        metrics.feed_gaps.start_at_zero()
        feed = RevocationFeed(stream, host=host, count=count, count_gap=metrics.feed_gaps.count)
        answers = SharedAnswers(redis, seal, feed, timeout=settings.timeout)
        rates = SharedRateStore(_options(settings), seal, stream.prefix, patience=settings.timeout)
        fleet = Fleet(stream, feed, answers, rates)
        metrics.add_gauge(
            "gateway_redis_connected",
            "Processes that share answers and hear of revocations through Redis",
            (),
            lambda: [((), int(fleet.is_connected))],
        )
        metrics.add_gauge(
            "gateway_revocation_feed_position",
            "The number of the last revocation that was heard of through Redis",
            (),
            lambda: [((), 0 if feed.stamp is None else feed.stamp.number)],
            merge="least",
        )
        try:
            yield fleet
        finally:
            with contextlib.suppress(RedisError, OSError):
                await rates.close()


@asynccontextmanager
async def _connect(settings: RedisSettings) -> AsyncIterator[Redis]:
    redis = connect(_options(settings))
    try:
        yield redis
    finally:
        with contextlib.suppress(RedisError, OSError):
            await redis.aclose()


def _options(settings: RedisSettings) -> RedisOptions:
    place = find_redis(settings.url)
    tls = settings.tls
    return RedisOptions(
        host=place.host,
        port=place.port,
        socket=place.socket,
        database=place.database,
        username=settings.username,
        password=None if settings.password is None else settings.password.get_secret_value(),
        tls=place.has_tls,
        ca=None if tls is None else tls.ca,
        certificate=None if tls is None else tls.certificate,
        key=None if tls is None else tls.key,
    )
