"""How an account stands at its server, and leaving it: `gateway whoami`, `gateway logout`."""

from dataclasses import dataclass

from gateway.client.discovery import ServerMetadata, discover
from gateway.client.errors import ClientError, Refused, SignInLost
from gateway.client.session import freshen
from gateway.client.store import Account, CredentialStore
from gateway.client.token_endpoint import TokenEndpoint
from gateway.client.transport import HttpClient


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of an account now.

    `is_active` is None when nobody could be asked; `reason` says why it is not True. `subject` and
    `username` are known only where the server has a userinfo endpoint for them.
    """

    account: Account
    is_active: bool | None
    reason: str | None = None
    subject: str | None = None
    username: str | None = None


async def find_standing(http: HttpClient, store: CredentialStore, account: Account) -> Standing:
    """Ask the server whether the sign-in still holds.

    At userinfo where the server has that and the token may (OpenID Connect Core, section 5.3).
    Otherwise by a refresh, the only question that a public client may ask of its own sign-in;
    introspection is for resource servers (RFC 7662, section 2.1). Raises nothing: who cannot be
    asked is a reason.
    """
    try:
        server = await discover(http, account.issuer)
        if server.userinfo_endpoint is not None and "openid" in (account.scope or "").split():
            return await _ask_userinfo(http, store, account, server.userinfo_endpoint)
        if account.refresh_token is not None:
            account = await freshen(http, store, account, is_refused=True)
            return Standing(account, is_active=True)
        # Raises when it has expired.
        account = await freshen(http, store, account)
    except SignInLost as lost:
        return Standing(account, is_active=False, reason=str(lost))
    except ClientError as error:
        return Standing(account, is_active=None, reason=str(error))
    return Standing(
        account, is_active=None, reason="the server offers this client no way to ask about a token"
    )


async def _ask_userinfo(
    http: HttpClient, store: CredentialStore, account: Account, url: str
) -> Standing:
    account = await freshen(http, store, account)
    answer = await http.get(url, f"Bearer {account.access_token}")
    if answer.status in (400, 401):
        account = await freshen(http, store, account, is_refused=True)
        answer = await http.get(url, f"Bearer {account.access_token}")
    if answer.status in (400, 401):
        raise SignInLost(account.issuer, "the access token is not accepted")
    if answer.status != 200:
        return Standing(account, is_active=None, reason=f"{url} answered {answer.status}")
    members = answer.read_json()
    subject = members.get("sub")
    username = members.get("preferred_username") or members.get("name")
    return Standing(
        account,
        is_active=True,
        subject=subject if isinstance(subject, str) else None,
        username=username if isinstance(username, str) else None,
    )


async def log_out(http: HttpClient, store: CredentialStore, account: Account) -> str | None:
    """Revoke an account's tokens at its server, then forget it, whatever the server says.

    Who signs out must not leave tokens behind on this machine. Gives None when they are revoked,
    else why that is not certain. Raises ClientError when the store cannot be changed.
    """
    async with store.lock():
        current = store.find(account.key) or account
        try:
            doubt = await _revoke(http, await discover(http, current.issuer), current)
        except ClientError as error:
            doubt = str(error)
        store.remove(current)
    return doubt


async def _revoke(http: HttpClient, server: ServerMetadata, account: Account) -> str | None:
    endpoint = TokenEndpoint(http, server, account.client)
    if server.revocation_endpoint is None:
        return "the server has no revocation endpoint"
    if account.refresh_token is not None:
        # First: whoever holds it could get more of the others.
        await endpoint.revoke(account.refresh_token, "refresh_token")
    try:
        await endpoint.revoke(account.access_token, "access_token")
    except Refused as refused:
        # RFC 7009, section 2.2.1: some servers cannot, and the token dies by its expiry.
        if refused.code != "unsupported_token_type":
            raise
        return "the server cannot revoke access tokens"
    return None
