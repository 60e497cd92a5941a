"""Routes that take a token from a cookie."""

import dataclasses

import pytest

from gateway.introspection.revocations import publish
from gateway.policy.interfaces import Revocation
from gateway.policy.tokenformat import token_hash
from tests.proxy.stage import ISSUER, OK, Answer, Seen, Stage, token
from tests.proxy.test_admission import TOKEN, get, guarded, public

OWN = b"Origin: https://api.example.com"
WITH = {"token_cookie": "token"}
COOKIE = b"Cookie: a=1; token=reader; b=2"
WEBSOCKET = (
    b"Connection: Upgrade",
    b"Upgrade: websocket",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    b"Sec-WebSocket-Version: 13",
)
SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)


async def test_the_token_of_the_cookie_counts_and_stops_here(stage: Stage) -> None:
    await stage.open(routes=[guarded(forward_token=True, **WITH)])
    seen, answer = await stage.pass_through(get(b"/orders/1", COOKIE, b"Cookie: c=3"))
    assert answer.status == 200
    assert seen.values(b"Cookie") == [b"a=1; b=2", b"c=3"]
    assert seen.values(b"Authorization") == []
    assert seen.values(b"X-Auth-Subject") == [b"5c1f"]
    assert b"reader" not in stage.log_file.read_bytes()


async def test_other_routes_take_no_token_from_it(stage: Stage) -> None:
    await stage.open(routes=[guarded(**WITH), guarded(name="other", match={"path": "/other"})])
    assert (await stage.ask(get(b"/other", COOKIE))).reason == "missing_token"


async def test_the_authorization_header_wins(stage: Stage) -> None:
    await stage.open(routes=[guarded(**WITH)])
    for value in (b"Bearer inactive", b"Basic YTpi"):
        answer = await stage.ask(get(b"/orders/1", COOKIE, b"Authorization: " + value))
        assert answer.status == 401
    assert stage.tokens.asked == ["inactive"]
    request = get(b"/orders/1", b"Cookie: token=inactive; a=1", TOKEN, method=b"POST")
    seen, answer = await stage.pass_through(request)
    assert (answer.status, seen.values(b"Cookie")) == (200, [b"a=1"])


@pytest.mark.parametrize(
    ("cookie", "reason"),
    [
        (b"a=1", "missing_token"),
        (b"token=", "malformed_token"),
        (b'token="reader"', "malformed_token"),
        (b"token=reader x", "malformed_token"),
        (b"token=inactive", "inactive_token"),
        (b"token=powerless", "insufficient_scope"),
        (b"token=reader; token=reader", "multiple_tokens"),
    ],
)
async def test_a_cookie_without_a_good_token_is_refused(
    stage: Stage, cookie: bytes, reason: str
) -> None:
    await stage.open(routes=[guarded(**WITH)])
    answer = await stage.ask(get(b"/orders/1", b"Cookie: " + cookie))
    assert answer.reason == reason
    assert b"Vary: Cookie\r\n" in answer.head


@pytest.mark.parametrize("origin", [None, b"null", b"https://evil.example", b"http://localhost"])
async def test_a_page_of_another_origin_changes_nothing(stage: Stage, origin: bytes | None) -> None:
    await stage.open(routes=[guarded(**WITH)])
    fields = [COOKIE] if origin is None else [COOKIE, b"Origin: " + origin]
    answer = await stage.ask(get(b"/orders/1", *fields, method=b"DELETE"))
    assert (answer.status, answer.reason) == (403, "cross_origin")
    assert stage.tokens.asked == []
    assert stage.service.is_untouched
    assert stage.series("gateway_refusals_total") == {'reason="cross_origin",route="orders"': 1.0}


@pytest.mark.parametrize("origin", [b"https://api.example.com", b"https://app.example.com"])
async def test_a_page_of_ones_own_or_of_a_friend_may(stage: Stage, origin: bytes) -> None:
    cors = {"origins": ["https://app.example.com"], "credentials": True}
    await stage.open(routes=[guarded(cors=cors, **WITH)])
    request = get(b"/orders/1", COOKIE, b"Origin: " + origin, method=b"DELETE")
    assert (await stage.pass_through(request))[1].status == 200


