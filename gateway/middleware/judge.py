"""May this request pass? The guard asks for real, `gateway explain` asks for an operator.

It reads top-down: route, token, who vouches for it, what the route demands. Whatever is not a clear
yes is a Rejection.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.introspection.cache import Answer
from gateway.introspection.coalescing import RememberingServer
from gateway.policy.bearer import read_bearer
from gateway.policy.decision import decide
from gateway.policy.interfaces import AuthorizationServerUnavailable
from gateway.policy.method import NEVER_FORWARDED, USUAL_METHODS
from gateway.policy.rejection import Reason, Rejection
from gateway.policy.routes import Route
from gateway.policy.table import RouteTable
from gateway.policy.token import Inactive, Token


@dataclass(slots=True)
class Judgement:
    """The verdict: `rejection` is None when the request may pass.

    `route` is None when none was found; `answer` says who the token is, as far as it was asked;
    `keeps_authorization` whether the Authorization header goes on to the upstream. `destination` is
    the upstream's path, and the query, of where to copy or move to, when the request says so.
    """

    route: Route | None
    rejection: Rejection | None
    answer: Answer | None = None
    keeps_authorization: bool = False
    destination: bytes | None = None

    @property
    def token(self) -> Token | None:
        """Who asks, when somebody vouched for them."""
        verdict = self.answer.verdict if self.answer is not None else None
        return verdict if isinstance(verdict, Token) else None


NOT_AMBIGUOUS: Final[frozenset[str]] = frozenset()


def find_route(
    table: RouteTable,
    host: str | None,
    path: str,
    method: str,
    ambiguities: frozenset[str] = NOT_AMBIGUOUS,
) -> Route | Rejection:
    """Find the route of a canonical path, or say why there is none.

    `ambiguities` are the kinds that the path has and its route must allow. Where no route does, the
    path is refused for them, not for what it lacks: nobody knows which path it is.
    """
    if ambiguities:
        match = table.match(host, path, method, is_ambiguous=True)
        chosen = (
            [match]
            if isinstance(match, Route)
            else table.routes_of_path(host, path, is_ambiguous=True)
        )
        if not any(ambiguities <= route.allow_in_path for route in chosen):
            return Rejection(Reason.AMBIGUOUS_PATH, detail=", ".join(sorted(ambiguities)))
    else:
        match = table.match(host, path, method)
    if isinstance(match, Route) and method not in NEVER_FORWARDED:
        return match
    if match is None:
        if method in NEVER_FORWARDED:
            return Rejection(Reason.METHOD_NOT_ALLOWED, allow=USUAL_METHODS)
        return Rejection(Reason.NO_ROUTE)
    allow = match if isinstance(match, frozenset) else (match.methods or USUAL_METHODS)
    return Rejection(Reason.METHOD_NOT_ALLOWED, allow=tuple(sorted(allow)))


async def judge_token(
    route: Route,
    authorization: Sequence[str],
    introspectors: Mapping[str, RememberingServer],
) -> Judgement:
    """Hold the Authorization header of a request against what its route demands."""
    if route.requirement is None:
        return await _judge_public(route, authorization, introspectors)
    token = read_bearer(authorization)
    if isinstance(token, Reason):
        return Judgement(route, Rejection(token))
    introspector = introspectors[route.authorization_server or ""]
    answer = introspector.remembered(token)
    if answer is None:
        try:
            answer = await introspector.ask(token)
        except AuthorizationServerUnavailable as error:
            return Judgement(route, _reject_unavailable(error))
    verdict = answer.verdict
    if isinstance(verdict, Inactive):
        return Judgement(route, Rejection(verdict.reason), answer)
    return Judgement(
        route, decide(route, verdict, time.time()), answer, keeps_authorization=route.forward_token
    )


def _reject_unavailable(error: AuthorizationServerUnavailable) -> Rejection:
    seconds = None if error.retry_after is None else max(1, math.ceil(error.retry_after))
    return Rejection(
        Reason.AUTHORIZATION_SERVER_UNAVAILABLE, detail=str(error), retry_after=seconds
    )


async def _judge_public(
    route: Route,
    authorization: Sequence[str],
    introspectors: Mapping[str, RememberingServer],
) -> Judgement:
    """A public route demands nothing, yet an active token of ours is not for its upstream.

    Any other Authorization header passes unchanged: a legacy service may have its own. When it
    cannot be known whether a bearer token is active, it stops here.
    """
    token = read_bearer(authorization)
    if isinstance(token, Reason):
        # Of several headers, or of a malformed one, another parser may make a token of ours.
        could_be_ours = any("bearer" in value.lower() for value in authorization)
        return Judgement(route, None, keeps_authorization=not could_be_ours)
    if not introspectors:
        return Judgement(route, None, keeps_authorization=True)
    if route.authorization_server is None:
        return Judgement(route, None)
    introspector = introspectors[route.authorization_server]
    try:
        answer = introspector.remembered(token) or await introspector.ask(token)
    except AuthorizationServerUnavailable:
        return Judgement(route, None)
    return Judgement(route, None, keeps_authorization=not isinstance(answer.verdict, Token))
