"""One authorization server on a real database, and a client that speaks to its endpoints.

Whatever asks for a database runs twice: on a SQLite file, and on a PostgreSQL server. A test that
is about one kind says so: `@sqlite_only("a server has no file")`.
"""

import base64
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from aiohttp import ClientSession, DummyCookieJar
from aiohttp.test_utils import TestClient, TestServer

from gateway.authserver.options import AuthorizationServerOptions
from gateway.authserver.records.clients import Client, insert_client, list_clients
from gateway.authserver.storage.database import Database
from gateway.authserver.storage.migration import migrate
from gateway.policy.interfaces import Revocation, RevocationSource
from tests.parts.postgresql import PostgresServer

if TYPE_CHECKING:  # a test of one part does not wait for the others to load
    from gateway.authserver.administration import Administration, NewSecret
    from gateway.authserver.records.users import User
    from gateway.authserver.server import EmbeddedServer
    from tests.authserver.browser_fixtures import Browser
    from tests.authserver.people_fixtures import Person

ISSUER = "http://127.0.0.1:8081"


def sqlite_only(reason: str) -> pytest.MarkDecorator:
    """Lets a test run on SQLite alone; the reason is for the reader."""
    assert reason
    return pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)


def postgresql_only(reason: str) -> pytest.MarkDecorator:
    """Lets a test run on PostgreSQL alone; the reason is for the reader."""
    assert reason
    return pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)


def new_client(client_id: str, **fields: object) -> Client:
    """Gives a record of a client, as it may be inserted."""
    values = {
        "secret_hash": bytes(32),
        "grant_types": frozenset({"client_credentials"}),
        "scopes": frozenset({"orders:read"}),
        "may_introspect": False,
        "created_at": 0,
        "epoch": 7,
    }
    return Client(id=client_id, **{**values, **fields})


def add_client(database: Database, client_id: str) -> None:
    """Adds a client in a transaction of its own."""
    with database.transaction() as connection:
        insert_client(connection, new_client(client_id))


def count_clients(database: Database) -> int:
    """Reads how many clients there are, in a transaction of its own."""
    with database.transaction() as connection:
        return len(list_clients(connection))


class Clock:
    """A clock that stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.5

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes
    json: Mapping[str, object]


@dataclass
class Surroundings:
    """What the server calls: everything that it published, counted and logged."""

    published: list[Revocation] = field(default_factory=list)
    sources: list[RevocationSource] = field(default_factory=list)
    issued: list[str] = field(default_factory=list)
    sign_ins: list[str] = field(default_factory=list)
    requests: list[tuple[str, str, int]] = field(default_factory=list)
    on_publish: Callable[[Revocation], object] | None = None

    async def publish(self, revocation: Revocation, source: RevocationSource) -> None:
        self.published.append(revocation)
        self.sources.append(source)
        if self.on_publish is not None:
            result = self.on_publish(revocation)
            if result is not None:
                await result

    def count_issued(self, grant_type: str) -> None:
        self.issued.append(grant_type)

    def count_sign_in(self, result: str) -> None:
        self.sign_ins.append(result)

    def log_request(self, peer: str, method: str, path: str, status: int, seconds: float) -> None:
        assert seconds >= 0
        assert peer == "127.0.0.1"
        self.requests.append((method, path, status))


class Endpoints:
    """A client of the endpoints over a real listener."""

    def __init__(self, client: TestClient) -> None:
        self.client = client

    async def post(
        self,
        path: str,
        form: object = None,
        *,
        basic: "NewSecret | tuple[str, str] | None" = None,
        headers: Mapping[str, str] | None = None,
        method: str = "POST",
    ) -> Answer:
        sent = dict(headers or {})
        if basic is not None and not isinstance(basic, tuple):
            basic = (basic.client.id, basic.secret)
        if basic is not None:
            pair = f"{basic[0]}:{basic[1]}".encode()
            sent["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
        if isinstance(form, str | bytes):
            sent.setdefault("Content-Type", "application/x-www-form-urlencoded")
        async with self.client.request(method, path, data=form or {}, headers=sent) as response:
            body = await response.read()
            return Answer(response.status, response.headers, body, await response.json())

    async def issue(self, basic: "NewSecret | None" = None, **form: str) -> Answer:
        return await self.post(
            "/oauth2/token", {"grant_type": "client_credentials", **form}, basic=basic
        )

    async def introspect(self, basic: "NewSecret", token: str, **form: str) -> Answer:
        return await self.post("/oauth2/introspect", {"token": token, **form}, basic=basic)

    async def revoke(self, basic: "NewSecret", token: str, **form: str) -> Answer:
        return await self.post("/oauth2/revoke", {"token": token, **form}, basic=basic)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def migrated_template(postgresql: PostgresServer) -> str:
    """The name of a PostgreSQL database that has the schema and nothing else."""
    name = postgresql.create_database()
    migrate(postgresql.url(name))
    return name


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same on SQLite; copies keep the mode of the file."""
    file = tmp_path_factory.mktemp("migrated") / "state" / "gateway.db"
    migrate(f"sqlite:///{file}")
    return file


@pytest.fixture(params=["sqlite", "postgresql"])
def database_kind(request: pytest.FixtureRequest) -> str:
    """The kind of database that the test runs on."""
    return request.param


