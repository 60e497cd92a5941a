"""May this request pass, on a route that looks at more than the token?

Rule: what is known without asking anybody comes first. No authorization server is asked about the
token of a client that may not pass whatever it says, or that has asked too often.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aiohttp.hdrs import AUTHORIZATION, COOKIE, ORIGIN, UPGRADE

from gateway.introspection.coalescing import RememberingServer
from gateway.middleware.exchange import Exchange
from gateway.middleware.judge import Judgement, judge_token
from gateway.middleware.origins import ClientOrigins
from gateway.policy.addresses import IPAddress, counted_as
from gateway.policy.admission import judge_network
from gateway.policy.bearer import read_bearer
from gateway.policy.interfaces import RateStore
from gateway.policy.rate_limits import RateLimit, Standing, find_standing, reject, whose
from gateway.policy.rejection import Reason, Rejection
from gateway.policy.routes import Route
from gateway.policy.token import Token
from gateway.policy.token_cookie import judge_origin, read_cookie


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks, as far as a request tells: where from (None when not known), and by what token.

    What follows counts where a token may come in a cookie: `own_origin` is the one that the request
    was sent to, `is_upgrade` says that it may open a tunnel.
    """

    client: IPAddress | None
    authorization: Sequence[str]
    cookies: Sequence[str] = ()
    method: str = ""
    origins: Sequence[str] = ()
    own_origin: str = ""
    is_upgrade: bool = False


class RequestCount:
    """Counts one request, once for each limit, also where two routes have it."""

    __slots__ = ("_store", "standings")

    def __init__(self, store: RateStore, standings: tuple[Standing, ...] = ()) -> None:
        self._store = store
        self.standings = standings

    async def count(self, limits: Sequence[RateLimit], who: Mapping[str, str]) -> Rejection | None:
        """Count it for whom it concerns; gives the refusal of the first limit without room."""
        counted = {standing.limit for standing in self.standings}
        for limit in limits:
            if limit in counted:
                continue
            key = limit.key_of(who[limit.per])
            has_room = await self._store.acquire_sliding_window_entry(
                key, limit.amount, limit.window
            )
            window = await self._store.get_sliding_window(key, limit.window)
            standing = find_standing(limit, window)
            if not has_room and standing.remaining:
                # The window has moved on between the two.
                standing = Standing(limit, 0, 1)
            self.standings = (*self.standings, standing)
            if not has_room:
                return reject(standing)
        return None


class AdmissionJudge:
    """Judges the requests of clients, on whatever route."""

    def __init__(
        self,
        introspectors: Mapping[str, RememberingServer],
        origins: ClientOrigins,
        store: RateStore,
    ) -> None:
        self.introspectors = introspectors
        self._origins = origins
        self._store = store

    async def judge(self, exchange: Exchange, route: Route) -> Judgement:
        """Hold a request against what a route demands."""
        asker = self._asker(exchange, route)
        count = RequestCount(self._store, exchange.standings)
        try:
            return await judge_admission(route, asker, self.introspectors, count)
        finally:
            exchange.standings = count.standings

    def bearer_of(self, exchange: Exchange, route: Route) -> str | None:
        """Give the token of a request that may pass."""
        found = find_authorization(route, self._asker(exchange, route))
        token = Reason.MISSING_TOKEN if isinstance(found, Rejection) else read_bearer(found)
        return None if isinstance(token, Reason) else token

    def _asker(self, exchange: Exchange, route: Route) -> Asker:
        headers = exchange.headers
        client = self._origins.client_of(exchange)
        authorization = headers.getall(AUTHORIZATION, ())
        if route.admission is None or route.admission.token_cookie is None:
            return Asker(client, authorization)
        return Asker(
            client,
            authorization,
            headers.getall(COOKIE, ()),
            exchange.method,
            headers.getall(ORIGIN, ()),
            self._origins.of(exchange),
            is_upgrade=bool(route.upgrade) and UPGRADE in headers,
        )


def find_authorization(route: Route, asker: Asker) -> Sequence[str] | Rejection:
    """Give what says by which token somebody asks: the Authorization header, or else the cookie."""
    cookie = route.admission.token_cookie if route.admission is not None else None
    if cookie is None or asker.authorization:
        return asker.authorization
    token = read_cookie(cookie, asker.cookies)
    if isinstance(token, Reason):
        return Rejection(token)
    rejection = judge_origin(
        cookie, asker.method, asker.origins, asker.own_origin, is_upgrade=asker.is_upgrade
    )
    return (f"Bearer {token}",) if rejection is None else rejection


async def judge_admission(
    route: Route,
    asker: Asker,
    introspectors: Mapping[str, RememberingServer],
    count: RequestCount | None = None,
) -> Judgement:
    """Hold a request against what its route demands; without `count` it is not counted."""
    admission = route.admission
    if admission is None:
        return await judge_token(route, asker.authorization, introspectors)
    rejection = judge_network(admission, asker.client)
    if rejection is not None:
        return Judgement(route, rejection)
    rates = admission.rates
    if rates is not None and count is not None:
        rejection = await count.count(rates.before_token, {"address": counted_as(asker.client)})
        if rejection is not None:
            return Judgement(route, rejection)
    authorization = find_authorization(route, asker)
    if isinstance(authorization, Rejection):
        return Judgement(route, authorization)
    judgement = await judge_token(route, authorization, introspectors)
    if rates is not None and count is not None and judgement.rejection is None:
        judgement.rejection = await count.count(rates.after_token, _names(judgement))
    return judgement


def _names(judgement: Judgement) -> Mapping[str, str]:
    verdict = None if judgement.answer is None else judgement.answer.verdict
    token = verdict if isinstance(verdict, Token) else None
    return {"client": whose("client", token), "person": whose("person", token), "route": "all"}
