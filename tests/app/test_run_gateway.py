"""One configuration becomes one running gateway: it starts whole or says why not, and it drains."""

import asyncio
import os
import socket
import time
from pathlib import Path

import pytest
from aiohttp import http_parser

import gateway.app
from gateway.app import StartFailure, run_gateway
from gateway.settings import load
from tests.proxy.stage import OK, PATIENCE, Answer, Peer, Stage

GET = b"GET /public/a HTTP/1.1\r\nHost: h\r\n\r\n"


async def ask_admin(stage: Stage, path: bytes) -> Answer:
    address = stage.gateway.addresses.admin
    reader, writer = await asyncio.open_connection(address.host, address.port)
    peer = Peer(reader, writer)
    peer.send(b"GET %b HTTP/1.1\r\nHost: localhost\r\n\r\n" % path)
    answer = await peer.answer()
    peer.close()
    return answer


async def begin_to_drain(stage: Stage) -> asyncio.Task[None]:
    stopping = asyncio.create_task(stage.stop())
    async with asyncio.timeout(PATIENCE):
        while not stage.gateway.is_draining:  # noqa: ASYNC110 - the flag has no event
            await asyncio.sleep(0)
    return stopping


# The start.


@pytest.mark.parametrize("key", ["listen", "admin_listen"])
async def test_port_in_use_fails_the_start_and_is_named(stage: Stage, key: str) -> None:
    await stage.service.open()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        settings = load(stage.write_configuration(**{key: address}))
        with pytest.raises(StartFailure, match=rf"cannot listen on {address}: .*[Aa]ddress"):
            async with run_gateway(settings):
                pass


async def test_failed_start_leaves_no_port_behind(stage: Stage) -> None:
    await stage.service.open()
    with (
        socket.create_server(("127.0.0.1", 0)) as free,
        socket.create_server(("127.0.0.1", 0)) as taken,
    ):
        port = free.getsockname()[1]
        free.close()
        settings = load(
            stage.write_configuration(
                listen=f"127.0.0.1:{port}", admin_listen=f"127.0.0.1:{taken.getsockname()[1]}"
            )
        )
        with pytest.raises(StartFailure):
            async with run_gateway(settings):
                pass
        socket.create_server(("127.0.0.1", port)).close()


async def test_state_dir_that_cannot_be_made_fails_the_start(stage: Stage) -> None:
    await stage.service.open()
    (stage.folder / "file").write_text("")
    settings = load(stage.write_configuration(state_dir=str(stage.folder / "file" / "state")))
    with pytest.raises(StartFailure, match=r"state_dir .*/file/state: Not a directory"):
        async with run_gateway(settings):
            pass


