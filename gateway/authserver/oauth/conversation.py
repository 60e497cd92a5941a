"""Authlib's part as the rest of the server sees it: one request, one transaction, one answer."""

import inspect
import logging

from sqlalchemy import Connection

from gateway.authserver.errors import Problem, RequestRefused
from gateway.authserver.oauth import grant_types, oauth_server, token_endpoints
from gateway.authserver.oauth.grant_types import (
    ClientCredentials,
    CodeRedemption,
    DevicePolling,
    ProofKey,
    Refresh,
)
from gateway.authserver.oauth.oauth_server import Answer, OAuthServer, ReuseDetected, Snapshot
from gateway.authserver.oauth.token_endpoints import DeviceAuthorization, Introspection, Revocation
from gateway.authserver.options import AuthorizationServerOptions
from gateway.authserver.records.clients import Client
from gateway.authserver.records.families import find_family, revoke_family
from gateway.policy.interfaces import Revocation as RevocationNotice

_logger = logging.getLogger(__name__)


class Conversation:
    """Answers one request inside one transaction, which the caller commits or rolls back.

    Each method raises RequestRefused where the answer is an error and nothing is to be committed,
    ReuseDetected where a family is to be revoked afterwards as well, and sqlalchemy.exc's errors
    where the database fails.
    """

    def __init__(
        self, options: AuthorizationServerOptions, connection: Connection, now: float
    ) -> None:
        self._server = OAuthServer(options, connection, now)

    @property
    def client(self) -> Client | None:
        """Who asks, once it is authenticated."""
        return self._server.client

    def issue(self, snapshot: Snapshot) -> Answer:
        """Answer the token endpoint (RFC 6749, section 3.2)."""
        if "grant_type" not in snapshot.form:
            raise RequestRefused(Problem.MISSING_GRANT_TYPE)
        for grant in (ClientCredentials, Refresh, DevicePolling):
            self._server.register_grant(grant)
        self._server.register_grant(CodeRedemption, [ProofKey(required=True)])
        answer: Answer = self._server.create_token_response(snapshot)
        return answer

    def introspect(self, snapshot: Snapshot) -> Answer:
        """Answer the introspection endpoint (RFC 7662, section 2)."""
        return self._ask(Introspection, snapshot)

    def revoke(self, snapshot: Snapshot) -> Answer:
        """Answer the revocation endpoint (RFC 7009, section 2)."""
        return self._ask(Revocation, snapshot)

    def authorize_device(self, snapshot: Snapshot) -> Answer:
        """Answer the device authorization endpoint (RFC 8628, section 3.1)."""
        return self._ask(DeviceAuthorization, snapshot)

    def _ask(
        self,
        endpoint: type[Introspection | Revocation | DeviceAuthorization],
        snapshot: Snapshot,
    ) -> Answer:
        self._server.register_endpoint(endpoint)
        answer: Answer = self._server.create_endpoint_response(endpoint.ENDPOINT_NAME, snapshot)
        return answer


def punish_reuse(
    options: AuthorizationServerOptions, connection: Connection, reuse: ReuseDetected, now: float
) -> Answer:
    """Revoke the family of which something was used again, in a transaction of its own.

    One that is revoked already is published again: perhaps not every worker heard.
    """
    family = find_family(connection, reuse.family_id)
    if family is None:
        return Answer(problem=Problem.INVALID_GRANT)
    revoke_family(connection, family.id, int(now))
    _logger.warning(
        "client %s used a code or refresh token again: all that came of it is revoked",
        family.client_id,
    )
    notice = RevocationNotice.of_grant(options.issuer, family.user_id, family.client_id)
    return Answer(problem=Problem.INVALID_GRANT, revocations=(notice,))


def refuse_coroutines() -> None:
    """Make sure that Authlib calls plain functions only.

    Authlib never awaits, and a coroutine is truthy: an `async def check_permission` that returns
    False would permit everything.

    Raises:
        TypeError: one of them is a coroutine function.
    """
    for module in (oauth_server, grant_types, token_endpoints):
        for owner in vars(module).values():
            if inspect.isclass(owner) and owner.__module__ == module.__name__:
                _refuse_coroutines_of(owner)


def _refuse_coroutines_of(owner: type) -> None:
    for name, member in inspect.getmembers(owner):
        if inspect.iscoroutinefunction(member) or inspect.isasyncgenfunction(member):
            raise TypeError(f"{owner.__name__}.{name} is a coroutine, which Authlib never awaits")


def silence_libraries() -> None:
    """Keep what Authlib and SQLAlchemy say at DEBUG out of every log: tokens, and rows.

    A filter on each of their loggers: a level on a common parent would not hold for a logger that
    somebody gave a level of its own. SQLAlchemy hides a statement's parameters, not its results.
    """
    for name in list(logging.root.manager.loggerDict):
        room = name.partition(".")[0]
        if room == "authlib":
            logging.getLogger(name).addFilter(_is_warning)
        elif room == "sqlalchemy":
            logging.getLogger(name).addFilter(_is_no_debugging)


def _is_warning(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.WARNING


def _is_no_debugging(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.INFO
