"""Upstreams that speak TLS: whom the gateway trusts, and who it is to them."""

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.proxy.stage import OK, Seen, Service, Stage
from tests.serving.certificates import Pair, server_context

GET = b"GET /public/a HTTP/1.1\r\nHost: h\r\n\r\n"


@asynccontextmanager
async def secured(context: ssl.SSLContext | None) -> AsyncIterator[Service]:
    """A service that speaks TLS."""
    service = Service()
    server = await asyncio.start_server(service._take, "127.0.0.1", 0, ssl=context)
    service.port = server.sockets[0].getsockname()[1]
    try:
        yield service
    finally:
        server.close()
        service.close()


async def open_before(stage: Stage, service: Service, **tls: object) -> None:
    server = f"https://127.0.0.1:{service.port}"
    await stage.open(upstreams={"orders": {"servers": [server], "tls": tls}})


async def pass_through(stage: Stage, service: Service, request: bytes = GET) -> Seen:
    client = await stage.client(request)
    peer = await service.accept()
    seen = Seen(await peer.head())
    peer.send(OK)
    assert (await client.answer()).status == 200
    return seen


async def refused_detail(stage: Stage) -> str:
    """What the operator reads of a request that got no connection."""
    refusal = await stage.ask(GET)
    assert (refusal.status, refusal.reason) == (502, "upstream_unavailable")
    [entry] = await stage.log()
    return str(entry["detail"])


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path, "server").write()


async def test_request_goes_to_a_server_that_its_authority_vouches_for(
    stage: Stage, pair: Pair
) -> None:
    async with secured(server_context(pair)) as service:
        await open_before(stage, service, ca=str(pair.certificate))
        seen = await pass_through(stage, service)
        assert seen.line == b"GET /public/a HTTP/1.1"
        version = service.peers[0].transport.get_extra_info("ssl_object").version()
        assert version == "TLSv1.3"


async def test_a_destination_names_https_to_a_service_that_is_asked_by_https(
    stage: Stage, pair: Pair
) -> None:
    request = GET.replace(b"GET", b"COPY").replace(b"\r\n", b"\r\nDestination: /public/b\r\n", 1)
    async with secured(server_context(pair)) as service:
        await open_before(stage, service, ca=str(pair.certificate))
        seen = await pass_through(stage, service, request)
        [host] = seen.values(b"Host")
        assert seen.values(b"Destination") == [b"https://" + host + b"/public/b"]


async def test_server_that_nobody_vouches_for_gets_nothing(
    stage: Stage, pair: Pair, tmp_path: Path
) -> None:
    other = Pair(tmp_path, "other").write()
    async with secured(server_context(pair)) as service:
        await open_before(stage, service, ca=str(other.certificate))
        assert "its certificate is not accepted: self-signed" in await refused_detail(stage)
        assert service.is_untouched


async def test_without_an_authority_of_its_own_the_systems_count(stage: Stage, pair: Pair) -> None:
    async with secured(server_context(pair)) as service:
        await open_before(stage, service)
        assert "its certificate is not accepted: self-signed" in await refused_detail(stage)


async def test_server_of_another_name_gets_nothing(stage: Stage, tmp_path: Path) -> None:
    pair = Pair(tmp_path, "server").write(["orders.internal"])
    async with secured(server_context(pair)) as service:
        await open_before(stage, service, ca=str(pair.certificate))
        assert "its certificate is not accepted: IP address mismatch" in await refused_detail(stage)
        assert service.is_untouched


async def test_name_that_the_certificate_must_have_can_be_given(
    stage: Stage, tmp_path: Path
) -> None:
    pair = Pair(tmp_path, "server").write(["orders.internal"])
    async with secured(server_context(pair)) as service:
        tls = {"ca": str(pair.certificate), "server_name": "orders.internal"}
        await open_before(stage, service, **tls)
        await pass_through(stage, service)


async def test_gateway_shows_its_own_certificate(stage: Stage, pair: Pair, tmp_path: Path) -> None:
    own = Pair(tmp_path, "own").write(["gateway"])
    context = server_context(pair)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(own.certificate)
    async with secured(context) as service:
        await open_before(stage, service, ca=str(pair.certificate), **own.settings)
        await pass_through(stage, service)
        shown = service.peers[0].transport.get_extra_info("ssl_object").getpeercert()
        assert shown["subjectAltName"] == (("DNS", "gateway"),)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_old_tls_is_refused(stage: Stage, pair: Pair) -> None:
    context = server_context(pair)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    async with secured(context) as service:
        await open_before(stage, service, ca=str(pair.certificate))
        detail = await refused_detail(stage)
        assert detail.endswith("it broke the connection off")
        assert service.is_untouched


async def test_server_that_speaks_no_tls_gets_nothing_of_the_request(
    stage: Stage, pair: Pair
) -> None:
    async with secured(None) as service:
        await open_before(stage, service, ca=str(pair.certificate))
        client = await stage.client(GET)
        peer = await service.accept()
        hello = await peer.some()
        peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        assert (await client.answer()).reason == "upstream_unavailable"
        assert b"public" not in hello


async def test_connection_is_kept_for_the_next_request(stage: Stage, pair: Pair) -> None:
    async with secured(server_context(pair)) as service:
        await open_before(stage, service, ca=str(pair.certificate))
        client = await stage.client(GET)
        peer = await service.accept()
        for _ in range(2):
            await peer.head()
            peer.send(OK)
            assert (await client.answer()).status == 200
            client.send(GET)
        assert service.is_untouched


async def test_large_bodies_pass_both_ways(stage: Stage, pair: Pair) -> None:
    size = 4 * 1024 * 1024
    async with secured(server_context(pair)) as service:
        await open_before(stage, service, ca=str(pair.certificate))
        head = b"POST /public/a HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % size
        client = await stage.client(head + b"u" * size)
        peer = await service.accept()
        await peer.head()
        assert await peer.exactly(size) == b"u" * size
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"d" * size)
        assert (await client.answer()).body == b"d" * size


async def test_answer_that_ends_with_its_connection_is_whole(stage: Stage, pair: Pair) -> None:
    async with secured(server_context(pair)) as service:
        await open_before(stage, service, ca=str(pair.certificate))
        client = await stage.client(GET)
        peer = await service.accept()
        await peer.head()
        peer.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nwhole")
        peer.close()
        await client.head()
        assert (await client.until(b"0\r\n\r\n")).startswith(b"5\r\nwhole")


async def test_answer_whose_connection_is_cut_off_beneath_tls_never_looks_complete(
    stage: Stage, pair: Pair
) -> None:
    """Whoever is on the way can end a TCP connection, but not say so within TLS."""
    async with secured(server_context(pair)) as service:
        await open_before(stage, service, ca=str(pair.certificate))
        client = await stage.client(GET)
        peer = await service.accept()
        await peer.head()
        peer.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhalf")
        head = await client.head()
        assert head.startswith(b"HTTP/1.1 200 ")
        await client.until(b"half\r\n")
        beneath = peer.transport.get_extra_info("socket").fileno()
        with socket.socket(fileno=os.dup(beneath)) as connection:
            connection.shutdown(socket.SHUT_RDWR)
        assert not (await client.rest_until_broken()).endswith(b"0\r\n\r\n")