async def test_state_dir_that_is_not_writable_fails_the_start(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stage.service.open()
    settings = load(stage.write_configuration())
    # Permissions do not bind root, as whom tests may run.
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(StartFailure, match=r"state_dir .*: it is not writable"):
        async with run_gateway(settings):
            pass


async def test_state_dir_is_for_its_owner_alone(stage: Stage) -> None:
    await stage.open()
    assert (stage.folder / "state").stat().st_mode & 0o777 == 0o700


async def test_parser_in_python_fails_the_start(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one in C is the one that aiohttp's advisories are tested on."""
    await stage.service.open()
    settings = load(stage.write_configuration())
    monkeypatch.setattr(http_parser, "HttpRequestParser", http_parser.HttpRequestParserPy)
    with pytest.raises(StartFailure, match="no C parser"):
        async with run_gateway(settings):
            pass


async def test_addresses_are_those_that_the_system_gave(stage: Stage) -> None:
    await stage.open()
    assert stage.gateway.addresses.guard[0].port > 0
    assert (await ask_admin(stage, b"/readyz")).status == 200
    assert (await stage.ask(GET.replace(b"/public/a", b"/nothing"))).status == 404


async def test_gateway_listens_on_ipv6_too(stage: Stage) -> None:
    await stage.open(listen="[::1]:0")
    seen, _ = await stage.pass_through(GET)
    assert seen.values(b"X-Forwarded-For") == [b"::1"]


# The drain.


async def test_request_under_way_finishes_and_new_connections_are_refused(stage: Stage) -> None:
    await stage.open()
    client = await stage.client(GET)
    service = await stage.accept()
    await service.head()
    stopping = await begin_to_drain(stage)
    readiness = await ask_admin(stage, b"/readyz")
    assert (readiness.status, readiness.head[:12]) == (503, b"HTTP/1.1 503")
    assert (await ask_admin(stage, b"/healthz")).status == 200
    with pytest.raises(ConnectionRefusedError):
        await stage.client(GET)
    service.send(OK)
    assert (await client.answer()).body == b"ok"
    assert await client.rest() == b""
    await asyncio.wait_for(stopping, PATIENCE)


async def test_upload_under_way_finishes(stage: Stage) -> None:
    await stage.open()
    client = await stage.client(
        b"POST /public/a HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n01234"
    )
    service = await stage.accept()
    await service.until(b"01234")
    stopping = await begin_to_drain(stage)
    await asyncio.sleep(0.1)
    client.send(b"56789")
    assert await service.exactly(5) == b"56789"
    service.send(OK)
    assert (await client.answer()).body == b"ok"
    await asyncio.wait_for(stopping, PATIENCE)


async def test_answer_that_is_written_is_not_yet_delivered(stage: Stage) -> None:
    """What the system does not take yet waits in the gateway, and the stop waits for it."""
    await stage.open()
    with socket.socket() as narrow:
        narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        narrow.connect((stage.address.host, stage.address.port))
        client = Peer(*await asyncio.open_connection(sock=narrow.dup()))
    stage.clients.append(client)
    client.transport.pause_reading()
    client.send(GET)
    service = await stage.accept()
    (transport,) = stage.gateway._server._connections.values()
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    service.send(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n" + b"x" * 60_000)
    await stage.settled_series(
        "gateway_requests_total", {'method="GET",route="public",status="200"': 1}
    )
    assert transport.get_write_buffer_size() > 0
    stopping = await begin_to_drain(stage)
    await asyncio.sleep(0.2)
    client.transport.resume_reading()
    assert len((await client.answer()).body) == 60_000
    await asyncio.wait_for(stopping, PATIENCE)


async def test_answer_under_way_finishes_also_to_a_slow_reader(stage: Stage) -> None:
    await stage.open()
    client = await stage.client(GET)
    service = await stage.accept()
    await service.head()
    size = 16 * 1024 * 1024
    service.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
    await client.head()
    stopping = await begin_to_drain(stage)
    service.send(b"x" * size)
    await asyncio.sleep(0.1)
    assert len(await client.rest()) == size
    await asyncio.wait_for(stopping, PATIENCE)


async def test_request_that_still_arrives_on_an_open_connection_is_the_last_one(
    stage: Stage,
) -> None:
    await stage.open()
    client = await stage.client(GET + GET + GET)
    service = await stage.accept()
    await service.head()
    stopping = await begin_to_drain(stage)
    service.send(OK)
    assert (await client.answer()).fields.get("connection") is None
    await service.head()
    service.send(OK)
    assert (await client.answer()).fields["connection"] == "close"
    assert await client.rest_until_broken() == b""
    await asyncio.wait_for(stopping, PATIENCE)


@pytest.mark.parametrize("sent", [b"", b"GET /public/a HT", GET])
async def test_connection_without_a_request_does_not_hold_up_the_stop(
    stage: Stage, sent: bytes
) -> None:
    """Never used, half a head, or idle after an answer."""
    await stage.open()
    client = await stage.client(sent)
    if sent == GET:
        service = await stage.accept()
        await service.head()
        service.send(OK)
        await client.answer()
    else:
        await stage.ask(GET.replace(b"/public/a", b"/nothing"))
    started = time.monotonic()
    await asyncio.wait_for(stage.stop(), PATIENCE)
    assert time.monotonic() - started < 2
    assert await client.rest_until_broken() == b""


async def test_request_that_never_finishes_is_cut_off(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway.app, "DRAIN_SECONDS", 0.1)
    await stage.open()
    client = await stage.client(GET)
    service = await stage.accept()
    await service.head()
    await asyncio.wait_for(stage.stop(), PATIENCE)
    assert await client.rest_until_broken() == b""
    assert await service.rest_until_broken() == b""
    assert (await stage.log())[0]["outcome"] == "gone"


async def test_client_that_reads_nothing_is_cut_off(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway.app, "DRAIN_SECONDS", 0.1)
    await stage.open()
    await stage.client(GET)
    service = await stage.accept()
    await service.head()
    service.send(b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n" + b"x" * 20_000_000)
    await asyncio.wait_for(stage.stop(), PATIENCE)


async def test_open_connection_to_the_admin_port_does_not_hold_up_the_stop(stage: Stage) -> None:
    await stage.open()
    address = stage.gateway.addresses.admin
    reader, writer = await asyncio.open_connection(address.host, address.port)
    idle = Peer(reader, writer)
    stage.clients.append(idle)
    idle.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await idle.answer()
    started = time.monotonic()
    await asyncio.wait_for(stage.stop(), PATIENCE)
    assert time.monotonic() - started < 2


async def test_log_is_complete_when_the_gateway_has_stopped(stage: Stage, tmp_path: Path) -> None:
    await stage.open()
    for _ in range(10):
        await stage.ask(GET.replace(b"/public/a", b"/nothing"))
    await stage.stop()
    assert len((tmp_path / "access.log").read_text().splitlines()) == 10


async def test_a_state_dir_that_others_may_write_to_is_refused(stage: Stage) -> None:
    """Whoever may write there could take a worker's place in the feed of revocations."""
    folder = stage.folder / "state"
    folder.mkdir(mode=0o700)
    folder.chmod(0o770)
    with pytest.raises(StartFailure, match=r"others may write to it; .*chmod 700"):
        await stage.open()


async def test_a_token_in_a_path_is_masked_in_the_log(stage: Stage) -> None:
    await stage.open()
    await stage.ask(b"GET /nothing/gw_at_Secret123/x HTTP/1.1\r\nHost: h\r\n\r\n")
    [entry] = await stage.log()
    assert entry["path"] == "/nothing/gw_at_***/x"
