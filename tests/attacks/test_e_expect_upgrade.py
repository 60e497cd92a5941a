"""Attacks by Expect, Upgrade and informational answers."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import cast

import pytest
from aiohttp import ClientSession, WSMsgType, web

from gateway.introspection.revocations import publish
from gateway.policy.interfaces import (
    AuthorizationServerUnavailable,
    Revocation,
    RevocationKind,
)
from gateway.policy.rejection import Reason
from gateway.policy.token import Inactive
from gateway.policy.tokenformat import token_hash
from tests.parts.redis import RedisServer
from tests.proxy.stage import BOUND, ISSUER, MUCH, PATIENCE, Answer, Peer, Seen, Stage, token

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ASK = (
    b"GET /ws/a HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: " + KEY + b"\r\nSec-WebSocket-Version: 13\r\n"
)
ASK_PUBLIC = ASK + b"\r\n"
SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)
ROUTES = [
    {
        "name": "ws",
        "match": {"path": "/ws/**"},
        "public": True,
        "upgrade": ["websocket"],
    },
    {
        "name": "guarded",
        "match": {"path": "/guarded/**"},
        "require": {"scopes": ["orders:read"]},
        "upgrade": ["websocket"],
    },
    {"name": "plain", "match": {"path": "/plain/**"}, "public": True},
]


def guarded(bearer: str) -> bytes:
    return (
        ASK.replace(b"/ws/", b"/guarded/") + b"Authorization: Bearer %b\r\n\r\n" % bearer.encode()
    )


@pytest.fixture(autouse=True)
async def both_sides_leave(stage: Stage) -> AsyncIterator[None]:
    """Close the service's side, too: to the gateway, a client that is gone has ended one way."""
    yield
    for peer in stage.service.peers:
        peer.transport.abort()


async def tunnel(stage: Stage, request: bytes = ASK_PUBLIC) -> tuple[Peer, Peer]:
    """Give both ends of an open tunnel."""
    client = await stage.client(request)
    service = await stage.accept()
    await service.head()
    service.send(SWITCH)
    assert Answer(await client.head()).status == 101
    return client, service


async def is_closed(*peers: Peer) -> None:
    for peer in peers:
        assert await peer.rest_until_broken() == b""


async def test_e38_websocket_is_a_tunnel_of_bytes_both_ways(stage: Stage) -> None:
    await stage.open(routes=ROUTES)
    client = await stage.client(ASK_PUBLIC)
    client.sees_dates = True
    service = await stage.accept()
    seen = Seen(await service.head())
    assert seen.values(b"Connection") == [b"upgrade"]
    assert seen.values(b"Upgrade") == [b"websocket"]
    assert seen.values(b"Sec-WebSocket-Key") == [KEY]
    # What stands behind the 101 in the same segment belongs to the tunnel.
    service.send(SWITCH + b"\x81\x05hello")
    answer = Answer(await client.head())
    assert answer.head.startswith(b"HTTP/1.1 101 ")
    assert answer.fields == {
        "sec-websocket-accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
        "date": answer.fields["date"],
        "connection": "upgrade",
        "upgrade": "websocket",
    }
    assert await client.exactly(7) == b"\x81\x05hello"
    client.send(b"\x00GET / HTTP/1.1\r\n\r\n\xff")
    assert await service.exactly(20) == b"\x00GET / HTTP/1.1\r\n\r\n\xff"
    await stage.settled_series("gateway_tunnels", {'route="ws"': 1.0})
    client.close()
    assert await service.rest() == b""
    service.close()
    await stage.settled_series("gateway_tunnels", {})
    [entry] = await stage.log()
    assert (entry["status"], entry["outcome"]) == (101, "allowed")
    assert entry["bytes_received"] == 20
    assert entry["bytes_sent"] == len(answer.head) + 7


async def test_e38_bytes_before_the_101_are_delivered_after_it(stage: Stage) -> None:
    """They came in the same segment as the request, and look like one."""
    await stage.open(routes=ROUTES)
    smuggled = b"GET /guarded/a HTTP/1.1\r\nHost: h\r\n\r\n"
    client = await stage.client(ASK_PUBLIC + smuggled)
    service = await stage.accept()
    await service.head()
    await client.flush(b"more")
    service.send(SWITCH)
    assert Answer(await client.head()).status == 101
    assert await service.exactly(len(smuggled) + 4) == smuggled + b"more"
    service.send(b"fine")
    assert await client.exactly(4) == b"fine"


