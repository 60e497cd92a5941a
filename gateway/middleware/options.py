"""Answers `OPTIONS *`: what the gateway as a whole can do (RFC 9110, section 9.3.7)."""

from http import HTTPStatus

from gateway.middleware.exchange import Exchange
from gateway.middleware.respond import respond
from gateway.policy.method import USUAL_METHODS

SERVER_WIDE = "*"
"""The target that means the server itself: no route matches it, no upstream is asked."""


async def answer_options(exchange: Exchange) -> None:
    """Answer with the methods that routes usually have; which ones a path has, it alone says."""
    await respond(exchange, HTTPStatus.NO_CONTENT, [f"Allow: {', '.join(USUAL_METHODS)}"])
