"""The embedded authorization server: one object that answers the guard and serves the endpoints."""

import asyncio
import inspect
import logging
import time
from collections.abc import Callable

from aiohttp import web

from gateway.authserver.endpoints import Endpoints
from gateway.authserver.oauth.conversation import refuse_coroutines, silence_libraries
from gateway.authserver.options import (
    AuthorizationServerOptions,
    CountIssued,
    CountSignIn,
    LogRequest,
    PublishRevocation,
)
from gateway.authserver.records.lookup import TokenLookup
from gateway.authserver.storage.cleanup import Cleaner
from gateway.authserver.storage.database import Database, DatabaseUnavailable
from gateway.authserver.storage.migration import prepare
from gateway.policy.interfaces import AuthorizationServerUnavailable
from gateway.policy.rejection import Reason
from gateway.policy.token import Inactive, Token
from gateway.policy.tokenformat import has_valid_checksum, token_hash

_logger = logging.getLogger(__name__)


def _ignore(_: str) -> None:
    """Count nothing."""


class EmbeddedServer:
    """An authorization server inside this process; an Introspector for the guard.

    Creates or migrates a database file of its own, and refuses a PostgreSQL database that has not
    the schema of this version; so it is made before anything is served.

    Args:
        options: what it needs to know.
        publish: tells every worker of a revocation and awaits that they have heard.
        count_issued: counts an issued token by its grant type.
        log_request: takes note of each request to the endpoints; never of its parameters.
        count_sign_in: counts a try to sign in by what became of it.
        clock: gives the Unix time.

    Raises:
        ValueError: the options name no database.
        TypeError: a callback is a coroutine function where a plain one belongs.
        DatabaseUnavailable: the database cannot be used, or has another schema.
    """

    def __init__(
        self,
        options: AuthorizationServerOptions,
        publish: PublishRevocation,
        count_issued: CountIssued,
        log_request: LogRequest | None = None,
        *,
        count_sign_in: CountSignIn = _ignore,
        clock: Callable[[], float] = time.time,
    ) -> None:
        refuse_coroutines()
        for callback in (count_issued, log_request, count_sign_in, clock):
            if inspect.iscoroutinefunction(callback):
                raise TypeError(f"{callback!r} is a coroutine and would never be awaited")
        migration = prepare(options.database_url)
        if migration.has_changed:
            _logger.info(
                "database %s: schema %s -> %s",
                migration.database,
                migration.previous or "none",
                migration.current,
            )
        self._options = options
        self._clock = clock
        self._database = Database(options.database_url)
        silence_libraries()  # now, when all of their loggers are there
        self._lookup = TokenLookup(self._database)
        self._cleaner = Cleaner(self._database, clock)
        self._endpoints = Endpoints(
            options, self._database, publish, count_issued, log_request, clock, count_sign_in
        )

    def application(self) -> web.Application:
        """Give the application that serves the endpoints, for a listener of its own.

        While it runs, what has expired is cleaned up.
        """
        application = self._endpoints.application()
        application.on_startup.append(self._start_cleaner)
        return application

    async def _start_cleaner(self, _: web.Application) -> None:
        self._cleaner.start()

    async def introspect(self, token: str) -> Token | Inactive:
        """Say who the token is.

        Raises:
            AuthorizationServerUnavailable: the database does not say.
        """
        if not has_valid_checksum(token):
            return Inactive(Reason.INACTIVE_TOKEN)
        try:
            found = await self._lookup.find(token_hash(token))
        except DatabaseUnavailable as error:
            raise AuthorizationServerUnavailable(str(error)) from error
        if found is None:
            return Inactive(Reason.INACTIVE_TOKEN)
        fault = found.find_fault(self._clock())
        if fault is not None:
            return Inactive(fault)
        return Token(
            issuer=self._options.issuer,
            client_id=found.client_id,
            subject=found.subject,
            username=found.username,
            scopes=frozenset(found.scope.split()),
            audience=tuple(found.audience.split()),
            expires_at=found.expires_at,
            claims=found.describe(self._options.issuer),
        )

    async def close(self) -> None:
        """Wait for what is under way, then close the database. Nothing is answered afterwards."""
        # In a thread: waiting here would stop the loop that some of it needs to finish.
        await asyncio.to_thread(self._endpoints.close)
        await asyncio.to_thread(self._lookup.close)
        await asyncio.to_thread(self._cleaner.close)
        self._database.close()
