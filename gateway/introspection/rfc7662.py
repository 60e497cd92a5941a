"""Token introspection over HTTP (RFC 7662), as the protected resource.

Whatever is not a clear answer, from a refused connection to an `active` that is no boolean, is
AuthorizationServerUnavailable: an outage is never the client's fault.
"""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping
from urllib.parse import quote_plus

import aiohttp

from gateway.policy.interfaces import AuthorizationServerUnavailable
from gateway.policy.rejection import Reason
from gateway.policy.token import Inactive, Token

log = logging.getLogger(__name__)

_MAXIMUM_ANSWER = 256 * 1024
_CONNECTIONS = 64


class HttpIntrospector:
    """Asks an introspection endpoint, with client_secret_basic (RFC 6749, section 2.3.1)."""

    def __init__(
        self, *, issuer: str, url: str, client_id: str, client_secret: str, timeout: float
    ) -> None:
        self._issuer = issuer
        self._url = url
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._authorization = aiohttp.encode_basic_auth(
            quote_plus(client_id), quote_plus(client_secret)
        )
        self._session: aiohttp.ClientSession | None = None

    async def introspect(self, token: str) -> Token | Inactive:
        """Ask about a token. Raises AuthorizationServerUnavailable."""
        try:
            async with asyncio.timeout(self._timeout.total):
                status, body = await self._post_twice(token)
        except TimeoutError:
            raise AuthorizationServerUnavailable(
                f"{self._url} did not answer within {self._timeout.total:g}s"
            ) from None
        except (aiohttp.ClientError, OSError) as error:
            raise AuthorizationServerUnavailable(f"{self._url}: {error}") from error
        if status in (401, 403):
            log.error("%s refuses the gateway's own credentials (%d)", self._url, status)
            raise AuthorizationServerUnavailable(f"{self._url} refuses our credentials ({status})")
        if status != 200:
            raise AuthorizationServerUnavailable(f"{self._url} answered {status}")
        return read_answer(body, self._issuer)

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def _post_twice(self, token: str) -> tuple[int, bytes]:
        try:
            return await self._post(token)
        except aiohttp.ClientConnectorError:
            raise
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
            # The server may have closed a kept-alive connection just as it was used again. That is
            # no outage, and a question may be asked twice: nothing is changed by it.
            return await self._post(token)

    async def _post(self, token: str) -> tuple[int, bytes]:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=_CONNECTIONS),
                timeout=self._timeout,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
            )
        async with self._session.post(
            self._url,
            data=f"token={quote_plus(token)}&token_type_hint=access_token".encode("ascii"),
            headers={
                "Authorization": self._authorization,
                "Content-Type": "application/x-www-form-urlencoded",
                "Accept": "application/json",
                "Accept-Encoding": "identity",
            },
            allow_redirects=False,
        ) as response:
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > _MAXIMUM_ANSWER:
                    raise AuthorizationServerUnavailable(
                        f"{self._url} answered with more than {_MAXIMUM_ANSWER} bytes"
                    )
            return response.status, bytes(body)


def read_answer(
    body: bytes, issuer: str, clock: Callable[[], float] = time.time
) -> Token | Inactive:
    """Read an introspection response (RFC 7662, section 2.2) that should come from `issuer`.

    Raises AuthorizationServerUnavailable when it makes no sense.
    """
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        raise AuthorizationServerUnavailable("the introspection answer is no JSON") from None
    if not isinstance(answer, dict) or not isinstance(answer.get("active"), bool):
        raise AuthorizationServerUnavailable("the introspection answer has no boolean `active`")
    if not answer["active"]:
        return Inactive()
    now = clock()
    expires_at = _time(answer, "exp")
    if expires_at is not None and expires_at <= now:
        return Inactive(Reason.EXPIRED_TOKEN)
    not_before = _time(answer, "nbf")
    if not_before is not None and not_before > now:
        return Inactive()
    stated_issuer = _text(answer, "iss")
    client_id = _text(answer, "client_id")
    subject = _text(answer, "sub")
    return Token(
        issuer=issuer if stated_issuer is None else stated_issuer,
        client_id=client_id,
        # Servers that name the client as the subject of its own token: a client is no person.
        subject=None if subject == client_id else subject,
        username=_text(answer, "username"),
        scopes=frozenset(_words(answer, "scope")),
        audience=tuple(_list(answer, "aud")),
        expires_at=expires_at,
        claims=answer,
    )


def _text(answer: Mapping[str, object], name: str) -> str | None:
    value = answer.get(name)
    if value is None or isinstance(value, str):
        return value
    raise AuthorizationServerUnavailable(f"`{name}` of the introspection answer is no string")


def _time(answer: Mapping[str, object], name: str) -> float | None:
    value = answer.get(name)
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 2**53:
        return float(value)
    raise AuthorizationServerUnavailable(f"`{name}` of the introspection answer is no time")


def _list(answer: Mapping[str, object], name: str) -> list[str]:
    value = answer.get(name)
    if value is None:
        return []
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and all(isinstance(member, str) for member in value):
        return value
    raise AuthorizationServerUnavailable(f"`{name}` of the introspection answer is no string")


def _words(answer: Mapping[str, object], name: str) -> list[str]:
    # A string by the RFC; some servers send a list.
    return [word for text in _list(answer, name) for word in text.split(" ") if word]
