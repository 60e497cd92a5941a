"""Forwards one request: pool or connect, send, stream the body there and the answer back.

Rules: bodies are never held whole; an answer that was cut off is never made to look complete; a
request is sent twice only when it has no body, is safe by its method, and met a kept-alive
connection that closed before one byte came back.
"""

import asyncio
import time

from gateway.policy.headers import filter_response_headers
from gateway.policy.rejection import Reason
from gateway.proxy.connection import UpstreamConnection, UpstreamFailure
from gateway.proxy.exchange import Client, Forwarded, ForwardRequest, RequestBody
from gateway.proxy.upstream import Upstream

_RETRIED_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_LAST_CHUNK = b"0\r\n"
_NOT_IN_TRAILERS = frozenset(
    {b"content-length", b"transfer-encoding", b"host", b"authorization", b"trailer", b"set-cookie"}
)


async def forward(
    upstream: Upstream, request: ForwardRequest, client: Client, outcome: Forwarded
) -> None:
    """Send the request to the upstream and its answer to the client; `outcome` tells how it went.

    Raises UpstreamFailure or BodyFailure while `outcome.status` is 0: the client has not been
    answered yet. After that a failure breaks the client's connection and is raised all the same.
    """
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    connection: UpstreamConnection | None = None
    pump: asyncio.Task[None] | None = None
    try:
        connection, pump = await _send(upstream, request, loop, outcome)
        await connection.wait_for_head()
        outcome.seconds_to_head = time.perf_counter() - started
        if pump is not None and not pump.done():
            # It answers early; whether the rest of the body can be read off is not known yet.
            client.keep_alive = False
        await _answer(connection, request, client, outcome, upstream.timeouts.idle, loop)
        outcome.result = "answered"
    except UpstreamFailure as failure:
        outcome.result = failure.reason.removeprefix("upstream_")
        raise
    finally:
        if connection is not None:
            if pump is not None and not pump.done():
                # The upstream has answered without reading the rest of the body (RFC 9112, section
                # 9.5), or the exchange failed: what is on its way belongs to nobody.
                pump.cancel()
                connection.can_be_reused = False
            if outcome.result != "answered":
                connection.can_be_reused = False
            upstream.release(connection, loop.time())
        if outcome.status and outcome.result != "answered":
            client.keep_alive = False
            client.abort()


async def _send(
    upstream: Upstream,
    request: ForwardRequest,
    loop: asyncio.AbstractEventLoop,
    outcome: Forwarded,
) -> tuple[UpstreamConnection, asyncio.Task[None] | None]:
    """Write the request, as far as it is there; a body still on its way gets a pump of its own."""
    body = request.body
    first = _request_head(request)
    is_whole = True
    if body is not None:
        arrived = body.take()
        is_whole = body.is_complete
        first += _frame(arrived, body.length)
        if is_whole and body.length is None:
            first += b"0\r\n\r\n"
    is_head = request.method == "HEAD"
    # From here on it counts as sent; whatever ends it without an answer or a failure aborts it.
    outcome.result = "aborted"
    connection = upstream.take_idle()
    if connection is None:
        connection = await upstream.connect()
    elif body is None and request.method in _RETRIED_METHODS:
        if await _is_answered(connection, first, upstream, is_head, loop):
            return connection, None
        connection = await upstream.connect()
    _expect_answer(connection, upstream, loop)
    connection.begin(first, is_head=is_head)
    if is_whole or body is None:
        return connection, None
    connection.upload_deadline = float("inf")
    return connection, asyncio.create_task(_pump(connection, body, upstream, loop))


async def _is_answered(
    connection: UpstreamConnection,
    head: bytes,
    upstream: Upstream,
    is_head: bool,
    loop: asyncio.AbstractEventLoop,
) -> bool:
    """Try a kept-alive connection; False when the upstream had closed it meanwhile."""
    _expect_answer(connection, upstream, loop)
    connection.begin(head, is_head=is_head)
    try:
        await connection.wait_for_head()
    except UpstreamFailure as failure:
        if failure.reason is Reason.UPSTREAM_UNAVAILABLE and failure.was_untouched:
            return False
        upstream.release(connection, loop.time())
        raise
    except asyncio.CancelledError:
        upstream.release(connection, loop.time())
        raise
    return True


def _expect_answer(
    connection: UpstreamConnection, upstream: Upstream, loop: asyncio.AbstractEventLoop
) -> None:
    connection.timeout_detail = "its answer did not begin in time"
    connection.deadline = loop.time() + upstream.timeouts.response


