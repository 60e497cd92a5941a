"""Every reason for which a request is refused, and what the refusal looks like.

This is the one table: the reason is the metric's label, the log's field and what `explain` prints;
its row gives the status, the OAuth error code (RFC 6750, section 3.1) and the words. No word of an
answer ever comes from the request.
"""

from dataclasses import dataclass, replace
from enum import StrEnum


class Reason(StrEnum):
    """Why a request was refused."""

    MISSING_TOKEN = "missing_token"  # noqa: S105 - the name of a reason, not a secret
    MALFORMED_TOKEN = "malformed_token"  # noqa: S105 - the name of a reason, not a secret
    MULTIPLE_TOKENS = "multiple_tokens"
    INACTIVE_TOKEN = "inactive_token"  # noqa: S105 - the name of a reason, not a secret
    EXPIRED_TOKEN = "expired_token"  # noqa: S105 - the name of a reason, not a secret
    REVOKED_TOKEN = "revoked_token"  # noqa: S105 - the name of a reason, not a secret
    WRONG_AUDIENCE = "wrong_audience"
    WRONG_ISSUER = "wrong_issuer"
    INSUFFICIENT_SCOPE = "insufficient_scope"
    CLAIM_MISMATCH = "claim_mismatch"
    AUTHORIZATION_SERVER_UNAVAILABLE = "authorization_server_unavailable"
    AMBIGUOUS_PATH = "ambiguous_path"
    MALFORMED_REQUEST = "malformed_request"
    UNSUPPORTED_CODING = "unsupported_coding"
    HEADERS_TOO_LARGE = "headers_too_large"
    BODY_TOO_LARGE = "body_too_large"
    EXPECTATION_FAILED = "expectation_failed"
    REQUEST_TIMEOUT = "request_timeout"
    NO_ROUTE = "no_route"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    LOOP_DETECTED = "loop_detected"
    FOREIGN_DESTINATION = "foreign_destination"
    NETWORK_NOT_ALLOWED = "network_not_allowed"
    RATE_LIMITED = "rate_limited"
    CROSS_ORIGIN = "cross_origin"
    UPSTREAM_UNAVAILABLE = "upstream_unavailable"
    UPSTREAM_INVALID = "upstream_invalid"
    UPSTREAM_TIMEOUT = "upstream_timeout"
    INTERNAL_ERROR = "internal_error"


@dataclass(frozen=True, slots=True)
class Refusal:
    """One row of the table: how a reason looks from outside.

    `shown_as` is the reason that a stranger reads: why a token is inactive is the operator's to
    know, so inactive, expired and revoked tokens are told apart in the log alone.
    """

    status: int
    title: str
    detail: str
    error: str | None = None
    has_challenge: bool = False
    retry_after: int | None = None
    shown_as: Reason | None = None


_INACTIVE = Refusal(
    401,
    "The access token is not active",
    "It is unknown, expired or revoked. Get a new access token and try again.",
    error="invalid_token",
    has_challenge=True,
    shown_as=Reason.INACTIVE_TOKEN,
)

