"""Forwards one request: sends it by an Attempt, streams the answer back or opens a tunnel.

Rules: bodies are never held whole; an answer that was cut off is never made to look complete.
"""

import asyncio
import time
from typing import cast

from gateway.policy.forwarding import Client, Forwarded, ForwardRequest, UpstreamFailure
from gateway.policy.rejection import Reason
from gateway.policy.trailers import (
    filter_answer_trailers,
    read_announcement,
    write_announcement,
)
from gateway.proxy.attempt import Attempt, upgrade_lines
from gateway.proxy.connection import UpstreamConnection
from gateway.proxy.tunnel import Tunnel
from gateway.proxy.upstream import Upstream, UpstreamTimeouts

_JOIN = b": ".join
_LAST_CHUNK = b"0\r\n"


async def forward(
    upstream: Upstream,
    timeouts: UpstreamTimeouts,
    request: ForwardRequest,
    client: Client,
    outcome: Forwarded,
) -> None:
    """Send the request to the upstream and its answer to the client; `outcome` tells how it went.

    Raises UpstreamFailure or BodyFailure while `outcome.status` is 0: the client has not been
    answered yet. After that a failure breaks the client's connection and is raised all the same.
    """
    started = time.perf_counter()
    attempt = Attempt(upstream, timeouts, request, client, outcome)
    try:
        connection = await attempt.get_head()
        outcome.seconds_to_head = time.perf_counter() - started
        if attempt.is_still_sending():
            # It answers early; whether the rest of the body can be read off is not known yet.
            client.keep_alive = False
        if connection.refers or request.edits_every_answer:
            connection.headers = client.edit_answer(request, connection.headers)
        if connection.status == 101:
            await _tunnel(connection, request, client, outcome)
        else:
            await _answer(connection, request, client, outcome, timeouts.idle)
        outcome.result = "answered"
    except UpstreamFailure as failure:
        outcome.result = failure.result
        raise
    finally:
        attempt.settle(has_answered=outcome.result == "answered")
        if outcome.status and outcome.result != "answered":
            client.keep_alive = False
            client.abort()


async def _answer(
    connection: UpstreamConnection,
    request: ForwardRequest,
    client: Client,
    outcome: Forwarded,
    idle_seconds: float,
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
        connection.deadline = connection.loop.time() + idle_seconds
        data = await connection.read()
        if not data:
            break
    if is_chunked:
        trailers = client.edit_trailers(filter_answer_trailers(connection.trailers))
        client.write(b"".join([_LAST_CHUNK, *(b"%b: %b\r\n" % pair for pair in trailers), b"\r\n"]))


async def _tunnel(
    connection: UpstreamConnection,
    request: ForwardRequest,
    client: Client,
    outcome: Forwarded,
) -> None:
    upgrade = request.upgrade
    transport = connection.transport
    if upgrade is None or transport is None:
        raise UpstreamFailure(Reason.UPSTREAM_INVALID, "it closed behind its 101")
    lines = [b"HTTP/1.1 101 Switching Protocols", *map(_JOIN, connection.headers)]
    lines += [*upgrade_lines(upgrade.protocol), b"\r\n"]
    head = b"\r\n".join(lines)
    client.keep_alive = False
    client.write(head)
    outcome.status = connection.status
    connection.deadline = connection.ends_at = float("inf")
    client_transport, early = client.begin_tunnel()
    tunnel = Tunnel(connection.loop, cast(asyncio.Transport, client_transport), transport)
    try:
        tunnel.start(early, connection.release())
        upgrade.on_open(tunnel)
        await tunnel.wait()
    finally:
        tunnel.abort()
        outcome.bytes_sent = len(head) + tunnel.bytes_sent
        client.end_tunnel(tunnel.bytes_received)
        connection.connection_lost(None)


def _response_head(
    connection: UpstreamConnection, client: Client, length: int | None, is_chunked: bool
) -> bytes:
    status = connection.status
    lines = [b"HTTP/1.1 %d %b" % (status, connection.reason_phrase)]
    lines += map(_JOIN, connection.headers)
    if is_chunked:
        lines.append(b"Transfer-Encoding: chunked")
        if connection.announced:
            announced = filter_answer_trailers(read_announcement(connection.announced))
            lines += map(_JOIN, write_announcement(client.edit_trailers(announced)))
    elif length is not None and status != 204:
        lines.append(b"Content-Length: %d" % length)
    if not client.keep_alive:
        lines.append(b"Connection: close")
    elif not client.speaks_http_1_1:
        lines.append(b"Connection: keep-alive")
    lines.append(b"\r\n")
    return b"\r\n".join(lines)
