"""Routes as the file has them, made into the table that requests meet."""

from collections.abc import Collection

from gateway.policy.routes import Requirement, Route, TunnelBounds
from gateway.policy.table import RouteTable
from gateway.settings.adaptation import compile_adaptation
from gateway.settings.admission import compile_admission
from gateway.settings.authorization_server_models import AuthorizationServerSettings
from gateway.settings.draft import expand_methods
from gateway.settings.models import GatewaySettings, RouteSettings
from gateway.settings.route_models import RequireSettings


def compile_routes(settings: GatewaySettings) -> RouteTable:
    """Compile the routes of settings that have been loaded, in the order of the file."""
    names = {name for route in settings.routes for name in route.identity.headers}
    return RouteTable([_compile_route(route, settings, names) for route in settings.routes])


def issuer_of(server: AuthorizationServerSettings) -> str:
    """Give the issuer identifier of an authorization server, of whichever kind."""
    kind = server.embedded or server.introspection or server.jwt
    assert kind is not None  # noqa: S101 - loading has seen to it
    return kind.issuer


def _compile_route(
    route: RouteSettings, settings: GatewaySettings, identity_names: Collection[str]
) -> Route:
    names = route.authorization_server
    servers = [settings.authorization_servers[name] for name in names]
    admission = compile_admission(route, settings)
    adds_fields = admission is not None and admission.adds_fields
    return Route(
        name=route.name,
        host=route.match.host,
        path=route.match.path,
        methods=expand_methods(route.match.methods),
        upstream=route.upstream,
        authorization_server=", ".join(names) or None,
        issuers=frozenset(map(issuer_of, servers)),
        is_for_an_audience=any(server.jwt is not None for server in servers),
        requirement=None if route.require is None else _compile_requirement(route.require),
        forward_token=route.forward_token,
        upgrade=route.upgrade,
        tunnels=TunnelBounds(route.tunnels.check, route.tunnels.outage, route.tunnels.idle),
        allow_in_path=frozenset(route.allow_in_path),
        adaptation=compile_adaptation(
            route, adds_fields=adds_fields, identity_names=identity_names
        ),
        body_bytes=route.limits.body,
        admission=admission,
    )


def _compile_requirement(require: RequireSettings) -> Requirement:
    return Requirement(
        scopes=frozenset(require.scopes),
        any_scope=frozenset(require.any_scope),
        has_wildcards=require.scope_matching == "wildcard",
        audience=require.audience,
        claims=tuple(require.claims.items()),
    )
