"""The endpoints over HTTP.

What this file guards: the order commit -> publish -> answer. What revokes anything is answered when
that is in the database and every worker has acknowledged it, and not before.
"""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.authserver.errors import Problem, RequestRefused
from gateway.authserver.form import read_credentials, read_form
from gateway.authserver.metadata import (
    DEVICE_AUTHORIZATION_PATH,
    INTROSPECTION_PATH,
    METADATA_PATH,
    REVOCATION_PATH,
    TOKEN_PATH,
    describe_server,
)
from gateway.authserver.oauth import cors
from gateway.authserver.oauth.conversation import Conversation, punish_reuse
from gateway.authserver.oauth.oauth_server import Answer, ReuseDetected, Snapshot
from gateway.authserver.options import (
    AuthorizationServerOptions,
    CountIssued,
    CountSignIn,
    LogRequest,
    PublishRevocation,
)
from gateway.authserver.people.browser import BrowserEndpoints
from gateway.authserver.people.throttle import Throttle, Throttled, find_client_network
from gateway.authserver.records.clients import Client, find_origins
from gateway.authserver.storage.database import Database, DatabaseUnavailable
from gateway.policy.interfaces import RevocationNotAcknowledged, RevocationSource

_MAX_BODY = 64 * 1024
_THREADS = 8
_RETRY_AFTER = "1"  # seconds

_HEADERS = {
    "Cache-Control": "no-store",  # RFC 6749, section 5.1
    "Pragma": "no-cache",
    "X-Content-Type-Options": "nosniff",
    "Server": "gateway",
}

_FOR_PROGRAMS = frozenset({*cors.METHODS, INTROSPECTION_PATH})

_logger = logging.getLogger(__name__)

_Converse = Callable[[Conversation, Snapshot], Answer]


