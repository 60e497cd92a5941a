"""Two gateways: one is the authorization server, the other asks it about tokens over HTTP."""

import asyncio
import json
import socket

import aiohttp
import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.holding_proxy import holding_proxy
from tests.e2e.programs import embedded_server, wait_until

CALLERS = 500


@pytest.fixture
def authorization_server(start_gateway):
    """A gateway whose embedded server the other one asks."""
    gateway = start_gateway(
        {
            "authorization_servers": {"local": embedded_server({"orders:read": "See orders"})},
            "upstreams": {"nobody": {"servers": ["http://127.0.0.1:9"]}},
            "routes": [{"name": "none", "match": {"path": "/**"}, "require": {}}],
        }
    )
    options = ("--grant", "client_credentials", "--scope", "orders:read")
    gateway.add_client("shop", *options)
    gateway.add_client("guard", "--grant", "client_credentials", "--introspect")
    return gateway


def guard_settings(authorization_server, url: str, upstream: str) -> dict[str, object]:
    return {
        "authorization_servers": {
            "local": {
                "introspection": {
                    "issuer": authorization_server.authorization_server_url,
                    "url": f"{url}/oauth2/introspect",
                    "client_id": "guard",
                    "client_secret": authorization_server.secrets["guard"],
                    "timeouts": {"total": "60s"},
                }
            }
        },
        "upstreams": {"legacy": {"servers": [upstream]}},
        "routes": [
            {
                "name": "orders",
                "match": {"path": "/**"},
                "require": {"scopes": ["orders:read"]},
            }
        ],
    }


def issue_token(gateway) -> str:
    done = gateway.command("token", "issue", "--client", "shop", "--scope", "orders:read", "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["access_token"]


def samples(gateway, name: str) -> dict[tuple[str, ...], float]:
    """Gives the samples of a metric, by the values of their labels in the labels' order."""
    text = requests.get(f"{gateway.admin_url}/metrics", timeout=10).text
    return {
        tuple(value for _, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    }


def lookups(gateway) -> dict[tuple[str, ...], float]:
    return samples(gateway, "gateway_introspection_cache_lookups_total")


def send_and_keep(gateway, token: str) -> socket.socket:
    """Sends a request and leaves its answer unread."""
    connection = socket.create_connection(gateway.address)
    connection.sendall(
        f"GET /get HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    )
    return connection


async def get_many(url: str, token: str, count: int) -> list[int]:
    connector = aiohttp.TCPConnector(limit=0)
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:

        async def get() -> int:
            async with session.get(url) as response:
                await response.read()
                return response.status

        return await asyncio.gather(*(get() for _ in range(count)))


async def test_five_hundred_requests_with_one_fresh_token_make_one_introspection(
    start_gateway, authorization_server, httpbin
):
    """The first client hangs up while all wait; the other 499 get 200, by one introspection."""
    with holding_proxy(authorization_server.authorization_server_url) as proxy:
        guard = start_gateway(guard_settings(authorization_server, proxy.url, httpbin))
        token = issue_token(authorization_server)
        first = send_and_keep(guard, token)
        await asyncio.to_thread(wait_until, lambda: proxy.held == 1)
        others = asyncio.create_task(get_many(f"{guard.url}/get", token, CALLERS - 1))
        await asyncio.to_thread(
            wait_until, lambda: lookups(guard)["coalesced",] == CALLERS - 1, 60.0
        )
        first.close()
        await asyncio.to_thread(
            wait_until,
            lambda: samples(guard, "gateway_requests_total").get(("GET", "orders", "499")) == 1,
        )
        proxy.release.set()
        statuses = await others
    assert statuses == [200] * (CALLERS - 1)
    assert proxy.requests == 1
    assert lookups(guard)["miss",] == 1
    assert samples(guard, "gateway_introspections_total")["local", "active"] == 1


def test_an_authorization_server_that_is_down_is_503_and_never_401(
    start_gateway, authorization_server, httpbin
):
    """Tokens that are not cached: all 503 with Retry-After, none 401, nothing at the backend."""
    guard = start_gateway(
        guard_settings(authorization_server, authorization_server.authorization_server_url, httpbin)
    )
    tokens = [issue_token(authorization_server) for _ in range(5)]
    authorization_server.program.stop()
    for token in tokens:
        headers = {"Authorization": f"Bearer {token}"}
        response = requests.get(f"{guard.url}/get", headers=headers, timeout=30)
        assert response.status_code == 503
        assert "Retry-After" in response.headers
        assert "WWW-Authenticate" not in response.headers
    assert sum(samples(guard, "gateway_upstream_requests_total").values()) == 0
    rejections = samples(guard, "gateway_token_rejections_total")
    assert rejections["authorization_server_unavailable", "orders"] == 5
    assert sum(rejections.values()) == 5


async def test_a_revocation_overtakes_an_introspection_that_is_held_open(
    start_gateway, authorization_server, httpbin
):
    """The late answer, which still says active, is neither used nor cached."""
    with holding_proxy(authorization_server.authorization_server_url) as proxy:
        # The guard is a second worker of the same host: it hears the same revocations.
        state_dir = str(authorization_server.configuration.parent / "state")
        # It calls the server by another name than the server's own process does.
        settings = guard_settings(authorization_server, proxy.url, httpbin)
        settings["authorization_servers"] = {
            "corporate": settings["authorization_servers"]["local"]
        }
        guard = start_gateway({**settings, "state_dir": state_dir})
        token = issue_token(authorization_server)
        waiting = asyncio.create_task(get_many(f"{guard.url}/get", token, 1))
        await asyncio.to_thread(wait_until, lambda: proxy.held == 1)
        done = await asyncio.to_thread(authorization_server.command, "token", "revoke", token)
        assert done.returncode == 0, done.stderr
        proxy.release.set()
        assert await waiting == [401]
        assert await get_many(f"{guard.url}/get", token, 1) == [401]
    assert samples(guard, "gateway_token_rejections_total")["revoked_token", "orders"] == 2
    assert sum(samples(guard, "gateway_upstream_requests_total").values()) == 0
