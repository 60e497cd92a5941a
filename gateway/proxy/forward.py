"""Forwards one request: pool or connect, send, stream the body there and the answer back.

Rules: bodies are never held whole; an answer that was cut off is never made to look complete; a
request is sent twice only when it has no body, is safe by its method, and met a kept-alive
connection that closed before one byte came back.
"""

import asyncio
import time
from typing import cast

from gateway.policy.forwarding import (
    Client,
    Forwarded,
    ForwardRequest,
    RequestBody,
    UpstreamFailure,
)
from gateway.policy.headers import filter_trailers
from gateway.policy.rejection import Reason
from gateway.proxy.connection import UpstreamConnection
from gateway.proxy.tunnel import Tunnel
from gateway.proxy.upstream import Upstream

_RETRIED_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_JOIN = b": ".join
_LAST_CHUNK = b"0\r\n"


async def forward(
    upstream: Upstream, request: ForwardRequest, client: Client, outcome: Forwarded
) -> None:
    """Send the request to the upstream and its answer to the client; `outcome` tells how it went.

    Raises UpstreamFailure or BodyFailure while `outcome.status` is 0: the client has not been
    answered yet. After that a failure breaks the client's connection and is raised all the same.
    """
    started = time.perf_counter()
    first, is_whole = _first_bytes(request, upstream)
    is_head = request.method == "HEAD"
    asked = request.upgrade.protocol if request.upgrade is not None else None
    connection: UpstreamConnection | None = None
    pump: asyncio.Task[None] | None = None
    # From here on it counts as sent; whatever ends it without an answer or a failure aborts it.
    outcome.result = "aborted"
    try:
        connection = upstream.take_idle()
        can_try_again = (
            connection is not None and request.body is None and request.method in _RETRIED_METHODS
        )
        if connection is None:
            connection = await upstream.connect()
        while True:
            _expect_answer(connection, upstream)
            connection.begin(first, is_head=is_head, upgrade=asked)
            if not is_whole and request.body is not None:
                connection.upload_deadline = float("inf")
                pump = asyncio.create_task(_pump(connection, request.body, upstream))
            try:
                await connection.wait_for_head()
                break
            except UpstreamFailure as failure:
                if not (can_try_again and failure.was_closed_untouched):
                    raise
            # The upstream had closed the kept-alive connection meanwhile.
            can_try_again = False
            connection = await upstream.connect()
        outcome.seconds_to_head = time.perf_counter() - started
        if pump is not None and not pump.done():
            # It answers early; whether the rest of the body can be read off is not known yet.
            client.keep_alive = False
        deliver = _tunnel if connection.status == 101 else _answer
        await deliver(connection, request, client, outcome, upstream)
        outcome.result = "answered"
    except UpstreamFailure as failure:
        outcome.result = failure.reason.removeprefix("upstream_")
        raise
    finally:
        if connection is not None:
            _settle(connection, pump, has_answered=outcome.result == "answered")
            upstream.release(connection)
        if outcome.status and outcome.result != "answered":
            client.keep_alive = False
            client.abort()


def _settle(
    connection: UpstreamConnection, pump: asyncio.Task[None] | None, *, has_answered: bool
) -> None:
    """Say whether the connection may be used again."""
    if pump is not None and not pump.done():
        # The upstream has answered without reading the rest of the body (RFC 9112, section 9.5), or
        # the exchange failed: what is on its way belongs to nobody.
        pump.cancel()
        connection.can_be_reused = False
    if not has_answered:
        connection.can_be_reused = False


def _first_bytes(request: ForwardRequest, upstream: Upstream) -> tuple[bytes, bool]:
    """Write the request as far as it is there, and say whether that is all of it."""
    head = _request_head(request, upstream.authority)
    body = request.body
    if body is None:
        return head, True
    arrived = _frame(body.take(), body.length)
    if not body.is_complete:
        return head + arrived, False
    return head + arrived + (b"0\r\n\r\n" if body.length is None else b""), True


def _expect_answer(connection: UpstreamConnection, upstream: Upstream) -> None:
    connection.timeout_detail = "its answer did not begin in time"
    connection.deadline = upstream.loop.time() + upstream.timeouts.response


async def _pump(connection: UpstreamConnection, body: RequestBody, upstream: Upstream) -> None:
    """Send the rest of the body. It never fails: the connection tells of what goes wrong."""
    try:
        while data := await body.read():
            connection.write(_frame(data, body.length))
            connection.upload_deadline = upstream.loop.time() + upstream.timeouts.response
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
        _expect_answer(connection, upstream)
    elif connection.deadline < float("inf"):
        # Somebody waits for more of the answer, which was not due before.
        connection.deadline = upstream.loop.time() + upstream.timeouts.idle


async def _answer(
    connection: UpstreamConnection,
    request: ForwardRequest,
    client: Client,
    outcome: Forwarded,
    upstream: Upstream,
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
        if client.is_congested:
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
            if client.is_congested:
                connection.deadline = float("inf")
                await client.drain()
        connection.deadline = upstream.loop.time() + upstream.timeouts.idle
        data = await connection.read()
        if not data:
            break
    if is_chunked:
        client.write(_LAST_CHUNK + _trailer_lines(connection) + b"\r\n")


async def _tunnel(
    connection: UpstreamConnection,
    request: ForwardRequest,
    client: Client,
    outcome: Forwarded,
    upstream: Upstream,
) -> None:
    upgrade = request.upgrade
    transport = connection.transport
    if upgrade is None or transport is None:
        raise UpstreamFailure(Reason.UPSTREAM_INVALID, "it closed behind its 101")
    lines = [b"HTTP/1.1 101 Switching Protocols", *map(_JOIN, connection.headers)]
    lines += [*_upgrade_lines(upgrade.protocol), b"\r\n"]
    head = b"\r\n".join(lines)
    client.keep_alive = False
    client.write(head)
    outcome.status = connection.status
    connection.deadline = float("inf")
    client_transport, early = client.begin_tunnel()
    tunnel = Tunnel(upstream.loop, cast(asyncio.Transport, client_transport), transport)
    try:
        tunnel.start(early, connection.release())
        upgrade.on_open(tunnel)
        await tunnel.wait()
    finally:
        tunnel.abort()
        outcome.bytes_sent = len(head) + tunnel.bytes_sent
        client.end_tunnel(tunnel.bytes_received)
        connection.connection_lost(None)


def _upgrade_lines(protocol: bytes) -> tuple[bytes, bytes]:
    return (b"Connection: upgrade", b"Upgrade: " + protocol)


def _request_head(request: ForwardRequest, authority: bytes) -> bytes:
    lines = [
        b"%b %b HTTP/1.1\r\nHost: %b"
        % (request.method.encode("ascii"), request.target, request.host or authority)
    ]
    lines += map(_JOIN, request.headers)
    if request.upgrade is not None:
        lines += _upgrade_lines(request.upgrade.protocol)
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
    status = connection.status
    lines = [b"HTTP/1.1 %d %b" % (status, connection.reason_phrase)]
    lines += map(_JOIN, connection.headers)
    if is_chunked:
        lines.append(b"Transfer-Encoding: chunked")
    elif length is not None and status != 204:
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
    return b"".join(b"%b: %b\r\n" % pair for pair in filter_trailers(connection.trailers))
