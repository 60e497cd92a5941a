"""Two gateways on two hosts share a database and a Redis: what one learns the other one knows, what
one revokes the other one refuses, and a Redis that dies or falls silent harms no request.

The hosts are two state_dirs on one machine: no revocation goes from one to the other but by Redis.
"""

import asyncio
import itertools
import os
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Self

import aiohttp
import pytest
import requests
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.authserver.storage.migration import migrate
from gateway.introspection.fleet.sealing import Seal
from tests.e2e.programs import Gateway, embedded_server, running_gateway
from tests.e2e.workers_stage import series, value
from tests.parts.get import locate
from tests.parts.ports import free_port
from tests.parts.postgresql import PostgresServer
from tests.parts.redis import SECRET, RedisServer

SCOPE = "orders:read"
PATIENCE = 30.0
# More than a request takes that waits for Redis and then for the database, on a busy machine, and
# much less than a connection takes to notice that nothing comes back.
LONGEST = 6.0
CALLERS = 16
STREAM = f"gateway:{Seal(SECRET).name(b'fleet')[:16]}:revocations"


@contextmanager
def private_network() -> Iterator["Cable"]:
    """A network of this test's own, with one address in it, and a cable that can be cut."""
    number = os.getpid() % 16_000
    name, near, far = f"gwt{number}", f"gwn{number}", f"gwf{number}"
    subnet = f"10.213.{number // 64}.{number % 64 * 4}"
    prefix = subnet.rpartition(".")[0]
    first = number % 64 * 4
    here, there = f"{prefix}.{first + 1}", f"{prefix}.{first + 2}"
    with ExitStack() as stack:
        ip("netns", "add", name)
        stack.callback(ip, "netns", "del", name)
        ip("link", "add", near, "type", "veth", "peer", "name", far, "netns", name)
        ip("addr", "add", f"{here}/30", "dev", near)
        ip("link", "set", near, "up")
        ip("-n", name, "addr", "add", f"{there}/30", "dev", far)
        ip("-n", name, "link", "set", far, "up")
        yield Cable(name, here, there)


def ip(*words: str) -> None:
    subprocess.run([locate("ip"), *words], check=True, capture_output=True)


@dataclass(frozen=True)
class Cable:
    """What leads to `there`, inside the namespace `name`."""

    name: str
    here: str
    there: str

    def cut(self) -> None:
        """Let nothing come back any more: dropped, not refused."""
        ip("-n", self.name, "route", "add", "blackhole", f"{self.here}/32")

    def mend(self) -> None:
        ip("-n", self.name, "route", "del", "blackhole", f"{self.here}/32")


@pytest.fixture
def cable() -> Iterator[Cable]:
    with private_network() as made:
        yield made


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def distant_redis(cable: Cable) -> Iterator[RedisServer]:
    """A Redis at the far end of a cable."""
    with RedisServer(host=cable.there, prefix=("ip", "netns", "exec", cable.name)) as server:
        yield server


@dataclass
class Fleet:
    """Two gateways, the service behind them, and what their clients saw."""

    here: Gateway
    there: Gateway
    session: aiohttp.ClientSession
    secret: str
    slowest: float = 0.0
    statuses: list[int] = field(default_factory=list)

    @property
    def basic(self) -> dict[str, str]:
        return {"Authorization": aiohttp.encode_basic_auth("shop", self.secret)}

    async def issue(self) -> str:
        form = {"grant_type": "client_credentials", "scope": SCOPE}
        url = f"{self.here.authorization_server_url}/oauth2/token"
        async with self.session.post(url, data=form, headers=self.basic) as answer:
            assert answer.status == 200, await answer.text()
            return str((await answer.json())["access_token"])

    async def revoke(self, token: str) -> int:
        """Give what the revocation endpoint of the one gateway says of it."""
        url = f"{self.here.authorization_server_url}/oauth2/revoke"
        form = {"token": token}
        async with self.session.post(url, data=form, headers=self.basic) as answer:
            return answer.status

    async def ask(self, gateway: Gateway, token: str) -> int:
        started = time.monotonic()
        headers = {"Authorization": f"Bearer {token}"}
        async with self.session.get(f"{gateway.url}/orders", headers=headers) as answer:
            await answer.read()
        self.slowest = max(self.slowest, time.monotonic() - started)
        self.statuses.append(answer.status)
        return answer.status


