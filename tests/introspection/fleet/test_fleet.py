"""What a gateway shares, from its start on."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway import fleet
from gateway.fleet import Fleet, open_fleet
from gateway.settings import RedisSettings
from gateway.telemetry.metrics import Metrics
from tests.introspection.fleet.conftest import PATIENCE, Memory
from tests.parts.ports import free_port
from tests.parts.redis import PASSWORD, SECRET, USER, RedisServer


@asynccontextmanager
async def followed(port: int) -> AsyncIterator[Fleet]:
    """What a gateway has when it begins to accept requests."""
    settings = RedisSettings(
        url=f"redis://127.0.0.1:{port}/0", username=USER, password=PASSWORD, secret=SECRET
    )
    counted: list[str] = []
    async with (
        asyncio.timeout(PATIENCE),
        open_fleet(settings, "a", Metrics(), counted.append) as opened,
        opened.follow(Memory()),
    ):
        yield opened


async def test_a_gateway_shares_from_its_first_request_on(server: RedisServer):
    async with followed(server.port) as joined:
        assert joined.is_connected
        assert joined.answers.stamp() is not None


async def test_a_redis_that_is_not_there_holds_up_no_start(monkeypatch):
    monkeypatch.setattr(fleet, "_PATIENCE_SECONDS", 3600.0)
    async with followed(free_port()) as joined:
        assert not joined.is_connected


async def test_a_redis_that_says_nothing_does_not_hold_up_the_start_for_long(monkeypatch):
    """It takes connections, and leaves it at that."""
    monkeypatch.setattr(fleet, "_PATIENCE_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        async with followed(silent.getsockname()[1]) as joined:
            assert not joined.feed.has_tried.is_set()
