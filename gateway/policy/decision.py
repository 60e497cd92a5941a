"""Does this token open this route? No I/O and no clock: `now` is a parameter."""

from gateway.policy.rejection import Reason, Rejection
from gateway.policy.routes import ClaimValue, Requirement, Route
from gateway.policy.scopes import has_one, missing_scopes
from gateway.policy.token import Token


def decide(route: Route, token: Token, now: float) -> Rejection | None:
    """Hold an active token against what the route demands; None when it opens the route.

    `now` is in Unix seconds. What a cached answer said is judged anew on every request, so neither
    an expiry nor a route's demand can slip past it. A public route demands nothing.
    """
    requirement = route.requirement
    if requirement is None:
        return None
    # Not `<=`: an expiry that is no number has passed.
    if token.expires_at is not None and not token.expires_at > now:
        return Rejection(Reason.EXPIRED_TOKEN)
    if token.issuer not in route.issuers:
        return Rejection(Reason.WRONG_ISSUER, detail=f"issuer is {token.issuer!r}")
    if requirement.audience is not None and requirement.audience not in token.audience:
        return Rejection(Reason.WRONG_AUDIENCE, detail=f"audience is {list(token.audience)!r}")
    if not requirement.scopes <= token.scopes or (
        requirement.any_scope and requirement.any_scope.isdisjoint(token.scopes)
    ):
        rejection = _judge_scopes(requirement, token.scopes)
        if rejection is not None:
            return rejection
    for name, allowed in requirement.claims:
        if not _holds(token.claims.get(name), allowed):
            return Rejection(Reason.CLAIM_MISMATCH, detail=f"claim {name!r} does not hold")
    return None


def _judge_scopes(requirement: Requirement, granted: frozenset[str]) -> Rejection | None:
    """Say what is missing to a token that has not all the scopes word by word."""
    any_scope, has_wildcards = requirement.any_scope, requirement.has_wildcards
    missing = missing_scopes(requirement.scopes, granted, has_wildcards=has_wildcards)
    is_met = not any_scope or has_one(any_scope, granted, has_wildcards=has_wildcards)
    if is_met and not missing:
        return None
    return Rejection(
        Reason.INSUFFICIENT_SCOPE,
        required=requirement.scopes_for_challenge,
        missing=tuple(sorted(missing)),
        any_of=() if is_met else tuple(sorted(any_scope)),
    )


def _holds(value: object, allowed: tuple[ClaimValue, ...]) -> bool:
    values = value if isinstance(value, list) else [value]
    # `True == 1` in Python, and 1.0 == 1: a claim of another type never holds.
    return any(
        type(candidate) is type(wanted) and candidate == wanted
        for candidate in values
        for wanted in allowed
    )


def possible_token_reasons(route: Route) -> frozenset[Reason]:
    """The token rejections that a request for this route can meet.

    Metrics start these at 0, and no others.
    """
    requirement = route.requirement
    if requirement is None:
        return frozenset()
    reasons = {
        Reason.MISSING_TOKEN,
        Reason.MALFORMED_TOKEN,
        Reason.MULTIPLE_TOKENS,
        Reason.INACTIVE_TOKEN,
        Reason.EXPIRED_TOKEN,
        Reason.REVOKED_TOKEN,
        Reason.WRONG_ISSUER,
        Reason.AUTHORIZATION_SERVER_UNAVAILABLE,
    }
    if requirement.audience is not None or route.is_for_an_audience:
        reasons.add(Reason.WRONG_AUDIENCE)
    if requirement.scopes or requirement.any_scope:
        reasons.add(Reason.INSUFFICIENT_SCOPE)
    if requirement.claims:
        reasons.add(Reason.CLAIM_MISMATCH)
    return frozenset(reasons)
