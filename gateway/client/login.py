"""Signing in: which server an address means, which flow fits, and what is kept of it."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from gateway.client.code_flow import Wish, sign_in_by_code
from gateway.client.device_flow import DeviceAuthorization, sign_in_by_device
from gateway.client.discovery import ServerMetadata, discover, discover_resource
from gateway.client.errors import ClientError, NotFound
from gateway.client.store import Account, CredentialStore
from gateway.client.token_endpoint import ClientIdentity, TokenEndpoint
from gateway.client.transport import HttpClient, check_url
from gateway.settings.findings import printable, quoted


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the person has and wants: a browser that can be opened, or the device flow."""

    has_browser: bool
    wants_device: bool
    wants_no_browser: bool
    show_address: Callable[[str], None]
    show_code: Callable[[DeviceAuthorization], None]


async def log_in(
    http: HttpClient,
    store: CredentialStore,
    address: str,
    wish: Wish,
    client_secret: str | None,
    surroundings: Surroundings,
) -> Account:
    """Sign a person in at an authorization server, or at that of a guarded resource.

    Gives the account, which is in the store by then. Raises ClientError.
    """
    store.read()  # what may not be read is found before anyone signs in
    bound = [str(check_url(resource)[0]) for resource in wish.resources]
    server, origin = await find_server(http, address)
    if origin is not None:
        if not server.lists_resource(origin):
            raise ClientError(
                f"{quoted(address)} says that it takes tokens of {printable(server.issuer)}, which "
                f"does not list it; if you trust it: gateway login {printable(server.issuer)}"
            )
        bound.append(origin)
    client = ClientIdentity(wish.client_id, client_secret)
    endpoint = TokenEndpoint(http, server, client)
    if _fits_device(server, surroundings):
        tokens = await sign_in_by_device(server, wish, endpoint, surroundings.show_code)
    else:
        tokens = await sign_in_by_code(server, wish, endpoint, surroundings.show_address)
    account = Account(
        issuer=server.issuer,
        client_id=wish.client_id,
        client_secret=client_secret,
        access_token=tokens.access_token,
        refresh_token=tokens.refresh_token,
        # RFC 6749, section 5.1: left out when it is what was asked for.
        scope=(" ".join(wish.scopes) or None) if tokens.scope is None else tokens.scope,
        obtained_at=tokens.obtained_at,
        expires_at=tokens.expires_at,
        signed_in_at=time.time(),
        resources=tuple(wish.resources),
        origins=tuple(dict.fromkeys(bound)),
    )
    async with store.lock():
        store.put(account)
    return account


async def find_server(http: HttpClient, address: str) -> tuple[ServerMetadata, str | None]:
    """Give the authorization server at an address, or the one that the resource there trusts.

    With a resource its origin comes second, else None. Raises ClientError.
    """
    try:
        return await discover(http, address), None
    except NotFound as not_found:
        try:
            resource = await discover_resource(http, address)
        except NotFound:
            raise not_found from None
    servers = resource.authorization_servers
    if len(servers) != 1:
        named = ", ".join(quoted(server) for server in servers[:5]) or "none"
        raise ClientError(
            f"{quoted(address)} takes tokens of several authorization servers; choose one: {named}"
            if servers
            else f"{quoted(address)} names no authorization server; name one: gateway login ISSUER"
        )
    return await discover(http, servers[0]), str(check_url(address)[0])


def _fits_device(server: ServerMetadata, surroundings: Surroundings) -> bool:
    if surroundings.wants_device:
        return True
    if surroundings.wants_no_browser or surroundings.has_browser:
        return False
    return server.device_authorization_endpoint is not None
