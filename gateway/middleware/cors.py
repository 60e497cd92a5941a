"""Answers preflights, and says on every answer which origins may read it."""

from http import HTTPStatus

from aiohttp.hdrs import ACCESS_CONTROL_REQUEST_METHOD, ORIGIN

from gateway.middleware.exchange import Exchange
from gateway.middleware.respond import respond
from gateway.policy.cors import CorsRules, answer_fields, preflight_fields, requested_method
from gateway.policy.headers import HeaderPair
from gateway.policy.routes import Route
from gateway.policy.table import RouteTable


async def answer_preflight(exchange: Exchange, table: RouteTable) -> bool:
    """Answer an OPTIONS request if it is a preflight for a route that has `cors`; say whether.

    A browser sends no token with it, so none is asked for, and nothing goes to the upstream.
    """
    origins = exchange.headers.getall(ORIGIN, ())
    asked = exchange.headers.getall(ACCESS_CONTROL_REQUEST_METHOD, ())
    method = requested_method(origins, asked)
    if method is None:
        return False
    found = find_preflighted(table, exchange.host, exchange.path, method, exchange.ambiguities)
    if found is None:
        return False
    exchange.route, rules = found
    fields = preflight_fields(rules, origins, method)
    await respond(exchange, HTTPStatus.NO_CONTENT, field_lines(fields))
    return True


def find_preflighted(
    table: RouteTable, host: str | None, path: str, method: str, ambiguities: frozenset[str]
) -> tuple[Route, CorsRules] | None:
    """Find the route that a preflight for this method is about, and its `cors`; None for none.

    Also where the route does not allow what is ambiguous: the page is to read the refusal of what
    it asks for then, which is forwarded as little.
    """
    route = table.match(host, path, method, is_ambiguous=bool(ambiguities))
    if not isinstance(route, Route) or route.adaptation is None or route.adaptation.cors is None:
        return None
    return route, route.adaptation.cors


def find_cors(exchange: Exchange, table: RouteTable) -> CorsRules | None:
    """Find the rules for a page that no route of the path takes: it may read just that.

    There are none where nobody can tell which path is meant, nor then whose rules would count.
    """
    origins = exchange.headers.getall(ORIGIN, ())
    if not origins:
        return None
    routes = table.routes_of_path(
        exchange.host, exchange.path, is_ambiguous=bool(exchange.ambiguities)
    )
    adaptations = [route.adaptation for route in routes if route.adaptation is not None]
    rules = [adaptation.cors for adaptation in adaptations if adaptation.cors is not None]
    return next((one for one in rules if one.allows(origins)), rules[0] if rules else None)


def cors_lines(exchange: Exchange) -> list[str]:
    """Give the lines of a refusal's head by which a page may read it."""
    adaptation = exchange.route.adaptation if exchange.route is not None else None
    rules = exchange.cors if adaptation is None else adaptation.cors
    if rules is None:
        return []
    return field_lines(answer_fields(rules, exchange.headers.getall(ORIGIN, ())))


def field_lines(fields: list[HeaderPair]) -> list[str]:
    """Give fields as the lines of a head."""
    return [f"{name.decode('ascii')}: {value.decode('ascii')}" for name, value in fields]
