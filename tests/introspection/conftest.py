"""Clocks that stand still, and authorization servers that answer when they are told."""

import asyncio
from dataclasses import dataclass, field

import pytest

from gateway.introspection.cache import IntrospectionCache
from gateway.policy.token import Inactive, Token

ISSUER = "https://issuer.example"


@dataclass
class Clock:
    """A clock that moves when it is told to."""

    now: float = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class HeldServer:
    """An introspector that holds each question until the test answers it."""

    questions: list[str] = field(default_factory=list)
    answers: list["asyncio.Future[Token | Inactive]"] = field(default_factory=list)

    async def introspect(self, token: str) -> Token | Inactive:
        self.questions.append(token)
        self.answers.append(asyncio.get_running_loop().create_future())
        return await self.answers[-1]


def token(
    client_id: str | None = "app",
    expires_at: float | None = None,
    *,
    subject: str | None = None,
    issuer: str = ISSUER,
) -> Token:
    return Token(issuer, client_id, subject, None, frozenset({"a"}), (), expires_at, {})


@pytest.fixture
def monotonic() -> Clock:
    return Clock(50.0)


@pytest.fixture
def wall_clock() -> Clock:
    return Clock()


def never_shorter() -> float:
    """What lifetimes are shortened by at random: nothing."""
    return 0.0


@pytest.fixture
def cache(monotonic: Clock, wall_clock: Clock) -> IntrospectionCache:
    return IntrospectionCache(
        max_lifetime=60,
        negative_lifetime=5,
        max_entries=100,
        monotonic=monotonic,
        wall_clock=wall_clock,
        spread=never_shorter,
    )


@pytest.fixture
def lenient_cache(monotonic: Clock, wall_clock: Clock) -> IntrospectionCache:
    """One that keeps answers for the case that nobody can be asked: 30 seconds."""
    return IntrospectionCache(
        max_lifetime=60,
        negative_lifetime=5,
        max_entries=100,
        stale_if_error=30,
        monotonic=monotonic,
        wall_clock=wall_clock,
        spread=never_shorter,
    )
