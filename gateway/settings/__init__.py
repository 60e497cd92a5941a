"""Settings: one YAML file -> frozen models -> a compiled route table. Nothing is parsed later.

The way of a file, one module each:

    document    bytes -> a tree that knows the line of every key
    shapes      how a value is read, and what the JSON Schema says of it;
                the single values are in scalars (text), literals and secret, and what
                may be one value or a list is in one_or_more
    models      what can be set: fields with shapes, defaults and descriptions
    certificates, tls   what listeners that speak TLS have on disk
    draft       what was read, perhaps incomplete
    rules       errors that join several keys, those of addresses in listeners; lints: warnings
    completion  what follows from the rest, absolute paths
    routes      the route table

All findings come at once, each with its line; `findings` says what one is.
"""

from gateway.settings.addresses import Address, ListenAddress, UnixAddress, is_endpoint_of
from gateway.settings.authorization_server_models import (
    AuthorizationServerSettings,
    EmbeddedSettings,
    IntrospectionSettings,
    JwtSettings,
)
from gateway.settings.certificates import UnusablePair, load_client_context
from gateway.settings.findings import Finding, Problem, SettingsError, SettingsUnreadable, Severity
from gateway.settings.loading import Examination, examine, load
from gateway.settings.models import GatewaySettings, RouteSettings, UpstreamSettings
from gateway.settings.redis_models import RedisSettings, find_redis
from gateway.settings.route_models import RequireSettings
from gateway.settings.routes import compile_routes, issuer_of
from gateway.settings.signing_keys import SigningKey, load_signing_key
from gateway.settings.tls_models import ClientTlsSettings, TlsSettings, UpstreamTlsSettings
from gateway.settings.verification_keys import (
    KeySet,
    NoKeySet,
    VerificationKey,
    load_key_set,
    read_key_set,
)

__all__ = [
    "Address",
    "AuthorizationServerSettings",
    "ClientTlsSettings",
    "EmbeddedSettings",
    "Examination",
    "Finding",
    "GatewaySettings",
    "IntrospectionSettings",
    "JwtSettings",
    "KeySet",
    "ListenAddress",
    "NoKeySet",
    "Problem",
    "RedisSettings",
    "RequireSettings",
    "RouteSettings",
    "SettingsError",
    "SettingsUnreadable",
    "Severity",
    "SigningKey",
    "TlsSettings",
    "UnixAddress",
    "UnusablePair",
    "UpstreamSettings",
    "UpstreamTlsSettings",
    "VerificationKey",
    "compile_routes",
    "examine",
    "find_redis",
    "is_endpoint_of",
    "issuer_of",
    "load",
    "load_client_context",
    "load_key_set",
    "load_signing_key",
    "read_key_set",
]
