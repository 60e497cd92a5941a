"""The guard on a unix socket: who may connect, what becomes of its file, and whom it believes."""

import asyncio
import os
import socket
import stat
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

import gateway.unix
from gateway.app import StartFailure, run_gateway
from gateway.settings import load
from tests.attacks.test_e_expect_upgrade import ASK_PUBLIC, ROUTES, SWITCH
from tests.proxy.stage import BOUND, MUCH, OK, Answer, Peer, Seen, Stage
from tests.serving.certificates import Pair, client_context

GET = b"GET /public/a HTTP/1.1\r\nHost: h\r\n\r\n"
NOTHING = b"GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n"
FROM_PROXY = GET.replace(
    b"\r\n\r\n", b"\r\nX-Forwarded-For: 198.51.100.7\r\nX-Forwarded-Proto: https\r\n\r\n"
)


@pytest.fixture
def path() -> Iterator[Path]:
    """A place for the socket: its whole path has a hundred characters at most."""
    with TemporaryDirectory(prefix="gateway-") as folder:
        yield Path(folder) / "gateway.sock"


@pytest.fixture(autouse=True)
async def both_sides_leave(stage: Stage) -> AsyncIterator[None]:
    yield
    for peer in stage.service.peers:
        peer.transport.abort()


async def open_at(stage: Stage, path: Path, **changes: object) -> None:
    await stage.open(listen=f"unix:{path}", **changes)


async def connect(stage: Stage, path: Path, **options: object) -> Peer:
    client = Peer(*await asyncio.open_unix_connection(path, **options))
    stage.clients.append(client)
    return client


async def ask(client: Peer, request: bytes = NOTHING) -> int:
    client.send(request)
    return (await client.answer()).status


async def pass_through(stage: Stage, path: Path, request: bytes) -> Seen:
    """Send a request, and give what the service saw."""
    client = await connect(stage, path)
    client.send(request)
    service = await stage.accept()
    seen = Seen(await service.head())
    service.send(OK)
    assert (await client.answer()).body == b"ok"
    return seen


async def fail_to_start(stage: Stage, path: Path, words: str) -> None:
    await stage.service.open()
    settings = load(stage.write_configuration(listen=f"unix:{path}"))
    with pytest.raises(StartFailure, match=words):
        async with run_gateway(settings):
            pass


# The file.


@pytest.mark.parametrize("umask", [0o000, 0o077])
async def test_socket_is_for_the_gateways_user_and_group(
    stage: Stage, path: Path, umask: int
) -> None:
    before = os.umask(umask)
    try:
        await open_at(stage, path)
    finally:
        os.umask(before)
    status = path.stat()
    assert stat.S_ISSOCK(status.st_mode)
    assert stat.S_IMODE(status.st_mode) == 0o660
    assert await ask(await connect(stage, path)) == 404


async def test_socket_is_gone_when_the_gateway_is(stage: Stage, path: Path) -> None:
    await open_at(stage, path)
    await stage.stop()
    assert not path.exists()


