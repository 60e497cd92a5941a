"""Answers `OPTIONS *`: what the gateway as a whole can do (RFC 9110, section 9.3.7)."""

from gateway.middleware.exchange import Exchange
from gateway.middleware.refuse import connection_header
from gateway.policy.method import USUAL_METHODS

SERVER_WIDE = "*"
"""The target that means the server itself: no route matches it, no upstream is asked."""


async def answer_options(exchange: Exchange) -> None:
    """Answer with the methods that routes usually have; which ones a path has, it alone says."""
    if not exchange.content.is_eof():
        # Nobody wants this body, and what is still to come is never taken for a request.
        exchange.keep_alive = False
    connection = connection_header(exchange)
    head = (
        f"HTTP/1.1 204 No Content\r\nAllow: {', '.join(USUAL_METHODS)}\r\n"
        + (f"Connection: {connection}\r\n" if connection else "")
        + "\r\n"
    ).encode("ascii")
    exchange.status = 204
    exchange.write(head)
    exchange.bytes_sent = len(head)
    await exchange.drain()