@pytest.fixture
def empty_database_url(
    database_kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[str]:
    """The URL of a database without a schema; on SQLite of one that is not there yet."""
    if database_kind == "sqlite":
        yield f"sqlite:///{tmp_path}/empty/gateway.db"
        return
    server: PostgresServer = request.getfixturevalue("postgresql")
    name = server.create_database()
    yield server.url(name)
    server.drop_database(name)


@pytest.fixture
def database_url(
    database_kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[str]:
    """The URL of the test's own database, migrated."""
    if database_kind == "sqlite":
        file = tmp_path / "state" / "gateway.db"
        file.parent.mkdir(mode=0o700)
        shutil.copy(request.getfixturevalue("migrated_file"), file)
        yield f"sqlite:///{file}"
        return
    server: PostgresServer = request.getfixturevalue("postgresql")
    name = server.create_database(request.getfixturevalue("migrated_template"))
    yield server.url(name)
    server.drop_database(name)


@pytest.fixture
def options(database_url: str) -> AuthorizationServerOptions:
    return AuthorizationServerOptions(
        name="local",
        issuer=ISSUER,
        database_url=database_url,
        access_token_lifetime=600,
        scopes={
            "orders:read": {"": "See your orders", "ko": "주문 보기"},
            "orders:write": {"": "Change your orders"},
        },
        audiences=frozenset({"https://api.example"}),
        resource_origins=frozenset({"https://shop.example"}),
    )


@pytest.fixture
def database_file(options: AuthorizationServerOptions) -> Path:
    """The file of a test that is `sqlite_only`."""
    assert options.database_url.startswith("sqlite:///"), "mark the test sqlite_only"
    return Path(options.database_url.removeprefix("sqlite:///"))


@pytest.fixture
def database(options: AuthorizationServerOptions) -> Iterator[Database]:
    migrate(options.database_url)
    database = Database(options.database_url)
    yield database
    database.close()


@pytest.fixture
def administration(options: AuthorizationServerOptions, clock: Clock) -> "Iterator[Administration]":
    from gateway.authserver.administration import Administration

    with Administration(options, clock=clock) as administration:
        yield administration


@pytest.fixture
def surroundings() -> Surroundings:
    return Surroundings()


@pytest.fixture
def cheap_passwords() -> Iterator[None]:
    """Servers hash passwords in no time; what it costs otherwise is people/test_passwords.py's."""
    from gateway.authserver.people import browser
    from tests.authserver.browser_fixtures import HASHER

    # One of its own: a test's other patches are undone before its server is closed.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(browser, "Passwords", partial(browser.Passwords, HASHER))
        yield


@pytest.fixture
async def server(
    options: AuthorizationServerOptions,
    clock: Clock,
    surroundings: Surroundings,
    cheap_passwords: None,
) -> "AsyncIterator[EmbeddedServer]":
    from gateway.authserver.server import EmbeddedServer

    server = EmbeddedServer(
        options,
        surroundings.publish,
        surroundings.count_issued,
        surroundings.log_request,
        count_sign_in=surroundings.count_sign_in,
        clock=clock,
    )
    yield server
    await server.close()


@pytest.fixture
async def endpoints(server: "EmbeddedServer") -> AsyncIterator[Endpoints]:
    async with TestClient(TestServer(server.application())) as client:
        yield Endpoints(client)


@pytest.fixture
def shop(administration: "Administration") -> "NewSecret":
    """A client that may read and write orders."""
    return administration.add_client(
        "shop", grant_types=["client_credentials"], scopes=["orders:read", "orders:write"]
    )


@pytest.fixture
def api(administration: "Administration") -> "NewSecret":
    """A client that may introspect, and nothing else."""
    return administration.add_client("api", grant_types=[], may_introspect=True)


@pytest.fixture
def desk(administration: "Administration") -> "NewSecret":
    """A confidential client that people allow things."""
    return administration.add_client(
        "desk",
        grant_types=["authorization_code", "device_code"],
        scopes=["orders:read", "orders:write"],
        redirect_uris=["https://desk.example/callback"],
        origins=["https://desk.example"],
    )


@pytest.fixture
def app(administration: "Administration") -> "NewSecret":
    """A public client that people allow things."""
    return administration.add_client(
        "app",
        grant_types=["authorization_code", "device_code"],
        scopes=["orders:read", "orders:write"],
        redirect_uris=["https://desk.example/callback"],
        origins=["https://app.example"],
        is_public=True,
    )


@pytest.fixture
def alice(administration: "Administration", database_url: str, clock: Clock) -> "Iterator[Person]":
    """A person who has signed in somewhere, and allows what she is asked."""
    from gateway.authserver.storage.database import Database
    from tests.authserver.people_fixtures import Person

    database = Database(database_url)
    yield Person(database, clock)
    database.close()


@pytest.fixture
def query(database_url: str) -> Callable[..., list[tuple[object, ...]]]:
    """Reads or changes the database as another process would; `?` stands for a parameter."""

    def run(statement: str, *parameters: object) -> list[tuple[object, ...]]:
        if database_url.startswith("sqlite:///"):
            file = database_url.removeprefix("sqlite:///")
            with closing(sqlite3.connect(file)) as connection, connection:
                return connection.execute(statement, parameters).fetchall()
        with psycopg.connect(database_url) as connection:
            cursor = connection.execute(statement.replace("?", "%s"), parameters)
            return cursor.fetchall() if cursor.description else []

    return run


@pytest.fixture
def without_scopes(options: AuthorizationServerOptions) -> AuthorizationServerOptions:
    """The same server after the operator took all scopes out of the configuration."""
    return replace(options, scopes={})


@pytest.fixture
def anne(database: Database) -> "User":
    """A person with a password."""
    from tests.authserver.browser_fixtures import add_user

    return add_user(database, "anne")


@pytest.fixture
async def browser(
    endpoints: Endpoints, database: Database, clock: Clock
) -> "AsyncIterator[Browser]":
    """A browser in which nobody has signed in."""
    from tests.authserver.browser_fixtures import Browser

    base = str(endpoints.client.make_url("/")).rstrip("/")
    async with ClientSession(cookie_jar=DummyCookieJar()) as session:
        yield Browser(session, base, database, clock)
