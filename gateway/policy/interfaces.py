"""The protocols that join the rooms, and the words they speak."""

from dataclasses import dataclass
from typing import Literal, Protocol, Self

from gateway.policy.token import Inactive, Token

FailureKind = Literal[
    "unreachable",
    "timeout",
    "credentials_refused",
    "throttled",
    "server_error",
    "unexpected_answer",
    "circuit_open",
]
"""Why an authorization server could not say it.

No connection, or it broke; no answer in time; it refuses the gateway itself (401, 403); it has had
enough of us (429); it failed (5xx); what it said makes no sense; it was not asked, because it has
failed too often.
"""


class AuthorizationServerUnavailable(Exception):  # noqa: N818 - a state of the server, not a fault here
    """Nobody could say whether the token is good. Its text is for the log, never for the client.

    `retry_after` is in seconds, None when nothing is known of it.
    """

    def __init__(
        self, detail: str, kind: FailureKind = "unreachable", retry_after: float | None = None
    ) -> None:
        self.kind: FailureKind = kind
        self.retry_after = retry_after
        super().__init__(detail)


class RevocationNotAcknowledged(Exception):  # noqa: N818 - a state of the others, not a fault here
    """The revocation is in the database, but not everybody who may remember has heard of it.

    `workers` names those that stayed silent, by process id; `is_fleet_silent` says that the
    gateways on other hosts could not be told.
    """

    def __init__(self, workers: tuple[int, ...], *, is_fleet_silent: bool = False) -> None:
        self.workers = workers
        self.is_fleet_silent = is_fleet_silent
        silent = [f"worker {pid}" for pid in workers]
        if is_fleet_silent:
            silent.append("the gateways on other hosts")
        super().__init__(f"no acknowledgement from {', '.join(silent)}")


RevocationKind = Literal["token", "grant", "client", "person"]
RevocationSource = Literal["endpoint", "page", "reuse", "command"]
"""Whence a revocation comes.

A client asked; a person did; a code or refresh token came a second time; an operator commanded it.
"""


@dataclass(frozen=True, slots=True)
class Revocation:
    """What has been revoked. What `value` is depends on the kind.

    - `token`: the hex SHA-256 of one access token.
    - `grant`: a subject, a space and a client_id: all that the one allowed the other.
    - `client`: a client_id: all that was issued to it.
    - `person`: a subject: all that was issued in the person's name.

    It names the issuer, not what a configuration calls it: two processes may call it differently.
    """

    issuer: str
    kind: RevocationKind
    value: str

    @classmethod
    def of_grant(cls, issuer: str, subject: str, client_id: str) -> Self:
        """Give the revocation of all that a person allowed a client."""
        return cls(issuer, "grant", f"{subject} {client_id}")

    def concerns(self, token: Token) -> bool:
        """Say whether a token is among what a grant's, a client's or a person's revocation takes.

        A single token is not known by what is said of it, so that kind concerns none here.
        """
        if token.issuer != self.issuer:
            return False
        if self.kind == "client":
            return token.client_id == self.value
        if token.subject is None:
            return False
        if self.kind == "person":
            return token.subject == self.value
        return self.kind == "grant" and f"{token.subject} {token.client_id}" == self.value


class Introspector(Protocol):
    """Someone who can say whether a token is good."""

    async def introspect(self, token: str) -> Token | Inactive:
        """Say who the token is. Raises AuthorizationServerUnavailable when nobody can say."""
        ...


class RevocationSink(Protocol):
    """Someone who has to forget what has been revoked."""

    def revoke(self, revocation: Revocation) -> None:
        """Forget it: when this returns, no request that starts later passes by it."""
        ...

    def distrust(self) -> None:
        """Forget every answer about an active token: revocations may have gone unheard."""
        ...


class RateStore(Protocol):
    """Someone who counts requests in sliding windows, by keys.

    The storages of `limits.aio` that several gateways can share have this form.
    """

    async def acquire_sliding_window_entry(
        self, key: str, limit: int, expiry: int, amount: int = 1
    ) -> bool:
        """Count `amount` requests if no more than `limit` are then counted; say whether they are.

        A window has `expiry` seconds.
        """
        ...

    async def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        """Give four numbers: what counts of the window before, and of this one.

        The requests of the window before and the seconds for which some of them count, then the
        requests of this window and the seconds until none of them does.
        """
        ...
