"""What servers say of themselves: RFC 8414, OpenID Connect Discovery, and RFC 9728 for resources.

Rule: metadata is believed only about the issuer that it was asked for, compared character by
character (RFC 8414, section 3.3): else one server could pass for another.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from gateway.client.errors import ClientError, NotFound, ServerUnreachable
from gateway.client.transport import HttpClient, check_url
from gateway.settings.findings import quoted

_OAUTH: Final = "/.well-known/oauth-authorization-server"
_OPENID: Final = "/.well-known/openid-configuration"
_RESOURCE: Final = "/.well-known/oauth-protected-resource"


@dataclass(frozen=True, slots=True)
class ServerMetadata:
    """What an authorization server offers; an endpoint that it lacks is None."""

    issuer: str
    authorization_endpoint: str | None
    token_endpoint: str | None
    device_authorization_endpoint: str | None
    revocation_endpoint: str | None
    userinfo_endpoint: str | None
    promises_iss: bool  # RFC 9207, section 3
    has_pkce: bool  # S256; where the server does not say, it is tried
    takes_basic: bool  # client_secret_basic at the token endpoint
    protected_resources: frozenset[str] | None  # RFC 9728, section 4; None: it does not say

    def lists_resource(self, resource: str) -> bool:
        """Say whether the server bears a resource out that claims to take its tokens.

        A server that lists none neither bears it out nor denies it.
        """
        if self.protected_resources is None:
            return True
        return resource.rstrip("/") in {listed.rstrip("/") for listed in self.protected_resources}


@dataclass(frozen=True, slots=True)
class ResourceMetadata:
    """What a protected resource says of itself."""

    resource: str
    authorization_servers: tuple[str, ...]


async def discover(http: HttpClient, issuer: str) -> ServerMetadata:
    """Ask an authorization server what it offers.

    Raises NotFound when there is no metadata, ClientError when it cannot be believed,
    ServerUnreachable when there is no answer.
    """
    origin, path = check_url(issuer)
    if "?" in path:
        raise ClientError(f"{quoted(issuer)} has a query, which an issuer never has")
    path = path.rstrip("/")  # RFC 8414, section 3.1
    for url in (f"{origin}{_OAUTH}{path}", f"{origin}{path}{_OPENID}"):
        members = await _fetch(http, url)
        if members is not None:
            return read_server_metadata(members, issuer)
    raise NotFound(
        f"{quoted(issuer)} is no authorization server: it has neither {_OAUTH}{path} "
        f"nor {path}{_OPENID}"
    )


async def discover_resource(http: HttpClient, resource: str) -> ResourceMetadata:
    """Ask a protected resource which authorization servers it trusts (RFC 9728, section 3).

    Raises NotFound, ClientError and ServerUnreachable, as `discover` does.
    """
    origin, rest = check_url(resource)
    path, _, query = rest.partition("?")
    suffix = path.rstrip("/") + (f"?{query}" if query else "")
    members = await _fetch(http, f"{origin}{_RESOURCE}{suffix}")
    named = None if members is None else members.get("resource")
    # A service that answers every path with JSON of its own names none (section 3.2).
    if members is None or not isinstance(named, str):
        raise NotFound(f"{quoted(resource)} does not say which authorization server it trusts")
    # Section 3.3; the origin itself is written with and without its slash.
    if named.rstrip("/") != f"{origin}{suffix}":
        raise ClientError(
            f"{quoted(resource)} calls itself {quoted(named)}; use that address if you trust it"
        )
    return ResourceMetadata(named, tuple(_texts(members, "authorization_servers") or ()))


def read_server_metadata(members: Mapping[str, object], issuer: str) -> ServerMetadata:
    """Read metadata that was asked of `issuer`. Raises ClientError when it cannot be believed."""
    stated = members.get("issuer")
    if not isinstance(stated, str):
        raise ClientError(f"{quoted(issuer)} is no authorization server: it names no issuer")
    if stated != issuer:
        raise ClientError(
            f"the authorization server at {quoted(issuer)} calls itself {quoted(stated)}; "
            "an issuer is compared letter by letter: use that spelling if it is what you mean"
        )
    challenges = _texts(members, "code_challenge_methods_supported")
    methods = _texts(members, "token_endpoint_auth_methods_supported")
    resources = _texts(members, "protected_resources")
    return ServerMetadata(
        issuer=issuer,
        authorization_endpoint=_endpoint(members, "authorization_endpoint", issuer),
        token_endpoint=_endpoint(members, "token_endpoint", issuer),
        device_authorization_endpoint=_endpoint(members, "device_authorization_endpoint", issuer),
        revocation_endpoint=_endpoint(members, "revocation_endpoint", issuer),
        userinfo_endpoint=_endpoint(members, "userinfo_endpoint", issuer),
        promises_iss=members.get("authorization_response_iss_parameter_supported") is True,
        has_pkce=challenges is None or "S256" in challenges,
        takes_basic=methods is None or "client_secret_basic" in methods,
        protected_resources=None if resources is None else frozenset(resources),
    )


async def _fetch(http: HttpClient, url: str) -> dict[str, object] | None:
    answer = await http.get(url)
    if answer.status >= 500:
        raise ServerUnreachable(f"{url} answered {answer.status}")
    if answer.status != 200:
        return None
    try:
        return answer.read_json()
    except ServerUnreachable:
        return None  # a site that answers every path with a page of its own


def _endpoint(members: Mapping[str, object], name: str, issuer: str) -> str | None:
    value = members.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise ClientError(f"{name} in the metadata of {quoted(issuer)} is no URL")
    # Only a server on this machine may point to this machine, and to plain http.
    schemes = ("https", "http") if issuer.lower().startswith("http:") else ("https",)
    try:
        origin, rest = check_url(value, schemes=schemes)
    except ClientError as error:
        raise ClientError(f"{name} in the metadata of {quoted(issuer)}: {error}") from None
    return f"{origin}{rest}"


def _texts(members: Mapping[str, object], name: str) -> list[str] | None:
    value = members.get(name)
    if not isinstance(value, list):
        return None
    return [text for text in value if isinstance(text, str)]
