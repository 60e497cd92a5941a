"""Calls to one authorization server: bounded in time, in number and in size.

Rules: no redirect is followed, since a token must not reach whom nobody configured; no cookie comes
back; nothing is inflated. Whatever is no answer is AuthorizationServerUnavailable.
"""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp

from gateway.policy.interfaces import AuthorizationServerUnavailable

_MAXIMUM_ANSWER = 256 * 1024
_LONGEST_RETRY_AFTER = 86_400.0


@dataclass(frozen=True, slots=True)
class CallLimits:
    """How long connecting and a whole call may take, in seconds; how many calls at the same time.

    A call that waits for others spends its own time on that.
    """

    connect_seconds: float
    total_seconds: float
    calls: int


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, whatever its status. `retry_after` is in seconds (RFC 9110, section 10.2.3)."""

    status: int
    body: bytes
    retry_after: float | None


class ServerCalls:
    """The connections to one server. `tls` None is the system's idea of whom to trust."""

    def __init__(self, limits: CallLimits, tls: ssl.SSLContext | None = None) -> None:
        self._limits = limits
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None

    async def get(self, url: str) -> Reply:
        """Ask for a document. Raises AuthorizationServerUnavailable."""
        return await self._call("GET", url, None, {})

    async def post(self, url: str, form: bytes, headers: Mapping[str, str]) -> Reply:
        """Send a form; twice where a kept connection had closed, so it must change nothing.

        Raises AuthorizationServerUnavailable.
        """
        content_type = {"Content-Type": "application/x-www-form-urlencoded"}
        return await self._call("POST", url, form, {**content_type, **headers})

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def _call(
        self, method: str, url: str, form: bytes | None, headers: Mapping[str, str]
    ) -> Reply:
        seconds = self._limits.total_seconds
        try:
            async with asyncio.timeout(seconds):
                return await self._send_twice(method, url, form, headers)
        except TimeoutError as error:
            if isinstance(error, aiohttp.ConnectionTimeoutError):
                detail = f"no connection to {url} within {self._limits.connect_seconds:g}s"
            else:
                detail = f"{url} did not answer within {seconds:g}s"
            raise AuthorizationServerUnavailable(detail, "timeout") from None
        except (aiohttp.ClientError, OSError) as error:
            raise AuthorizationServerUnavailable(f"{url}: {error}") from error

    async def _send_twice(
        self, method: str, url: str, form: bytes | None, headers: Mapping[str, str]
    ) -> Reply:
        try:
            return await self._send(method, url, form, headers)
        except aiohttp.ClientConnectorError:
            raise
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
            # The server may have closed a kept-alive connection just as it was used again. That is
            # no outage, and a question may be asked twice: nothing is changed by it.
            return await self._send(method, url, form, headers)

    async def _send(
        self, method: str, url: str, form: bytes | None, headers: Mapping[str, str]
    ) -> Reply:
        if self._session is None:
            self._session = self._open()
        async with self._session.request(
            method,
            url,
            data=form,
            headers={"Accept": "application/json", "Accept-Encoding": "identity", **headers},
            allow_redirects=False,
        ) as response:
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > _MAXIMUM_ANSWER:
                    raise AuthorizationServerUnavailable(
                        f"{url} answered with more than {_MAXIMUM_ANSWER} bytes",
                        "unexpected_answer",
                    )
            retry_after = read_retry_after(response.headers.get("Retry-After"))
            return Reply(response.status, bytes(body), retry_after)

    def _open(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=self._limits.calls, ssl=True if self._tls is None else self._tls
            ),
            timeout=aiohttp.ClientTimeout(
                total=self._limits.total_seconds, sock_connect=self._limits.connect_seconds
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
        )


def read_retry_after(value: str | None) -> float | None:
    """Read a Retry-After in seconds; a date, or nonsense, says nothing. A day is the most."""
    if value is None or not (value.isascii() and value.isdigit()):
        return None
    return min(float(value), _LONGEST_RETRY_AFTER)