async def test_e38_bytes_before_the_101_are_no_head_however_many(stage: Stage) -> None:
    """No bound of a head counts for them, in bytes or in time."""
    await stage.open(routes=ROUTES, limits={"header_bytes": "2KiB"}, timeouts={"head": "50ms"})
    client = await stage.client(ASK_PUBLIC)
    service = await stage.accept()
    await service.head()
    await client.flush(b"x" * 50_000)
    await asyncio.sleep(0.1)
    service.send(SWITCH)
    assert Answer(await client.head()).status == 101
    assert await service.exactly(50_000) == b"x" * 50_000


@pytest.mark.parametrize("status", [b"200 OK", b"426 Upgrade Required", b"403 Forbidden"])
async def test_e38_other_answer_is_ordinary_and_ends_the_connection(
    stage: Stage, status: bytes
) -> None:
    """CVE-2024-23326: what was sent in the hope of a tunnel is served to nobody."""
    await stage.open(routes=ROUTES)
    client = await stage.client(ASK_PUBLIC + ASK_PUBLIC.replace(b"/ws/a", b"/ws/smuggled"))
    service = await stage.accept()
    await service.head()
    service.send(b"HTTP/1.1 %b\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\nok" % status)
    answer = await client.answer()
    assert (answer.status, answer.body) == (int(status[:3]), b"ok")
    assert answer.fields == {"content-length": "2", "connection": "close"}
    assert await client.rest() == b""
    [entry] = await stage.log()
    assert entry["path"] == "/ws/a"


INVALID = {
    "POST": ASK_PUBLIC.replace(b"GET", b"POST"),
    "HTTP/1.0": ASK_PUBLIC.replace(b"HTTP/1.1", b"HTTP/1.0"),
    "no key": ASK_PUBLIC.replace(b"Sec-WebSocket-Key", b"X-Key"),
    "a short key": ASK_PUBLIC.replace(KEY, b"c2hvcnQ="),
    "two keys": ASK + b"Sec-WebSocket-Key: " + KEY + b"\r\n\r\n",
    "no version": ASK_PUBLIC.replace(b"Sec-WebSocket-Version", b"X-Version"),
    "no Connection": ASK_PUBLIC.replace(b"Connection: keep-alive, Upgrade\r\n", b""),
    "another option": ASK_PUBLIC.replace(b"keep-alive, Upgrade", b"keep-alive, X-Upgrade"),
    "a body": ASK + b"Content-Length: 2\r\n\r\nab",
    "h2c": ASK_PUBLIC.replace(b"Upgrade: websocket", b"Upgrade: h2c"),
    "h2c, too": ASK_PUBLIC.replace(b"Upgrade: websocket", b"Upgrade: websocket, h2c"),
    "two Upgrades": ASK + b"Upgrade: h2c\r\n\r\n",
    "a route that lists none": ASK_PUBLIC.replace(b"/ws/", b"/plain/"),
}


@pytest.mark.parametrize("request_", INVALID.values(), ids=INVALID.keys())
async def test_e38_invalid_upgrade_is_stripped_and_its_101_refused(
    stage: Stage, request_: bytes
) -> None:
    await stage.open(routes=ROUTES)
    client = await stage.client(request_)
    service = await stage.accept()
    seen = Seen(await service.head())
    assert "upgrade" not in seen.names
    assert set(seen.values(b"Connection")) <= {b"close"}
    service.send(SWITCH)
    answer = Answer(await client.head())
    assert answer.status == 502
    client.close()


@pytest.mark.parametrize(
    "switch",
    [
        SWITCH.replace(b"Upgrade: websocket", b"Upgrade: h2c"),
        SWITCH.replace(b"Upgrade: websocket", b"Upgrade: websocket, h2c"),
        SWITCH.replace(b"Upgrade: websocket\r\n", b""),
        SWITCH.replace(b"Connection: Upgrade\r\n", b""),
    ],
)
async def test_e38_switch_to_another_protocol_is_refused(stage: Stage, switch: bytes) -> None:
    await stage.open(routes=ROUTES)
    client = await stage.client(ASK_PUBLIC)
    service = await stage.accept()
    await service.head()
    service.send(switch)
    answer = await client.answer()
    assert (answer.status, answer.reason) == (502, "upstream_invalid")
    assert await client.rest() == b""
    await is_closed(service)


