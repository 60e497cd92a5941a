"""TLS on the guard's listener: what is spoken, what is refused, and what passes through it."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import gateway.tls
from gateway.introspection.revocations import publish
from gateway.policy.interfaces import Revocation
from tests.attacks.test_e_expect_upgrade import ASK_PUBLIC, ROUTES, SWITCH, guarded
from tests.proxy.stage import BOUND, ISSUER, MUCH, OK, PATIENCE, Answer, Peer, Seen, Stage
from tests.serving.certificates import Pair, client_context

GET = b"GET /public/a HTTP/1.1\r\nHost: h\r\n\r\n"
NOTHING = b"GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n"
FAILURES = "gateway_tls_handshake_failures_total"
GUARD = 'listener="guard"'


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path / "tls").write()


@pytest.fixture(autouse=True)
async def both_sides_leave(stage: Stage) -> AsyncIterator[None]:
    yield
    for peer in stage.service.peers:
        peer.transport.abort()


async def connect(
    stage: Stage, context: ssl.SSLContext | None = None, name: str | None = "localhost"
) -> Peer:
    """Shake hands with the guard."""
    address = stage.address
    reader, writer = await asyncio.open_connection(
        address.host, address.port, ssl=context or client_context(), server_hostname=name
    )
    client = Peer(reader, writer)
    stage.clients.append(client)
    return client


async def ask(client: Peer) -> int:
    """Ask for what has no route, and give the status."""
    client.send(NOTHING)
    return (await client.answer()).status


def session(client: Peer) -> ssl.SSLObject:
    return client.transport.get_extra_info("ssl_object")


# What is spoken.


async def test_request_over_tls_is_forwarded_as_https(stage: Stage, pair: Pair) -> None:
    await stage.open(tls=pair.settings)
    client = await connect(stage, client_context(pair))
    assert session(client).version() == "TLSv1.3"
    assert session(client).selected_alpn_protocol() == "http/1.1"
    client.send(GET)
    service = await stage.accept()
    seen = Seen(await service.head())
    assert seen.values(b"X-Forwarded-Proto") == [b"https"]
    assert seen.values(b"X-Forwarded-For") == [b"127.0.0.1"]
    service.send(OK)
    assert (await client.answer()).body == b"ok"
    assert await ask(client) == 404
    assert stage.series(FAILURES) == {}


async def test_client_that_came_over_tls_is_led_back_over_tls(stage: Stage, pair: Pair) -> None:
    legacy = {"name": "legacy", "match": {"path": "/**"}, "public": True, "secure_cookies": True}
    await stage.open(tls=pair.settings, public_url="https://api.example.com", routes=[legacy])
    client = await connect(stage, client_context(pair))
    client.send(b"GET /a HTTP/1.1\r\nHost: shop.example\r\n\r\n")
    service = await stage.accept()
    await service.head()
    service.send(
        b"HTTP/1.1 302 Found\r\nLocation: http://shop.example/b\r\nSet-Cookie: a=b\r\n"
        b"Content-Length: 0\r\n\r\n"
    )
    answer = await client.answer()
    assert answer.fields["location"] == "https://shop.example/b"
    assert answer.fields["set-cookie"] == "a=b; Secure"


async def test_public_url_is_https_and_has_the_real_port(
    stage: Stage, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stage.service.open()
    path = stage.write_configuration(tls=pair.settings)
    path.write_text(path.read_text().replace("public_url: https://api.example.com\n", ""))
    monkeypatch.setattr(stage, "write_configuration", lambda: path)
    await stage.open()
    client = await connect(stage)
    client.send(GET.replace(b"public", b"orders"))
    challenge = (await client.answer()).fields["www-authenticate"]
    assert f'"https://127.0.0.1:{stage.address.port}/.well-known/' in challenge


async def test_client_that_sends_no_name_is_served(stage: Stage, pair: Pair) -> None:
    await stage.open(tls=pair.settings)
    client = await connect(stage, name="")
    assert await ask(client) == 404


async def test_tls_1_2_has_forward_secrecy_and_authenticated_encryption(
    stage: Stage, pair: Pair
) -> None:
    await stage.open(tls=pair.settings)
    context = client_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    client = await connect(stage, context)
    cipher = session(client).cipher()
    assert cipher is not None
    assert cipher[0].startswith("ECDHE-ECDSA-")
    assert cipher[0].endswith(("-SHA256", "-SHA384", "-POLY1305"))
    assert await ask(client) == 404


# What is refused.


async def is_refused(stage: Stage, context: ssl.SSLContext) -> None:
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await connect(stage, context)
    await stage.settled_series(FAILURES, {GUARD: 1})
    await stage.settled_series("gateway_connections", {})
    assert await ask(await connect(stage)) == 404
    assert len(await stage.log()) == 1


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize("version", ["TLSv1", "TLSv1_1"])
async def test_older_tls_is_refused(stage: Stage, pair: Pair, version: str) -> None:
    await stage.open(tls=pair.settings)
    context = client_context()
    context.minimum_version = context.maximum_version = getattr(ssl.TLSVersion, version)
    context.set_ciphers("ALL:@SECLEVEL=0")
    await is_refused(stage, context)


@pytest.mark.parametrize("cipher", ["ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA384"])
async def test_weak_cipher_is_refused(stage: Stage, pair: Pair, cipher: str) -> None:
    """CBC, which has been broken by its padding again and again."""
    await stage.open(tls=pair.settings)
    context = client_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(cipher)
    await is_refused(stage, context)


@pytest.mark.parametrize(
    "data", [GET, b"\x16\x03\x01\x00\x05nope!", b"\0" * 64, b"SSH-2.0-OpenSSH_9\r\n"]
)
async def test_what_is_no_tls_reaches_nobody(stage: Stage, pair: Pair, data: bytes) -> None:
    await stage.open(tls=pair.settings)
    client = await stage.client(data)
    assert b"HTTP" not in await client.rest_until_broken()
    await stage.settled_series(FAILURES, {GUARD: 1})
    assert await stage.log() == []
    assert stage.service.is_untouched


async def test_client_that_leaves_amid_the_handshake_leaves_nothing(
    stage: Stage, pair: Pair
) -> None:
    await stage.open(tls=pair.settings)
    for leave in (Peer.close, Peer.reset):
        client = await stage.client(b"\x16\x03\x01\x02\x00\x01")
        await client.flush()
        leave(client)
    await stage.settled_series(FAILURES, {GUARD: 2})
    await stage.settled_series("gateway_connections", {})


async def test_handshake_has_a_deadline(stage: Stage, pair: Pair) -> None:
    await stage.open(tls=pair.settings, timeouts={"head": "200ms"})
    client = await stage.client()
    assert await client.rest_until_broken() == b""
    await stage.settled_series(FAILURES, {GUARD: 1})
    await stage.settled_series("gateway_connections", {})
    assert await stage.log() == []


async def test_handshakes_take_places_too(stage: Stage, pair: Pair) -> None:
    """Who never finishes a handshake could else have any number of connections."""
    await stage.open(tls=pair.settings, limits={"connections": 2})
    assert await ask(await connect(stage)) == 404
    silent = await stage.client()
    await stage.settled_series("gateway_connections", {GUARD: 2})
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await connect(stage)
    assert stage.series("gateway_connections_refused_total") == {f'{GUARD},reason="limit"': 1}
    silent.close()
    await stage.settled_series("gateway_connections", {GUARD: 1})
    assert await ask(await connect(stage)) == 404


# The deadlines, over TLS.


async def test_head_has_a_deadline_over_tls(stage: Stage, pair: Pair) -> None:
    await stage.open(tls=pair.settings, timeouts={"head": "1s"})
    client = await connect(stage)
    client.send(GET[:20])
    answer = await client.answer()
    assert (answer.status, answer.reason) == (408, "request_timeout")
    assert await client.rest_until_broken() == b""


async def test_body_has_a_deadline_over_tls(stage: Stage, pair: Pair) -> None:
    await stage.open(tls=pair.settings, timeouts={"body": "200ms"})
    client = await connect(stage)
    client.send(b"POST /public/a HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n01234")
    answer = await client.answer()
    assert (answer.status, answer.reason) == (408, "request_timeout")


async def test_idle_connection_is_closed_over_tls(stage: Stage, pair: Pair) -> None:
    await stage.open(tls=pair.settings, timeouts={"idle": "200ms"})
    client = await connect(stage)
    assert await ask(client) == 404
    assert await client.rest() == b""
    await stage.settled_series("gateway_connections", {})


async def test_client_that_takes_nothing_is_broken_off_over_tls(stage: Stage, pair: Pair) -> None:
    await stage.open(tls=pair.settings, timeouts={"body": "300ms"})
    client = await connect(stage)
    client.transport.pause_reading()
    client.send(GET)
    service = await stage.accept()
    await service.head()
    service.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % MUCH + b"x" * MUCH)
    assert await service.rest_until_broken() == b""
    await stage.settled_series("gateway_connections", {})


# What passes through it.


async def test_large_bodies_pass_byte_by_byte_over_tls(stage: Stage, pair: Pair) -> None:
    await stage.open(tls=pair.settings)
    client = await connect(stage)
    body = bytes(range(256)) * 16384
    client.send(b"POST /public/a HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % len(body))
    client.send(body)
    service = await stage.accept()
    await service.head()
    assert await service.exactly(len(body)) == body
    service.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    assert (await client.answer()).body == body


async def test_slow_client_slows_the_service_down_over_tls(stage: Stage, pair: Pair) -> None:
    await stage.open(tls=pair.settings)
    client = await connect(stage)
    client.transport.pause_reading()
    client.send(GET)
    service = await stage.accept()
    await service.head()
    service.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert await service.send_until_stuck(b"10000\r\n" + b"x" * 65536 + b"\r\n") < BOUND < MUCH
    client.transport.resume_reading()


async def test_answer_that_was_cut_off_does_not_end_in_an_orderly_way(
    stage: Stage, pair: Pair
) -> None:
    """A mere close_notify would be the proper end of an answer without a length."""
    await stage.open(tls=pair.settings)
    client = await connect(stage)
    client.send(GET.replace(b"1.1", b"1.0"))
    service = await stage.accept()
    await service.head()
    service.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")
    assert (await client.until(b"ok")).endswith(b"\r\n\r\nok")
    service.close()
    with pytest.raises((ConnectionResetError, ssl.SSLError)):
        assert await client.rest() == "a break"


async def tunnel(stage: Stage, request: bytes = ASK_PUBLIC) -> tuple[Peer, Peer]:
    client = await connect(stage)
    client.send(request)
    service = await stage.accept()
    await service.head()
    service.send(SWITCH)
    assert Answer(await client.head()).status == 101
    return client, service


async def test_websocket_is_a_tunnel_of_bytes_both_ways_over_tls(stage: Stage, pair: Pair) -> None:
    await stage.open(routes=ROUTES, tls=pair.settings)
    client, service = await tunnel(stage)
    client.send(b"\x00GET / HTTP/1.1\r\n\r\n\xff")
    assert await service.exactly(20) == b"\x00GET / HTTP/1.1\r\n\r\n\xff"
    service.send(b"\x81\x05hello")
    assert await client.exactly(7) == b"\x81\x05hello"
    client.close()
    assert await service.rest() == b""
    service.close()
    await stage.settled_series("gateway_tunnels", {})
    await stage.settled_series("gateway_connections", {})


async def test_end_from_the_service_ends_the_tunnel_over_tls(stage: Stage, pair: Pair) -> None:
    """TLS has no half-closed connections: the end of one direction is the end."""
    await stage.open(routes=ROUTES, tls=pair.settings)
    client, service = await tunnel(stage)
    service.send(b"last words")
    service.writer.write_eof()
    assert await client.rest() == b"last words"
    assert await service.rest_until_broken() == b""
    await stage.settled_series("gateway_tunnels", {})


@pytest.mark.parametrize("sender", [0, 1])
async def test_slow_side_of_a_tunnel_stops_the_other_one_over_tls(
    stage: Stage, pair: Pair, sender: int
) -> None:
    await stage.open(routes=ROUTES, tls=pair.settings)
    ends = await tunnel(stage)
    ends[1 - sender].transport.pause_reading()
    sent = await ends[sender].send_until_stuck(b"x" * 65536)
    assert sent < BOUND < MUCH
    ends[1 - sender].transport.resume_reading()
    assert await ends[1 - sender].exactly(sent) == b"x" * sent


async def test_revocation_closes_a_tunnel_over_tls(stage: Stage, pair: Pair) -> None:
    await stage.open(routes=ROUTES, tls=pair.settings)
    ends = await tunnel(stage, guarded("reader"))
    await publish(stage.folder / "state", Revocation(ISSUER, "client", "client-1"), "command")
    for end in ends:
        with contextlib.suppress(ssl.SSLError):  # a break, not an orderly end
            assert await end.rest_until_broken() == b""


async def inattentive(stage: Stage) -> Peer:
    """A client that looks at its connection only when it uses it."""
    client = await connect(stage)
    assert await ask(client) == 404
    client.transport.pause_reading()
    return client


async def test_idle_client_that_says_no_goodbye_does_not_hold_its_place(
    stage: Stage, pair: Pair
) -> None:
    """As `requests` and its kin, which keep connections that nobody looks at."""
    await stage.open(tls=pair.settings, timeouts={"idle": "200ms", "body": "1h"})
    client = await inattentive(stage)
    await stage.settled_series("gateway_connections", {})
    client.transport.resume_reading()
    assert await client.rest() == b""
    assert stage.gateway.handshakes["guard"]._open == {}


async def test_clients_that_say_no_goodbye_do_not_hold_the_drain(stage: Stage, pair: Pair) -> None:
    await stage.open(tls=pair.settings)
    clients = [await inattentive(stage) for _ in range(3)]
    await asyncio.wait_for(stage.stop(), PATIENCE)
    for client in clients:
        client.transport.resume_reading()
        assert await client.rest() == b""


async def test_slow_client_has_all_of_its_last_answer(
    stage: Stage, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To be seen off is for those who have it."""
    monkeypatch.setattr(gateway.tls, "SEE_OFF_SECONDS", 0.01)
    await stage.open(tls=pair.settings)
    # So that the system's buffers take little of it, and the loop's have the rest.
    listener = stage.gateway._sites[0]._sock
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
    client = await connect(stage)
    sock = client.transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    client.transport.pause_reading()
    client.send(GET.replace(b"Host", b"Connection: close\r\nHost"))
    service = await stage.accept()
    await service.head()
    body = bytes(range(256)) * 2048
    service.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    answered = 'method="GET",route="public",status="200"'
    await stage.settled_series("gateway_requests_total", {answered: 1})
    await asyncio.sleep(0.2)  # many looks
    client.transport.resume_reading()
    assert (await client.answer()).body == body
    assert await client.rest() == b""


async def test_drain_lets_a_request_over_tls_finish(stage: Stage, pair: Pair) -> None:
    await stage.open(tls=pair.settings)
    idle = await connect(stage)
    assert await ask(idle) == 404
    silent = await stage.client()
    await stage.settled_series("gateway_connections", {GUARD: 2})
    client = await connect(stage)
    client.send(GET)
    service = await stage.accept()
    await service.head()
    stopping = asyncio.create_task(stage.stop())
    assert await idle.rest() == b""
    assert await silent.rest_until_broken() == b""
    with pytest.raises(ConnectionRefusedError):
        await connect(stage)
    service.send(OK)
    assert (await client.answer()).body == b"ok"
    assert await client.rest() == b""
    await asyncio.wait_for(stopping, PATIENCE)