class Endpoints:
    """Serves the endpoints of one authorization server."""

    def __init__(
        self,
        options: AuthorizationServerOptions,
        database: Database,
        publish: PublishRevocation,
        count_issued: CountIssued,
        log_request: LogRequest | None,
        clock: Callable[[], float],
        count_sign_in: CountSignIn,
    ) -> None:
        self._options = options
        self._database = database
        self._publish = publish
        self._count_issued = count_issued
        self._log_request = log_request
        self._clock = clock
        self._executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="authserver")
        self._throttle = Throttle()
        self._browser = BrowserEndpoints(
            options, database, self._executor, publish, count_sign_in, self._throttle, clock
        )
        self._metadata = describe_server(options.issuer, options.scopes, options.resource_origins)
        self._challenge = f'Basic realm="{quote(options.issuer, safe=":/[]")}", charset="UTF-8"'

    def application(self) -> web.Application:
        """Give an application with the endpoints, and nothing else."""
        application = web.Application(middlewares=[self._answer], client_max_size=_MAX_BODY)
        application.router.add_get(METADATA_PATH, self._describe)
        for path, handler in (
            (TOKEN_PATH, self._issue),
            (INTROSPECTION_PATH, self._introspect),
            (REVOCATION_PATH, self._revoke),
            (DEVICE_AUTHORIZATION_PATH, self._authorize_device),
        ):
            application.router.add_post(path, handler)
        for path in cors.METHODS:
            application.router.add_options(path, self._answer_preflight)
        self._browser.add_routes(application)
        return application

    def close(self) -> None:
        """Wait for the transactions and passwords under way."""
        self._browser.close()
        self._executor.shutdown(cancel_futures=True)

    @web.middleware
    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer whatever happens in the words of OAuth, and let the operator see that it did."""
        started = time.monotonic()
        response: web.StreamResponse
        try:
            response = await handler(request)
        except RequestRefused as refused:
            response = self._refuse(refused.problem)
        except web.HTTPRequestEntityTooLarge:
            response = self._refuse(Problem.BODY_TOO_LARGE)
        except web.HTTPMethodNotAllowed as error:
            response = self._refuse_way(request, Problem.METHOD_NOT_ALLOWED)
            response.headers["Allow"] = ", ".join(sorted(error.allowed_methods))
        except web.HTTPNotFound:
            response = self._refuse_way(request, Problem.NOT_FOUND)
        except DatabaseUnavailable as error:
            # An outage is no fault of the program: one line, and no traceback.
            _logger.error("database unavailable: %s", error)
            response = self._refuse(Problem.DATABASE_UNAVAILABLE)
        except Exception:
            _logger.exception("unexpected failure")
            response = self._refuse(Problem.SERVER_ERROR)
        path = _path_of(request)
        if path in cors.METHODS:
            response.headers["Vary"] = "Origin"
        if self._log_request is not None:
            seconds = time.monotonic() - started
            peer = request.remote or "-"
            self._log_request(peer, request.method, path, response.status, seconds)
        return response

    async def _describe(self, request: web.Request) -> web.Response:
        response = _respond(200, self._metadata)
        await self._allow_registered_origin(request, response)
        return response

    async def _answer_preflight(self, request: web.Request) -> web.Response:
        response = web.Response(status=204, headers=_HEADERS)
        if await self._allow_registered_origin(request, response):
            cors.allow_request(response, _path_of(request))
        return response

    async def _allow_registered_origin(
        self, request: web.Request, response: web.StreamResponse
    ) -> bool:
        """Let a script read the answer if any client has registered its origin."""
        origin = cors.read_origin(request)
        if origin is None:
            return False
        try:
            return cors.allow_origin(response, origin, await self._find_origins())
        except DatabaseUnavailable as error:  # whoever is no script does not depend on it
            _logger.error("database unavailable: %s", error)
            return False

    async def _issue(self, request: web.Request) -> web.Response:
        return await self._converse(request, Conversation.issue)

    async def _introspect(self, request: web.Request) -> web.Response:
        return await self._converse(request, Conversation.introspect)

    async def _revoke(self, request: web.Request) -> web.Response:
        return await self._converse(request, Conversation.revoke)

    async def _authorize_device(self, request: web.Request) -> web.Response:
        # A public client's id is no secret, and each request stores something.
        network = find_client_network(
            request.remote,
            request.headers.getall("X-Forwarded-For", ()),
            self._options.trusted_proxies,
        )
        try:
            self._throttle.begin_device(network)
        except Throttled as throttled:
            response = self._refuse(Problem.TOO_MANY_REQUESTS)
            response.headers["Retry-After"] = str(throttled.retry_after)
            return response
        return await self._converse(request, Conversation.authorize_device)

    async def _converse(self, request: web.Request, converse: _Converse) -> web.Response:
        """Answer the request in a transaction, committed and published before the answer goes."""
        snapshot = await _read_snapshot(request)
        answer, client = await asyncio.get_running_loop().run_in_executor(
            self._executor, self._transact, converse, snapshot
        )
        response = await self._finish(answer)
        if client is not None and _path_of(request) in cors.METHODS:
            cors.allow_origin(response, cors.read_origin(request), client.origins)
        return response

    def _transact(self, converse: _Converse, snapshot: Snapshot) -> tuple[Answer, Client | None]:
        """Give the answer, committed, and who asked, where that is known."""
        now = self._clock()
        conversation: Conversation | None = None
        try:
            with self._database.transaction() as connection:
                conversation = Conversation(self._options, connection, now)
                answer = converse(conversation, snapshot)
        except RequestRefused as refused:
            answer = Answer(problem=refused.problem)
        except ReuseDetected as reuse:
            # Only here: nothing of the request that failed may be committed along with it.
            with self._database.transaction() as connection:
                answer = punish_reuse(self._options, connection, reuse, now)
        return answer, conversation.client if conversation is not None else None

    async def _finish(self, answer: Answer) -> web.Response:
        # A refusal that revokes something: a code or a refresh token was used a second time.
        source: RevocationSource = "endpoint" if answer.problem is None else "reuse"
        try:
            for revocation in answer.revocations:
                await self._publish(revocation, source)
        except (RevocationNotAcknowledged, OSError) as error:
            # RFC 7009, section 2.2.1: at 503 the client takes the token for alive, and retries.
            _logger.error("revocation: %s", error)
            return self._refuse(Problem.NOT_ACKNOWLEDGED)
        if answer.issued is not None:
            self._count_issued(answer.issued)
        if answer.problem is not None:
            return self._refuse(answer.problem)
        return _respond(200, answer.members)

    async def _find_origins(self) -> Collection[str]:
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._read_origins)

    def _read_origins(self) -> Collection[str]:
        with self._database.transaction() as connection:
            return find_origins(connection)

    def _refuse_way(self, request: web.Request, problem: Problem) -> web.Response:
        """Refuse a path or method that does not exist: with a page where a person looks on."""
        page = None
        if request.path not in _FOR_PROGRAMS:
            page = self._browser.refuse(request, problem)
        return page or self._refuse(problem)

    def _refuse(self, problem: Problem) -> web.Response:
        response = _describe_problem(problem)
        if problem.status == 401:
            response.headers["WWW-Authenticate"] = self._challenge
        if problem.status == 503:
            response.headers["Retry-After"] = _RETRY_AFTER
        return response


def _path_of(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "-"


async def _read_snapshot(request: web.Request) -> Snapshot:
    if request.query_string:
        raise RequestRefused(Problem.QUERY_PARAMETERS)
    form = await read_form(request)
    return Snapshot(form, read_credentials(request.headers.getall("Authorization", ()), form))


def _describe_problem(problem: Problem) -> web.Response:
    return _respond(problem.status, problem.members)


def _respond(status: int, members: Mapping[str, object]) -> web.Response:
    return web.json_response(members, status=status, headers=_HEADERS, dumps=_dump)


def _dump(members: object) -> str:
    # With a line feed, for whoever reads it on a terminal.
    return json.dumps(members) + "\n"