async def test_e38_connection_that_was_not_upgraded_may_be_asked_again(stage: Stage) -> None:
    """The leave to switch ends with the request: a later 101 on the connection is unasked."""
    await stage.open(routes=ROUTES)
    await stage.client(ASK_PUBLIC)
    service = await stage.accept()
    await service.head()
    service.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    client = await stage.client(b"GET /ws/b HTTP/1.1\r\nHost: h\r\n\r\n")
    assert b"upgrade" not in Seen(await service.head()).names
    service.send(SWITCH)
    assert (await client.answer()).status == 502


async def test_e38_upgrade_needs_a_token_as_every_request(stage: Stage) -> None:
    await stage.open(routes=ROUTES)
    assert (await stage.ask(guarded("inactive"))).status == 401
    assert (await stage.ask(guarded("powerless"))).status == 403
    assert stage.service.is_untouched


async def test_e38_half_close_works_each_way(stage: Stage) -> None:
    await stage.open(routes=ROUTES)
    for first, second in (0, 1), (1, 0):
        ends = await tunnel(stage)
        ends[first].writer.write_eof()
        assert await ends[second].rest() == b""
        ends[second].send(b"still here")
        assert await ends[first].exactly(10) == b"still here"
        ends[second].writer.write_eof()
        assert await ends[first].rest() == b""
    await stage.settled_series("gateway_tunnels", {})


async def test_e38_break_on_one_side_breaks_the_other(stage: Stage) -> None:
    await stage.open(routes=ROUTES)
    for first, second in (0, 1), (1, 0):
        ends = await tunnel(stage)
        ends[first].reset()
        with pytest.raises(ConnectionResetError):
            assert await ends[second].rest() == "a break"
    await stage.settled_series("gateway_tunnels", {})


@pytest.mark.parametrize("sender", [0, 1])
async def test_e38_slow_side_stops_the_other_one(stage: Stage, sender: int) -> None:
    await stage.open(routes=ROUTES)
    ends = await tunnel(stage)
    ends[1 - sender].transport.pause_reading()
    sent = await ends[sender].send_until_stuck(b"x" * 65536)
    assert sent < BOUND < MUCH
    ends[1 - sender].transport.resume_reading()
    assert await ends[1 - sender].exactly(sent) == b"x" * sent


REVOCATIONS = {
    "token": token_hash("reader").hex(),
    "grant": "5c1f client-1",
    "client": "client-1",
    "person": "5c1f",
}


@pytest.mark.parametrize("kind", REVOCATIONS)
async def test_e38_revocation_closes_the_tunnels_it_concerns_at_once(
    stage: Stage, kind: str
) -> None:
    """A socket is no way round a revocation."""
    await stage.open(routes=ROUTES)
    ends = await tunnel(stage, guarded("reader"))
    others = await tunnel(stage)
    started = time.monotonic()
    revocation = Revocation(ISSUER, cast(RevocationKind, kind), REVOCATIONS[kind])
    await publish(stage.folder / "state", revocation, "command")
    await is_closed(*ends)
    # Pushed: the authorization server, which would still say yes, is not asked.
    assert time.monotonic() - started < 0.9
    others[0].send(b"still here")
    assert await others[1].exactly(10) == b"still here"
    for other in others:
        other.close()
    [entry] = [entry for entry in await stage.log() if entry["route"] == "guarded"]
    assert (entry["status"], entry["reason"]) == (101, "revoked_token")


async def test_e38_revocation_before_the_101_closes_the_tunnel(stage: Stage) -> None:
    await stage.open(routes=ROUTES)
    client = await stage.client(guarded("reader"))
    service = await stage.accept()
    await service.head()
    revocation = Revocation(ISSUER, "person", "5c1f")
    await publish(stage.folder / "state", revocation, "command")
    service.send(SWITCH)
    await client.rest_until_broken()
    await is_closed(service)


