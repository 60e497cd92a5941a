"""The guard: one function that reads top-down.

Rule: it fails closed. A request is forwarded on one line only, after everything before it has said
yes; whatever raises on the way is refused by `record`, and nothing has gone to the upstream.
"""

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from functools import partial

from aiohttp import HttpVersion10
from aiohttp.hdrs import (
    AUTHORIZATION,
    CONNECTION,
    CONTENT_LENGTH,
    DESTINATION,
    EXPECT,
    HOST,
    SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_VERSION,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    VIA,
)

from gateway.middleware.admission import AdmissionJudge
from gateway.middleware.cors import answer_preflight, find_cors
from gateway.middleware.destination import judge_destination
from gateway.middleware.exchange import AnswerEditor, Exchange, ExchangeBody
from gateway.middleware.judge import Judgement, find_route, judge_token
from gateway.middleware.metadata import ProtectedResource
from gateway.middleware.options import SERVER_WIDE, answer_options
from gateway.middleware.outgoing import OutgoingHeaders
from gateway.middleware.refuse import refuse
from gateway.middleware.watch import TunnelWatch
from gateway.policy.adaptation import adapt_request, encode_target
from gateway.policy.cors import PREFLIGHT_METHOD
from gateway.policy.forwarding import (
    BodyFailure,
    Forward,
    Forwarded,
    ForwardRequest,
    Upgrade,
    UpstreamFailure,
)
from gateway.policy.framing import NO_BODY, MalformedFraming, judge_body, read_framing
from gateway.policy.host import normalize_host
from gateway.policy.method import METHODS_WITHOUT_DESTINATION, USUAL_METHODS
from gateway.policy.path import AmbiguousPath, canonicalize_path
from gateway.policy.rejection import Reason, Rejection
from gateway.policy.routes import Route
from gateway.policy.table import RouteTable
from gateway.policy.target import MalformedTarget, split_target
from gateway.policy.upgrade import WEBSOCKET, UpgradeFields, asks_for_websocket

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@dataclass(frozen=True, slots=True)
class GuardLimits:
    """Of a request: bytes of its head and its body, seconds between two pieces of the body."""

    header_bytes: int
    body_bytes: int
    body_seconds: float


class Malformed(Exception):  # noqa: N818 - says what the request is
    """The request is refused before it has a route."""

    def __init__(self, reason: Reason, detail: str, allow: tuple[str, ...] = ()) -> None:
        self.rejection = Rejection(reason, detail=detail, allow=allow)
        super().__init__(detail)


