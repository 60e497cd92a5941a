"""Authlib's part: one request, one transaction, one answer.

Authlib never awaits and knows no web framework: it runs in a thread, on a snapshot of the request,
and gives the answer as a value. A server object is made for each request, so that its transaction
is its own attribute; it costs a few microseconds, next to a database's hundreds.

What stands here instead of in Authlib, because Authlib 1.9.9 lets it through or says too much:
reading the credentials (it raises on odd ones), the same answer for an unknown client as for a
wrong secret, type hints (it refuses unknown ones, against RFC 7009, section 2.1), and the words of
errors (it repeats words of the request).
"""

import inspect
import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from authlib.oauth2.rfc6749 import (
    AuthorizationServer,
    InvalidClientError,
    OAuth2Error,
    OAuth2Request,
)
from authlib.oauth2.rfc6749.grants import ClientCredentialsGrant
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc6750 import BearerTokenGenerator
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7662 import IntrospectionEndpoint
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from gateway.authserver.clients import Client, find_client, is_secret_of
from gateway.authserver.errors import Problem, RequestRefused
from gateway.authserver.form import Credentials
from gateway.authserver.metadata import AUTHENTICATION_METHODS
from gateway.authserver.options import AuthorizationServerOptions
from gateway.authserver.tokens import AccessToken, find_token, insert_token, revoke_token
from gateway.policy.tokenformat import has_valid_checksum, new_token, token_hash

