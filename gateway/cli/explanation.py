"""What the guard would do with a request, found by asking the guard's own functions.

Rule: it cannot tell another story than the guard, because it has none of its own.
"""

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Literal

from gateway.introspection.cache import IntrospectionCache
from gateway.introspection.coalescing import CachedIntrospector, RememberingServer
from gateway.middleware.admission import Asker, judge_admission
from gateway.middleware.cors import find_preflighted
from gateway.middleware.destination import judge_destination
from gateway.middleware.judge import NOT_AMBIGUOUS, Judgement, find_route
from gateway.middleware.metadata import ProtectedResource
from gateway.middleware.options import SERVER_WIDE
from gateway.middleware.origins import ClientOrigins
from gateway.policy.adaptation import adapt_request, encode_target
from gateway.policy.addresses import IPAddress
from gateway.policy.bearer import read_bearer
from gateway.policy.cors import PREFLIGHT_METHOD, requested_method
from gateway.policy.forwarding import ForwardRequest
from gateway.policy.framing import NO_BODY, MalformedFraming, judge_body, read_framing
from gateway.policy.host import normalize_host
from gateway.policy.method import METHODS_WITHOUT_DESTINATION, PARSED_METHODS
from gateway.policy.path import AmbiguousPath, read_path
from gateway.policy.rejection import Reason, Rejection
from gateway.policy.routes import Route
from gateway.policy.table import RouteTable
from gateway.policy.target import MalformedTarget, split_target
from gateway.policy.token import Token
from gateway.settings import GatewaySettings, compile_routes
from gateway.telemetry.metrics import Metrics
from gateway.vouching import open_introspectors, source_of, with_choices

ALLOWED: Final = 0
REFUSED: Final = 1
CANNOT_TELL: Final = 2


OwnAnswer = Literal["metadata", "preflight", "options"]


@dataclass(frozen=True, slots=True)
class Question:
    """A request as somebody might send it. `host` is the value of its Host header, as written.

    `client` is the address that it comes from, None when nothing is said of it.
    """

    method: str
    target: str
    host: str
    authorization: tuple[str, ...] = ()
    destinations: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    requested_methods: tuple[str, ...] = ()
    expectations: tuple[str, ...] = ()
    lengths: tuple[str, ...] = ()
    codings: tuple[str, ...] = ()
    client: IPAddress | None = None
    cookies: tuple[str, ...] = ()
    upgrades: tuple[str, ...] = ()


@dataclass(slots=True)
class Explanation:
    """What the guard would do. `path` is canonical, or as asked for when that is refused.

    `forwarded_path` and `forwarded_host` are what the upstream would get, once there is a route;
    `destination` is where it would copy or move to. `own_answer` is what the gateway says itself.
    `body` is its length as announced, None in chunks, NO_BODY for none; `most_body` what its route
    takes of one. `is_expectant`: the client waits to be asked for its body.
    `lacks_client`: the verdict hangs on the client's address, of which nothing was said.
    """

    method: str
    path: str
    host: str | None = None
    route: Route | None = None
    rejection: Rejection | None = None
    token: Token | None = None
    own_answer: OwnAnswer | None = None
    upstream_server: str | None = None
    forwarded_path: str | None = None
    forwarded_host: str | None = None
    destination: str | None = None
    is_adapted: bool = False
    body: int | None = NO_BODY
    most_body: int = 0
    is_expectant: bool = False
    lacks_client: bool = False
    now: float = field(default_factory=time.time)

    @property
    def reason(self) -> Reason | None:
        """Why the request would be refused; None when it is allowed."""
        return None if self.rejection is None else self.rejection.reason

    @property
    def exit_code(self) -> int:
        """What the command exits with."""
        if self.reason is Reason.AUTHORIZATION_SERVER_UNAVAILABLE or self.lacks_client:
            return CANNOT_TELL
        return ALLOWED if self.reason is None else REFUSED


async def explain_request(settings: GatewaySettings, question: Question) -> Explanation:
    """Judge a request as the guard would. Raises StartFailure when a store cannot be opened."""
    table = compile_routes(settings)
    explanation = Explanation(question.method, question.target)
    authority = question.host or settings.public_url.partition("://")[2]
    ambiguities = _read_target(explanation, question, authority)
    if explanation.rejection is None:
        _read_framing(explanation, question)
    if explanation.rejection is not None or explanation.own_answer is not None:
        return explanation
    if ProtectedResource(table, settings.public_url).is_asked_for(explanation.path):
        _note_metadata(explanation, ambiguities)
        return explanation
    if question.method == PREFLIGHT_METHOD:
        asked = requested_method(question.origins, question.requested_methods)
        host, path = explanation.host, explanation.path
        found = asked and find_preflighted(table, host, path, asked, ambiguities)
        if found:
            explanation.route, _ = found
            explanation.own_answer = "preflight"
            return explanation
    route = find_route(table, explanation.host, explanation.path, question.method, ambiguities)
    if isinstance(route, Rejection):
        explanation.rejection = route
        return explanation
    explanation.route = route
    explanation.most_body = route.body_bytes or settings.limits.body
    explanation.upstream_server = ", ".join(settings.upstreams[route.upstream].servers)
    try:
        _note_what_is_forwarded(explanation, route, authority)
    except AmbiguousPath as error:
        explanation.rejection = Rejection(Reason.AMBIGUOUS_PATH, detail=error.kind)
    judgement = await _judge(settings, table, explanation, question)
    explanation.rejection = judgement.rejection or explanation.rejection
    explanation.lacks_client = (
        explanation.reason is Reason.NETWORK_NOT_ALLOWED and question.client is None
    )
    if judgement.destination is not None:
        explanation.destination = judgement.destination.decode("latin-1")
    if judgement.answer is not None and isinstance(judgement.answer.verdict, Token):
        explanation.token = judgement.answer.verdict
    return explanation