async def test_every_origin_is_no_friend(stage: Stage) -> None:
    await stage.open(routes=[guarded(cors={"origins": ["*"]}, **WITH)])
    request = get(b"/orders/1", COOKIE, b"Origin: https://evil.example", method=b"POST")
    assert (await stage.ask(request)).reason == "cross_origin"


async def test_reading_needs_no_origin(stage: Stage) -> None:
    await stage.open(routes=[guarded(**WITH)])
    request = get(b"/orders/1", COOKIE, b"Origin: https://evil.example")
    assert (await stage.pass_through(request))[1].status == 200


async def test_a_websocket_needs_an_origin(stage: Stage) -> None:
    await stage.open(routes=[guarded(upgrade=["websocket"], **WITH)])
    for fields in ((), (b"Origin: https://evil.example",)):
        answer = await stage.ask(get(b"/orders/1", COOKIE, *WEBSOCKET, *fields))
        assert answer.reason == "cross_origin"
    assert stage.service.is_untouched


async def test_a_tunnel_by_a_cookie_ends_when_its_token_is_revoked(stage: Stage) -> None:
    # Nothing but the revocation looks at it meanwhile.
    seldom = {"upgrade": ["websocket"], "tunnels": {"check": "1m"}}
    await stage.open(routes=[guarded(**seldom, **WITH)])
    client = await stage.client(get(b"/orders/1", COOKIE, OWN, *WEBSOCKET))
    service = await stage.accept()
    assert Seen(await service.head()).values(b"Cookie") == [b"a=1; b=2"]
    service.send(SWITCH)
    assert Answer(await client.head()).status == 101
    revocation = Revocation(ISSUER, "token", token_hash("reader").hex())
    await publish(stage.folder / "state", revocation, "command")
    for peer in (client, service):
        assert await peer.rest_until_broken() == b""
        peer.transport.abort()
    [entry] = await stage.log()
    assert (entry["status"], entry["reason"]) == (101, "revoked_token")


async def test_a_destination_takes_no_token_from_a_cookie_that_its_route_does_not(
    stage: Stage,
) -> None:
    vault = guarded(name="vault", match={"path": "/orders/vault/**"})
    await stage.open(routes=[guarded(**WITH), vault])
    fields = (COOKIE, OWN, b"Destination: /orders/vault/1")
    answer = await stage.ask(get(b"/orders/1", *fields, method=b"MOVE"))
    assert answer.reason == "missing_token"


async def test_the_upstream_does_not_set_it_and_no_shared_cache_keeps_the_answer(
    stage: Stage,
) -> None:
    await stage.open(routes=[guarded(**WITH)])
    sets = b"Set-Cookie: token=planted; Path=/\r\nSet-Cookie: other=1\r\nContent-Length"
    _, answer = await stage.pass_through(
        get(b"/orders/1", COOKIE), OK.replace(b"Content-Length", sets)
    )
    assert answer.head.count(b"Set-Cookie") == 1
    assert answer.fields["set-cookie"] == "other=1"
    assert answer.fields["vary"] == "Cookie"
    assert answer.fields["cache-control"] == "private"


async def test_an_answer_to_the_header_is_left_to_the_caches_rules(stage: Stage) -> None:
    await stage.open(routes=[guarded(**WITH)])
    _, answer = await stage.pass_through(get(b"/orders/1", TOKEN))
    assert answer.fields["vary"] == "Cookie"
    assert "cache-control" not in answer.fields


async def test_other_routes_keep_a_cookie_of_that_name(stage: Stage) -> None:
    """There it may be the service's own."""
    await stage.open(routes=[guarded(**WITH), public()])
    seen, _ = await stage.pass_through(get(b"/public/1", b"Cookie: token=theirs"))
    assert seen.values(b"Cookie") == [b"token=theirs"]


async def test_a_client_that_uses_cookies_is_limited_like_others(stage: Stage) -> None:
    rates = [{"per": "client", "limit": "1/24h"}]
    stage.tokens.answers["second"] = dataclasses.replace(token("orders:read"), claims={"number": 2})
    await stage.open(routes=[guarded(rate_limits=rates, **WITH)])
    assert (await stage.pass_through(get(b"/orders/1", COOKIE)))[1].status == 200
    assert (await stage.ask(get(b"/orders/1", b"Cookie: token=second"))).status == 429
