"""The listeners that are not the guard's: bounded like it, and as silent about what came."""

import asyncio
import gzip
import json

import pytest
from aiohttp import web

from gateway.middleware.bounded import FrontLimits
from gateway.middleware.endpoint import EndpointProtocol
from gateway.middleware.entrance import Entrance
from gateway.policy.connections import ConnectionBounds

LIMITS = FrontLimits(
    headers=20, header_bytes=4096, head_seconds=0.1, idle_seconds=30.0, drain_seconds=1.0
)
ENTRANCE = Entrance(ConnectionBounds(total=100, per_address=100))


@pytest.fixture
async def port():
    """The port of an application that tells how many bytes of a body arrive."""

    async def count(request: web.Request) -> web.Response:
        return web.json_response(len(await request.read()))

    async def tell(request: web.Request) -> web.Response:
        return web.json_response(request.headers.get("X-Secret"))

    application = web.Application()
    application.router.add_post("/", count)
    application.router.add_get("/", tell)
    runner = web.AppRunner(application)
    await runner.setup()
    loop = asyncio.get_running_loop()
    site = await loop.create_server(
        lambda: EndpointProtocol(runner.server, LIMITS, ENTRANCE, loop=loop), "127.0.0.1", 0
    )
    yield site.sockets[0].getsockname()[1]
    site.close()
    await runner.cleanup()


async def say(port: int, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    return answer


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer SECRET\x00\r\n\r\n",
        b"GET / HTTP/1.1\r\nX <SECRET>: y\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: " + b"SECRET" * 1000 + b"\r\n\r\n",
        b"SECRET\r\n\r\n",
    ],
    ids=["a NUL in a value", "a malformed name", "a long value", "no HTTP at all"],
)
async def test_what_cannot_be_parsed_is_refused_without_a_word_of_it(port, data, caplog):
    """As RFC 6749's JSON; nor does it stand in the log."""
    answer = await say(port, data)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith((b"HTTP/1.0 4", b"HTTP/1.1 4"))
    assert json.loads(body)["error"] == "invalid_request"
    assert b"SECRET" not in answer
    assert b"aiohttp" not in answer
    assert "SECRET" not in caplog.text


@pytest.mark.parametrize("data", [b"G", b"GET / HTTP/1.1\r\nHost: x\r\n"])
async def test_a_head_that_never_ends_is_closed_on_its_deadline(port, data):
    assert await say(port, data) == b""


async def test_a_body_is_never_inflated(port):
    """What a stranger sends small stays small."""
    body = gzip.compress(b"\0" * 1_000_000)
    head = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Encoding: gzip\r\n"
    answer = await say(port, head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    assert answer.endswith(b"\r\n\r\n%d" % len(body))


CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


async def test_a_trailer_is_no_field_of_the_request_behind(port):
    """Of a proxy's connection that may be another client's."""
    behind = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = await say(port, CHUNKED + b"2\r\nok\r\n0\r\nX-Secret: 1\r\n\r\n" + behind)
    first, second = answer.split(b"HTTP/1.1 ")[1:]
    assert first.endswith(b"\r\n\r\n2")
    assert second.endswith(b"\r\n\r\nnull")


async def test_a_malformed_chunk_is_a_400_and_ends_the_connection(port, caplog):
    """Without a word in the log: it is the client's fault."""
    answer = await say(port, CHUNKED + b"zz\r\n" + CHUNKED + b"0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") == 1
    assert not caplog.records