async def test_socket_of_a_gateway_that_was_killed_is_replaced(stage: Stage, path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
        dead.listen()
    assert path.exists()
    await open_at(stage, path)
    assert await ask(await connect(stage, path)) == 404


async def test_socket_of_somebody_who_listens_is_left_alone(stage: Stage, path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as alive:
        alive.bind(str(path))
        alive.listen()
        await fail_to_start(stage, path, "somebody listens there; change listen, or end what")
        assert path.exists()


async def test_listener_whose_queue_is_full_is_left_alone_without_waiting(
    stage: Stage, path: Path
) -> None:
    with socket.socket(socket.AF_UNIX) as alive, socket.socket(socket.AF_UNIX) as waiting:
        alive.bind(str(path))
        alive.listen(0)
        waiting.connect(str(path))
        await fail_to_start(stage, path, "somebody listens there")
        assert path.exists()


async def test_file_that_is_no_socket_is_left_alone(stage: Stage, path: Path) -> None:
    path.write_text("precious")
    await fail_to_start(stage, path, "something that is no socket stands there")
    assert path.read_text() == "precious"


async def test_symbolic_link_is_not_followed(stage: Stage, path: Path) -> None:
    """It would let whoever may write to the folder have a socket elsewhere removed."""
    path.symlink_to("elsewhere")
    await fail_to_start(stage, path, "something that is no socket stands there")
    assert path.is_symlink()


async def test_folder_that_is_not_there_is_told_of(stage: Stage, path: Path) -> None:
    words = "No such file or directory; change listen, or let the gateway's user make it"
    await fail_to_start(stage, path.parent / "none" / "s", words)


async def test_socket_that_a_successor_has_put_there_is_left_alone(
    stage: Stage, path: Path
) -> None:
    await open_at(stage, path)
    path.unlink()
    with socket.socket(socket.AF_UNIX) as successor:
        successor.bind(str(path))
        await stage.stop()
        assert path.exists()


# Who it is.


async def test_proxy_on_the_socket_is_believed_when_unix_is_trusted(
    stage: Stage, path: Path
) -> None:
    await open_at(stage, path, trusted_proxies=["unix"])
    seen = await pass_through(stage, path, FROM_PROXY)
    assert seen.values(b"X-Forwarded-For") == [b"198.51.100.7"]
    assert seen.values(b"X-Forwarded-Proto") == [b"https"]
    [entry] = await stage.log()
    assert entry["peer"] == "unix"


@pytest.mark.parametrize("trusted", [[], ["127.0.0.1"]])
async def test_nobody_on_the_socket_is_believed_otherwise(
    stage: Stage, path: Path, trusted: list[str]
) -> None:
    await open_at(stage, path, trusted_proxies=trusted)
    seen = await pass_through(stage, path, FROM_PROXY)
    assert seen.values(b"X-Forwarded-For") == []
    assert seen.values(b"X-Forwarded-Proto") == [b"http"]


async def test_trust_in_unix_is_none_in_addresses(stage: Stage) -> None:
    await stage.open(trusted_proxies=["unix"])
    seen, _ = await stage.pass_through(FROM_PROXY)
    assert seen.values(b"X-Forwarded-For") == [b"127.0.0.1"]


# What passes through it: all that passes over TCP.


async def test_connections_are_bounded_in_all_but_not_per_address(stage: Stage, path: Path) -> None:
    await open_at(stage, path, limits={"connections": 2, "connections_per_address": 1})
    clients = [await connect(stage, path) for _ in range(2)]
    assert [await ask(client) for client in clients] == [404, 404]
    third = await connect(stage, path)
    assert await third.rest_until_broken() == b""
    assert stage.series("gateway_connections_refused_total") == {
        'listener="guard",reason="limit"': 1
    }


async def test_head_has_a_deadline_on_a_unix_socket(stage: Stage, path: Path) -> None:
    await open_at(stage, path, timeouts={"head": "200ms"})
    client = await connect(stage, path)
    client.send(GET[:20])
    answer = await client.answer()
    assert (answer.status, answer.reason) == (408, "request_timeout")
    assert await client.rest_until_broken() == b""


async def test_body_has_a_deadline_on_a_unix_socket(stage: Stage, path: Path) -> None:
    await open_at(stage, path, timeouts={"body": "200ms"})
    client = await connect(stage, path)
    client.send(b"POST /public/a HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n01234")
    assert (await client.answer()).status == 408


async def test_idle_connection_is_closed_on_a_unix_socket(stage: Stage, path: Path) -> None:
    await open_at(stage, path, timeouts={"idle": "200ms"})
    client = await connect(stage, path)
    assert await ask(client) == 404
    assert await client.rest() == b""
    await stage.settled_series("gateway_connections", {})


async def test_slow_client_slows_the_service_down_on_a_unix_socket(
    stage: Stage, path: Path
) -> None:
    await open_at(stage, path)
    client = await connect(stage, path)
    client.transport.pause_reading()
    client.send(GET)
    service = await stage.accept()
    await service.head()
    service.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert await service.send_until_stuck(b"10000\r\n" + b"x" * 65536 + b"\r\n") < BOUND < MUCH
    client.transport.resume_reading()


async def test_tunnel_has_halves_on_a_unix_socket(stage: Stage, path: Path) -> None:
    await open_at(stage, path, routes=ROUTES)
    client = await connect(stage, path)
    client.send(ASK_PUBLIC)
    service = await stage.accept()
    await service.head()
    service.send(SWITCH)
    assert Answer(await client.head()).status == 101
    client.writer.write_eof()
    assert await service.rest() == b""
    service.send(b"still here")
    assert await client.exactly(10) == b"still here"
    service.writer.write_eof()
    assert await client.rest() == b""
    await stage.settled_series("gateway_tunnels", {})


async def test_tls_can_be_spoken_on_a_unix_socket_too(
    stage: Stage, path: Path, tmp_path: Path
) -> None:
    pair = Pair(tmp_path / "tls").write()
    await open_at(stage, path, tls=pair.settings)
    context = client_context(pair)
    client = await connect(stage, path, ssl=context, server_hostname="localhost")
    assert await ask(client) == 404


def test_socket_is_never_open_to_more_than_that(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not for a moment: who has connected once stays."""
    modes: list[int] = []

    def chmod(path: str, mode: int) -> None:
        modes.append(stat.S_IMODE(Path(path).stat().st_mode))

    monkeypatch.setattr(gateway.unix.os, "chmod", chmod)
    before = os.umask(0)
    try:
        sock, _ = gateway.unix.bind_unix(str(path), 1)
    finally:
        os.umask(before)
    sock.close()
    assert modes == [0o660]


@pytest.mark.parametrize("trusted", [[], ["unix"]])
async def test_a_client_without_an_address_is_in_no_network(
    stage: Stage, path: Path, trusted: list[str]
) -> None:
    """Nor is one that only says its own; who is believed says it for others."""
    networks = {"networks": ["198.51.100.0/24"], "public": True}
    route = {"name": "public", "match": {"path": "/public/**"}, **networks}
    await open_at(stage, path, trusted_proxies=trusted, routes=[route])
    client = await connect(stage, path)
    assert await ask(client, GET) == 403
    if trusted:
        await pass_through(stage, path, FROM_PROXY)
    else:
        assert await ask(client, FROM_PROXY) == 403
    assert stage.service.is_untouched
