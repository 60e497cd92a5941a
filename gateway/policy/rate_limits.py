"""How many requests within how much time: what is counted, and what is told of it.

The windows slide: of the one before as much counts as still lies within the length of a window
before now. So nobody gets twice the number at the border of two windows, and nothing is kept of a
client but two numbers.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from gateway.policy.headers import HeaderPair
from gateway.policy.rejection import Reason, Rejection
from gateway.policy.token import Token

Per = Literal["address", "client", "person", "route"]
"""For whom requests are counted: each address, each client, each person, or all together."""


@dataclass(frozen=True, slots=True)
class RateLimit:
    """So many requests in a window of so many seconds.

    `name` is what clients read of it, `counted_for` tells counts apart that have the same `per`:
    those of a route have its name, those over all routes none.
    """

    name: str
    per: Per
    amount: int
    window: int
    counted_for: str = ""

    def key_of(self, who: str) -> str:
        """Give the key of somebody's count; its kind stands before the first slash."""
        return f"{self.per}/{self.counted_for}/{self.window}/{who}"


@dataclass(frozen=True, slots=True)
class RateLimits:
    """The limits of a route: those that need no token, and those that wait for what it says.

    `policy` is the value of RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers).
    """

    before_token: tuple[RateLimit, ...]
    after_token: tuple[RateLimit, ...]
    policy: str


@dataclass(frozen=True, slots=True)
class Standing:
    """How somebody stands with a limit: `remaining` requests, and in `seconds` there are more."""

    limit: RateLimit
    remaining: int
    seconds: int


def arrange(limits: Sequence[RateLimit]) -> RateLimits:
    """Put limits in the order in which they are held against a request.

    What all share is counted last: a stranger without a token, or somebody who has used up a limit
    of their own, takes nothing of it.
    """
    before = tuple(limit for limit in limits if limit.per == "address")
    order = {"client": 0, "person": 1, "route": 2}
    after = sorted((one for one in limits if one.per != "address"), key=lambda one: order[one.per])
    policy = ", ".join(f'"{one.name}";q={one.amount};w={one.window}' for one in (*before, *after))
    return RateLimits(before, tuple(after), policy)


def rate_fields(rates: RateLimits, standings: Sequence[Standing]) -> list[HeaderPair]:
    """Give the fields that tell a client of the limits (draft-ietf-httpapi-ratelimit-headers)."""
    fields = [(b"RateLimit-Policy", rates.policy.encode("ascii"))]
    if standings:
        parts = [f'"{one.limit.name}";r={one.remaining};t={one.seconds}' for one in standings]
        fields.append((b"RateLimit", ", ".join(parts).encode("ascii")))
    return fields


def find_standing(limit: RateLimit, window: tuple[int, float, int, float]) -> Standing:
    """Say how somebody stands; `window` is what a RateStore gives.

    The requests of the window before and the seconds for which some of them count, then those of
    this window and the seconds until none of them counts: its end is one window's length earlier.
    """
    before, before_ends, now, now_ends = window
    counted = before * before_ends / limit.window + now
    remaining = max(0, limit.amount - int(counted))
    to_end = max(0.0, now_ends - limit.window)
    if remaining:
        return Standing(limit, remaining, min(limit.window, int(to_end) + 1))
    if now < limit.amount:
        wait = before_ends - (limit.amount - now) * limit.window / before
    else:
        # Once this window is the one before, what is above the amount has to go out of sight.
        wait = to_end + limit.window * (1 - limit.amount / now)
    # Not at that moment itself: a moment later there is room.
    return Standing(limit, 0, int(max(0.0, wait)) + 1)


def reject(standing: Standing) -> Rejection:
    """Give the refusal of a request for which there is no room."""
    limit = standing.limit
    detail = f"{limit.name}: {limit.amount} in {limit.window} s"
    return Rejection(Reason.RATE_LIMITED, detail=detail, retry_after=standing.seconds)


def whose(per: Literal["client", "person"], token: Token | None) -> str:
    """Say for which client or person a request with this token is counted.

    Who cannot be told apart shares a count. A token without a person is its client's. What an
    issuer says may be long and of any characters, so it is hashed.
    """
    if token is None:
        return "-"
    kind, name = "client", token.client_id
    if per == "person" and token.subject is not None:
        kind, name = "person", token.subject
    text = "\0".join((token.issuer, kind, name or ""))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
