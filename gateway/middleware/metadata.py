"""The protected resource's metadata (RFC 9728), the only page that the guard itself has."""

import json
from collections.abc import Sequence
from http import HTTPStatus

from gateway.middleware.exchange import Exchange
from gateway.middleware.refuse import refuse
from gateway.middleware.respond import respond
from gateway.policy.host import routed_origins
from gateway.policy.rejection import Reason, Rejection
from gateway.policy.routes import Route
from gateway.policy.table import RouteTable

_PATH = "/.well-known/oauth-protected-resource"


class ProtectedResource:
    """Says which authorization servers and scopes open what stands behind the gateway.

    `public_url` is the origin by which clients reach it.
    """

    def __init__(self, table: RouteTable, public_url: str) -> None:
        self._table = table
        self._public_url = public_url
        self._origins = routed_origins(public_url, table.hosts)

    def metadata_url(self, host: str | None) -> str:
        """Give the address of the metadata, for a challenge."""
        return self._origin(host) + _PATH

    def is_asked_for(self, path: str) -> bool:
        """Say whether a canonical path asks for the metadata."""
        return path.startswith(_PATH) and (len(path) == len(_PATH) or path[len(_PATH)] == "/")

    async def answer(self, exchange: Exchange) -> None:
        """Answer with the metadata of the resource that the rest of the path names."""
        if exchange.method not in ("GET", "HEAD"):
            await self._refuse(
                exchange, Rejection(Reason.METHOD_NOT_ALLOWED, allow=("GET", "HEAD"))
            )
            return
        if exchange.ambiguities:
            # Nor is it forwarded: what stands here is the gateway's to say.
            exchange.keep_alive = False
            detail = ", ".join(sorted(exchange.ambiguities))
            await self._refuse(exchange, Rejection(Reason.AMBIGUOUS_PATH, detail=detail))
            return
        suffix = exchange.path[len(_PATH) :]
        routes = self._guarded_routes(exchange.host, suffix)
        if not routes:
            await self._refuse(exchange, Rejection(Reason.NO_ROUTE))
            return
        body = json.dumps(self._describe(exchange.host, suffix, routes)).encode()
        fields = [
            "Content-Type: application/json",
            "Cache-Control: max-age=300",
            "Access-Control-Allow-Origin: *",
        ]
        await respond(exchange, HTTPStatus.OK, fields, body)

    def _guarded_routes(self, host: str | None, suffix: str) -> Sequence[Route]:
        if suffix not in ("", "/"):
            routes = self._table.routes_of_path(host, suffix)
            return [route for route in routes if not route.is_public]
        return [
            route
            for route in self._table.routes
            if not route.is_public and route.host in (None, host)
        ]

    def _describe(
        self, host: str | None, suffix: str, routes: Sequence[Route]
    ) -> dict[str, object]:
        scopes: set[str] = set()
        for route in routes:
            if route.requirement is not None:
                scopes |= route.requirement.scopes | route.requirement.any_scope
        return {
            "resource": self._origin(host) + (suffix if suffix != "/" else ""),
            "authorization_servers": sorted(set().union(*(route.issuers for route in routes))),
            "scopes_supported": sorted(scopes),
            "bearer_methods_supported": ["header"],
        }

    def _origin(self, host: str | None) -> str:
        return self._origins.get(host or "", self._public_url)

    async def _refuse(self, exchange: Exchange, rejection: Rejection) -> None:
        await refuse(exchange, rejection, self.metadata_url(exchange.host))