@contextmanager
def two_gateways(
    server: RedisServer, postgresql: PostgresServer, folders: Callable[[str], object]
) -> Iterator[tuple[Gateway, Gateway, int]]:
    name = postgresql.create_database()
    migrate(postgresql.url(name))
    legacy_port = free_port()
    local = embedded_server({SCOPE: "See your orders"})
    local["embedded"]["database"] = postgresql.url(name)
    settings = {
        "access_log": "none",
        "authorization_servers": {"local": local},
        "redis": server.section(timeout="300ms"),
        "upstreams": {"legacy": {"servers": [f"http://127.0.0.1:{legacy_port}"]}},
        "routes": [{"name": "all", "match": {"path": "/**"}, "require": {"scopes": [SCOPE]}}],
    }
    # The same server by its issuer, at another address.
    embedded = {**local["embedded"], "listen": f"127.0.0.1:{free_port()}"}
    elsewhere = {**settings, "authorization_servers": {"else": {"embedded": embedded}}}
    with ExitStack() as stack:
        stack.callback(postgresql.drop_database, name)
        here = stack.enter_context(running_gateway(settings, folders("gw")))
        there = stack.enter_context(running_gateway(elsewhere, folders("gw")))
        yield here, there, legacy_port


@pytest.fixture
def start_fleet(postgresql: PostgresServer, tmp_path_factory: pytest.TempPathFactory):
    """Starts both gateways around a Redis, when it is entered."""

    @contextmanager
    def start(server: RedisServer):
        with two_gateways(server, postgresql, tmp_path_factory.mktemp) as found:
            yield found

    return start


async def open_fleet(here: Gateway, there: Gateway, port: int) -> AsyncIterator[Fleet]:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text="ok")

    application = web.Application()
    application.router.add_get("/orders", answer)
    secret = await asyncio.to_thread(
        here.add_client, "shop", "--grant", "client_credentials", "--scope", SCOPE
    )
    async with (
        TestServer(application, port=port),
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
    ):
        fleet = Fleet(here, there, session, secret)
        await until(lambda: is_connected(here) and is_connected(there))
        yield fleet


@pytest.fixture
async def fleet(redis: RedisServer, start_fleet) -> AsyncIterator[Fleet]:
    with start_fleet(redis) as (here, there, port):
        async for made in open_fleet(here, there, port):
            yield made


@pytest.fixture
async def distant_fleet(distant_redis: RedisServer, start_fleet) -> AsyncIterator[Fleet]:
    with start_fleet(distant_redis) as (here, there, port):
        async for made in open_fleet(here, there, port):
            yield made


def is_connected(gateway: Gateway) -> bool:
    return value(series(gateway), "gateway_redis_connected") == 1


def readiness(gateway: Gateway) -> str:
    answer = requests.get(f"{gateway.admin_url}/readyz", timeout=10)
    assert answer.status_code == 200
    return answer.text


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await asyncio.to_thread(condition):  # noqa: ASYNC110 - over HTTP
            await asyncio.sleep(0.01)


def position_of(gateway: Gateway) -> float:
    return value(series(gateway), "gateway_revocation_feed_position")


def last_of(server: RedisServer) -> int:
    """The number of the last revocation that Redis holds."""
    with server.client() as client:
        [(name, _)] = client.xrevrange(STREAM, count=1)
    return int(name.partition(b"-")[0])


def introspections(gateway: Gateway) -> float:
    return value(series(gateway), "gateway_introspections_total")


async def test_a_token_that_one_gateway_has_asked_about_the_other_one_does_not(
    fleet: Fleet, redis: RedisServer
):
    token = await fleet.issue()
    assert await fleet.ask(fleet.here, token) == 200
    with redis.client() as client:
        await until(lambda: any(b":token:" in key for key in client.scan_iter()))
    assert await fleet.ask(fleet.there, token) == 200
    found = await asyncio.to_thread(series, fleet.there)
    assert introspections(fleet.here) == 1
    assert introspections(fleet.there) == 0
    assert found["gateway_introspection_cache_lookups_total[('result', 'redis_hit')]"] == 1


