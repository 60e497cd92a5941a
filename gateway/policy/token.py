"""What an authorization server says of a token (RFC 7662, section 2.2)."""

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.policy.rejection import Reason


@dataclass(frozen=True, slots=True)
class Token:
    """An active token.

    `subject` is None for client credentials: a client's name never becomes a person's (RFC 9700,
    section 4.15). `expires_at` is in Unix seconds; None when the server did not say. `claims` are
    the members of the answer, for the demands of a route.
    """

    issuer: str
    client_id: str | None
    subject: str | None
    username: str | None
    scopes: frozenset[str]
    audience: tuple[str, ...]
    expires_at: float | None
    claims: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Inactive:
    """The answer "no", with the reason that the operator may know."""

    reason: Reason = Reason.INACTIVE_TOKEN
