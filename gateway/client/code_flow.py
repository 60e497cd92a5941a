"""Authorization code with PKCE through the loopback (RFC 6749, section 4.1; RFC 8252)."""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlencode

from gateway.client.discovery import ServerMetadata
from gateway.client.errors import ClientError
from gateway.client.loopback import Expectation, listen
from gateway.client.pkce import METHOD, challenge_of, make_verifier
from gateway.client.token_endpoint import TokenEndpoint, Tokens
from gateway.settings.findings import quoted

_PATIENCE: Final = 300.0  # seconds for a person to sign in


@dataclass(frozen=True, slots=True)
class Wish:
    """What the person wants a token for; without scopes the server decides."""

    client_id: str
    scopes: Sequence[str] = ()
    resources: Sequence[str] = ()  # RFC 8707


async def sign_in_by_code(
    server: ServerMetadata,
    wish: Wish,
    endpoint: TokenEndpoint,
    show: Callable[[str], None],
    *,
    seconds: float = _PATIENCE,
) -> Tokens:
    """Send the person to the authorization server, and trade the code that comes back.

    `show` gets the address that the browser is to open. Raises ClientError.
    """
    if server.authorization_endpoint is None:
        raise ClientError(
            f"{quoted(server.issuer)} has no page to sign in on; try gateway login --device"
        )
    if not server.has_pkce:
        raise ClientError(f"{quoted(server.issuer)} does not protect codes by PKCE with S256")
    verifier, state = make_verifier(), secrets.token_urlsafe(32)
    async with listen(Expectation(state, server.issuer, server.promises_iss)) as loopback:
        show(
            write_request(
                server.authorization_endpoint,
                wish,
                redirect_uri=loopback.redirect_uri,
                state=state,
                challenge=challenge_of(verifier),
            )
        )
        code = await loopback.wait_for_code(seconds)
    return await endpoint.exchange_code(code, loopback.redirect_uri, verifier)


def write_request(
    authorization_endpoint: str, wish: Wish, *, redirect_uri: str, state: str, challenge: str
) -> str:
    """Write the address of an authorization request (RFC 6749, section 4.1.1; RFC 7636, 4.3)."""
    parameters = [
        ("response_type", "code"),
        ("client_id", wish.client_id),
        ("redirect_uri", redirect_uri),
        ("state", state),
        ("code_challenge", challenge),
        ("code_challenge_method", METHOD),
    ]
    if wish.scopes:
        parameters.append(("scope", " ".join(wish.scopes)))
    if "offline_access" in wish.scopes:
        # Without it such a scope is silently dropped (OpenID Connect Core, section 11).
        parameters.append(("prompt", "consent"))
    parameters += [("resource", resource) for resource in wish.resources]
    # An endpoint may have a query of its own, which stays (RFC 6749, section 3.1).
    joint = "&" if "?" in authorization_endpoint else "?"
    return f"{authorization_endpoint}{joint}{urlencode(parameters, quote_via=quote)}"
