"""What Authlib asks of a server, for one request: who the client is, what a token is and means.

Authlib never awaits and knows no web framework: it runs in a thread, on a snapshot of the request,
and gives the answer as a value. A server object is made for each request, so that its transaction
is its own attribute; it costs a few microseconds, next to a database's hundreds.

What stands here instead of in Authlib, because Authlib 1.9.9 lets it through or says too much:
reading the credentials (it raises on odd ones), the same answer for an unknown client as for a
wrong secret, and the words of errors (it repeats words of the request).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from authlib.oauth2.rfc6749 import (
    AuthorizationServer,
    InvalidClientError,
    InvalidScopeError,
    OAuth2Error,
    OAuth2Request,
)
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc6750 import BearerTokenGenerator
from sqlalchemy import Connection

from gateway.authserver.errors import Problem, RequestRefused
from gateway.authserver.form import Credentials, Form
from gateway.authserver.options import AuthorizationServerOptions
from gateway.authserver.records.clients import Client, find_client, is_secret_of
from gateway.authserver.records.families import Family, extend_family
from gateway.authserver.records.refresh import RefreshToken, insert_refresh_token
from gateway.authserver.records.tokens import Holder, insert_token
from gateway.authserver.resources import parse_resources
from gateway.policy.interfaces import Revocation
from gateway.policy.tokenformat import new_token, token_hash

_PROBLEMS: Mapping[str, Problem] = {
    "access_denied": Problem.ACCESS_DENIED,
    "expired_token": Problem.EXPIRED_TOKEN,
    "invalid_client": Problem.INVALID_CLIENT,
    "invalid_grant": Problem.INVALID_GRANT,
    "invalid_scope": Problem.INVALID_SCOPE,
    "unauthorized_client": Problem.UNAUTHORIZED_CLIENT,
    "unsupported_grant_type": Problem.UNSUPPORTED_GRANT_TYPE,
}
"""Authlib's errors in our words; any other one is an invalid request."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A request as Authlib sees it: parameters, each with one value, and the credentials."""

    form: Form
    credentials: Credentials | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What to answer once the transaction is committed, and what to do before.

    `members` are those of a success; `problem` is set when the answer is an error all the same.
    `revocations` have to be published first. `issued` is the grant type of a token that was issued.
    """

    members: Mapping[str, object] = field(default_factory=dict, repr=False)
    problem: Problem | None = None
    revocations: tuple[Revocation, ...] = ()
    issued: str | None = None


class ReuseDetected(Exception):  # noqa: N818 - what is at fault is the request
    """A code or refresh token that was used already was used again, by its own client.

    Raised, so that nothing of the request is committed; the family is revoked afterwards.
    """

    def __init__(self, family_id: str) -> None:
        self.family_id = family_id
        super().__init__("a code or token was used again")


class TokenRequest(OAuth2Request):
    """The snapshot in the form that Authlib reads. `user` is the family, where there is one."""

    def __init__(self, issuer: str, snapshot: Snapshot) -> None:
        # The URI comes from the configuration: Authlib refuses plain http off loopback, and the
        # Host of a request behind a proxy is anybody's guess.
        super().__init__("POST", issuer)
        self.payload = BasicOAuth2Payload(dict(snapshot.form))
        self.resources = snapshot.form.resources
        self.credentials = snapshot.credentials

    @property
    def form(self) -> dict[str, str]:
        """The parameters."""
        return self.payload.data  # type: ignore[no-any-return]  # Authlib has no types


class RequestingClient:
    """A client as Authlib asks it."""

    def __init__(self, client: Client, declared_scopes: Collection[str]) -> None:
        self.record = client
        self.scopes = client.scopes & frozenset(declared_scopes)

    def check_grant_type(self, grant_type: str) -> bool:
        """Say whether the client is registered for it."""
        return grant_type in self.record.grant_types

    def get_allowed_scope(self, requested: str | None) -> str | None:
        """Give the scope to grant, or None where Authlib is to answer `invalid_scope`.

        All or nothing: a token with less than was asked for, or with nothing, is a surprise that
        shows up much later, as somebody else's 403. What the configuration no longer declares is
        not granted, whatever was once registered. A family without scopes asks for "".
        """
        if requested == "":
            return ""
        if requested is None:
            scopes = self.scopes
            if not scopes and self.record.scopes:
                return None
        else:
            scopes = frozenset(requested.split(" "))  # RFC 6749, section 3.3: the space, alone
            if not scopes <= self.scopes:
                return None
        return " ".join(sorted(scopes))

    def get_scope_of(self, family: Family) -> str:
        """Give what the client may still have of what the person allowed.

        Raises:
            InvalidScopeError: nothing of it is left.
        """
        scopes = frozenset(family.scope.split()) & self.scopes
        if family.scope and not scopes:
            raise InvalidScopeError
        return " ".join(sorted(scopes))


class OAuthServer(AuthorizationServer):
    """One request's authorization server, inside the transaction of the connection."""

    def __init__(
        self, options: AuthorizationServerOptions, connection: Connection, now: float
    ) -> None:
        super().__init__()
        self.options = options
        self.connection = connection
        self.now = int(now)
        self.client: Client | None = None  # once it is authenticated
        self.revocations: list[Revocation] = []
        self._issued: str | None = None
        # Without a lifetime of ours Authlib's tokens of some grants live for ten days.
        self.register_token_generator(
            "default",
            BearerTokenGenerator(
                access_token_generator=_generate_access_token,
                refresh_token_generator=_generate_refresh_token,
                expires_generator=self.get_access_token_lifetime,
            ),
        )

    def create_oauth2_request(self, request: Snapshot) -> TokenRequest:
        """Give the request as Authlib reads it."""
        return TokenRequest(self.options.issuer, request)

    def authenticate_client(
        self, request: TokenRequest, methods: Collection[str], endpoint: str = "token"
    ) -> RequestingClient:
        """Give the client, if it has shown that it is the one, and is not disabled."""
        del endpoint
        credentials = request.credentials
        if credentials is None or credentials.method not in methods:
            raise InvalidClientError
        client = find_client(self.connection, credentials.client_id)
        # A public client has no secret, so whoever sends one is refused; and without one only a
        # public client goes on. The work is the same for all.
        is_authentic = is_secret_of(client, credentials.secret)
        if credentials.method == "none":
            is_authentic = client is not None and client.is_public
        if not is_authentic or client is None or client.disabled_at is not None:
            raise InvalidClientError
        request.auth_method = credentials.method
        self.client = client
        return RequestingClient(client, self.options.scopes)

    def get_access_token_lifetime(self, client: RequestingClient, grant_type: str) -> int:
        """Give how many seconds a new access token of the client lives."""
        del grant_type
        return client.record.access_token_lifetime or self.options.access_token_lifetime

    def save_token(self, token: dict[str, Any], request: TokenRequest) -> None:
        """Store what is about to be handed out."""
        client: Client = request.client.record
        family: Family | None = request.user
        expires_at = self.now + token["expires_in"]
        access_token_hash = token_hash(token["access_token"])
        insert_token(
            self.connection,
            access_token_hash,
            Holder.of_client(client) if family is None else Holder.of_family(family),
            scope=token.get("scope", ""),
            audience=self._choose_audience(request, family),
            issued_at=self.now,
            expires_at=expires_at,
        )
        if family is not None:
            if "refresh_token" in token:
                refresh_token = RefreshToken(
                    hash=token_hash(token["refresh_token"]),
                    family_id=family.id,
                    access_token_hash=access_token_hash,
                    issued_at=self.now,
                    expires_at=self.now
                    + (client.refresh_token_lifetime or self.options.refresh_token_lifetime),
                )
                insert_refresh_token(self.connection, refresh_token)
                expires_at = max(expires_at, refresh_token.expires_at)
            extend_family(self.connection, family.id, expires_at)
        self._issued = request.payload.grant_type

    def note_token_revocation(self, token_hash: bytes) -> None:
        """Have the revocation of an access token published before the answer."""
        self.revocations.append(Revocation(self.options.issuer, "token", token_hash.hex()))

    def note_family_revocation(self, family: Family) -> None:
        """Have the revocation of a family published before the answer."""
        # As that of all its grant: to forget more than is needed costs a look-up.
        self.revocations.append(
            Revocation.of_grant(self.options.issuer, family.user_id, family.client_id)
        )

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Do nothing: nobody listens, but Authlib calls it and its own raises."""

    def handle_response(self, status: int, body: Mapping[str, object], headers: object) -> Answer:
        """Give a success as a value; its status is always 200, and its headers always the same."""
        del status, headers
        return Answer(body, revocations=tuple(self.revocations), issued=self._issued)

    def handle_error_response(self, _request: TokenRequest, error: OAuth2Error) -> Answer:
        """Refuse, by an exception, so that nothing of a request that failed is committed.

        A poll that came to nothing is no failure: that it was made has to be remembered.
        """
        if error.error == "authorization_pending":
            return Answer(problem=Problem.AUTHORIZATION_PENDING)
        if error.error == "slow_down":
            return Answer(problem=Problem.SLOW_DOWN)
        raise RequestRefused(_PROBLEMS.get(error.error, Problem.INVALID_REQUEST))

    def _choose_audience(self, request: TokenRequest, family: Family | None) -> str:
        asked = parse_resources(request.resources, self.options)
        if family is None:
            return asked
        # RFC 8707, section 2.2: some of what was authorized, or all of it.
        if not set(asked.split()) <= set(family.audience.split()):
            raise RequestRefused(Problem.INVALID_TARGET)
        return asked or family.audience


def _generate_access_token(**_: object) -> str:
    return new_token("at")


def _generate_refresh_token(**_: object) -> str:
    return new_token("rt")
