"""The Order desk, a browser at it, and a server that can be told to misbehave.

The real authorization server and guard stand behind the walk in tests/e2e. What stands here does
what those never do: names another issuer, forgets a revocation, answers with somebody's script.
"""

import re
from dataclasses import dataclass, field
from html import unescape
from urllib.parse import parse_qsl, urlsplit

import aiohttp
import pytest
from aiohttp import web

from gateway.client.order_desk import OrderDeskOptions, create_order_desk
from tests.e2e.programs import free_port

SECRET = "gw_cs_the-secret-of-the-order-desk"
CHALLENGE = 'Bearer realm="gateway", error="{}"'


class World:
    """Authorization server and guarded service in one, with everything in the open."""

    def __init__(self):
        self.url = ""
        self.asked = []  # (path, form or query, Authorization)
        self.alive = set()
        self.refreshing = set()
        self.minted = []
        self.lifetime = 600
        self.scope = "orders:read orders:write"
        self.metadata = {}
        self.refused = None  # the error of every call to the guarded service
        self.guarded = {"orders": [{"id": 1, "item": "tea"}], "asked_by": "order-desk"}
        self.revokes = True
        self.is_down = False

    def application(self):
        application = web.Application()
        router = application.router
        router.add_get("/.well-known/oauth-authorization-server", self.describe)
        router.add_post("/token", self.issue)
        router.add_post("/revoke", self.revoke)
        router.add_route("*", "/orders", self.guard)
        return application

    async def note(self, request):
        form = dict(parse_qsl((await request.read()).decode()))
        self.asked.append((request.path, form, request.headers.get("Authorization")))
        if self.is_down:
            raise web.HTTPServiceUnavailable
        return form

    def asked_for(self, path):
        return [form for asked, form, _ in self.asked if asked == path]

    async def describe(self, _request):
        return web.json_response(
            {
                "issuer": self.url,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "revocation_endpoint": f"{self.url}/revoke",
                "authorization_response_iss_parameter_supported": True,
                **self.metadata,
            }
        )

    async def issue(self, request):
        form = await self.note(request)
        if form["grant_type"] == "refresh_token":
            if form["refresh_token"] not in self.refreshing:
                return web.json_response({"error": "invalid_grant"}, status=400)
            self.refreshing.discard(form["refresh_token"])
        number = len(self.minted)
        access, refresh = f"gw_at_{number:030}", f"gw_rt_{number:030}"
        self.minted += [access, refresh]
        self.alive.add(access)
        self.refreshing.add(refresh)
        return web.json_response(
            {
                "access_token": access,
                "token_type": "Bearer",
                "expires_in": self.lifetime,
                "refresh_token": refresh,
                "scope": self.scope,
            }
        )

    async def revoke(self, request):
        form = await self.note(request)
        if not self.revokes:
            return web.json_response({"error": "temporarily_unavailable"}, status=503)
        self.alive.discard(form["token"])
        self.refreshing.discard(form["token"])
        return web.json_response({})

    async def guard(self, request):
        await self.note(request)
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.refused is not None:
            status, error = self.refused
            headers = {"WWW-Authenticate": CHALLENGE.format(error)}
            return web.json_response({"reason": error}, status=status, headers=headers)
        if token not in self.alive:
            headers = {"WWW-Authenticate": CHALLENGE.format("invalid_token")}
            return web.json_response({"reason": "inactive_token"}, status=401, headers=headers)
        status = 201 if request.method == "POST" else 200
        return web.json_response(self.guarded, status=status)

    def take_back(self):
        """What the person does in "apps with access"."""
        self.alive.clear()
        self.refreshing.clear()


@dataclass
class Visit:
    """An answer of the desk's."""

    status: int
    headers: aiohttp.typedefs.LooseHeaders
    text: str
    cookies: list[str] = field(default_factory=list)

    @property
    def news(self):
        found = re.search(r'<p class="news [^>]*>(.*?)</p>', self.text, re.DOTALL)
        return unescape(re.sub(r"</?code>", "`", found[1])) if found else None

    def step(self, name):
        """What one of the steps says, in its HTML."""
        start = self.text.index(f'id="step-{name}"')
        end = self.text.find('id="step-', start + 1)
        return unescape(self.text[start:end])


class Browser:
    """A browser at the desk, which keeps cookies and follows no redirect by itself."""

    def __init__(self, http, desk):
        self.http = http
        self.desk = desk
        self.pages = []

    async def ask(self, method, path, **options):
        url = path if path.startswith("http") else self.desk + path
        async with self.http.request(method, url, allow_redirects=False, **options) as response:
            visit = Visit(
                response.status,
                response.headers,
                await response.text(),
                response.headers.getall("Set-Cookie", []),
            )
        self.pages.append(visit)
        return visit

    async def open(self, path="/", **options):
        return await self.ask("GET", path, **options)

    async def press(self, path, data=None, origin=None):
        """Sends a form of the desk's page, and gives the page that follows."""
        headers = {"Origin": origin or self.desk}
        visit = await self.ask("POST", path, data=data or {}, headers=headers)
        if visit.status == 303 and visit.headers["Location"] == "/":
            return await self.open()
        return visit

    async def begin(self):
        """Sends the question, and gives its parameters."""
        visit = await self.press("/connect")
        assert visit.status == 303, visit.text
        return dict(parse_qsl(urlsplit(visit.headers["Location"]).query))

    async def connect(self, world):
        """Comes back with a code, and gives the page after it."""
        question = await self.begin()
        answer = {"code": "gw_ac_a-code-of-some-length", "state": question["state"]}
        visit = await self.open("/callback", params={**answer, "iss": world.url})
        assert (visit.status, visit.headers["Location"]) == (303, "/"), visit.text
        return await self.open()


@pytest.fixture
async def world(aiohttp_server):
    world = World()
    server = await aiohttp_server(world.application())
    world.url = f"http://127.0.0.1:{server.port}"
    return world


class Clock:
    def __init__(self):
        self.now = 1_800_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def desk(world, clock, aiohttp_server):
    """The address of a running desk."""
    port = free_port()
    options = OrderDeskOptions(
        issuer=world.url,
        client_id="order-desk",
        client_secret=SECRET,
        guard_url=world.url,
        base_url=f"http://127.0.0.1:{port}",
        account_url=f"{world.url}/account",
    )
    await aiohttp_server(create_order_desk(options, clock=clock), port=port)
    return options.base_url


@pytest.fixture
async def open_browser(desk):
    browsers = []

    async def start(language="en"):
        http = aiohttp.ClientSession(
            cookie_jar=aiohttp.CookieJar(unsafe=True), headers={"Accept-Language": language}
        )
        browsers.append(http)
        return Browser(http, desk)

    yield start
    for http in browsers:
        await http.close()


@pytest.fixture
async def browser(open_browser):
    return await open_browser()
