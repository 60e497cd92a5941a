"""Where an issuer has its endpoints: its metadata (RFC 8414; OpenID Connect Discovery 1.0).

Rule: only the configured issuer says it, over TLS or on loopback, and only if the document names
that very issuer (RFC 8414, section 3.3). Nothing in a token takes part.
"""

import asyncio
import json
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Literal
from urllib.parse import urlsplit

from gateway.introspection.calls import ServerCalls
from gateway.policy.interfaces import AuthorizationServerUnavailable

Endpoint = Literal["introspection_endpoint", "jwks_uri"]

_LIFETIME_SECONDS = 3600.0
_PAUSE_SECONDS = 5.0


class IssuerMetadata:
    """One endpoint of an issuer, looked up when it is first needed and once an hour."""

    def __init__(
        self,
        calls: ServerCalls,
        issuer: str,
        endpoint: Endpoint,
        is_acceptable: Callable[[str], bool],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._calls = calls
        self._issuer = issuer
        self._endpoint: Endpoint = endpoint
        self._is_acceptable = is_acceptable
        self._monotonic = monotonic
        self._url: str | None = None
        self._looked_up_again_at = 0.0
        self._lock = asyncio.Lock()

    async def url(self) -> str:
        """Give the endpoint's URL. Raises AuthorizationServerUnavailable.

        Where a later look-up fails, what was found before goes on being used.
        """
        if self._url is None or self._monotonic() >= self._looked_up_again_at:
            async with self._lock:
                return await self._look_up()
        return self._url

    async def _look_up(self) -> str:
        if self._url is not None and self._monotonic() < self._looked_up_again_at:
            return self._url  # somebody else has found it meanwhile
        try:
            self._url = await self._find()
        except AuthorizationServerUnavailable:
            if self._url is None:
                raise
            self._looked_up_again_at = self._monotonic() + _PAUSE_SECONDS
            return self._url
        self._looked_up_again_at = self._monotonic() + _LIFETIME_SECONDS
        return self._url

    async def _find(self) -> str:
        for url in metadata_urls(self._issuer):
            reply = await self._calls.get(url)
            if reply.status == HTTPStatus.OK:
                return self._read(url, reply.body)
            if reply.status != HTTPStatus.NOT_FOUND:
                raise _unusable(f"{url} answered {reply.status}")
        raise _unusable(f"{self._issuer} has no metadata; write down the endpoint's url")

    def _read(self, url: str, body: bytes) -> str:
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            raise _unusable(f"{url} is no JSON") from None
        if not isinstance(document, dict) or document.get("issuer") != self._issuer:
            raise _unusable(f"{url} is not about the issuer {self._issuer}")
        found = document.get(self._endpoint)
        if not isinstance(found, str):
            raise _unusable(f"{url} names no {self._endpoint}")
        if not self._is_acceptable(found):
            raise _unusable(f"{url} names a {self._endpoint} that is neither https nor on loopback")
        return found


def metadata_urls(issuer: str) -> tuple[str, ...]:
    """Give the places of an issuer's metadata, in the order in which they are tried.

    RFC 8414 puts its well-known part before the issuer's path, OpenID Connect behind it.
    """
    parts = urlsplit(issuer)
    origin = f"{parts.scheme}://{parts.netloc}"
    path = parts.path.rstrip("/")
    found = (
        f"{origin}/.well-known/oauth-authorization-server{path}",
        f"{origin}{path}/.well-known/openid-configuration",
        f"{origin}/.well-known/openid-configuration{path}",
    )
    return tuple(dict.fromkeys(found))


def _unusable(detail: str) -> AuthorizationServerUnavailable:
    return AuthorizationServerUnavailable(detail, "unexpected_answer")
