"""The plain values and protocols between whoever judged a request and whoever forwards it."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.policy.headers import HeaderPair
from gateway.policy.rejection import Reason


class BodyFailure(Exception):  # noqa: N818 - what became of a body, not a fault here
    """The client's body cannot be had: `reason` says why it is refused."""

    def __init__(self, reason: Reason, detail: str) -> None:
        self.reason = reason
        super().__init__(detail)


class UpstreamFailure(Exception):  # noqa: N818 - what became of an exchange, not a fault here
    """An exchange with an upstream failed; `reason` is one of the `upstream_` reasons.

    `was_untouched` says that not one byte of an answer had arrived when the connection closed,
    `is_full` that the upstream has as many requests as it may have.
    """

    def __init__(
        self,
        reason: Reason,
        detail: str,
        *,
        was_untouched: bool = False,
        is_full: bool = False,
    ) -> None:
        self.reason = reason
        self.detail = detail
        self.was_untouched = was_untouched
        self.is_full = is_full
        super().__init__(detail)

    @property
    def result(self) -> str:
        """What an exchange that ends with it counts as: a `result` of Forwarded."""
        return "full" if self.is_full else self.reason.removeprefix("upstream_")

    @property
    def was_closed_untouched(self) -> bool:
        """Whether the upstream closed without a word: it may never have seen the request."""
        return self.was_untouched and self.reason is Reason.UPSTREAM_UNAVAILABLE


class RequestBody(Protocol):
    """The body of a request, as it arrives."""

    length: int | None
    """In bytes, as announced; None for a chunked one."""

    def take(self) -> bytes:
        """Give what has arrived, without waiting."""
        ...

    @property
    def is_complete(self) -> bool:
        """Whether nothing more will come beyond what `take` gave."""
        ...

    async def read(self) -> bytes:
        """Give more, waiting for it; b"" at the end. Raises BodyFailure."""
        ...

    def trailers(self) -> Sequence[HeaderPair]:
        """Give the fields that go on behind the body, once all of it has been given."""
        ...


class Client(Protocol):
    """Where the answer goes."""

    speaks_http_1_1: bool
    keep_alive: bool
    """Whether the connection stays open after this answer; `forward` may turn it off."""

    def write(self, data: bytes) -> None:
        """Send bytes. Raises ConnectionError when the client is gone."""
        ...

    def pass_hints(self, fields: Sequence[HeaderPair]) -> None:
        """Send a 103 with these fields, if there are any and the client can read it."""
        ...

    @property
    def is_congested(self) -> bool:
        """Whether `drain` would have to wait."""
        ...

    async def drain(self) -> None:
        """Wait until more may be sent."""
        ...

    def edit_answer(self, request: "ForwardRequest", fields: list[HeaderPair]) -> list[HeaderPair]:
        """Give the fields of an answer's head as the client is to see them."""
        ...

    def edit_trailers(self, fields: list[HeaderPair]) -> list[HeaderPair]:
        """Give the trailers of an answer as the client is to see them."""
        ...

    def abort(self) -> None:
        """Break the connection, so that what was sent is not taken for a whole answer."""
        ...

    def begin_tunnel(self) -> tuple[object, bytes]:
        """Give up the connection's asyncio.Transport, and the bytes that came behind the request.

        Raises ConnectionError when the client is gone.
        """
        ...

    def end_tunnel(self, bytes_received: int) -> None:
        """Take back the connection, which is closed; so many bytes have come from the client."""
        ...


class OpenTunnel(Protocol):
    """A tunnel between the client and the upstream."""

    @property
    def bytes_received(self) -> int:
        """How many bytes the client has sent."""
        ...

    @property
    def bytes_sent(self) -> int:
        """How many bytes the upstream has sent."""
        ...

    def abort(self) -> None:
        """Close both sides at once."""
        ...


@dataclass(frozen=True, slots=True)
class Upgrade:
    """What a request wants its connection to speak; `on_open` is given the tunnel."""

    protocol: bytes
    on_open: Callable[[OpenTunnel], None]


@dataclass(slots=True)
class ForwardRequest:
    """A request that is allowed: its fields are final but for framing.

    `headers` do not hold Host; `host` None (HTTP/1.0) becomes the upstream's own authority.
    `destination` is the path and query that a Destination is to name, of the server that gets it.
    `edits_every_answer` says that the client is to be asked about the fields of its answer.
    """

    method: str
    target: bytes
    host: bytes | None
    headers: list[HeaderPair]
    body: RequestBody | None = None
    upgrade: Upgrade | None = None
    destination: bytes | None = None
    edits_every_answer: bool = False


@dataclass(slots=True)
class Forwarded:
    """What became of a request. It is filled in on the way, so that a failure leaves its part.

    `status` is 0 until an answer's head has gone to the client. `result` is empty until the request
    is sent, then one of `answered`, `unavailable`, `invalid`, `timeout`, `full` (no server could
    take it) and `aborted` (the client went away, or its body could not be had). `server` is the one
    that was asked last, `failed_attempts` has server and result of each one before it. Durations
    are in seconds.
    """

    status: int = 0
    bytes_sent: int = 0
    seconds_to_head: float = 0.0
    result: str = ""
    server: str = "-"
    failed_attempts: tuple[tuple[str, str], ...] = ()


Forward = Callable[[ForwardRequest, Client, Forwarded], Awaitable[None]]
"""Send a request to its upstream and the answer to the client; the last one tells how it went.

Raises UpstreamFailure or BodyFailure while its `status` is 0: the client has not been answered yet.
After that a failure breaks the client's connection and is raised all the same.
"""
