"""The listener that a browser comes back to after signing in (RFC 8252, section 7.3).

Rule: it takes one answer, on one path, and only with the `state` that this sign-in made up; any
page in any browser of the machine can knock here, and what it says ends nothing. An answer is from
the server that was asked, or it is refused (RFC 9207): else a code could be sent to another one.
"""

import asyncio
import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl

from aiohttp import web

from gateway.client import page
from gateway.client.errors import ClientError, Refused
from gateway.policy.accept import choose_language
from gateway.settings.findings import quoted

_PATH: Final = "/callback"
_LONGEST_QUERY: Final = 16 * 1024


@dataclass(frozen=True, slots=True)
class Expectation:
    """What an answer has to carry: our own `state`, and the issuer that was asked."""

    state: str
    issuer: str
    promises_iss: bool


class Loopback:
    """Waits for the one answer. `redirect_uri` is where the browser is sent back to."""

    def __init__(self, expectation: Expectation) -> None:
        self._expectation = expectation
        self._code: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._has_strays = False
        self.redirect_uri = ""

    async def wait_for_code(self, seconds: float) -> str:
        """Give the authorization code. Raises Refused or ClientError, also when nobody came."""
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.shield(self._code)
        except TimeoutError:
            strays = " (only answers that do not belong to it)" if self._has_strays else ""
            raise ClientError(
                f"the browser has not come back within {seconds / 60:g} minutes{strays}; "
                "try again, with another --client-id if its page says that the app is unknown"
            ) from None

    async def answer(self, request: web.BaseRequest) -> web.Response:
        """Answer one request, and take what it brings if it is the one waited for."""
        if request.method != "GET" or request.rel_url.raw_path != _PATH:
            return _respond(request, 404, "stray")
        parameters = _read_query(request.rel_url.raw_query_string)
        if not _is_ours(parameters.get("state"), self._expectation.state) or self._code.done():
            self._has_strays = True
            return _respond(request, 400, "stray")
        try:
            self._code.set_result(read_response(parameters, self._expectation))
        except ClientError as error:
            self._code.set_exception(error)
            return _respond(request, 400, "refused")
        return _respond(request, 200, "arrived")

    def forget(self) -> None:
        """Stop waiting, whatever came: an error that nobody fetches is no news."""
        if self._code.done() and not self._code.cancelled():
            self._code.exception()
        else:
            self._code.cancel()


@asynccontextmanager
async def listen(expectation: Expectation) -> AsyncIterator[Loopback]:
    """Listen on a free port of 127.0.0.1 until the block ends."""
    loopback = Loopback(expectation)
    # No access log: the address of the answer holds the code.
    runner = web.ServerRunner(web.Server(loopback.answer, access_log=None), shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        loopback.redirect_uri = f"http://127.0.0.1:{port}{_PATH}"
        yield loopback
    finally:
        loopback.forget()
        await runner.cleanup()


def read_response(parameters: dict[str, str], expectation: Expectation) -> str:
    """Give the code of an authorization response whose state is ours.

    Raises Refused for an error response (RFC 6749, section 4.1.2.1), ClientError for one that is
    of another server or makes no sense.
    """
    issuer = parameters.get("iss")
    if issuer is None and expectation.promises_iss:
        raise ClientError(
            f"the answer does not say that it is from {quoted(expectation.issuer)}, which promises "
            "to say so (RFC 9207); refused"
        )
    if issuer is not None and issuer != expectation.issuer:
        raise ClientError(
            f"the answer is from {quoted(issuer)}, and {quoted(expectation.issuer)} was asked; "
            "refused"
        )
    if "error" in parameters:
        raise Refused(parameters["error"], parameters.get("error_description", ""))
    code = parameters.get("code")
    if not code:
        raise ClientError("the browser came back without a code and without an error")
    return code


def _read_query(query: str) -> dict[str, str]:
    """Give the parameters; nothing at all where one comes twice or they cannot be read."""
    if len(query) > _LONGEST_QUERY:
        return {}
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=50, errors="strict")
    except ValueError:
        return {}
    parameters = dict(pairs)
    return parameters if len(parameters) == len(pairs) else {}


def _is_ours(stated: str | None, state: str) -> bool:
    return stated is not None and hmac.compare_digest(
        stated.encode("utf-8", "surrogatepass"), state.encode()
    )


def _respond(request: web.BaseRequest, status: int, kind: str) -> web.Response:
    language = choose_language(request.headers.get("Accept-Language"))
    response = web.Response(
        status=status,
        text=page.render(kind, language),
        content_type="text/html",
        charset="utf-8",
        headers=page.HEADERS,
    )
    response.force_close()
    return response
