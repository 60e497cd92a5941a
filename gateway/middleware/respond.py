"""Writes the answers that are the gateway's own and not refusals."""

import time
from collections.abc import Sequence
from http import HTTPStatus

from gateway.middleware.exchange import Exchange
from gateway.policy.dates import http_date


async def respond(
    exchange: Exchange, status: HTTPStatus, fields: Sequence[str], body: bytes = b""
) -> None:
    """Answer a request with these lines of the head and a body, and note its outcome."""
    close_behind_unread_body(exchange)
    date = http_date(int(time.time())).decode("ascii")
    lines = [f"HTTP/1.1 {status.value} {status.phrase}", *fields, f"Date: {date}"]
    if status != HTTPStatus.NO_CONTENT:
        lines.append(f"Content-Length: {len(body)}")
    connection = connection_header(exchange)
    if connection is not None:
        lines.append(f"Connection: {connection}")
    answer = ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")
    if exchange.method != "HEAD":
        answer += body
    exchange.status = status.value
    exchange.write(answer)
    exchange.bytes_sent = len(answer)
    await exchange.drain()


def close_behind_unread_body(exchange: Exchange) -> None:
    """End the connection with this answer if a body is still to come that nobody wants.

    None of it is ever taken for a request.
    """
    if not exchange.content.is_eof():
        exchange.keep_alive = False


def connection_header(exchange: Exchange) -> str | None:
    """Say what the Connection header must be for the client to know whether to go on."""
    if not exchange.keep_alive:
        return "close"
    return None if exchange.speaks_http_1_1 else "keep-alive"