async def _pump(
    connection: UpstreamConnection,
    body: RequestBody,
    upstream: Upstream,
    loop: asyncio.AbstractEventLoop,
) -> None:
    """Send the rest of the body. It never fails: the connection tells of what goes wrong."""
    try:
        while data := await body.read():
            connection.write(_frame(data, body.length))
            connection.upload_deadline = loop.time() + upstream.timeouts.response
            await connection.drain()
            connection.upload_deadline = float("inf")
    except UpstreamFailure:
        return
    except Exception as error:  # noqa: BLE001 - it is raised where the answer is waited for
        connection.break_off(error)
        return
    if body.length is None:
        connection.write(b"0\r\n\r\n")
    connection.upload_deadline = None
    if not connection.has_head:
        _expect_answer(connection, upstream, loop)
    elif connection.deadline < float("inf"):
        # Somebody waits for more of the answer, which was not due before.
        connection.deadline = loop.time() + upstream.timeouts.idle


async def _answer(
    connection: UpstreamConnection,
    request: ForwardRequest,
    client: Client,
    outcome: Forwarded,
    idle: float,
    loop: asyncio.AbstractEventLoop,
) -> None:
    status = connection.status
    has_body = request.method != "HEAD" and status not in (204, 304)
    body = connection.take() if connection.is_complete else b""
    is_small = connection.is_complete and not connection.trailers
    length = len(body) if is_small and has_body else connection.length
    is_chunked = has_body and length is None and client.speaks_http_1_1
    if has_body and length is None and not is_chunked:
        # HTTP/1.0 knows no chunks: the end of the connection is the end of the answer.
        client.keep_alive = False
    head = _response_head(connection, client, length, is_chunked)
    outcome.status = status
    if is_small:
        outcome.bytes_sent = len(head) + len(body)
        client.write(head + body if has_body else head)
        await client.drain()
        return
    client.write(head)
    outcome.bytes_sent = len(head)
    connection.timeout_detail = "its answer stopped half-way"
    data = body
    while True:
        if data:
            framed = b"%x\r\n%b\r\n" % (len(data), data) if is_chunked else data
            outcome.bytes_sent += len(framed)
            client.write(framed)
            # A client that reads slowly is no fault of the upstream.
            connection.deadline = float("inf")
            await client.drain()
        connection.deadline = loop.time() + idle
        data = await connection.read()
        if not data:
            break
    if is_chunked:
        client.write(_LAST_CHUNK + _trailer_lines(connection) + b"\r\n")


def _request_head(request: ForwardRequest) -> bytes:
    lines = [b"%b %b HTTP/1.1" % (request.method.encode("ascii"), request.target)]
    lines.extend([b"%b: %b" % pair for pair in request.headers])
    body = request.body
    if body is not None:
        lines.append(
            b"Transfer-Encoding: chunked"
            if body.length is None
            else b"Content-Length: %d" % body.length
        )
    lines.append(b"\r\n")
    return b"\r\n".join(lines)


def _response_head(
    connection: UpstreamConnection, client: Client, length: int | None, is_chunked: bool
) -> bytes:
    lines = [b"HTTP/1.1 %d %b" % (connection.status, connection.reason_phrase)]
    has_length = False
    for name, value in filter_response_headers(connection.headers):
        if len(name) == 14 and name.lower() == b"content-length":
            if length is None or connection.status == 204:
                continue
            has_length = True
            lines.append(b"%b: %d" % (name, length))
        else:
            lines.append(b"%b: %b" % (name, value))
    if is_chunked:
        lines.append(b"Transfer-Encoding: chunked")
    elif length is not None and not has_length and connection.status != 204:
        lines.append(b"Content-Length: %d" % length)
    if not client.keep_alive:
        lines.append(b"Connection: close")
    elif not client.speaks_http_1_1:
        lines.append(b"Connection: keep-alive")
    lines.append(b"\r\n")
    return b"\r\n".join(lines)


def _frame(data: bytes, length: int | None) -> bytes:
    """Frame a piece of a request's body: as it is when the length is known, else as a chunk."""
    if length is not None or not data:
        return data
    return b"%x\r\n%b\r\n" % (len(data), data)


def _trailer_lines(connection: UpstreamConnection) -> bytes:
    return b"".join(
        b"%b: %b\r\n" % (name, value)
        for name, value in filter_response_headers(connection.trailers)
        if name.lower() not in _NOT_IN_TRAILERS
    )
