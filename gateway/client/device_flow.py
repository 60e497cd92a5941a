"""Signing in by a code that is typed into a browser elsewhere (RFC 8628)."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from gateway.client.code_flow import Wish
from gateway.client.discovery import ServerMetadata
from gateway.client.errors import ClientError, Refused, ServerUnreachable
from gateway.client.token_endpoint import TokenEndpoint, Tokens, read_refusal
from gateway.client.transport import check_url
from gateway.settings.findings import printable, quoted

_INTERVAL: Final = 5.0  # seconds, where the server names none (section 3.2)
_LONGEST_INTERVAL: Final = 60.0
_LONGEST_LIFETIME: Final = 1800.0
_SLOWER: Final = 5.0  # section 3.5

Sleep = Callable[[float], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class DeviceAuthorization:
    """What the server answered (section 3.2). Times are in seconds from the answer."""

    device_code: str = field(repr=False)
    user_code: str
    verification_uri: str
    verification_uri_complete: str | None
    lifetime: float
    interval: float


async def sign_in_by_device(
    server: ServerMetadata,
    wish: Wish,
    endpoint: TokenEndpoint,
    show: Callable[[DeviceAuthorization], None],
    *,
    sleep: Sleep = asyncio.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Tokens:
    """Ask for a code, let the person confirm it elsewhere, and give the tokens.

    `show` gets what the person has to open and type. Raises ClientError: denied, expired, refused.
    """
    if server.device_authorization_endpoint is None:
        raise ClientError(
            f"{quoted(server.issuer)} cannot sign in by a code (RFC 8628); "
            "try gateway login --no-browser"
        )
    form = [("scope", " ".join(wish.scopes))] if wish.scopes else []
    form += [("resource", resource) for resource in wish.resources]
    answer = await endpoint.post(server.device_authorization_endpoint, form)
    if answer.status != 200:
        refusal = read_refusal(answer)
        if isinstance(refusal, Refused) and refusal.code == "unauthorized_client":
            raise ClientError(
                f"{refusal}; try gateway login --no-browser, or give the client the grant "
                "device_code at the server"
            )
        raise refusal
    authorization = read_authorization(answer.read_json(), server.issuer)
    show(authorization)
    return await _poll(endpoint, authorization, sleep, clock)


async def _poll(
    endpoint: TokenEndpoint,
    authorization: DeviceAuthorization,
    sleep: Sleep,
    clock: Callable[[], float],
) -> Tokens:
    interval = authorization.interval
    end = clock() + authorization.lifetime
    while clock() + interval < end:
        await sleep(interval)
        try:
            return await endpoint.exchange_device_code(authorization.device_code)
        except Refused as refused:
            if refused.code == "slow_down":
                interval += _SLOWER
            elif refused.code != "authorization_pending":
                raise
        except ServerUnreachable:
            # Section 3.5: a server that does not answer is asked half as often.
            interval = min(2 * interval, _LONGEST_INTERVAL)
    raise Refused("expired_token")


def read_authorization(members: Mapping[str, object], issuer: str) -> DeviceAuthorization:
    """Read a device authorization response. Raises ClientError when it makes no sense."""
    texts = {name: members.get(name) for name in ("device_code", "user_code", "verification_uri")}
    # Google and older drafts call the last one so.
    texts["verification_uri"] = texts["verification_uri"] or members.get("verification_url")
    for name, text in texts.items():
        if not isinstance(text, str) or not text:
            raise ServerUnreachable(f"{quoted(issuer)} answered without a {name}")
    complete = members.get("verification_uri_complete")
    schemes = ("https", "http") if issuer.lower().startswith("http:") else ("https",)
    uri = str(texts["verification_uri"])
    check_url(uri, schemes=schemes)
    if isinstance(complete, str):
        check_url(complete, schemes=schemes)
    return DeviceAuthorization(
        device_code=str(texts["device_code"]),
        user_code=printable(str(texts["user_code"])),
        verification_uri=printable(uri),
        verification_uri_complete=printable(complete) if isinstance(complete, str) else None,
        lifetime=min(_seconds(members.get("expires_in"), _LONGEST_LIFETIME), _LONGEST_LIFETIME),
        interval=min(_seconds(members.get("interval"), _INTERVAL), _LONGEST_INTERVAL),
    )


def _seconds(value: object, otherwise: float) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and value >= 1:
        return float(value)
    return otherwise