class Guard:
    """Judges each request, and forwards what is allowed."""

    def __init__(
        self,
        *,
        table: RouteTable,
        judge: AdmissionJudge,
        forwards: Mapping[str, Forward],
        resource: ProtectedResource,
        headers: OutgoingHeaders,
        limits: GuardLimits,
        watch: TunnelWatch,
        editor: AnswerEditor,
    ) -> None:
        self._table = table
        self._judge = judge
        self._introspectors = judge.introspectors
        self._forwards = forwards
        self._resource = resource
        self._headers = headers
        self._limits = limits
        self._watch = watch
        self._editor = editor

    async def __call__(self, exchange: Exchange) -> None:
        """Answer one request: with a refusal, or with what the upstream says."""
        try:
            query = self._read_target(exchange)
            length = self._read_framing(exchange)
        except Malformed as error:
            # Who cannot be understood in one thing may mean anything with what follows.
            exchange.keep_alive = False
            await self._refuse(exchange, error.rejection)
            return
        if exchange.path == SERVER_WIDE:
            await answer_options(exchange)
            return
        if self._resource.is_asked_for(exchange.path):
            await self._resource.answer(exchange)
            return
        if exchange.method == PREFLIGHT_METHOD and await answer_preflight(exchange, self._table):
            return
        route = find_route(
            self._table, exchange.host, exchange.path, exchange.method, exchange.ambiguities
        )
        if isinstance(route, Rejection):
            await self._refuse_without_route(exchange, route)
            return
        exchange.route = route
        if VIA in exchange.headers and self._headers.run_in_circle(exchange):
            await self._refuse(exchange, Rejection(Reason.LOOP_DETECTED))
            return
        if route.admission is None:
            judgement = await judge_token(
                route, exchange.headers.getall(AUTHORIZATION, ()), self._introspectors
            )
        else:
            judgement = await self._judge.judge(exchange, route)
        exchange.answer = judgement.answer
        rejection = judgement.rejection or self._judge_body(exchange, route, length)
        if (
            rejection is None
            and exchange.method not in METHODS_WITHOUT_DESTINATION
            and DESTINATION in exchange.headers
        ):
            rejection = await judge_destination(
                judgement,
                exchange.headers.getall(DESTINATION),
                host=exchange.host,
                method=exchange.method,
                table=self._table,
                judge=partial(self._judge.judge, exchange),
            )
        if rejection is not None:
            await self._refuse(exchange, rejection)
            return
        await self._forward(exchange, judgement, query, length)

    def _read_target(self, exchange: Exchange) -> str:
        """Read host and path into the exchange, and give the query. Raises Malformed."""
        message = exchange.message
        if not exchange.speaks_http_1_1 and message.version != HttpVersion10:
            raise Malformed(Reason.MALFORMED_REQUEST, "neither HTTP/1.1 nor HTTP/1.0")
        value = exchange.headers.get(HOST)
        if value is not None:
            exchange.host = normalize_host(value)
            exchange.authority = value.encode("latin-1", "replace")
            if exchange.host is None:
                raise Malformed(Reason.MALFORMED_REQUEST, "the Host header is malformed")
        try:
            exchange.path, query = split_target(message.path, exchange.host)
        except MalformedTarget as error:
            return _read_other_target(exchange, error)
        try:
            exchange.path = canonicalize_path(exchange.path)
        except AmbiguousPath as error:
            if not error.liftable:
                raise Malformed(Reason.AMBIGUOUS_PATH, error.kind) from None
            exchange.path, exchange.ambiguities = error.canonical, error.liftable
        return query

    def _read_framing(self, exchange: Exchange) -> int | None:
        """Give the announced length of the body, None when it is chunked, or NO_BODY.

        Raises Malformed.
        """
        headers = exchange.headers
        if exchange.protocol.must_measure:
            size = sum(len(name) + len(value) + 4 for name, value in exchange.message.raw_headers)
            if size > self._limits.header_bytes:
                raise Malformed(Reason.HEADERS_TOO_LARGE, f"{size} bytes")
        codings = headers.getall(TRANSFER_ENCODING, ())
        lengths = headers.getall(CONTENT_LENGTH, ())
        if not codings and not lengths:
            return NO_BODY
        try:
            return read_framing(codings, lengths, speaks_http_1_1=exchange.speaks_http_1_1)
        except MalformedFraming as error:
            raise Malformed(error.reason, str(error)) from None

    def _judge_body(self, exchange: Exchange, route: Route, length: int | None) -> Rejection | None:
        if length == NO_BODY and EXPECT not in exchange.headers:
            return None
        most = route.body_bytes or self._limits.body_bytes
        return judge_body(length, most, exchange.headers.getall(EXPECT, ()))

    def _forward(
        self, exchange: Exchange, judgement: Judgement, query: str, length: int | None
    ) -> Awaitable[None]:
        """Give what remains to be done with a request that may pass."""
        route = judgement.route
        assert route is not None  # noqa: S101 - for the type checker: a judged request has one
        exchange.upstream = route.upstream
        exchange.editor = self._editor
        request = ForwardRequest(
            exchange.method,
            encode_target(exchange.path + query),
            exchange.authority,
            self._headers.write(exchange, judgement),
            destination=judgement.destination,
        )
        if route.adaptation is not None:
            try:
                token = None if route.is_public else judgement.token
                adapt_request(route.adaptation, request, exchange.path, query, token)
            except AmbiguousPath as error:
                return self._refuse(exchange, Rejection(Reason.AMBIGUOUS_PATH, detail=error.kind))
        if length != NO_BODY:
            request.body = self._body(exchange, route, length)
            if length is None and TRAILER in exchange.headers:
                request.headers += self._headers.announce_trailers(exchange)
        if route.upgrade and _asks_for_tunnel(exchange, has_body=length != NO_BODY):
            return self._forward_upgrade(exchange, judgement, request)
        return self._send(exchange, request, route)

    async def _forward_upgrade(
        self, exchange: Exchange, judgement: Judgement, request: ForwardRequest
    ) -> None:
        """Forward a request that may become a tunnel, which is watched as long as it stands."""
        route = judgement.route
        assert route is not None  # noqa: S101 - for the type checker, as above
        watched = self._watch.add(route, self._judge.bearer_of(exchange, route), judgement.answer)
        request.upgrade = Upgrade(WEBSOCKET.encode("ascii"), watched.attach)
        try:
            await self._send(exchange, request, route)
        finally:
            self._watch.remove(watched)
            if watched.tunnel is not None:
                exchange.reason = watched.reason

    async def _send(self, exchange: Exchange, request: ForwardRequest, route: Route) -> None:
        outcome = exchange.forwarded = Forwarded()
        try:
            await self._forwards[route.name](request, exchange, outcome)
        except (UpstreamFailure, BodyFailure) as failure:
            if outcome.status:
                exchange.reason = failure.reason
                exchange.detail = str(failure)
            else:
                is_full = isinstance(failure, UpstreamFailure) and failure.is_full
                rejection = Rejection(failure.reason, detail=str(failure), is_full=is_full)
                await self._refuse(exchange, rejection)
                return
        finally:
            if outcome.status:
                exchange.status = outcome.status
                exchange.bytes_sent = outcome.bytes_sent

    def _body(self, exchange: Exchange, route: Route, length: int | None) -> ExchangeBody:
        if EXPECT in exchange.headers and exchange.speaks_http_1_1 and length != 0:
            # Only now: a body is not asked for before the request is allowed.
            exchange.write(_CONTINUE)
        limit = route.body_bytes or self._limits.body_bytes
        return ExchangeBody(exchange, length, limit=limit, timeout=self._limits.body_seconds)

    async def _refuse_without_route(self, exchange: Exchange, rejection: Rejection) -> None:
        if rejection.reason is Reason.AMBIGUOUS_PATH:
            exchange.keep_alive = False
        exchange.cors = find_cors(exchange, self._table)
        await self._refuse(exchange, rejection)

    def _refuse(self, exchange: Exchange, rejection: Rejection) -> Awaitable[None]:
        return refuse(exchange, rejection, self._resource.metadata_url(exchange.host))


def _read_other_target(exchange: Exchange, error: MalformedTarget) -> str:
    """Take the one target that is no path and has a meaning here. Raises Malformed."""
    if exchange.method == "CONNECT":
        # An authority (RFC 9110, section 9.3.6): no tunnel is opened to anywhere.
        raise Malformed(Reason.METHOD_NOT_ALLOWED, "CONNECT", USUAL_METHODS) from None
    if exchange.method == "OPTIONS" and exchange.message.path == SERVER_WIDE:
        exchange.path = SERVER_WIDE
        return ""
    raise Malformed(Reason.MALFORMED_REQUEST, str(error)) from None


def _asks_for_tunnel(exchange: Exchange, *, has_body: bool) -> bool:
    if not exchange.message.upgrade:
        return False
    headers = exchange.headers
    fields = UpgradeFields(
        connection=headers.getall(CONNECTION, ()),
        upgrade=headers.getall(UPGRADE, ()),
        key=headers.getall(SEC_WEBSOCKET_KEY, ()),
        version=headers.getall(SEC_WEBSOCKET_VERSION, ()),
    )
    return asks_for_websocket(
        exchange.method, fields, speaks_http_1_1=exchange.speaks_http_1_1, has_body=has_body
    )
