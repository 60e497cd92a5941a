"""Every error answer of the endpoints: status, OAuth error code (RFC 6749, section 5.2), words.

No word of an answer ever comes from the request.
"""

from enum import Enum


class Problem(Enum):
    """What can be wrong with a request. The value is status, error code, description."""

    NOT_A_FORM = 415, "invalid_request", "Send the parameters as application/x-www-form-urlencoded."
    ENCODED_BODY = 415, "invalid_request", "Send the body without a Content-Encoding."
    BODY_TOO_LARGE = 413, "invalid_request", "The body is too large."
    BODY_TOO_SLOW = 408, "invalid_request", "The body took too long to arrive."
    MALFORMED_FORM = 400, "invalid_request", "The form is malformed, or not in UTF-8."
    CONTROL_CHARACTER = 400, "invalid_request", "A parameter contains a control character."
    REPEATED_PARAMETER = 400, "invalid_request", "A parameter appears more than once."
    QUERY_PARAMETERS = 400, "invalid_request", "Parameters belong into the body, not into the URL."
    MISSING_GRANT_TYPE = 400, "invalid_request", "The parameter grant_type is missing."
    MISSING_TOKEN = 400, "invalid_request", "The parameter token is missing."
    TWO_AUTHENTICATIONS = (
        400,
        "invalid_request",
        "Authenticate once: by the Authorization header or by the parameters, not by both.",
    )
    OTHER_CLIENT_ID = (
        400,
        "invalid_request",
        "The parameter client_id names another client than the Authorization header.",
    )
    INVALID_REQUEST = 400, "invalid_request", "The request is malformed, or a parameter is missing."
    # One answer for all: whether a client exists is nobody's business.
    INVALID_CLIENT = 401, "invalid_client", "The client could not be authenticated."
    UNAUTHORIZED_CLIENT = 400, "unauthorized_client", "The client may not use this grant type."
    MAY_NOT_INTROSPECT = 403, "unauthorized_client", "The client may not introspect tokens."
    # One answer for all: what became of a code or token is nobody's business.
    INVALID_GRANT = 400, "invalid_grant", "The code or token is not valid, or not for this client."
    INVALID_SCOPE = 400, "invalid_scope", "The scope is malformed, or not for this client."
    INVALID_TARGET = 400, "invalid_target", "The resource is malformed, or not to be had."
    UNSUPPORTED_GRANT_TYPE = 400, "unsupported_grant_type", "This grant type does not exist here."
    # RFC 8628, section 3.5.
    AUTHORIZATION_PENDING = (
        400,
        "authorization_pending",
        "The person has not decided yet. Ask again after the interval.",
    )
    SLOW_DOWN = (
        400,
        "slow_down",
        "The person has not decided yet. Ask again after an interval that is 5 seconds longer.",
    )
    ACCESS_DENIED = 400, "access_denied", "The person has denied the request."
    EXPIRED_TOKEN = 400, "expired_token", "The device code has expired."
    TOO_MANY_REQUESTS = (
        429,
        "temporarily_unavailable",
        "Too many requests came from this address. Try again later.",
    )
    NOT_FOUND = 404, "invalid_request", "There is nothing at this path."
    METHOD_NOT_ALLOWED = 405, "invalid_request", "This path does not take this method."
    SERVER_ERROR = 500, "server_error", "Something went wrong here; the operator finds it logged."
    DATABASE_UNAVAILABLE = (
        503,
        "temporarily_unavailable",
        "The server cannot reach its database. Try again later.",
    )
    NOT_ACKNOWLEDGED = (
        503,
        "temporarily_unavailable",
        "It is revoked, but may still be accepted in places. Try again.",
    )

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.value[0]

    @property
    def error(self) -> str:
        """The OAuth error code."""
        return self.value[1]

    @property
    def description(self) -> str:
        """The words, in the characters that RFC 6749 allows there."""
        return self.value[2]

    @property
    def members(self) -> dict[str, str]:
        """The members of the answer."""
        return {"error": self.error, "error_description": self.description}


class RequestRefused(Exception):  # noqa: N818 - what is at fault is the request
    """The request is answered with the problem."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(problem.description)
