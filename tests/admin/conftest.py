"""The admin application on a listener of its own."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from gateway.admin.application import Readiness, create_application
from gateway.telemetry.metrics import Metrics

Admin = TestClient[web.Request, web.Application]
Browse = Callable[..., Awaitable[Admin]]


@pytest.fixture
async def browse() -> AsyncIterator[Browse]:
    """Opens the application as if it listened on an address; gives a client for it."""
    opened = []

    async def start(
        listens_on: str = "127.0.0.1", why_not: str | None = None, lack: str | None = None
    ) -> Admin:
        async def readiness() -> Readiness:
            return Readiness(why_not, lack)

        client = TestClient(TestServer(create_application(Metrics(), readiness, listens_on)))
        opened.append(client)
        await client.start_server()
        return client

    yield start
    for client in opened:
        await client.close()
