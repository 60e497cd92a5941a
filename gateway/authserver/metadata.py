"""What the server says about itself (RFC 8414): exactly what works, and nothing else."""

from collections.abc import Collection

from gateway.policy.accept import LANGUAGES

METADATA_PATH = "/.well-known/oauth-authorization-server"
AUTHORIZATION_PATH = "/oauth2/authorize"
TOKEN_PATH = "/oauth2/token"  # noqa: S105 - a path
INTROSPECTION_PATH = "/oauth2/introspect"
REVOCATION_PATH = "/oauth2/revoke"
DEVICE_AUTHORIZATION_PATH = "/oauth2/device_authorization"
VERIFICATION_PATH = "/oauth2/device"  # where a person types a user code (RFC 8628)

DEVICE_CODE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
GRANT_TYPES = ("authorization_code", "refresh_token", "client_credentials", DEVICE_CODE_GRANT)
CONFIDENTIAL_METHODS = ("client_secret_basic", "client_secret_post")
AUTHENTICATION_METHODS = (*CONFIDENTIAL_METHODS, "none")
"""How a client says who it is; `none` is for public clients (RFC 7591, section 2)."""


def describe_server(
    issuer: str, scopes: Collection[str], protected_resources: Collection[str]
) -> dict[str, object]:
    """Give the metadata of the server with that issuer, those scopes and those resources.

    The resources are named because anybody can claim to take this server's tokens: a client that
    is to hand one over reads here whether that is so (RFC 9728, section 4).
    """
    members: dict[str, object] = {
        "issuer": issuer,
        "authorization_endpoint": issuer + AUTHORIZATION_PATH,
        "authorization_response_iss_parameter_supported": True,  # RFC 9207
        "response_types_supported": ("code",),
        "response_modes_supported": ("query",),
        "code_challenge_methods_supported": ("S256",),
        "token_endpoint": issuer + TOKEN_PATH,
        "token_endpoint_auth_methods_supported": AUTHENTICATION_METHODS,
        "grant_types_supported": GRANT_TYPES,
        "device_authorization_endpoint": issuer + DEVICE_AUTHORIZATION_PATH,
        "introspection_endpoint": issuer + INTROSPECTION_PATH,
        "introspection_endpoint_auth_methods_supported": CONFIDENTIAL_METHODS,
        "revocation_endpoint": issuer + REVOCATION_PATH,
        "revocation_endpoint_auth_methods_supported": AUTHENTICATION_METHODS,
        "ui_locales_supported": LANGUAGES,
    }
    # A list without elements has to be left out (section 3.2).
    if scopes:
        members["scopes_supported"] = sorted(scopes)
    if protected_resources:
        members["protected_resources"] = sorted(protected_resources)
    return members
