"""The way of one request to a server: choose one, connect, send; and once more where that is safe.

Rules: a request is sent twice only when it has no body, is safe by its method, and met a kept-alive
connection that closed before one byte came back; and only as often as the upstream's budget allows.
A server that takes no connection has been sent nothing, so the next one is tried with any request.
A body that a service does not read would be its next request, which nobody has judged: so what has
one is the last request of its connection, and says so, unless the upstream is known to read bodies.
"""

import asyncio

from gateway.policy.forwarding import (
    Client,
    Forwarded,
    ForwardRequest,
    RequestBody,
    UpstreamFailure,
)
from gateway.policy.rejection import Reason
from gateway.proxy.connection import UpstreamConnection
from gateway.proxy.server import Server, ServerOrigin
from gateway.proxy.upstream import Upstream, UpstreamTimeouts

_REPEATED_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
# A body means nothing to these (RFC 9110, section 9.3), so services do not look for one.
_METHODS_WITHOUT_BODY = frozenset({"GET", "HEAD", "OPTIONS", "DELETE", "TRACE"})
_JOIN = b": ".join


class Attempt:
    """Gets the head of an answer; `settle` gives back what it holds, whatever came of it."""

    __slots__ = (
        "_client",
        "_connection",
        "_ends_at",
        "_is_last",
        "_is_reused",
        "_needs_new_connection",
        "_outcome",
        "_pump",
        "_request",
        "_server",
        "_timeouts",
        "_tried",
        "_upstream",
    )

    def __init__(
        self,
        upstream: Upstream,
        timeouts: UpstreamTimeouts,
        request: ForwardRequest,
        client: Client,
        outcome: Forwarded,
    ) -> None:
        self._upstream = upstream
        self._timeouts = timeouts
        self._request = request
        self._client = client
        self._outcome = outcome
        self._server: Server | None = None
        self._connection: UpstreamConnection | None = None
        self._pump: asyncio.Task[None] | None = None
        # Those that took no connection.
        self._tried: tuple[Server, ...] = ()
        self._ends_at = upstream.loop.time() + timeouts.total
        self._is_reused = False
        self._is_last = _has_body(request) and (
            not upstream.reuses_after_body or request.method in _METHODS_WITHOUT_BODY
        )
        self._needs_new_connection = False

    async def get_head(self) -> UpstreamConnection:
        """Give a connection on which the answer has begun. Raises UpstreamFailure, BodyFailure."""
        upstream, timeouts, request = self._upstream, self._timeouts, self._request
        now = upstream.loop.time
        # Taken once: it is sent anew with each attempt.
        arrived, is_whole = _take_arrived(request.body)
        # From here on it counts as sent; what ends it without an answer or a failure aborts it.
        self._outcome.result = "aborted"
        while True:
            server = upstream.take_server(self._tried)
            if server is None:
                server = await upstream.wait_for_server(self._tried, self._seconds_to_connect())
            self._server = server
            self._outcome.server = server.origin.label
            try:
                connection = None if self._needs_new_connection else server.take_idle()
                self._is_reused = connection is not None
                if connection is None:
                    connection = await server.connect(self._seconds_to_connect())
                    upstream.watch_deadlines()
                self._connection = connection
                connection.begin(
                    _request_head(request, server.origin, is_last=self._is_last) + arrived,
                    is_head=request.method == "HEAD",
                    upgrade=request.upgrade.protocol if request.upgrade is not None else None,
                    client=self._client,
                )
                connection.expect_answer_by(now() + timeouts.response, self._ends_at)
                if not is_whole:
                    self._start_pump(connection)
                await connection.wait_for_head()
            except UpstreamFailure as failure:
                if not self._can_go_on(failure):
                    raise
                self._let_go(failure)
                continue
            if server.failures:
                upstream.note_success(server)
            return connection

    def is_still_sending(self) -> bool:
        """Say whether the request's body is not sent to its end."""
        return self._pump is not None and not self._pump.done()

    def settle(self, *, has_answered: bool) -> None:
        """Give server and connection back; the latter is used again only if all went well."""
        connection = self._connection
        if connection is not None:
            if self._pump is not None and not self._pump.done():
                # The upstream has answered without reading the rest of the body (RFC 9112, section
                # 9.5), or the exchange failed: what is on its way belongs to nobody.
                self._pump.cancel()
                connection.can_be_reused = False
            if not has_answered or self._is_last:
                connection.can_be_reused = False
        if self._server is not None:
            self._upstream.release(self._server, connection)

    def _seconds_to_connect(self) -> float:
        """Give the time for one try, of which the whole exchange may leave less."""
        left = self._ends_at - self._upstream.loop.time()
        return max(0.0, min(self._timeouts.connect, left))

    def _start_pump(self, connection: UpstreamConnection) -> None:
        body = self._request.body
        if body is not None:
            connection.upload_deadline = float("inf")
            self._pump = asyncio.create_task(_pump(connection, body, self._timeouts))

    def _can_go_on(self, failure: UpstreamFailure) -> bool:
        """Say whether the request may be sent to a server again, and take what it tells."""
        upstream, server, request = self._upstream, self._server, self._request
        assert server is not None  # noqa: S101 - for the type checker: it is the one that failed
        if self._connection is None:
            upstream.note_failure(server)
            self._tried = (*self._tried, server)
            return upstream.has_untried(self._tried) and self._seconds_to_connect() > 0
        if self._is_reused and failure.was_closed_untouched:
            # It had closed the kept-alive connection meanwhile, which is no fault.
            self._needs_new_connection = True
            is_safe = not _has_body(request) and request.method in _REPEATED_METHODS
            return is_safe and upstream.may_repeat()
        if failure.reason is not Reason.UPSTREAM_INVALID:
            upstream.note_failure(server)
        return False

    def _let_go(self, failure: UpstreamFailure) -> None:
        """Give back what has failed, and keep a note of it."""
        outcome = self._outcome
        outcome.failed_attempts += ((outcome.server, failure.result),)
        if self._server is not None:
            self._upstream.release(self._server, self._connection)
        self._server = self._connection = None


