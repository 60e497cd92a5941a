"""CORS: which pages of other origins may read the answers to their scripts (WHATWG Fetch).

Only those of a browser client's registered origins; never `*`, and never with credentials: cookies
are of no account at these endpoints. The endpoints for people, where they are, are not among them.
"""

from collections.abc import Collection, Mapping

from aiohttp import web

from gateway.authserver.metadata import (
    DEVICE_AUTHORIZATION_PATH,
    METADATA_PATH,
    REVOCATION_PATH,
    TOKEN_PATH,
)

METHODS: Mapping[str, str] = {
    METADATA_PATH: "GET",
    TOKEN_PATH: "POST",
    REVOCATION_PATH: "POST",
    DEVICE_AUTHORIZATION_PATH: "POST",
}
"""The endpoints for scripts, each with the method that they use."""

_ALLOWED_HEADERS = "Authorization, Content-Type"
_MAX_AGE = "600"  # seconds that a browser may keep the answer to a preflight


def read_origin(request: web.Request) -> str | None:
    """Give the origin that the browser says the script is of; None when it says none, or two."""
    values = request.headers.getall("Origin", ())
    return values[0] if len(values) == 1 else None


def allow_origin(
    response: web.StreamResponse, origin: str | None, origins: Collection[str]
) -> bool:
    """Let the script read the answer, if its origin is one of these; say whether it is."""
    if origin is None or origin not in origins:
        return False
    response.headers["Access-Control-Allow-Origin"] = origin
    return True


def allow_request(response: web.StreamResponse, path: str) -> None:
    """Let the script send what the endpoint takes: the rest of the answer to a preflight."""
    response.headers["Access-Control-Allow-Methods"] = METHODS[path]
    response.headers["Access-Control-Allow-Headers"] = _ALLOWED_HEADERS
    response.headers["Access-Control-Max-Age"] = _MAX_AGE
