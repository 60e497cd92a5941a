"""What a route is for, what it demands, what ends its tunnels: sections of the configuration."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import Field

from gateway.policy.rate_limits import Per
from gateway.policy.routes import ClaimValue
from gateway.settings import literals, scalars
from gateway.settings.quantities import Rate
from gateway.settings.section import Settings
from gateway.settings.shapes import Items, Table

SharedPer = Literal["address", "client", "person"]
ScopeMatching = Literal["exact", "wildcard"]


class MatchSettings(Settings):
    """Which requests a route is for."""

    host: Annotated[str | None, scalars.ROUTE_HOST] = Field(
        default=None,
        description="The exact host, without port; any host when left out.",
    )
    path: Annotated[str, scalars.PATH_PATTERN] = Field(
        description="The path pattern: `{name}` is one segment, a last `**` all that follows.",
    )
    methods: Annotated[
        tuple[str, ...] | None,
        Items(scalars.METHOD, if_empty="name the methods, or leave the key out for all of them"),
    ] = Field(
        default=None,
        description="The methods, upper case; all when left out. GET includes HEAD.",
    )


class TunnelSettings(Settings):
    """What ends a connection that switched to another protocol, beside a revocation."""

    check: Annotated[float, scalars.duration("100ms", "1m")] = Field(
        default=1.0,
        description="How often its token is held against the route: for its expiry, and for what "
        "the authorization server says of it when that is no longer fresh.",
    )
    outage: Annotated[float, scalars.duration("1s", "1h")] = Field(
        default=30.0,
        description="How long it may go on when the authorization server cannot say any more.",
    )
    idle: Annotated[float, scalars.duration("1s", "24h")] = Field(
        default=3600.0, description="How long neither side may say anything."
    )


_RATE_DESCRIPTION: Final = (
    "So many requests in a time, 1s to 24h, as `100/1m`. The windows slide: of the one before as "
    "much counts as lies within one length before now."
)


class SharedRateLimitSettings(Settings):
    """How many requests somebody may make over all routes together."""

    per: Annotated[SharedPer, scalars.choice("address", "client", "person")] = Field(
        description="For whom requests are counted: each `address` (IPv6 by /64), each `client` "
        "or each `person` (a token without one is its client's). Addresses are counted before "
        "anybody is asked about a token, the others once it has opened a route."
    )
    limit: Annotated[Rate, scalars.RATE] = Field(description=_RATE_DESCRIPTION)


class RateLimitSettings(Settings):
    """How many requests there may be on this route."""

    per: Annotated[Per, scalars.choice("address", "client", "person", "route")] = Field(
        description="For whom requests are counted: each `address` (IPv6 by /64), each `client`, "
        "each `person` (a token without one is its client's), or the whole `route`. Addresses are "
        "counted before anybody is asked about a token, the others once it has opened the route."
    )
    limit: Annotated[Rate, scalars.RATE] = Field(description=_RATE_DESCRIPTION)


_NO_DEMAND = "name what is demanded, or leave the key out"


class RequireSettings(Settings):
    """What a token must have; an empty `{}` means any active token."""

    scopes: Annotated[tuple[str, ...], Items(scalars.SCOPE, if_empty=_NO_DEMAND)] = Field(
        default=(), description="Scopes that the token must have, all of them."
    )
    any_scope: Annotated[tuple[str, ...], Items(scalars.SCOPE, if_empty=_NO_DEMAND)] = Field(
        default=(), description="Scopes of which the token must have at least one."
    )
    scope_matching: Annotated[ScopeMatching, scalars.choice("exact", "wildcard")] = Field(
        default="exact",
        description="How scopes are compared: as they are, or with each `*` in a *token's* scope "
        "as a wildcard. Words are separated by `:` or `.`; a `*` stands for one word, as the last "
        "for one or more: `orders:*` opens what demands `orders:read`, never the other way round.",
    )
    audience: Annotated[str | None, scalars.AUDIENCE] = Field(
        default=None, description="An audience that the token must be meant for."
    )
    claims: Annotated[
        Mapping[str, tuple[ClaimValue, ...]],
        Table(scalars.CLAIM_NAME, literals.ClaimValues(), if_empty=_NO_DEMAND),
    ] = Field(
        default_factory=dict,
        description="Claims that must hold, each with a value or a list of which any will do; "
        "text, numbers and booleans are told apart.",
    )
