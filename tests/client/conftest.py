"""An authorization server and a resource of a few lines, whose every answer a test can choose."""

import time
from collections.abc import Callable

import pytest
from aiohttp import web

from gateway.client.store import Account, CredentialStore
from gateway.client.transport import HttpClient

AUTHORIZATION_SERVER = "/.well-known/oauth-authorization-server"
RESOURCE = "/.well-known/oauth-protected-resource"

Answer = Callable[[web.BaseRequest, dict[str, str]], web.Response]


class Site:
    """A listener on a port of its own that takes note of what it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, str], str | None]] = []
        self.answers: dict[str, Answer] = {}
        self.origin = ""

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        path, token = request.rel_url.raw_path, request.headers.get("Authorization")
        self.asked.append((request.method, path, form, token))
        answer = self.answers.get(path)
        return web.Response(status=404) if answer is None else answer(request, form)

    def says(self, path: str, members: object, status: int = 200, **options: object) -> None:
        """Lets a path answer with JSON from now on."""
        self.answers[path] = lambda *_: web.json_response(members, status=status, **options)

    def paths(self) -> list[str]:
        return [path for _, path, _, _ in self.asked]

    def tokens(self) -> list[str | None]:
        """Gives the Authorization headers that it was sent."""
        return [token for _, _, _, token in self.asked]


@pytest.fixture
async def start_site():
    """Starts a Site; ends it after the test."""
    runners = []

    async def start() -> Site:
        site = Site()
        runner = web.ServerRunner(web.Server(site._answer))
        runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        site.origin = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return site

    yield start
    for runner in runners:
        await runner.cleanup()


@pytest.fixture
async def server(start_site):
    """A server that refreshes every token once: RT1 -> AT2, RT2 -> AT3, …."""
    site = await start_site()
    site.says(
        AUTHORIZATION_SERVER,
        {
            "issuer": site.origin,
            "authorization_endpoint": f"{site.origin}/authorize",
            "token_endpoint": f"{site.origin}/token",
            "revocation_endpoint": f"{site.origin}/revoke",
            "authorization_response_iss_parameter_supported": True,
        },
    )
    state = {"number": 1}

    def refresh(request: web.BaseRequest, form: dict[str, str]) -> web.Response:
        if form.get("refresh_token") != f"RT{state['number']}":
            return web.json_response({"error": "invalid_grant"}, status=400)
        state["number"] += 1
        members = {"access_token": f"AT{state['number']}", "token_type": "Bearer"}
        members |= {"refresh_token": f"RT{state['number']}", "expires_in": 600}
        return web.json_response(members)

    site.answers["/token"] = refresh
    site.says("/revoke", {})
    return site


@pytest.fixture
async def http():
    async with HttpClient() as http:
        yield http


@pytest.fixture
def store(tmp_path):
    return CredentialStore(tmp_path / "gateway")


def account(issuer: str, **members: object) -> Account:
    """Gives an account with the tokens AT1 and RT1."""
    now = time.time()
    given = {
        "issuer": issuer,
        "client_id": "gateway-cli",
        "client_secret": None,
        "access_token": "AT1",
        "refresh_token": "RT1",
        "scope": "orders:read",
        "obtained_at": now,
        "expires_at": now + 600,
        "signed_in_at": now,
    }
    return Account(**(given | members))
