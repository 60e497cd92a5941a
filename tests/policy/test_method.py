"""Which methods there are."""

import asyncio

from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpRequestParser

from gateway.policy.method import FORWARDED_METHODS, NEVER_FORWARDED, PARSED_METHODS


async def test_the_methods_are_those_of_the_parser() -> None:
    """No more, which no request could have, and no less, which no route could name."""
    registered = "BASELINE-CONTROL CHECKIN LABEL MKREDIRECTREF MKWORKSPACE ORDERPATCH PRI UPDATE"
    streaming = "ANNOUNCE DESCRIBE FLUSH GET_PARAMETER PAUSE PLAY RECORD REDIRECT SETUP TEARDOWN"
    candidates = {*PARSED_METHODS, *registered.split(), *streaming.split(), "BOGUS", "GETS", "BREW"}

    def is_taken(method: str) -> bool:
        loop = asyncio.get_running_loop()
        protocol = BaseProtocol(loop)
        parser = HttpRequestParser(protocol, loop, 2**16)
        target = "a.example:80" if method == "CONNECT" else "/"
        try:
            messages, _, _ = parser.feed_data(
                f"{method} {target} HTTP/1.1\r\nHost: a.example\r\n\r\n".encode()
            )
        except HttpProcessingError:
            return False
        return [message.method for message, _ in messages] == [method]

    assert {method for method in candidates if is_taken(method)} == PARSED_METHODS


def test_none_that_opens_a_tunnel_or_echoes_can_be_named() -> None:
    assert not NEVER_FORWARDED & set(FORWARDED_METHODS)