REFUSALS: dict[Reason, Refusal] = {
    Reason.MISSING_TOKEN: Refusal(
        401,
        "An access token is required",
        "Send it as: Authorization: Bearer <token>.",
        has_challenge=True,
    ),
    Reason.MALFORMED_TOKEN: Refusal(
        401,
        "The access token is malformed",
        "What follows Bearer is empty or holds characters that no access token has.",
        error="invalid_token",
        has_challenge=True,
    ),
    Reason.MULTIPLE_TOKENS: Refusal(
        400,
        "More than one access token",
        "Send exactly one: in one Authorization header, or in one cookie where a route takes it.",
        error="invalid_request",
        has_challenge=True,
    ),
    Reason.INACTIVE_TOKEN: _INACTIVE,
    Reason.EXPIRED_TOKEN: _INACTIVE,
    Reason.REVOKED_TOKEN: _INACTIVE,
    Reason.WRONG_AUDIENCE: Refusal(
        401,
        "The access token is meant for another service",
        "Ask the authorization server for a token whose audience is this service.",
        error="invalid_token",
        has_challenge=True,
    ),
    Reason.WRONG_ISSUER: Refusal(
        401,
        "The access token comes from another issuer",
        "Get the token from the authorization server that protects this service.",
        error="invalid_token",
        has_challenge=True,
    ),
    Reason.INSUFFICIENT_SCOPE: Refusal(
        403,
        "The access token lacks a scope",
        "Ask the authorization server for a token with the scopes that are named here.",
        error="insufficient_scope",
        has_challenge=True,
    ),
    Reason.CLAIM_MISMATCH: Refusal(
        403,
        "The access token does not open this",
        "What the authorization server says of the token does not meet this route's demands.",
        has_challenge=True,
    ),
    Reason.AUTHORIZATION_SERVER_UNAVAILABLE: Refusal(
        503,
        "The token cannot be checked at the moment",
        "The authorization server does not answer. Nothing is wrong with the request; try again.",
        retry_after=2,
    ),
    Reason.AMBIGUOUS_PATH: Refusal(
        400,
        "The path is ambiguous",
        "It can be read in more than one way: dot segments, empty segments, encoded slashes, "
        "double or broken escapes are not accepted.",
    ),
    Reason.MALFORMED_REQUEST: Refusal(
        400,
        "The request is malformed",
        "It does not follow HTTP (RFC 9110, RFC 9112).",
    ),
    Reason.UNSUPPORTED_CODING: Refusal(
        501,
        "The request's transfer coding is not supported",
        "Transfer-Encoding can be `chunked` alone; what is compressed says so in Content-Encoding.",
    ),
    Reason.HEADERS_TOO_LARGE: Refusal(
        431,
        "The request's header is too large",
        "It has more or longer fields than this gateway accepts.",
    ),
    Reason.BODY_TOO_LARGE: Refusal(
        413,
        "The request's body is too large",
        "It is longer than this gateway accepts.",
    ),
    Reason.EXPECTATION_FAILED: Refusal(
        417,
        "The expectation cannot be met",
        "The only expectation that is known here is 100-continue.",
    ),
    Reason.REQUEST_TIMEOUT: Refusal(
        408,
        "The request's body did not arrive in time",
        "Send it without pauses.",
    ),
    Reason.NO_ROUTE: Refusal(
        404,
        "There is nothing here",
        "No route matches this host and path.",
    ),
    Reason.METHOD_NOT_ALLOWED: Refusal(
        405,
        "The method is not allowed here",
        "The Allow header lists those that are.",
    ),
    Reason.LOOP_DETECTED: Refusal(
        508,
        "The request runs in a circle",
        "It has come back to the gateway that had forwarded it.",
    ),
    Reason.FOREIGN_DESTINATION: Refusal(
        400,
        "The destination is not of this service",
        "What is copied or moved stays with the service that holds it, under the same host.",
    ),
    Reason.NETWORK_NOT_ALLOWED: Refusal(
        403,
        "This is not open to your network",
        "Only clients of certain networks may ask for it, whatever their token.",
        has_challenge=True,
    ),
    Reason.RATE_LIMITED: Refusal(
        429,
        "Too many requests",
        "Nothing is wrong with the request; Retry-After says when there is room for it again.",
        retry_after=1,
    ),
    Reason.CROSS_ORIGIN: Refusal(
        403,
        "The request comes from another origin",
        "With a token in a cookie, only pages of this origin may change something. Others send the "
        "token as: Authorization: Bearer <token>.",
        has_challenge=True,
    ),
    Reason.UPSTREAM_UNAVAILABLE: Refusal(
        502,
        "The service behind the gateway cannot be reached",
        "It refuses connections, or closed one before it had answered.",
    ),
    Reason.UPSTREAM_INVALID: Refusal(
        502,
        "The service behind the gateway gave an invalid answer",
        "What it sent does not follow HTTP.",
    ),
    Reason.UPSTREAM_TIMEOUT: Refusal(
        504,
        "The service behind the gateway did not answer in time",
        "It may still be at work on the request.",
    ),
    Reason.INTERNAL_ERROR: Refusal(
        500,
        "The gateway failed",
        "The request was not forwarded. The operator finds the cause by the request id.",
    ),
}

_UPSTREAM_FULL = Refusal(
    503,
    "The service behind the gateway is busy",
    "It has as many requests as it can take. Nothing is wrong with the request; try again.",
    retry_after=1,
)

# Counted in gateway_token_rejections_total; all the others in gateway_refusals_total.
TOKEN_REASONS = frozenset(
    {
        Reason.MISSING_TOKEN,
        Reason.MALFORMED_TOKEN,
        Reason.MULTIPLE_TOKENS,
        Reason.INACTIVE_TOKEN,
        Reason.EXPIRED_TOKEN,
        Reason.REVOKED_TOKEN,
        Reason.WRONG_AUDIENCE,
        Reason.WRONG_ISSUER,
        Reason.INSUFFICIENT_SCOPE,
        Reason.CLAIM_MISMATCH,
        Reason.AUTHORIZATION_SERVER_UNAVAILABLE,
    }
)


@dataclass(frozen=True, slots=True)
class Rejection:
    """A verdict of "no": the reason, and what the client may know beside the table's words.

    For `insufficient_scope`, `required` are all the scopes that the route names, `missing` those of
    them that the token lacks and needs, `any_of` those of which it needs one and has none. `allow`
    are the methods of the path pattern, for `method_not_allowed`. `is_full` tells an upstream that
    has enough to do from one that cannot be reached. `retry_after` is in seconds, where more is
    known of it than the table says. `detail` is for the operator's log alone.
    """

    reason: Reason
    required: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    any_of: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    detail: str = ""
    is_full: bool = False
    retry_after: int | None = None

    @property
    def refusal(self) -> Refusal:
        """The row of the table that says what it looks like."""
        row = _UPSTREAM_FULL if self.is_full else REFUSALS[self.reason]
        return row if self.retry_after is None else replace(row, retry_after=self.retry_after)
