"""Tokens from the token endpoint, and giving them up (RFC 6749, section 5; RFC 7009)."""

import base64
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote_plus

from gateway.client.discovery import ServerMetadata
from gateway.client.errors import ClientError, Refused, ServerUnreachable
from gateway.client.transport import Answer, Form, HttpClient
from gateway.settings.findings import printable, quoted

# RFC 6750, section 2.1: anything else could break out of the header that it is sent in.
_BEARER_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")
_LONGEST_LIFETIME: Final = 10 * 365 * 24 * 3600


@dataclass(frozen=True, slots=True)
class ClientIdentity:
    """Who the client is at the authorization server; a public one has no secret."""

    client_id: str
    client_secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Tokens:
    """What the token endpoint gave. Times are Unix seconds; an `expires_at` of None is not known.

    `refresh_token` and `scope` are None where the answer does not have them: what was there before
    stays, or what was asked for holds.
    """

    access_token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)
    scope: str | None
    obtained_at: float
    expires_at: float | None


class TokenEndpoint:
    """The token and revocation endpoints of one server, as one client uses them."""

    def __init__(
        self,
        http: HttpClient,
        server: ServerMetadata,
        client: ClientIdentity,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._http = http
        self._server = server
        self._client = client
        self._clock = clock

    async def exchange_code(self, code: str, redirect_uri: str, verifier: str) -> Tokens:
        """Trade an authorization code (RFC 6749, section 4.1.3). Raises ClientError."""
        form = [("code", code), ("redirect_uri", redirect_uri), ("code_verifier", verifier)]
        return await self._ask("authorization_code", form)

    async def exchange_device_code(self, device_code: str) -> Tokens:
        """Ask whether a device code has been allowed (RFC 8628, section 3.4).

        Raises Refused with `authorization_pending` while it has not; ClientError.
        """
        return await self._ask(
            "urn:ietf:params:oauth:grant-type:device_code", [("device_code", device_code)]
        )

    async def refresh(self, refresh_token: str) -> Tokens:
        """Get new tokens for a refresh token (RFC 6749, section 6). Raises ClientError."""
        return await self._ask("refresh_token", [("refresh_token", refresh_token)])

    async def revoke(self, token: str, hint: str) -> None:
        """Give a token up (RFC 7009). Raises ClientError when it is not certain that it is dead."""
        if self._server.revocation_endpoint is None:
            raise ClientError(f"{quoted(self._server.issuer)} has no revocation endpoint")
        answer = await self.post(
            self._server.revocation_endpoint, [("token", token), ("token_type_hint", hint)]
        )
        if answer.status != 200:
            raise read_refusal(answer)

    async def post(self, url: str, form: Form) -> Answer:
        """POST a form as this client, authenticated where it has a secret."""
        client_id, secret = self._client.client_id, self._client.client_secret
        if secret is None:
            return await self._http.post(url, [*form, ("client_id", client_id)])
        if not self._server.takes_basic:
            credentials = [("client_id", client_id), ("client_secret", secret)]
            return await self._http.post(url, [*form, *credentials])
        # RFC 6749, section 2.3.1: each is form-encoded before they are joined.
        pair = f"{quote_plus(client_id)}:{quote_plus(secret)}".encode("ascii")
        return await self._http.post(url, form, f"Basic {base64.b64encode(pair).decode()}")

    async def _ask(self, grant_type: str, form: Form) -> Tokens:
        if self._server.token_endpoint is None:
            raise ClientError(f"{quoted(self._server.issuer)} has no token endpoint")
        # From before the question: the token cannot have begun to age earlier.
        asked_at = self._clock()
        answer = await self.post(self._server.token_endpoint, [("grant_type", grant_type), *form])
        if answer.status != 200:
            raise read_refusal(answer)
        return read_tokens(answer.read_json(), asked_at)


def read_refusal(answer: Answer) -> ClientError:
    """Give what an answer other than 200 means: Refused, or ServerUnreachable."""
    if 400 <= answer.status < 500:
        try:
            members = answer.read_json()
        except ServerUnreachable:
            members = {}
        code, description = members.get("error"), members.get("error_description")
        if isinstance(code, str) and code:
            return Refused(code, description if isinstance(description, str) else "")
    return ServerUnreachable(f"{printable(answer.url)} answered {answer.status}")


def read_tokens(members: Mapping[str, object], obtained_at: float) -> Tokens:
    """Read a successful answer (RFC 6749, section 5.1). Raises ServerUnreachable."""
    access_token, kind = members.get("access_token"), members.get("token_type")
    if not isinstance(access_token, str) or _BEARER_TOKEN.fullmatch(access_token) is None:
        raise ServerUnreachable("the token endpoint answered without a usable access token")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise ServerUnreachable(f"the token endpoint gave a token of type {quoted(str(kind))}")
    refresh_token, scope = members.get("refresh_token"), members.get("scope")
    lifetime = _read_lifetime(members.get("expires_in"))
    return Tokens(
        access_token=access_token,
        refresh_token=refresh_token if isinstance(refresh_token, str) and refresh_token else None,
        scope=scope if isinstance(scope, str) else None,
        obtained_at=obtained_at,
        expires_at=None if lifetime is None else obtained_at + lifetime,
    )


def _read_lifetime(value: object) -> float | None:
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 12:
        value = int(value)  # some servers write it so
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) if 0 <= value <= _LONGEST_LIFETIME else None
    return None
