"""May this request pass, on a route that looks at more than the token?

Rule: what is known without asking anybody comes first. No authorization server is asked about the
token of a client that may not pass whatever it says.
"""

from collections.abc import Mapping, Sequence

from aiohttp.hdrs import AUTHORIZATION

from gateway.introspection.coalescing import CachedIntrospector
from gateway.middleware.exchange import Exchange
from gateway.middleware.judge import Judgement, judge_token
from gateway.middleware.origins import ClientOrigins
from gateway.policy.addresses import IPAddress
from gateway.policy.admission import judge_network
from gateway.policy.routes import Route


class AdmissionJudge:
    """Judges the requests of clients, on whatever route."""

    def __init__(
        self, introspectors: Mapping[str, CachedIntrospector], origins: ClientOrigins
    ) -> None:
        self.introspectors = introspectors
        self._origins = origins

    async def judge(self, exchange: Exchange, route: Route) -> Judgement:
        """Hold a request against what a route demands."""
        return await judge_admission(
            route,
            self._origins.client_of(exchange),
            exchange.headers.getall(AUTHORIZATION, ()),
            self.introspectors,
        )


async def judge_admission(
    route: Route,
    client: IPAddress | None,
    authorization: Sequence[str],
    introspectors: Mapping[str, CachedIntrospector],
) -> Judgement:
    """Hold a request against what its route demands; `client` is None when it is not known."""
    if route.admission is not None:
        rejection = judge_network(route.admission, client)
        if rejection is not None:
            return Judgement(route, rejection)
    return await judge_token(route, authorization, introspectors)