_PROBLEMS: Mapping[str, Problem] = {
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

    form: Mapping[str, str]
    credentials: Credentials | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What to answer, and what the request has brought about once its transaction is committed."""

    status: int
    members: Mapping[str, object]
    issued: str | None = None  # the grant type of a token that was issued
    revoked: bytes | None = field(default=None, repr=False)  # the hash of a token that was revoked


class Conversation:
    """Answers one request inside one transaction, which the caller commits or rolls back.

    Each method raises RequestRefused where the answer is an error, and sqlalchemy.exc's errors
    where the database fails.
    """

    def __init__(
        self, options: AuthorizationServerOptions, connection: Connection, now: float
    ) -> None:
        self._server = _Server(options, connection, now)

    def issue(self, snapshot: Snapshot) -> Answer:
        """Answer the token endpoint (RFC 6749, section 3.2)."""
        if "grant_type" not in snapshot.form:
            raise RequestRefused(Problem.MISSING_GRANT_TYPE)
        answer: Answer = self._server.create_token_response(snapshot)
        return answer

    def introspect(self, snapshot: Snapshot) -> Answer:
        """Answer the introspection endpoint (RFC 7662, section 2)."""
        answer: Answer = self._server.create_endpoint_response(
            _Introspection.ENDPOINT_NAME, snapshot
        )
        return answer

    def revoke(self, snapshot: Snapshot) -> Answer:
        """Answer the revocation endpoint (RFC 7009, section 2)."""
        answer: Answer = self._server.create_endpoint_response(_Revocation.ENDPOINT_NAME, snapshot)
        return answer


class _Request(OAuth2Request):
    """The snapshot in the form that Authlib reads."""

    def __init__(self, issuer: str, snapshot: Snapshot) -> None:
        # The URI comes from the configuration: Authlib refuses plain http off loopback, and the
        # Host of a request behind a proxy is anybody's guess.
        super().__init__("POST", issuer)
        self.payload = BasicOAuth2Payload(dict(snapshot.form))
        self.credentials = snapshot.credentials

    @property
    def form(self) -> dict[str, str]:
        return self.payload.data  # type: ignore[no-any-return]  # Authlib has no types


class _Client:
    """A client as Authlib asks it."""

    def __init__(self, client: Client, declared_scopes: Mapping[str, str]) -> None:
        self.record = client
        self._scopes = client.scopes & declared_scopes.keys()

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in self.record.grant_types

    def get_allowed_scope(self, requested: str | None) -> str | None:
        """Give the scope to grant, or None where Authlib is to answer `invalid_scope`.

        All or nothing: a token with less than was asked for, or with nothing, is a surprise that
        shows up much later, as somebody else's 403. What the configuration no longer declares is
        not granted, whatever was once registered.
        """
        if requested is None:
            scopes = self._scopes
            if not scopes and self.record.scopes:
                return None
        else:
            scopes = frozenset(requested.split(" "))  # RFC 6749, section 3.3: the space, alone
            if not scopes <= self._scopes:
                return None
        return " ".join(sorted(scopes))


class _Token:
    """An access token as Authlib asks it."""

    def __init__(self, token: AccessToken, now: float) -> None:
        self.record = token
        self._now = now

    def check_client(self, client: _Client) -> bool:
        return self.record.client_id == client.record.id

    def is_expired(self) -> bool:
        return self.record.expires_at <= self._now

    def is_revoked(self) -> bool:
        return self.record.revoked_at is not None


class _Server(AuthorizationServer):
    """One request's authorization server."""

    def __init__(
        self, options: AuthorizationServerOptions, connection: Connection, now: float
    ) -> None:
        super().__init__()
        self.options = options
        self.connection = connection
        self.now = now
        self.revoked: bytes | None = None
        self._issued: str | None = None
        self.register_grant(_ClientCredentials)
        self.register_endpoint(_Introspection)
        self.register_endpoint(_Revocation)
        # Without a lifetime of ours Authlib's tokens of some grants live for ten days.
        self.register_token_generator(
            "default",
            BearerTokenGenerator(
                access_token_generator=_generate_access_token,
                expires_generator=options.access_token_lifetime,
            ),
        )

    def create_oauth2_request(self, request: Snapshot) -> _Request:
        return _Request(self.options.issuer, request)

    def authenticate_client(
        self, request: _Request, methods: Collection[str], endpoint: str = "token"
    ) -> _Client:
        del endpoint  # every endpoint takes the same methods
        credentials = request.credentials
        if credentials is None or credentials.method not in methods:
            raise InvalidClientError
        client = find_client(self.connection, credentials.client_id)
        if not is_secret_of(client, credentials.secret) or client is None:
            raise InvalidClientError
        request.auth_method = credentials.method
        return _Client(client, self.options.scopes)

    def find_token(self, token: str) -> _Token | None:
        """Give the token, however dead; None when it is none of this server's."""
        if not has_valid_checksum(token):
            return None
        record = find_token(self.connection, token_hash(token))
        return _Token(record, self.now) if record is not None else None

    def save_token(self, token: dict[str, Any], request: _Request) -> None:
        issued_at = int(self.now)
        try:
            insert_token(
                self.connection,
                AccessToken(
                    hash=token_hash(token["access_token"]),
                    client_id=request.client.record.id,
                    scope=token.get("scope", ""),
                    audience="",
                    issued_at=issued_at,
                    expires_at=issued_at + token["expires_in"],
                    revoked_at=None,
                ),
            )
        except IntegrityError:  # removed since it was authenticated
            raise InvalidClientError from None
        self._issued = request.payload.grant_type

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Do nothing: nobody listens, but Authlib calls it and its own raises."""

    def handle_response(self, status: int, body: Mapping[str, object], headers: object) -> Answer:
        del headers  # the endpoints give every answer the same ones
        return Answer(status, body, issued=self._issued, revoked=self.revoked)

    def handle_error_response(self, _request: _Request, error: OAuth2Error) -> Answer:
        # An exception, so that nothing of a request that failed half-way is committed.
        raise RequestRefused(_PROBLEMS.get(error.error, Problem.INVALID_REQUEST))


class _ClientCredentials(ClientCredentialsGrant):
    """RFC 6749, section 4.4."""

    TOKEN_ENDPOINT_AUTH_METHODS = AUTHENTICATION_METHODS


class _Introspection(IntrospectionEndpoint):
    """RFC 7662: what is known about any token of this server, for clients that may ask."""

    CLIENT_AUTH_METHODS = AUTHENTICATION_METHODS
    server: _Server

    def authenticate_endpoint_client(self, request: _Request) -> _Client:
        client: _Client = super().authenticate_endpoint_client(request)
        if not client.record.may_introspect:
            raise RequestRefused(Problem.MAY_NOT_INTROSPECT)
        return client

    def check_params(self, request: _Request, _client: _Client) -> None:
        _check_token_parameter(request)

    def check_permission(self, _token: _Token, client: _Client, _request: _Request) -> bool:
        return client.record.may_introspect

    def query_token(self, token_string: str, _token_type_hint: str | None) -> _Token | None:
        return self.server.find_token(token_string)

    def introspect_token(self, token: _Token) -> dict[str, object]:
        return token.record.describe(self.server.options.issuer)


class _Revocation(RevocationEndpoint):
    """RFC 7009: a client takes back a token of its own.

    One that is revoked already is revoked again: after a 503 the client tries again, and then 200
    has to mean that every worker knows.
    """

    CLIENT_AUTH_METHODS = AUTHENTICATION_METHODS
    server: _Server

    def check_params(self, request: _Request, _client: _Client) -> None:
        _check_token_parameter(request)

    def query_token(self, token_string: str, _token_type_hint: str | None) -> _Token | None:
        return self.server.find_token(token_string)

    def revoke_token(self, token: _Token, _request: _Request) -> None:
        revoke_token(self.server.connection, token.record.hash, int(self.server.now))
        self.server.revoked = token.record.hash


def refuse_coroutines() -> None:
    """Make sure that Authlib calls plain functions only.

    Authlib never awaits, and a coroutine is truthy: an `async def check_permission` that returns
    False would permit everything.

    Raises:
        TypeError: one of them is a coroutine function.
    """
    for owner in (
        _Request,
        _Client,
        _Token,
        _Server,
        _ClientCredentials,
        _Introspection,
        _Revocation,
    ):
        for name, member in inspect.getmembers(owner):
            if inspect.iscoroutinefunction(member) or inspect.isasyncgenfunction(member):
                raise TypeError(
                    f"{owner.__name__}.{name} is a coroutine, which Authlib never awaits"
                )


def silence_authlib() -> None:
    """Keep Authlib's debug lines, which carry tokens, out of every log.

    A filter on each of its loggers: a level on their common parent would not hold for a logger
    that somebody gave a level of its own.
    """
    for name in list(logging.root.manager.loggerDict):
        if name == "authlib" or name.startswith("authlib."):
            logging.getLogger(name).addFilter(_is_worth_logging)


def _is_worth_logging(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.WARNING


def _generate_access_token(**_: object) -> str:
    return new_token("at")


def _check_token_parameter(request: _Request) -> None:
    # An unknown token_type_hint is ignored (RFC 7009, section 2.1): there is one type of tokens.
    if "token" not in request.form:
        raise RequestRefused(Problem.MISSING_TOKEN)
