"""Revocation is instant: under load, in every process of the host, for each of its four kinds,
whether they are taken back by an endpoint, by a command or by a person on a page.

Two gateways share a database and a state_dir. 200 callers with connections of their own hammer both
with one token; then it is taken back. What counts is each request's start: not one that starts
after the revocation has reported success may pass.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.authserver.administration import Administration
from gateway.authserver.options import AuthorizationServerOptions, embedded_options
from gateway.authserver.records.clients import find_client
from gateway.authserver.records.families import begin_family
from gateway.authserver.records.grants import allow
from gateway.authserver.storage.database import Database
from gateway.authserver.storage.migration import migrate
from gateway.policy.tokenformat import new_token
from gateway.settings import load
from tests.authserver.stored import insert_token_of
from tests.e2e.people import Person
from tests.e2e.programs import Gateway, embedded_server, running_gateway
from tests.parts.ports import free_port
from tests.parts.postgresql import PostgresServer

CALLERS = 200
ROUNDS = 3
AFTERWARDS = 3  # requests that each caller starts after the revocation
SCOPE = "orders:read"
PASSWORD = "correct horse battery staple"


@dataclass(frozen=True)
class Seen:
    """A request that was answered; times are of the monotonic clock."""

    started: float
    ended: float
    status: int


@dataclass
class Scene:
    """Two gateways, and a client and a person whose tokens can be taken back."""

    gateways: list[Gateway]
    session: aiohttp.ClientSession
    database: Database
    administration: Administration
    secret: str
    alice: Person
    seen: list["Seen"] = field(default_factory=list)
    is_busy: asyncio.Event = field(default_factory=asyncio.Event)

    def issue_to_client(self) -> str:
        return self.administration.issue_token("desk").token

    def issue_to_person(self) -> str:
        """Gives a token that Alice allowed the desk, as the token endpoint would have issued it."""
        user, now = self.administration.get_user("alice"), int(time.time())
        with self.database.transaction() as connection:
            client = find_client(connection, "desk")
            assert client is not None
            grant = allow(connection, user.id, "desk", SCOPE, now)
            family = begin_family(
                connection,
                grant,
                client,
                user.epoch,
                scope=SCOPE,
                audience="",
                now=now,
                expires_at=now + 600,
            )
        token = new_token("at")
        insert_token_of(self.database, family, token, None, now)
        return token

    async def command(self, *words: str) -> None:
        done = await asyncio.to_thread(self.gateways[0].command, *words)
        assert done.returncode == 0, done.stderr

    async def revoke_by_endpoint(self, token: str) -> None:
        url = f"{self.gateways[1].authorization_server_url}/oauth2/revoke"
        form = {"token": token, "client_id": "desk", "client_secret": self.secret}
        async with self.session.post(url, data=form) as answer:
            assert answer.status == 200

    async def revoke_by_page(self, _: str) -> None:
        """Takes back what Alice allowed the desk, as she does it on the page."""
        page = await self.alice.open("/account")
        if 'name="password"' in page.text:
            page = await self.alice.sign_in(page)
        form = page.form_with(action="revoke", client_id="desk")
        page = await self.alice.submit(page, form, action="revoke")
        assert page.query == {"revoked": "desk"}

    async def call(self, url: str, token: str, revoked_at: list[float]) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        late = 0
        while late < AFTERWARDS:
            started = time.monotonic()
            late += bool(revoked_at) and started > revoked_at[0]
            async with self.session.get(url, headers=headers) as answer:
                await answer.read()
            self.seen.append(Seen(started, time.monotonic(), answer.status))
            if len(self.seen) > 2 * CALLERS:
                self.is_busy.set()


@dataclass(frozen=True)
class Pair:
    """Two gateways that share a database and a state_dir, and where the service has to listen."""

    gateways: list[Gateway]
    options: AuthorizationServerOptions
    secret: str  # of the desk
    legacy_port: int


@contextmanager
def migrated_database(kind: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """Gives the URL of a migrated database, or of a file in the state_dir that is not there yet."""
    if kind == "sqlite":
        yield "sqlite:///gateway.db"
        return
    server: PostgresServer = request.getfixturevalue("postgresql")
    name = server.create_database()
    migrate(server.url(name))
    yield server.url(name)
    server.drop_database(name)


@pytest.fixture(
    scope="module",
    params=[
        ("sqlite", "60s"),  # answers are remembered for long
        ("sqlite", "1ms"),  # nearly every request asks anew
        ("postgresql", "1ms"),  # the setting in which the database is asked
    ],
    ids="-".join,
)
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pair]:
    """Two gateways that remember answers for so long, on a database of that kind."""
    kind_of_database, remembered = request.param
    legacy_port = free_port()
    with migrated_database(kind_of_database, request) as url, ExitStack() as stack:
        server = embedded_server({SCOPE: "See your orders"})
        server["embedded"]["database"] = url
        settings = {
            "access_log": "none",
            "introspection_cache": {"max_lifetime": remembered},
            "authorization_servers": {"local": server},
            "upstreams": {"legacy": {"servers": [f"http://127.0.0.1:{legacy_port}"]}},
            "routes": [{"name": "all", "match": {"path": "/**"}, "require": {"scopes": [SCOPE]}}],
        }
        first = stack.enter_context(running_gateway(settings, tmp_path_factory.mktemp("gw")))
        # The same server by its issuer, and the same folder for database and sockets.
        embedded = {**server["embedded"], "listen": f"127.0.0.1:{free_port()}"}
        elsewhere = {
            **settings,
            "state_dir": str(first.configuration.parent / "state"),
            "authorization_servers": {"local": {"embedded": embedded}},
        }
        second = stack.enter_context(running_gateway(elsewhere, tmp_path_factory.mktemp("gw")))
        options = embedded_options(load(first.configuration))
        assert options is not None
        with Administration(options) as administration:
            desk = administration.add_client(
                "desk", grant_types=["client_credentials", "device_code"], scopes=[SCOPE]
            )
            administration.add_user("alice", PASSWORD)
        yield Pair([first, second], options, desk.secret or "", legacy_port)


@pytest.fixture
async def scene(pair: Pair) -> AsyncIterator[Scene]:
    """The two gateways before a service that takes next to no time, and a person's browser."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(text="ok")

    application = web.Application()
    application.router.add_get("/orders", answer)
    with Administration(pair.options) as administration:
        database = Database(pair.options.database_url)
        async with (
            TestServer(application, port=pair.legacy_port),
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
            Person(pair.options.issuer, "alice", PASSWORD) as alice,
        ):
            yield Scene(pair.gateways, session, database, administration, pair.secret, alice)
        database.close()


