"""Reads what a client sent: the form's parameters and the client's own credentials.

Strict where the standard lets a server be: what two readers might take for two things is refused.
"""

import asyncio
import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self
from urllib.parse import (
    parse_qsl,
    unquote_plus,  # noqa: TID251 - form-encoded credentials; no path is read with it
)

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from gateway.authserver.errors import Problem, RequestRefused

_MAX_PARAMETERS = 100
_BODY_TIMEOUT = 10.0  # seconds
_RESOURCE = "resource"


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who a client says it is, and how (the method's name as in RFC 7591, section 2)."""

    client_id: str
    secret: str
    method: str

    def __repr__(self) -> str:
        return f"Credentials({self.method})"


class Form(dict[str, str]):
    """Parameters by name, each with its one value; apart from them `resource`, with several.

    `resources` has the values of `resource` in their order (RFC 8707, section 2).
    """

    resources: tuple[str, ...] = ()

    @classmethod
    def of(cls, pairs: Sequence[tuple[str, str]]) -> Self:
        """Make a form of pairs of which no two have the same name, but for `resource`."""
        form = cls((name, value) for name, value in pairs if name != _RESOURCE)
        form.resources = tuple(value for name, value in pairs if name == _RESOURCE)
        return form


def parse_form(body: bytes) -> Form:
    """Parse an application/x-www-form-urlencoded body, or a query.

    A parameter without a value counts as left out (RFC 6749, sections 3.1 and 3.2).

    Raises:
        RequestRefused: it is malformed, or a parameter comes twice (the same sections). Only
            `resource` may come several times, with another value each time.
    """
    try:
        pairs = parse_qsl(
            body.decode("utf-8"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=_MAX_PARAMETERS,
        )
    except ValueError:
        raise RequestRefused(Problem.MALFORMED_FORM) from None
    distinct = {pair if pair[0] == _RESOURCE else pair[0] for pair in pairs}
    if len(distinct) != len(pairs):
        raise RequestRefused(Problem.REPEATED_PARAMETER)
    if any(_has_control_character(text) for pair in pairs for text in pair):
        raise RequestRefused(Problem.CONTROL_CHARACTER)
    return Form.of([(name, value) for name, value in pairs if value])


async def read_form(request: web.Request) -> Form:
    """Read the form that a request carries.

    Raises:
        RequestRefused: it is no clean form, or it does not arrive.
        aiohttp.web.HTTPRequestEntityTooLarge: it is longer than the application allows.
    """
    if request.content_type != "application/x-www-form-urlencoded":
        raise RequestRefused(Problem.NOT_A_FORM)
    if "Content-Encoding" in request.headers:
        raise RequestRefused(Problem.ENCODED_BODY)
    try:
        async with asyncio.timeout(_BODY_TIMEOUT):
            body = await request.read()
    except TimeoutError:
        raise RequestRefused(Problem.BODY_TOO_SLOW) from None
    except (web.RequestPayloadError, HttpProcessingError, ConnectionError):
        # Its framing is broken, or the client has gone.
        raise RequestRefused(Problem.MALFORMED_FORM) from None
    return parse_form(body)


def read_credentials(authorization: Sequence[str], form: Mapping[str, str]) -> Credentials | None:
    """Read the client's credentials from the Authorization headers or from the form.

    None when there are none (RFC 6749, section 2.3.1). A client_id alone is how a public client
    says who it is (section 3.2.1), by the method `none`.

    Raises:
        RequestRefused: they are malformed, or there is more than one kind of them.
    """
    client_id, secret = form.get("client_id"), form.get("client_secret")
    if authorization:
        if secret is not None or len(authorization) > 1:
            raise RequestRefused(Problem.TWO_AUTHENTICATIONS)
        credentials = _read_basic(authorization[0])
        if client_id is not None and client_id != credentials.client_id:
            raise RequestRefused(Problem.OTHER_CLIENT_ID)
        return credentials
    if client_id is None:
        return None
    if secret is None:
        return Credentials(client_id, "", "none")
    return Credentials(client_id, secret, "client_secret_post")


def _read_basic(header: str) -> Credentials:
    """Read `Basic base64(form-encoded id ":" form-encoded secret)`, as RFC 6749 has it."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        raise RequestRefused(Problem.INVALID_CLIENT)
    try:
        pair = base64.b64decode(encoded.strip(" "), validate=True).decode("utf-8")
        client_id, secret = (
            unquote_plus(part, errors="strict") for part in pair.split(":", maxsplit=1)
        )
    except ValueError:  # not Base64, not UTF-8 at either level, or no colon
        raise RequestRefused(Problem.INVALID_CLIENT) from None
    if not client_id or not secret or _has_control_character(client_id + secret):
        raise RequestRefused(Problem.INVALID_CLIENT)
    return Credentials(client_id, secret, "client_secret_basic")


def _has_control_character(text: str) -> bool:
    return any(character < " " or "\x7f" <= character <= "\x9f" for character in text)
