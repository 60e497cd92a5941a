"""What the embedded authorization server is told: plain values and callbacks."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from gateway.policy.addresses import IPNetwork
from gateway.policy.host import routed_origins
from gateway.policy.interfaces import Revocation, RevocationSource
from gateway.settings import GatewaySettings
from gateway.settings.addresses import networks_among
from gateway.settings.models import RouteSettings
from gateway.settings.route_models import RequireSettings

PublishRevocation = Callable[[Revocation, RevocationSource], Awaitable[object]]
"""Tell every worker, and await their acknowledgements. Takes whence it comes, for the count.

Raises RevocationNotAcknowledged when one stays silent.
"""

CountIssued = Callable[[str], None]
"""Count one issued token; takes the grant type."""

CountSignIn = Callable[[str], None]
"""Count one try to sign in: `succeeded`, `failed` or `throttled`."""

LogRequest = Callable[[str, str, str, int, float], None]
"""Take note of one answered request: the peer's address, method, path, status, seconds.

The path is one of the server's own, or `-` for any other: a stranger's path, like parameters and
headers, could carry a token and never comes here.
"""

Words = Mapping[str, str]
"""The same words by language tag (`en`, `ko`); those under `""` are for every other language."""


@dataclass(frozen=True, slots=True)
class Brand:
    """What the pages look like: whose they are, and their colour, `#rrggbb`."""

    name: str = "Gateway"
    color: str = "#2457c5"


@dataclass(frozen=True, slots=True)
class Opening:
    """A guarded route as a person reads it: which scopes open it.

    `address` is the path pattern, behind the host where the route has one. It takes all of
    `scopes`, and one of `any_scope` unless that is empty; `has_wildcards` as in a Requirement.
    """

    methods: tuple[str, ...]  # empty: every method
    address: str
    scopes: frozenset[str]
    any_scope: frozenset[str]
    has_wildcards: bool = False


@dataclass(frozen=True, slots=True)
class AuthorizationServerOptions:
    """Everything that one embedded authorization server needs to know.

    `name` is its name in the configuration. `issuer` is an origin without a path. `database_url` is
    `sqlite:///` and an absolute path, taken literally, or a `postgresql://` URL; it may hold a
    password. Lifetimes are in seconds. `scopes` maps each scope that exists to its description.
    A client may ask for a token for a resource (RFC 8707) that is one of `audiences`, or lies under
    one of `resource_origins`.
    """

    name: str
    issuer: str
    database_url: str = field(repr=False)
    access_token_lifetime: int
    scopes: Mapping[str, Words]
    refresh_token_lifetime: int = 30 * 24 * 3600
    session_lifetime: int = 12 * 3600
    brand: Brand = Brand()
    openings: Sequence[Opening] = ()
    audiences: frozenset[str] = frozenset()
    resource_origins: frozenset[str] = frozenset()
    trusted_proxies: Sequence[IPNetwork] = ()


def embedded_options(settings: GatewaySettings) -> AuthorizationServerOptions | None:
    """Give what the one embedded server of a configuration is told; None when there is none.

    Its `public_url` has the port by which clients reach the guard, never 0.
    """
    for name, server in settings.authorization_servers.items():
        if server.embedded is not None:
            routes = [
                route
                for route in settings.routes
                if name in route.authorization_server and not route.public
            ]
            return AuthorizationServerOptions(
                name=name,
                issuer=server.embedded.issuer,
                database_url=server.embedded.database.get_secret_value(),
                access_token_lifetime=int(server.embedded.access_token_lifetime),
                scopes=server.embedded.scopes,
                brand=Brand(server.embedded.brand.name, server.embedded.brand.color),
                refresh_token_lifetime=int(server.embedded.refresh_token_lifetime),
                session_lifetime=int(server.embedded.session_lifetime),
                openings=tuple(_opening(route) for route in routes),
                audiences=frozenset(
                    route.require.audience
                    for route in routes
                    if route.require is not None and route.require.audience is not None
                ),
                resource_origins=_resource_origins(settings),
                trusted_proxies=networks_among(settings.trusted_proxies),
            )
    return None


def _opening(route: RouteSettings) -> Opening:
    require = route.require or RequireSettings()
    return Opening(
        methods=route.match.methods or (),
        address=(route.match.host or "") + route.match.path,
        scopes=frozenset(require.scopes),
        any_scope=frozenset(require.any_scope),
        has_wildcards=require.scope_matching == "wildcard",
    )


def _resource_origins(settings: GatewaySettings) -> frozenset[str]:
    """Give the origins that the guard's metadata (RFC 9728) names resources under."""
    hosts = {route.match.host for route in settings.routes if route.match.host is not None}
    return frozenset({settings.public_url, *routed_origins(settings.public_url, hosts).values()})
