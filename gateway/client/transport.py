"""HTTP as the client role speaks it: bounded in size and time, no redirects, no cookies.

Rule: nothing secret travels where somebody could read along. A URL that is neither https nor plain
http to this machine itself is refused before anything is sent.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self
from urllib.parse import quote, urlencode

import aiohttp
from yarl import URL

from gateway import __version__
from gateway.client.errors import ClientError, ServerUnreachable
from gateway.settings.addresses import Origin, split_url
from gateway.settings.findings import Problem, printable, quoted

Form = Sequence[tuple[str, str]]

_MAXIMUM_ANSWER: Final = 256 * 1024
_SECONDS: Final = 15.0
_USER_AGENT: Final = f"gateway/{__version__}"
_VISIBLE: Final = "".join(map(chr, range(0x21, 0x7F)))


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered, read to its end."""

    url: str
    status: int
    body: bytes

    def read_json(self) -> dict[str, object]:
        """Give the JSON object in the body. Raises ServerUnreachable when there is none."""
        try:
            members = json.loads(self.body)
            # Half a character, which JSON can spell and nothing can send on.
            json.dumps(members, ensure_ascii=False).encode("utf-8")
        except (ValueError, RecursionError):
            members = None
        if not isinstance(members, dict):
            raise ServerUnreachable(f"{printable(self.url)} answered what is no JSON object")
        return members


class HttpClient:
    """Asks servers. An asynchronous context manager: its connections end with the block."""

    def __init__(self, *, seconds: float = _SECONDS) -> None:
        self._timeout = aiohttp.ClientTimeout(total=seconds)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            headers={"User-Agent": _USER_AGENT},
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.session.close()

    @property
    def session(self) -> aiohttp.ClientSession:
        """The open session, for requests that stream."""
        assert self._session is not None  # noqa: S101 - for the type checker: used inside the block
        return self._session

    async def get(self, url: str, authorization: str | None = None) -> Answer:
        """GET a URL that `check_url` has let pass. Raises ServerUnreachable."""
        return await self._ask("GET", url, None, authorization)

    async def post(self, url: str, form: Form, authorization: str | None = None) -> Answer:
        """POST a form there. Raises ServerUnreachable."""
        return await self._ask("POST", url, urlencode(form).encode("ascii"), authorization)

    async def _ask(
        self, method: str, url: str, data: bytes | None, authorization: str | None
    ) -> Answer:
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        if data is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        if authorization is not None:
            headers["Authorization"] = authorization
        try:
            async with self.session.request(
                method,
                URL(url, encoded=True),
                data=data,
                headers=headers,
                allow_redirects=False,
                timeout=self._timeout,
            ) as response:
                body = bytearray()
                async for chunk in response.content.iter_any():
                    body += chunk
                    if len(body) > _MAXIMUM_ANSWER:
                        raise ServerUnreachable(
                            f"{printable(url)} answered with more than {_MAXIMUM_ANSWER} bytes"
                        )
                return Answer(url, response.status, bytes(body))
        except TimeoutError:
            raise ServerUnreachable(
                f"{printable(url)} did not answer within {self._timeout.total:g} s"
            ) from None
        except (aiohttp.ClientError, OSError) as error:
            raise ServerUnreachable(describe_failure(url, error)) from None


def describe_failure(url: str, error: Exception) -> str:
    """Say in a line why a URL could not be asked."""
    words = str(error).partition("\n")[0] or type(error).__name__
    if type(error) is aiohttp.ClientConnectorError or isinstance(
        error, aiohttp.ClientConnectorDNSError
    ):
        # aiohttp's own words repeat host and port, and name what it tried inside.
        number = error.os_error.errno
        words = os.strerror(number) if number and number > 0 else error.os_error.strerror or words
    return f"{printable(url)} cannot be reached: {printable(words)}"


def check_url(url: str, *, schemes: tuple[str, ...] = ("https", "http")) -> tuple[Origin, str]:
    """Take a URL and give its origin and all that follows, as it goes over the wire.

    Raises ClientError unless it is https, or http to this machine itself, and without a fragment.
    """
    try:
        origin, rest = split_url(url, schemes)
    except Problem as problem:
        raise ClientError(str(problem)) from None
    if not origin.is_secure:
        raise ClientError(
            f"{quoted(url)} is plain http to another machine, where everyone on the way reads "
            "along; use https"
        )
    if "#" in rest:
        raise ClientError(f"{quoted(url)} has a fragment; leave out the # and what follows")
    # What is written in other letters travels as escaped UTF-8; escapes stay as they are.
    return origin, quote(rest, safe=_VISIBLE)
