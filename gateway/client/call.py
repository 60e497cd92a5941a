"""A request with the token, only to where the token belongs.

Rule: a token goes to an origin that it was asked for at sign-in, or that says itself whose tokens
it takes (RFC 9728), or that the person has vouched for with `--issuer`. Never to the target of a
redirect, and never over a connection on which others read along.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import aiohttp
from yarl import URL

from gateway.client.challenge import read_bearer_challenge
from gateway.client.discovery import discover, discover_resource
from gateway.client.errors import ClientError, NotFound, ServerUnreachable, SignInLost
from gateway.client.session import freshen
from gateway.client.store import Account, CredentialStore
from gateway.client.transport import HttpClient, check_url, describe_failure
from gateway.settings.addresses import Origin
from gateway.settings.findings import printable, quoted

_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE: Final = re.compile(r"[\t\x20-\x7e\xa0-\ud7ff]*")
# What frames the message or says where it goes is not the caller's; the token has its own place.
_OURS: Final = frozenset(
    {"authorization", "connection", "content-length", "host", "te", "trailer", "transfer-encoding"}
)
_CONNECT_SECONDS: Final = 15.0
_SILENCE_SECONDS: Final = 300.0  # between two pieces of an answer

Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Call:
    """One request as the person wrote it, checked. `data` of None is no body at all."""

    method: str
    origin: Origin
    target: str
    headers: Headers
    data: bytes | None

    @property
    def url(self) -> str:
        """The address as it goes over the wire."""
        return f"{self.origin}{self.target}"


@dataclass(frozen=True, slots=True)
class Output:
    """Where an answer goes: its head, then its body piece by piece; and notes to the person."""

    head: Callable[[aiohttp.ClientResponse], None]
    body: Callable[[bytes], None]
    note: Callable[[str], None]


def prepare_call(method: str, url: str, headers: Sequence[str], data: bytes | None) -> Call:
    """Check what the person wrote; headers are lines such as `Accept: text/csv`.

    Raises ClientError.
    """
    if _NAME.fullmatch(method) is None:
        raise ClientError(f"{quoted(method)} is no method; write GET, POST, PUT, PATCH or DELETE")
    origin, rest = check_url(url)
    target = rest if rest.startswith("/") else f"/{rest}"
    pairs = [_read_header(line) for line in headers]
    if data is not None and not any(name.lower() == "content-type" for name, _ in pairs):
        pairs.append(("Content-Type", "application/x-www-form-urlencoded"))  # as curl has it
    return Call(method.upper(), origin, target, pairs, data)


def _read_header(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    value = value.strip(" \t")
    if not colon or _NAME.fullmatch(name) is None or _VALUE.fullmatch(value) is None:
        raise ClientError(f"{quoted(line)} is no header; write it as 'Name: value'")
    if name.lower() in _OURS:
        raise ClientError(f"the header {name} is set by the command itself; leave it out")
    return name, value


async def find_account(
    http: HttpClient,
    store: CredentialStore,
    origin: Origin,
    issuer: str | None,
    note: Callable[[str], None],
) -> Account:
    """Give the account whose token belongs to an origin; with `issuer` the person vouches for it.

    An origin that names an issuer of ours is remembered. Raises ClientError, with the mend, when
    there is no such account.
    """
    accounts = store.read()
    if issuer is not None:
        for account in accounts:
            if account.issuer == issuer:
                return account
        raise ClientError(f"not signed in at {quoted(issuer)}: gateway login {printable(issuer)}")
    if not accounts:
        raise ClientError("not signed in anywhere: gateway login ISSUER")
    for account in accounts:
        if str(origin) in account.origins:
            return account
    account = await _ask_resource(http, accounts, origin)
    note(f"{origin} takes tokens of {account.issuer}; remembered")
    async with store.lock():
        current = store.find(account.key)
        if current is None:
            raise SignInLost(account.issuer, "signed out meanwhile")
        bound = replace(current, origins=(*current.origins, str(origin)))
        store.put(bound)
    return bound


async def _ask_resource(http: HttpClient, accounts: Sequence[Account], origin: Origin) -> Account:
    mend = f"if you trust it: gateway call --issuer {printable(accounts[0].issuer)} …"
    try:
        resource = await discover_resource(http, str(origin))
    except NotFound:
        raise ClientError(
            f"the token is not known to belong to {origin}, which does not say whose tokens it "
            f"takes; {mend}"
        ) from None
    except ServerUnreachable as error:
        raise ClientError(f"cannot ask {origin} whose tokens it takes: {error}") from None
    for account in accounts:
        if account.issuer in resource.authorization_servers:
            await _check_binding(http, account, resource.resource, origin)
            return account
    named = [printable(server) for server in resource.authorization_servers[:1]]
    raise ClientError(
        f"{origin} takes no tokens of {printable(accounts[0].issuer)}; "
        + (f"sign in where it says: gateway login {named[0]}" if named else mend)
    )


async def _check_binding(http: HttpClient, account: Account, resource: str, origin: Origin) -> None:
    """Hold against a resource's own word what the sign-in and the server say of it."""
    # Anyone can claim to take tokens of an issuer, and so be shown one: a token that was asked for
    # certain resources goes nowhere else.
    issuer = printable(account.issuer)
    if account.resources:
        raise ClientError(
            f"the token was asked for {', '.join(map(printable, account.resources))}, not for "
            f"{origin}; sign in with gateway login {issuer} --resource {origin}"
        )
    server = await discover(http, account.issuer)
    if not server.lists_resource(resource):
        raise ClientError(
            f"{origin} says that it takes tokens of {issuer}, which does not list it; "
            f"if you trust it: gateway call --issuer {issuer} …"
        )


