"""Changes the answers of upstreams for the client, as their routes say."""

from collections.abc import Mapping

from aiohttp.hdrs import AUTHORIZATION, ORIGIN

from gateway.middleware.exchange import Exchange
from gateway.middleware.origins import ClientOrigins
from gateway.policy.adaptation import Adaptation
from gateway.policy.cors import replace_fields
from gateway.policy.forwarding import ForwardRequest
from gateway.policy.headers import HeaderPair
from gateway.policy.mapping_back import BothSides, map_back, plain_authority
from gateway.policy.token_cookie import keep_private, without_setting

_NOTHING = Adaptation()


class AnswerEditor:
    """Edits the fields of an answer's head, before the client gets it.

    `authorities` are those of each upstream's servers, by its name.
    """

    def __init__(
        self, origins: ClientOrigins, authorities: Mapping[str, tuple[bytes, ...]]
    ) -> None:
        self._origins = origins
        self._authorities = {
            name: frozenset(plain_authority(one.decode("latin-1")) for one in authorities)
            for name, authorities in authorities.items()
        }

    def edit(
        self, exchange: Exchange, request: ForwardRequest, fields: list[HeaderPair]
    ) -> list[HeaderPair]:
        """Give the fields as the client is to see them."""
        adaptation = (exchange.route and exchange.route.adaptation) or _NOTHING
        if adaptation.token_cookie is not None:
            fields = without_setting(adaptation.token_cookie, fields)
            if AUTHORIZATION not in exchange.headers:
                fields = keep_private(fields)
        fields = map_back(fields, self._sides(exchange, request, adaptation))
        if adaptation.response_headers is not None:
            fields = adaptation.response_headers.edit(fields)
        if adaptation.cors is not None:
            origins = exchange.headers.getall(ORIGIN, ())
            fields = replace_fields(adaptation.cors, origins, fields)
        return fields + exchange.own_fields if adaptation.adds_fields else fields

    def _sides(
        self, exchange: Exchange, request: ForwardRequest, adaptation: Adaptation
    ) -> BothSides:
        servers = self._authorities.get(exchange.upstream or "", frozenset())
        sent_host = plain_authority((request.host or b"").decode("latin-1"))
        # X-Forwarded-Host tells a service the client's, by which many write their references.
        own = servers | {sent_host, plain_authority((exchange.authority or b"").decode("latin-1"))}
        return BothSides(
            origin=self._origins.of(exchange),
            path=exchange.path,
            own=own - {""},
            sent_host=sent_host,
            replaces_host=adaptation.replaces_host,
            rewrite=adaptation.path,
            secure_cookies=adaptation.secure_cookies,
        )
