"""The device flow: as fast as the server allows and not faster, and an end for every answer."""

import pytest
from aiohttp import web

from gateway.client.code_flow import Wish
from gateway.client.device_flow import sign_in_by_device
from gateway.client.discovery import discover
from gateway.client.errors import ClientError, Refused
from gateway.client.token_endpoint import ClientIdentity, TokenEndpoint
from tests.client.conftest import AUTHORIZATION_SERVER

TOKENS = {"access_token": "AT", "token_type": "bearer"}


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def sign_in(server, http, clock):
    """Signs in while the token endpoint gives one of these answers after the other."""

    async def run(*answers, refusal=None, **members):
        started = {"device_code": "DC", "user_code": "ABCD-EFGH", "expires_in": 600}
        started |= {"verification_uri": f"{server.origin}/device"} | members
        server.says("/device_authorization", refusal or started, status=400 if refusal else 200)
        server.says(
            AUTHORIZATION_SERVER,
            {
                "issuer": server.origin,
                "token_endpoint": f"{server.origin}/token",
                "device_authorization_endpoint": f"{server.origin}/device_authorization",
            },
        )
        left = list(answers)

        def answer(request, form):
            assert form["device_code"] == "DC"
            said = left.pop(0) if len(left) > 1 else left[0]
            if isinstance(said, int):
                return web.Response(status=said)
            body = said if isinstance(said, dict) else {"error": said}
            return web.json_response(body, status=200 if isinstance(said, dict) else 400)

        server.answers["/token"] = answer
        metadata = await discover(http, server.origin)
        endpoint = TokenEndpoint(http, metadata, ClientIdentity("gateway-cli"))
        return await sign_in_by_device(
            metadata,
            Wish("gateway-cli", ["a", "b"]),
            endpoint,
            lambda authorization: None,
            sleep=clock.sleep,
            clock=lambda: clock.now,
        )

    return run


async def test_it_asks_at_the_interval_until_it_is_allowed(sign_in, clock, server):
    tokens = await sign_in("authorization_pending", "authorization_pending", TOKENS, interval=7)
    assert tokens.access_token == "AT"
    assert clock.slept == [7, 7, 7]
    form = next(form for _, path, form, _ in server.asked if path == "/device_authorization")
    assert form == {"client_id": "gateway-cli", "scope": "a b"}


async def test_slow_down_means_five_seconds_more_from_then_on(sign_in, clock):
    """RFC 8628, section 3.5; the interval is 5 seconds where none is named."""
    await sign_in("slow_down", "authorization_pending", "slow_down", TOKENS)
    assert clock.slept == [5, 10, 10, 15]


async def test_a_server_that_fails_is_asked_half_as_often(sign_in, clock):
    await sign_in(503, 503, TOKENS)
    assert clock.slept == [5, 10, 20]


@pytest.mark.parametrize("code", ["access_denied", "expired_token", "invalid_grant"])
async def test_a_no_is_final(sign_in, clock, code):
    with pytest.raises(Refused, match=code):
        await sign_in("authorization_pending", code)
    assert len(clock.slept) == 2


async def test_a_client_without_the_grant_is_told_the_other_way_to_sign_in(sign_in, server):
    mend = r"\(unauthorized_client\); try gateway login --no-browser, or .* grant device_code"
    with pytest.raises(ClientError, match=mend):
        await sign_in(TOKENS, refusal={"error": "unauthorized_client"})
    assert "/token" not in server.paths()


async def test_it_ends_when_the_code_expires(sign_in, clock):
    with pytest.raises(Refused, match="expired"):
        await sign_in("authorization_pending", expires_in=60)
    assert clock.now <= 60


@pytest.mark.parametrize("uri", [None, "http://login.example/device", "javascript:alert(1)"])
async def test_an_address_that_nobody_should_open_is_not_shown(sign_in, uri):
    with pytest.raises(ClientError):
        await sign_in(TOKENS, verification_uri=uri)
