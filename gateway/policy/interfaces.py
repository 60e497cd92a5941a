"""The protocols that join the rooms, and the words they speak."""

from dataclasses import dataclass
from typing import Literal, Protocol

from gateway.policy.token import Inactive, Token


class AuthorizationServerUnavailable(Exception):  # noqa: N818 - a state of the server, not a fault here
    """Nobody could say whether the token is good. Its text is for the log, never for the client."""


class RevocationNotAcknowledged(Exception):  # noqa: N818 - a state of the workers, not a fault here
    """The revocation is in the database, but a worker has not said that it forgot the token.

    `workers` names those that stayed silent, by process id.
    """

    def __init__(self, workers: tuple[int, ...]) -> None:
        self.workers = workers
        names = ", ".join(str(pid) for pid in workers)
        super().__init__(f"no acknowledgement from worker {names}")


@dataclass(frozen=True, slots=True)
class Revocation:
    """What has been revoked: `value` is a token's hex SHA-256, or a client_id of the issuer.

    It names the issuer, not what a configuration calls it: two processes may call it differently.
    """

    issuer: str
    kind: Literal["token", "client"]
    value: str


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
