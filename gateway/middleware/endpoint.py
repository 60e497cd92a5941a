"""The listeners that are not the guard's: aiohttp's server under our bounds and in our words."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, cast

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong

from gateway.middleware.bounded import BoundedProtocol, FrontLimits
from gateway.middleware.entrance import Entrance

log = logging.getLogger(__name__)

_EndpointHandler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class EndpointProtocol(BoundedProtocol):
    """A connection to a listener that is not the guard's: pages and endpoints of our own."""

    __slots__ = ()

    def __init__(
        self, server: web.Server, limits: FrontLimits, entrance: Entrance, **kwargs: Any
    ) -> None:
        super().__init__(server, limits, entrance, **kwargs)
        # aiohttp answers Expect before any handler or middleware of ours, and repeats it.
        handler = cast(_EndpointHandler, self._request_handler)
        self._request_handler = partial(_answer_expectation, handler)

    def handle_error(
        self,
        request: web.BaseRequest,  # noqa: ARG002 - not a word of it is repeated
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - aiohttp's quotes the request
    ) -> web.StreamResponse:
        """Answer what could not be parsed, or failed, without a word from the request."""
        if isinstance(exc, HttpProcessingError | web.RequestPayloadError):
            members = {"error": "invalid_request", "error_description": "The request is malformed."}
            status = 431 if isinstance(exc, LineTooLong) else 400
        else:
            log.error("a request failed", exc_info=exc)
            members = {"error": "server_error", "error_description": "The request failed."}
        return _refuse_at_endpoint(status, members)


async def _answer_expectation(
    handler: _EndpointHandler, request: web.BaseRequest
) -> web.StreamResponse:
    """Refuse what nobody here can meet (RFC 9110, section 10.1.1)."""
    expected = request.headers.get("Expect")
    if expected is None or expected.lower() == "100-continue":
        return await handler(request)
    words = "Only 100-continue can be expected."
    return _refuse_at_endpoint(417, {"error": "invalid_request", "error_description": words})


def _refuse_at_endpoint(status: int, members: Mapping[str, str]) -> web.Response:
    response = web.json_response(
        members,
        status=status,
        headers={
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "Server": "gateway",
        },
    )
    response.force_close()
    return response
