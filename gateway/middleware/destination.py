"""Where a request copies or moves to: the Destination of WebDAV (RFC 4918, section 10.3).

Rule: it is judged like a request of the same method that asks for it, by its own route and with the
same token, and the path that was judged is the one that the upstream is told. Else a token for one
part of a service would write in every other.
"""

from collections.abc import Awaitable, Callable, Sequence

from gateway.middleware.judge import Judgement, find_route
from gateway.policy.adaptation import encode_target
from gateway.policy.path import AmbiguousPath, read_path
from gateway.policy.rejection import Reason, Rejection
from gateway.policy.routes import Route
from gateway.policy.table import RouteTable
from gateway.policy.target import ForeignTarget, MalformedTarget, split_target


async def judge_destination(
    judgement: Judgement,
    destinations: Sequence[str],
    *,
    host: str | None,
    method: str,
    table: RouteTable,
    judge: Callable[[Route], Awaitable[Judgement]],
) -> Rejection | None:
    """Judge the Destination fields of a request that may pass; notes in `judgement` what goes on.

    That is path and query alone: scheme and host become those by which the service is asked.
    `judge` holds the request against another route.
    """
    if len(destinations) > 1:
        return Rejection(Reason.MALFORMED_REQUEST, detail="more than one Destination")
    place = _find(table, destinations[0], host, method)
    if isinstance(place, Rejection):
        return place
    route, target = place
    if judgement.route is None or _service(route) != _service(judgement.route):
        return Rejection(Reason.FOREIGN_DESTINATION, detail=f"route {route.name} leads elsewhere")
    there = await judge(route)
    if there.rejection is None:
        judgement.destination = target
    return there.rejection


def _find(
    table: RouteTable, destination: str, host: str | None, method: str
) -> tuple[Route, bytes] | Rejection:
    """Give the route of a destination, and its path and query as the upstream knows them."""
    try:
        path, query = split_target(destination, host)
        path, ambiguities = read_path(path)
        route = find_route(table, host, path, method, ambiguities)
        if isinstance(route, Route):
            rewrite = route.adaptation.path if route.adaptation is not None else None
            forwarded = path if rewrite is None else rewrite.forward(path)
            return route, encode_target(forwarded + query)
    except ForeignTarget:
        return Rejection(Reason.FOREIGN_DESTINATION, detail="it names another host")
    except MalformedTarget:
        return Rejection(Reason.MALFORMED_REQUEST, detail="the Destination is malformed")
    except AmbiguousPath as error:
        return Rejection(Reason.AMBIGUOUS_PATH, detail=f"Destination: {error.kind}")
    if route.reason is Reason.AMBIGUOUS_PATH:
        return Rejection(route.reason, detail=f"Destination: {route.detail}")
    return Rejection(Reason.FOREIGN_DESTINATION, detail=f"{route.reason} for {method}")


def _service(route: Route) -> tuple[str, bool, bytes | None]:
    """Give what makes two paths belong to one service: the upstream, and its name there."""
    adaptation = route.adaptation
    if adaptation is None:
        return route.upstream, False, None
    return route.upstream, adaptation.replaces_host, adaptation.host
