"""What the embedded authorization server is told: plain values and callbacks."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from gateway.policy.interfaces import Revocation
from gateway.settings import GatewaySettings

PublishRevocation = Callable[[Revocation], Awaitable[object]]
"""Tell every worker, and await their acknowledgements.

Raises RevocationNotAcknowledged when one stays silent.
"""

CountIssued = Callable[[str], None]
"""Count one issued token; takes the grant type."""

LogRequest = Callable[[str, str, str, int, float], None]
"""Take note of one answered request: the peer's address, method, path, status, seconds.

The path is one of the server's own, or `-` for any other: a stranger's path, like parameters and
headers, could carry a token and never comes here.
"""


@dataclass(frozen=True, slots=True)
class AuthorizationServerOptions:
    """Everything that one embedded authorization server needs to know.

    `name` is its name in the configuration and goes into each Revocation. `issuer` is an origin
    without a path. `database_url` is `sqlite:///` and an absolute path, taken literally.
    `access_token_lifetime` is in seconds. `scopes` maps each scope that exists to its description.
    """

    name: str
    issuer: str
    database_url: str
    access_token_lifetime: int
    scopes: Mapping[str, str]


def embedded_options(settings: GatewaySettings) -> AuthorizationServerOptions | None:
    """Give what the one embedded server of a configuration is told; None when there is none."""
    for name, server in settings.authorization_servers.items():
        if server.embedded is not None:
            return AuthorizationServerOptions(
                name=name,
                issuer=server.embedded.issuer,
                database_url=server.embedded.database,
                access_token_lifetime=int(server.embedded.access_token_lifetime),
                scopes=server.embedded.scopes,
            )
    return None
