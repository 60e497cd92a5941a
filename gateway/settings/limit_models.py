"""How much clients may ask for, and how long they may take: sections of the configuration."""

from typing import Annotated

from pydantic import Field

from gateway.settings import literals, scalars
from gateway.settings.section import Settings


class LimitSettings(Settings):
    """How large a request may be, and how many clients there may be at a time."""

    body: Annotated[int, scalars.size("1KiB", "1024GiB")] = Field(
        default=100 * 1024**2, description="The longest request body; a longer one is 413."
    )
    headers: Annotated[int, literals.WholeNumber(1, 1000)] = Field(
        default=100, description="The most header fields of a request; more are 431."
    )
    header_bytes: Annotated[int, scalars.size("1KiB", "1024KiB")] = Field(
        default=32 * 1024, description="The most bytes of a request's whole head; more are 431."
    )
    connections: Annotated[int, literals.WholeNumber(1, 1_000_000)] = Field(
        default=8000,
        description="The most connections of clients at a time; more are closed at once. Each "
        "needs two file descriptors, and fewer are taken where the system does not give so many; "
        "and each takes 6 KiB of memory while it is idle, with TLS 50 KiB, or up to 700 KiB once "
        "it has sent much.",
    )
    connections_per_address: Annotated[int, literals.WholeNumber(1, 1_000_000)] = Field(
        default=4000,
        description="The most connections at a time from one IPv4 address or IPv6 /64, so that "
        "nobody alone takes them all; does not bind `trusted_proxies`.",
    )


class ClientTimeoutSettings(Settings):
    """How long the gateway waits for a client."""

    head: Annotated[float, scalars.duration("1ms", "1h")] = Field(
        default=10.0, description="How long the whole head of a request may take to arrive."
    )
    body: Annotated[float, scalars.duration("1ms", "1h")] = Field(
        default=30.0,
        description="The longest gap between two pieces of a request's body, which beyond that "
        "must keep an average of 500 bytes a second, else 408; and how long a client may refuse to "
        "take a piece of its answer, after which the connection is broken off.",
    )
    idle: Annotated[float, scalars.duration("1ms", "24h")] = Field(
        default=75.0, description="How long a connection is kept open between two requests."
    )


class RouteLimitSettings(Settings):
    """How large a request to this route may be."""

    body: Annotated[int | None, scalars.size("1KiB", "1024GiB")] = Field(
        default=None, description="The longest request body, in place of the `limits.body` of all."
    )
