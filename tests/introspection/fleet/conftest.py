"""Gateways of a fleet, reduced to what they share, around a real Redis."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import pytest

from gateway.introspection.fleet.answers import SharedAnswers
from gateway.introspection.fleet.connecting import RedisOptions, connect
from gateway.introspection.fleet.feed import RevocationFeed, RevocationStream
from gateway.introspection.fleet.sealing import Seal
from gateway.policy.interfaces import Revocation
from tests.parts.redis import PASSWORD, SECRET, USER, RedisServer

# Longer than anything here takes on a busy machine: reaching it is a failure.
PATIENCE = 20.0
TIMEOUT = 5.0


@dataclass
class Memory:
    """A sink that notes what it is told, in order."""

    told: list[Revocation | str] = field(default_factory=list)

    def revoke(self, revocation: Revocation) -> None:
        self.told.append(revocation)

    def distrust(self) -> None:
        self.told.append("distrust")


class Member:
    """One gateway: its connection, its place in the feed, and what it shares."""

    def __init__(self, server: RedisServer, host: str, secret: str, timeout: float) -> None:
        options = RedisOptions(port=server.port, username=USER, password=PASSWORD)
        self.redis = connect(options)
        seal = Seal(secret)
        self.memory = Memory()
        self.counted: list[str] = []
        self.gaps = 0
        self.stream = RevocationStream(self.redis, seal, host)
        self.feed = RevocationFeed(
            self.stream, host=host, count=self.counted.append, count_gap=self._count_gap
        )
        self.answers = SharedAnswers(self.redis, seal, self.feed, timeout=timeout)
        self.tasks: list[asyncio.Task[None]] = []

    def _count_gap(self) -> None:
        self.gaps += 1

    async def start(self) -> None:
        """Follow the feed; gives back when it is in step."""
        self.tasks = [
            asyncio.create_task(self.feed.run(self.memory)),
            asyncio.create_task(self.answers.run()),
        ]
        await until(lambda: self.feed.is_in_step)

    async def stop(self) -> None:
        """End it; what it remembered of the feed stays."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.redis.aclose()

    async def heard(self, revocation: Revocation) -> None:
        """Wait until it has heard of a revocation."""
        await until(lambda: revocation in self.memory.told)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - what others change, over a network
            await asyncio.sleep(0.002)


Join = Callable[..., Awaitable[Member]]


@pytest.fixture(scope="session")
def running_redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def server(running_redis: RedisServer) -> Iterator[RedisServer]:
    """A Redis that answers and holds nothing, whatever the test before did."""
    if not running_redis.is_running:
        running_redis.start()
    with running_redis.client() as client:
        client.flushall()
    yield running_redis
    running_redis.resume()


@pytest.fixture
async def join(server: RedisServer) -> AsyncIterator[Join]:
    """Adds gateways to the fleet, by their hosts' names."""
    async with AsyncExitStack() as stack:

        async def add(host: str = "a", secret: str = SECRET, timeout: float = TIMEOUT) -> Member:
            member = Member(server, host, secret, timeout)
            stack.push_async_callback(member.stop)
            await member.start()
            return member

        yield add