def _note_metadata(explanation: Explanation, ambiguities: frozenset[str]) -> None:
    explanation.own_answer = "metadata"
    if explanation.method not in ("GET", "HEAD"):
        explanation.rejection = Rejection(Reason.METHOD_NOT_ALLOWED, allow=("GET", "HEAD"))
    elif ambiguities:
        detail = ", ".join(sorted(ambiguities))
        explanation.rejection = Rejection(Reason.AMBIGUOUS_PATH, detail=detail)


def _read_target(explanation: Explanation, question: Question, authority: str) -> frozenset[str]:
    """Note host and path, or why they are refused; give the kinds in which it is ambiguous."""
    explanation.host = normalize_host(authority)
    if question.method not in PARSED_METHODS:
        detail = "the method is not known"
        explanation.rejection = Rejection(Reason.MALFORMED_REQUEST, detail=detail)
        return NOT_AMBIGUOUS
    if explanation.host is None:
        explanation.rejection = Rejection(Reason.MALFORMED_REQUEST, detail="the host is malformed")
        return NOT_AMBIGUOUS
    try:
        explanation.path, _ = split_target(question.target, explanation.host)
        explanation.path, ambiguities = read_path(explanation.path)
    except MalformedTarget as error:
        if (question.method, question.target) == (PREFLIGHT_METHOD, SERVER_WIDE):
            explanation.own_answer = "options"
        else:
            explanation.rejection = Rejection(Reason.MALFORMED_REQUEST, detail=str(error))
    except AmbiguousPath as error:
        explanation.rejection = Rejection(Reason.AMBIGUOUS_PATH, detail=error.kind)
    else:
        return ambiguities
    return NOT_AMBIGUOUS


def _read_framing(explanation: Explanation, question: Question) -> None:
    """Note how the body is framed, or why nobody can say."""
    try:
        explanation.body = read_framing(question.codings, question.lengths, speaks_http_1_1=True)
    except MalformedFraming as error:
        explanation.rejection = Rejection(error.reason, detail=str(error))
    explanation.is_expectant = bool(question.expectations) and explanation.body not in (NO_BODY, 0)


def _note_what_is_forwarded(explanation: Explanation, route: Route, authority: str) -> None:
    target, host = encode_target(explanation.path), authority.encode("latin-1")
    request = ForwardRequest(explanation.method, target, host, [])
    if route.adaptation is not None:
        adapt_request(route.adaptation, request, explanation.path, "")
    # Of several servers each gets its own; a socket has no name but that of this machine.
    first = (explanation.upstream_server or "").partition(", ")[0]
    server = first.partition("://")[2] or "localhost"
    explanation.forwarded_path = request.target.decode("latin-1")
    explanation.forwarded_host = request.host.decode("latin-1") if request.host else server
    explanation.is_adapted = (request.target, request.host) != (target, host)


async def _judge(
    settings: GatewaySettings, table: RouteTable, explanation: Explanation, question: Question
) -> Judgement:
    """Ask the authorization servers of the routes, and nobody when there is no need."""
    async with _open_introspectors(settings, explanation.route, question) as introspectors:
        assert explanation.route is not None  # noqa: S101 - for the type checker
        judge = partial(
            judge_admission,
            asker=_asker(settings, table, explanation, question),
            introspectors=introspectors,
        )
        judgement = await judge(explanation.route)
        judgement.rejection = judgement.rejection or judge_body(
            explanation.body, explanation.most_body, question.expectations
        )
        names_destination = question.method not in METHODS_WITHOUT_DESTINATION
        if judgement.rejection is None and question.destinations and names_destination:
            judgement.rejection = await judge_destination(
                judgement,
                question.destinations,
                host=explanation.host,
                method=question.method,
                table=table,
                judge=judge,
            )
        return judgement


def _asker(
    settings: GatewaySettings, table: RouteTable, explanation: Explanation, question: Question
) -> Asker:
    origins = ClientOrigins(settings.public_url, table.hosts, ())
    authority = question.host.encode("latin-1") if question.host else None
    return Asker(
        question.client,
        question.authorization,
        question.cookies,
        question.method,
        question.origins,
        origins.at(explanation.host, authority, None),
        is_upgrade=bool(explanation.route and explanation.route.upgrade and question.upgrades),
    )


@asynccontextmanager
async def _open_introspectors(
    settings: GatewaySettings, route: Route | None, question: Question
) -> AsyncIterator[Mapping[str, RememberingServer]]:
    """Open those that may be asked: the route's, or all of them when there is a second route."""
    if isinstance(read_bearer(question.authorization), Reason) and not question.cookies:
        yield {}
        return
    known = settings.authorization_servers
    if not question.destinations:
        names = (route.authorization_server if route is not None else None) or ""
        known = {name: known[name] for name in names.split(", ") if name}
    metrics = Metrics()
    limits = settings.introspection_cache
    async with open_introspectors(
        settings.model_copy(update={"authorization_servers": known})
    ) as introspectors:
        cached = {
            name: CachedIntrospector(
                name,
                introspector,
                IntrospectionCache(
                    max_lifetime=limits.max_lifetime,
                    negative_lifetime=limits.negative_lifetime,
                    max_entries=1,
                ),
                metrics,
                source=source_of(known[name]),
            )
            for name, introspector in introspectors.items()
        }
        yield with_choices(settings, cached)
