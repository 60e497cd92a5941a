"""What the server says about itself (RFC 8414): exactly what works, and nothing else."""

from collections.abc import Collection

METADATA_PATH = "/.well-known/oauth-authorization-server"
TOKEN_PATH = "/oauth2/token"  # noqa: S105 - a path
INTROSPECTION_PATH = "/oauth2/introspect"
REVOCATION_PATH = "/oauth2/revoke"

GRANT_TYPES = ("client_credentials",)
AUTHENTICATION_METHODS = ("client_secret_basic", "client_secret_post")


def describe_server(issuer: str, scopes: Collection[str]) -> dict[str, object]:
    """Give the metadata of the server with that issuer and those scopes."""
    members: dict[str, object] = {
        "issuer": issuer,
        "token_endpoint": issuer + TOKEN_PATH,
        "token_endpoint_auth_methods_supported": AUTHENTICATION_METHODS,
        "introspection_endpoint": issuer + INTROSPECTION_PATH,
        "introspection_endpoint_auth_methods_supported": AUTHENTICATION_METHODS,
        "revocation_endpoint": issuer + REVOCATION_PATH,
        "revocation_endpoint_auth_methods_supported": AUTHENTICATION_METHODS,
        "grant_types_supported": GRANT_TYPES,
        # Required by section 2, and empty while there is no authorization endpoint.
        "response_types_supported": (),
    }
    # A list without elements has to be left out (section 3.2).
    if scopes:
        members["scopes_supported"] = sorted(scopes)
    return members