async def test_e38_expiry_closes_the_tunnel(stage: Stage) -> None:
    stage.tokens.answers["short"] = token("orders:read", expires_at=time.time() + 1.5)
    await stage.open(routes=ROUTES)
    ends = await tunnel(stage, guarded("short"))
    await is_closed(*ends)
    [entry] = await stage.log()
    assert entry["reason"] == "expired_token"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [(Inactive(Reason.INACTIVE_TOKEN), "inactive_token"), (token(), "insufficient_scope")],
)
async def test_e38_stale_answer_is_asked_for_again(
    stage: Stage, answer: Inactive, reason: str
) -> None:
    """A foreign server pushes no revocations."""
    await stage.open(routes=ROUTES, introspection_cache={"max_lifetime": "1s"})
    ends = await tunnel(stage, guarded("reader"))
    stage.tokens.answers["reader"] = answer
    await is_closed(*ends)
    [entry] = await stage.log()
    assert entry["reason"] == reason


async def test_e38_revocation_that_may_have_gone_unheard_has_the_token_asked_about(
    stage: Stage,
) -> None:
    """A Redis that has forgotten what was revoked elsewhere: no tunnel lives on what is remembered.

    Asked about again, its token is good no more, though the answer about it would be fresh.
    """
    with RedisServer() as redis, redis.client() as client:
        await stage.open(routes=ROUTES, redis=redis.section())
        await stage.settled_series("gateway_redis_connected", {"": 1})
        ends = await tunnel(stage, guarded("reader"))
        stage.tokens.answers["reader"] = Inactive()
        client.flushall()
        await is_closed(*ends)
        await stage.settled_series("gateway_revocation_feed_gaps_total", {"": 1})
        await stage.stop()
    [entry] = await stage.log()
    assert entry["reason"] == "inactive_token"


async def test_e38_tunnels_are_closed_when_the_drain_ends(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.app.DRAIN_SECONDS", 0.2)
    await stage.open(routes=ROUTES)
    ends = await tunnel(stage)
    await stage.stop()
    await is_closed(*ends)


async def test_e38_real_websocket_talks_through_the_guard(stage: Stage) -> None:
    """Aiohttp's client and server, with frames large and small."""

    async def echo(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await socket.send_str(f"{request.headers['X-Auth-Subject']}: {message.data}")
        return socket

    application = web.Application()
    application.router.add_get("/guarded/echo", echo)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    upstreams = {"orders": {"servers": [f"http://127.0.0.1:{port}"]}}
    await stage.open(routes=ROUTES, upstreams=upstreams)
    url = f"http://127.0.0.1:{stage.address.port}/guarded/echo"
    async with (
        asyncio.timeout(PATIENCE),
        ClientSession() as session,
        session.ws_connect(url, headers={"Authorization": "Bearer reader"}) as socket,
    ):
        for text in ["hello", "x" * 200_000, "bye"]:
            await socket.send_str(text)
            assert (await socket.receive()).data == f"5c1f: {text}"
    await runner.cleanup()


def bounded(**tunnels: str) -> list[dict[str, object]]:
    """The routes with bounds of their own for tunnels."""
    return [
        {**route, "tunnels": dict(tunnels)} if "upgrade" in route else route for route in ROUTES
    ]


async def test_e38_outage_of_the_authorization_server_closes_the_tunnel_after_a_while(
    stage: Stage,
) -> None:
    routes = bounded(check="100ms", outage="1s")
    await stage.open(routes=routes, introspection_cache={"max_lifetime": "100ms"})
    ends = await tunnel(stage, guarded("reader"))
    stage.tokens.answers["reader"] = AuthorizationServerUnavailable("it is on fire")
    await is_closed(*ends)
    # It was asked again meanwhile, and not only once.
    assert len(stage.tokens.asked) > 2
    [entry] = await stage.log()
    assert entry["reason"] == "authorization_server_unavailable"


async def test_e38_silent_tunnel_is_closed(stage: Stage) -> None:
    await stage.open(routes=bounded(check="100ms", idle="1s"))
    await is_closed(*await tunnel(stage))
    [entry] = await stage.log()
    assert entry["outcome"] == "allowed"