@pytest.mark.parametrize("way", ["endpoint", "token command", "client command"])
async def test_what_one_gateway_revokes_the_other_one_refuses(
    fleet: Fleet, redis: RedisServer, way: str
):
    """From the first request on that comes when it has heard as far as Redis had been told."""
    for _ in range(5 if way == "endpoint" else 1):
        token = await fleet.issue()
        assert await fleet.ask(fleet.here, token) == 200
        assert await fleet.ask(fleet.there, token) == 200
        if way == "endpoint":
            assert await fleet.revoke(token) == 200
        else:
            words = ("client", "disable", "shop") if way[0] == "c" else ("token", "revoke", token)
            done = await asyncio.to_thread(fleet.here.command, *words)
            assert done.returncode == 0, done.stderr
            assert "1 worker acknowledged; other hosts have been told through Redis" in done.stdout
        number = last_of(redis)
        assert await fleet.ask(fleet.here, token) == 401
        await until(lambda last=number: position_of(fleet.there) >= last)
        assert await fleet.ask(fleet.there, token) == 401
    counted = await asyncio.to_thread(series, fleet.there)
    source = "endpoint" if way == "endpoint" else "command"
    assert counted[f"gateway_revocations_total[('source', '{source}')]"] >= 1


class Load:
    """Callers that ask both gateways without a pause: with tokens that both know, and new ones."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._is_over = False
        self._tasks: list[asyncio.Task[None]] = []
        self.rounds = 0

    async def __aenter__(self) -> Self:
        known = [await self._fleet.issue() for _ in range(4)]
        self._tasks = [asyncio.create_task(self._call(known)) for _ in range(CALLERS)]
        return self

    async def _call(self, known: list[str]) -> None:
        for number in itertools.count():
            if self._is_over:
                return
            token = await self._fleet.issue() if number % 5 == 0 else known[number % 4]
            for gateway in (self._fleet.here, self._fleet.there):
                await self._fleet.ask(gateway, token)
            self.rounds += 1

    async def go_on(self, rounds: int = 200) -> None:
        """Wait until that many more rounds are over."""
        wanted = self.rounds + rounds
        async with asyncio.timeout(PATIENCE):
            while self.rounds < wanted:  # noqa: ASYNC110 - what many callers count
                await asyncio.sleep(0.01)

    async def __aexit__(self, *_: object) -> None:
        self._is_over = True
        await asyncio.gather(*self._tasks)


def assert_unharmed(fleet: Fleet) -> None:
    """Every good token passed, and no request waited for a Redis that was not there."""
    assert set(fleet.statuses) == {200}
    assert fleet.slowest < LONGEST


async def assert_revocations_hold(fleet: Fleet, server: RedisServer) -> None:
    token = await fleet.issue()
    for gateway in (fleet.here, fleet.there):
        assert await fleet.ask(gateway, token) == 200
    assert await fleet.revoke(token) == 200
    number = last_of(server)
    await until(lambda: position_of(fleet.there) >= number)
    for gateway in (fleet.here, fleet.there):
        assert await fleet.ask(gateway, token) == 401
        assert fleet.statuses.pop() == 401


async def test_a_redis_that_is_killed_and_comes_back_empty_harms_no_request(
    fleet: Fleet, redis: RedisServer
):
    """Under load. What is revoked meanwhile is reported as failed; afterwards all is dropped."""
    async with Load(fleet) as load:
        await load.go_on()
        token = await fleet.issue()
        for gateway in (fleet.here, fleet.there):
            assert await fleet.ask(gateway, token) == 200
        redis.kill()
        await load.go_on()
        assert await fleet.revoke(token) == 503, "nobody on the other host has heard of it"
        await until(lambda: not is_connected(fleet.there))
        assert "without redis: " in await asyncio.to_thread(readiness, fleet.there)
        await load.go_on()
        redis.start()
        await until(lambda: is_connected(fleet.here) and is_connected(fleet.there))
        # It has been revoked in the database, and nothing of before is trusted any more.
        assert await fleet.ask(fleet.there, token) == 401
        assert fleet.statuses.pop() == 401
        await load.go_on()
    assert await asyncio.to_thread(readiness, fleet.there) == "ready\n"
    await assert_revocations_hold(fleet, redis)
    assert_unharmed(fleet)


async def test_a_redis_that_is_cut_off_harms_no_request(
    distant_fleet: Fleet, distant_redis: RedisServer, cable: Cable
):
    """Its packets are dropped: nothing says that it is gone. Afterwards it is as before."""
    fleet = distant_fleet
    async with Load(fleet) as load:
        await load.go_on()
        cable.cut()
        try:
            await load.go_on()
            token = await fleet.issue()
            assert await fleet.revoke(token) == 503
            await until(lambda: not is_connected(fleet.here) and not is_connected(fleet.there))
            await load.go_on()
        finally:
            cable.mend()
        await until(lambda: is_connected(fleet.here) and is_connected(fleet.there))
        await load.go_on()
    await assert_revocations_hold(fleet, distant_redis)
    assert_unharmed(fleet)
