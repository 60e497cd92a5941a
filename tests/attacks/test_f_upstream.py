"""Attacks by a service's answer, or by a body that it does not read, on the request behind it."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from gateway.proxy.server import _REST_SECONDS, ServerOrigin
from gateway.proxy.upstream import Upstream, UpstreamLimits
from tests.attacks.wire import HOST, ask, bearer, get, post
from tests.proxy.stage import OK, PATIENCE, Answer, Peer, Seen, Service, Stage

POISON = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nPOISON!"
EVIL = get(HOST, target=b"/public/evil")
VICTIM = ask(b"/orders/1", bearer(b"reader"))


# 41. What comes behind an answer reaches nobody, and the next request is clean.


@pytest.mark.parametrize(
    ("request_", "head"),
    [
        (EVIL.replace(b"GET", b"HEAD"), b"HTTP/1.1 200 OK\r\nContent-Length: 45\r\n\r\n"),
        (EVIL, b"HTTP/1.1 204 No Content\r\n\r\n"),
        (EVIL, b"HTTP/1.1 304 Not Modified\r\n\r\n"),
    ],
    ids=["HEAD", "204", "304"],
)
async def test_f41_body_in_a_later_segment_is_never_another_clients_answer(
    stage: Stage, request_: bytes, head: bytes
) -> None:
    """A service that writes head and body one after the other, where there must be no body."""
    await stage.open()
    client = await stage.client(request_)
    sloppy = await stage.accept()
    await sloppy.head()
    sloppy.send(head)
    await client.head()
    # The next request comes before the body does.
    victim = await stage.client(VICTIM)
    service = await stage.accept()
    sloppy.send(POISON)
    await service.head()
    service.send(OK)
    assert (await victim.answer()).body == b"ok"
    # It is not used afterwards, either.
    assert await sloppy.rest_until_broken() == b""
    await asyncio.sleep(_REST_SECONDS + 0.02)
    victim.send(VICTIM)
    await service.head()
    service.send(OK)
    assert (await victim.answer()).body == b"ok"


async def test_f41_bytes_behind_an_answer_that_nobody_has_read_yet_end_the_connection() -> None:
    """They are there when the next request comes, though the event loop has not come to them."""
    service = Service()
    await service.open()
    origin = ServerOrigin("it", b"h", "127.0.0.1", service.port)
    upstream = Upstream("one", [origin], UpstreamLimits(connections=9, waiting=9), 1.0)
    [server] = upstream.servers
    connection = await server.connect(PATIENCE)
    sloppy = await service.accept()
    connection.begin(EVIL, is_head=False)
    await sloppy.head()
    sloppy.send(OK)
    await connection.wait_for_head()
    server.take_back(connection)
    assert connection.is_usable
    assert connection.is_quiet
    connection.pause_reading()
    sloppy.send(POISON)
    async with asyncio.timeout(PATIENCE):
        while connection.is_quiet:  # noqa: ASYNC110 - the kernel tells nobody
            await asyncio.sleep(0.001)
    assert server.take_idle() is None
    assert await sloppy.rest_until_broken() == b""
    await upstream.close()
    service.close()


@pytest.mark.parametrize(
    "trailer",
    [
        b"Connection: close",
        b"Proxy-Connection: close",
        b"Transfer-Encoding: gzip",
    ],
)
async def test_f41_trailer_of_framing_does_not_reach_the_next_answer(
    stage: Stage, trailer: bytes
) -> None:
    await stage.open()
    client = await stage.client(EVIL)
    sloppy = await stage.accept()
    await sloppy.head()
    sloppy.send(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n%b\r\n\r\n" % trailer
    )
    await client.until(b"0\r\n\r\n")
    client.send(EVIL)
    service = await stage.accept()
    await service.head()
    service.send(OK)
    assert (await client.answer()).body == b"ok"
    assert await sloppy.rest_until_broken() == b""


@pytest.mark.parametrize(
    "informational",
    [
        b"HTTP/1.1 150 X\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 150 X\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 150 X\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 100 Continue\r\ncontent-length: 5\r\n\r\nhello",
    ],
)
async def test_f43_informational_answer_with_a_body_is_no_part_of_an_answer(
    stage: Stage, informational: bytes
) -> None:
    """Else the body would stand before that of the answer, and split it."""
    await stage.open()
    client = await stage.client(EVIL)
    service = await stage.accept()
    await service.head()
    service.send(informational + OK)
    answer = await client.answer()
    assert (answer.status, answer.reason) == (502, "upstream_invalid")
    assert await service.rest_until_broken() == b""


@pytest.mark.parametrize(
    "beginning", [b"RTSP/1.0 200 OK", b"ICE/1.0 200 OK", b"\r\nHTTP/1.1 200 OK"]
)
async def test_f43_answer_of_another_protocol_is_none(stage: Stage, beginning: bytes) -> None:
    await stage.open()
    client = await stage.client(EVIL)
    service = await stage.accept()
    await service.head()
    service.send(beginning + b"\r\nContent-Length: 2\r\n\r\nok")
    answer = await client.answer()
    assert (answer.status, answer.reason) == (502, "upstream_invalid")


async def test_f44_trailers_without_end_are_cut_off(stage: Stage) -> None:
    """They are bounded as a head is."""
    await stage.open()
    client = await stage.client(EVIL)
    service = await stage.accept()
    await service.head()
    service.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-T: ")
    await client.until(b"ok\r\n")
    sent = 0
    with suppress(ConnectionError):
        while sent < 8 * 1024 * 1024:
            await service.flush(b"a" * 65_536)
            sent += 65_536
    assert sent < 8 * 1024 * 1024
    await client.rest_until_broken()


# 10. A body that the service does not read is no request.


@pytest.fixture
def unreading_service(tmp_path: Path) -> Iterator[int]:
    """The port of Python's own HTTP server, which reads no body; a handler prints what it did."""
    program = """
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def handle_any(self):
        print(self.command, self.path, flush=True, file=sys.stderr)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.send_header("X-Seen", f"{self.command} {self.path}")
        self.end_headers()
        self.wfile.write(b"ok")
    do_GET = do_HEAD = do_OPTIONS = do_DELETE = do_POST = do_PUT = handle_any
    def log_message(self, *_): pass
server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""
    with (tmp_path / "seen").open("wb") as seen:
        process = subprocess.Popen(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=seen
        )
    assert process.stdout is not None
    yield int(process.stdout.readline())
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"OPTIONS", b"DELETE", b"POST", b"PUT"])
async def test_a10_body_that_a_service_does_not_read_is_not_its_next_request(
    stage: Stage, unreading_service: int, tmp_path: Path, method: bytes
) -> None:
    """It would have been judged by nobody, and could name any identity."""
    upstream = {"orders": {"servers": [f"http://127.0.0.1:{unreading_service}"]}}
    await stage.open(upstreams=upstream)
    smuggled = b"GET /admin HTTP/1.1\r\nHost: h\r\nX-Auth-Subject: root\r\n\r\n"
    length = b"Content-Length: %d" % len(smuggled)
    request = get(HOST, length, target=b"/public/1").replace(b"GET", method)
    client = await stage.client(request + smuggled)
    assert Answer(await client.head()).status == 200
    # The service has come to whatever it takes for a request when it answers a later one.
    other = await stage.client(get(HOST, target=b"/public/2"))
    assert (await other.answer()).fields["x-seen"] == "GET /public/2"
    seen = (tmp_path / "seen").read_text().splitlines()
    assert seen == [f"{method.decode()} /public/1", "GET /public/2"]


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"OPTIONS", b"DELETE"])
async def test_a10_such_a_body_ends_the_connection_though_its_service_reads_bodies(
    stage: Stage, method: bytes
) -> None:
    """It has no meaning to these methods, so nobody looks for one."""
    await stage.open()
    client = await stage.client(
        get(HOST, b"Content-Length: 2", target=b"/public/1").replace(b"GET", method) + b"ab"
    )
    service = await stage.accept()
    assert Seen(await service.head()).values(b"Connection") == [b"close"]
    assert await service.exactly(2) == b"ab"
    service.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    assert Answer(await client.head()).status == 200
    assert await service.rest_until_broken() == b""


async def test_a10_connection_of_a_body_is_used_again_only_where_the_upstream_says_so(
    stage: Stage,
) -> None:
    request = post(b"Content-Length: 2") + b"ab"
    await stage.open()
    client = await stage.client(request + EVIL)
    service = await _take_body(stage)
    assert (await service.head()).startswith(b"GET /public/evil ")
    client.close()
    await stage.close()


async def _take_body(stage: Stage) -> Peer:
    service = await stage.accept()
    seen = Seen(await service.head())
    assert seen.values(b"Connection") == []
    assert await service.exactly(2) == b"ab"
    service.send(OK)
    return service
