"""The header fields that a judged request goes on with."""

from aiohttp.hdrs import VIA

from gateway.middleware.exchange import Exchange
from gateway.middleware.judge import Judgement
from gateway.middleware.origins import ClientOrigins
from gateway.policy.forwarded import extended_headers, forwarding_headers
from gateway.policy.headers import HeaderPair, RequestHeaderFilter, identity_headers
from gateway.policy.trailers import read_announcement, write_announcement
from gateway.policy.via import names_proxy


class OutgoingHeaders:
    """Writes the fields for the upstream: the client's that cross, and the gateway's own.

    `pseudonym` is the gateway's name in Via.
    """

    def __init__(self, origins: ClientOrigins, pseudonym: str) -> None:
        self._origins = origins
        self._pseudonym = pseudonym
        name = pseudonym.encode("ascii")
        self._via = (b"Via", b"1.1 " + name)
        self._via_of_http_1_0 = (b"Via", b"1.0 " + name)
        self._filter = RequestHeaderFilter()

    def run_in_circle(self, exchange: Exchange) -> bool:
        """Say whether Via names this gateway: it has forwarded the request before."""
        return names_proxy(exchange.headers.getall(VIA), self._pseudonym)

    def write(self, exchange: Exchange, judgement: Judgement) -> list[HeaderPair]:
        """Give the fields; only framing and Host are left to be said."""
        message = exchange.message
        headers = self._filter.filter(
            message.raw_headers,
            keep_authorization=judgement.keeps_authorization,
            passes_trailers=exchange.speaks_http_1_1 and not message.upgrade,
        )
        headers.append(self._via if exchange.speaks_http_1_1 else self._via_of_http_1_0)
        headers += exchange.protocol.forwarded_headers or self._forwarding_headers(exchange)
        if exchange.authority is not None and exchange.protocol.forwarded_headers is not None:
            headers.append((b"X-Forwarded-Host", exchange.authority))
        headers.append((b"X-Request-Id", exchange.request_id.encode("ascii")))
        if judgement.destination is not None:
            # Each server gets it in its own words.
            headers = [pair for pair in headers if pair[0].lower() != b"destination"]
        route = judgement.route
        token = judgement.token
        if token is not None and route is not None and not route.is_public:
            headers += identity_headers(token)
        return headers

    def announce_trailers(self, exchange: Exchange) -> list[HeaderPair]:
        """Give the field that announces those trailers of a body in chunks that will cross."""
        announced = [
            value for name, value in exchange.message.raw_headers if name.lower() == b"trailer"
        ]
        return write_announcement(exchange.crossing_trailers(read_announcement(announced)))

    def _forwarding_headers(self, exchange: Exchange) -> list[HeaderPair]:
        """Say where the request came from, once for a connection unless its peer is trusted.

        For a trusted one that is all there is to say, else all but the host.
        """
        protocol = exchange.protocol
        scheme = "http" if protocol.ssl_context is None else "https"
        if self._origins.is_trusted(exchange.peer):
            return extended_headers(
                exchange.peer, scheme, exchange.authority, exchange.message.raw_headers
            )
        protocol.forwarded_headers = forwarding_headers(exchange.peer, scheme)
        return protocol.forwarded_headers