async def send(
    http: HttpClient, store: CredentialStore, account: Account, call: Call, output: Output
) -> int:
    """Send the request, refreshing the token where needed, and give the status of the answer.

    A token that is refused as `invalid_token` is refreshed once, and the request sent again: the
    guard has not let the first one through. Raises ClientError.
    """
    account = await freshen(http, store, account)
    status = await _attempt(http, account, call, output, is_last=account.refresh_token is None)
    if status is None:
        account = await freshen(http, store, account, is_refused=True)
        status = await _attempt(http, account, call, output, is_last=True)
    assert status is not None  # noqa: S101 - for the type checker: the last attempt has a status
    return status


async def _attempt(
    http: HttpClient, account: Account, call: Call, output: Output, *, is_last: bool
) -> int | None:
    """Send once. Gives None, and shows nothing, when the token was refused and can be renewed."""
    try:
        async with http.session.request(
            call.method,
            URL(call.url, encoded=True),
            headers=[*call.headers, ("Authorization", f"Bearer {account.access_token}")],
            data=call.data,
            allow_redirects=False,
            skip_auto_headers=("Accept-Encoding", "Content-Type"),
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=_CONNECT_SECONDS, sock_read=_SILENCE_SECONDS
            ),
        ) as response:
            challenge = read_bearer_challenge(response.headers.getall("WWW-Authenticate", ()))
            error = "" if challenge is None else challenge.get("error", "")
            if response.status == 401 and error == "invalid_token" and not is_last:
                return None
            output.head(response)
            async for chunk in response.content.iter_any():
                output.body(chunk)
            _comment(response, challenge or {}, account, output.note)
            return response.status
    except TimeoutError:
        raise ServerUnreachable(f"{printable(call.url)} did not answer in time") from None
    except aiohttp.ClientError as failure:
        raise ServerUnreachable(describe_failure(call.url, failure)) from None


def _comment(
    response: aiohttp.ClientResponse,
    challenge: Mapping[str, str],
    account: Account,
    note: Callable[[str], None],
) -> None:
    """Say what the person can do about an answer, where that is known."""
    error = challenge.get("error")
    issuer = printable(account.issuer)
    if error == "insufficient_scope":
        wanted = {*(account.scope or "").split(), *challenge.get("scope", "").split()}
        scopes = printable(" ".join(sorted(wanted)))
        note(f'the token lacks a scope; log in again: gateway login {issuer} --scope "{scopes}"')
    elif response.status == 401 and error == "invalid_token":
        note(f"the token is not accepted; sign in again: gateway login {issuer}")
    elif 300 <= response.status < 400 and "Location" in response.headers:
        where = quoted(response.headers["Location"])
        note(f"answered {response.status} to {where}: a token does not follow redirects")