Revoke = Callable[[Scene, str], Awaitable[None]]
KINDS: dict[str, tuple[Callable[[Scene], str], Revoke, tuple[str, ...]]] = {
    # How a token is issued, how it is taken back, and what makes the next round possible.
    "token": (Scene.issue_to_client, Scene.revoke_by_endpoint, ()),
    "grant": (
        Scene.issue_to_person,
        lambda scene, _: scene.command("user", "revoke", "alice", "--client", "desk"),
        (),
    ),
    "grant by the page": (Scene.issue_to_person, Scene.revoke_by_page, ()),
    "client": (
        Scene.issue_to_client,
        lambda scene, _: scene.command("client", "revoke", "desk"),
        (),
    ),
    "person": (
        Scene.issue_to_person,
        lambda scene, _: scene.command("user", "disable", "alice"),
        ("user", "enable", "alice"),
    ),
}


@pytest.mark.parametrize("kind", KINDS)
async def test_not_one_request_that_starts_after_the_revocations_success_passes(
    scene: Scene, kind: str
) -> None:
    """And those before it did: nothing is refused that was not taken back yet."""
    issue, revoke, afterwards = KINDS[kind]
    for _ in range(ROUNDS):
        token = issue(scene)
        revoked_at: list[float] = []
        scene.seen.clear()
        scene.is_busy.clear()
        callers = [
            asyncio.create_task(
                scene.call(f"{scene.gateways[number % 2].url}/orders", token, revoked_at)
            )
            for number in range(CALLERS)
        ]
        await scene.is_busy.wait()
        began = time.monotonic()
        await revoke(scene, token)
        revoked_at.append(time.monotonic())
        await asyncio.gather(*callers)

        after = [one.status for one in scene.seen if one.started > revoked_at[0]]
        assert len(after) >= AFTERWARDS * CALLERS
        assert set(after) == {401}
        assert {one.status for one in scene.seen if one.ended < began} == {200}
        if afterwards:
            await scene.command(*afterwards)
