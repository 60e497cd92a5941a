"""Token introspection over HTTP (RFC 7662), as the protected resource.

Whatever is not a clear answer, from a refused connection to an `active` that is no boolean, is
AuthorizationServerUnavailable: an outage is never the client's fault.
"""

import json
import time
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from urllib.parse import urlencode

from gateway.introspection.calls import Reply, ServerCalls
from gateway.introspection.client_authentication import Authenticate
from gateway.policy.interfaces import AuthorizationServerUnavailable
from gateway.policy.rejection import Reason
from gateway.policy.token import Inactive, Token


class HttpIntrospector:
    """Asks an introspection endpoint; `find_url` gives it each time, `authenticate` who asks."""

    def __init__(
        self,
        calls: ServerCalls,
        *,
        issuer: str,
        find_url: Callable[[], Awaitable[str]],
        authenticate: Authenticate,
    ) -> None:
        self._calls = calls
        self._issuer = issuer
        self._find_url = find_url
        self._authenticate = authenticate

    async def introspect(self, token: str) -> Token | Inactive:
        """Ask about a token. Raises AuthorizationServerUnavailable."""
        url = await self._find_url()
        credentials = self._authenticate()
        form = {"token": token, "token_type_hint": "access_token", **credentials.form}
        reply = await self._calls.post(url, urlencode(form).encode("ascii"), credentials.headers)
        if reply.status != HTTPStatus.OK:
            raise _explain(reply, url)
        return read_answer(reply.body, self._issuer)

    async def close(self) -> None:
        """Close the connections."""
        await self._calls.close()


def _explain(reply: Reply, url: str) -> AuthorizationServerUnavailable:
    """Say what an answer means that is none."""
    status = reply.status
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return AuthorizationServerUnavailable(
            f"{url} refuses the gateway's own credentials ({status})", "credentials_refused"
        )
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return AuthorizationServerUnavailable(
            f"{url} has had too many questions (429)", "throttled", reply.retry_after
        )
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return AuthorizationServerUnavailable(
            f"{url} failed ({status})", "server_error", reply.retry_after
        )
    return AuthorizationServerUnavailable(f"{url} answered {status}", "unexpected_answer")


def read_answer(
    body: bytes, issuer: str, clock: Callable[[], float] = time.time
) -> Token | Inactive:
    """Read an introspection response (RFC 7662, section 2.2) that should come from `issuer`.

    Raises AuthorizationServerUnavailable when it makes no sense.
    """
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        raise _nonsense("it is no JSON") from None
    if not isinstance(answer, dict) or not isinstance(answer.get("active"), bool):
        raise _nonsense("it has no boolean `active`")
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
    raise _nonsense(f"`{name}` is no string")


def _time(answer: Mapping[str, object], name: str) -> float | None:
    value = answer.get(name)
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 2**53:
        return float(value)
    raise _nonsense(f"`{name}` is no time")


def _list(answer: Mapping[str, object], name: str) -> list[str]:
    value = answer.get(name)
    if value is None:
        return []
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and all(isinstance(member, str) for member in value):
        return value
    raise _nonsense(f"`{name}` is no string")


def _words(answer: Mapping[str, object], name: str) -> list[str]:
    # A string by the RFC; some servers send a list.
    return [word for text in _list(answer, name) for word in text.split(" ") if word]


def _nonsense(what: str) -> AuthorizationServerUnavailable:
    return AuthorizationServerUnavailable(f"introspection answer: {what}", "unexpected_answer")