def _has_body(request: ForwardRequest) -> bool:
    return request.body is not None and request.body.length != 0


def upgrade_lines(protocol: bytes) -> tuple[bytes, bytes]:
    """Give the fields that ask for another protocol, and those that agree to it."""
    return (b"Connection: upgrade", b"Upgrade: " + protocol)


def _take_arrived(body: RequestBody | None) -> tuple[bytes, bool]:
    """Give the body as far as it is there, framed, and say whether that is all of it."""
    if body is None:
        return b"", True
    arrived = _frame(body.take(), body.length)
    if not body.is_complete:
        return arrived, False
    return arrived + (_last_chunk(body) if body.length is None else b""), True


async def _pump(
    connection: UpstreamConnection, body: RequestBody, timeouts: UpstreamTimeouts
) -> None:
    """Send the rest of the body. It never fails: the connection tells of what goes wrong."""
    now = connection.loop.time
    try:
        while data := await body.read():
            connection.write(_frame(data, body.length))
            connection.upload_deadline = now() + timeouts.response
            await connection.drain()
            connection.upload_deadline = float("inf")
    except UpstreamFailure:
        return
    except Exception as error:  # noqa: BLE001 - it is raised where the answer is waited for
        connection.break_off(error)
        return
    if body.length is None:
        connection.write(_last_chunk(body))
    connection.upload_deadline = None
    if not connection.has_head:
        connection.deadline = now() + timeouts.response
    elif connection.deadline < float("inf"):
        # Somebody waits for more of the answer, which was not due before.
        connection.deadline = now() + timeouts.idle


def _request_head(request: ForwardRequest, origin: ServerOrigin, *, is_last: bool) -> bytes:
    host = request.host or origin.authority
    lines = [b"%b %b HTTP/1.1\r\nHost: %b" % (request.method.encode("ascii"), request.target, host)]
    lines += map(_JOIN, request.headers)
    if request.destination is not None:
        # Services compare it with the scheme and the host by which they themselves are asked.
        scheme = b"http" if origin.tls is None else b"https"
        lines.append(b"Destination: %b://%b%b" % (scheme, host, request.destination))
    if request.upgrade is not None:
        lines += upgrade_lines(request.upgrade.protocol)
    elif is_last:
        lines.append(b"Connection: close")
    body = request.body
    if body is not None:
        lines.append(
            b"Transfer-Encoding: chunked"
            if body.length is None
            else b"Content-Length: %d" % body.length
        )
    lines.append(b"\r\n")
    return b"\r\n".join(lines)


def _last_chunk(body: RequestBody) -> bytes:
    """Give the end of a body in chunks that has arrived whole, trailers included."""
    return b"".join([b"0\r\n", *(b"%b: %b\r\n" % pair for pair in body.trailers()), b"\r\n"])


def _frame(data: bytes, length: int | None) -> bytes:
    """Frame a piece of a request's body: as it is when the length is known, else as a chunk."""
    if length is not None or not data:
        return data
    return b"%x\r\n%b\r\n" % (len(data), data)
