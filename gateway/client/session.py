"""An account's fresh token.

Rule: of all the commands that run at once, one refreshes. It holds the lock while it asks, writes
the answer down before anyone uses it, and the others then find it there. Were it stopped between
the answer and the file, the next refresh shows the old token once more, which the embedded server
forgives for a moment.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from gateway.client.discovery import discover
from gateway.client.errors import Refused, SignInLost
from gateway.client.store import Account, CredentialStore
from gateway.client.token_endpoint import TokenEndpoint
from gateway.client.transport import HttpClient
from gateway.settings.findings import printable

_LEEWAY: Final = 30.0  # seconds before its expiry that a token is no longer used
_LEEWAY_SHARE: Final = 0.1  # of its lifetime, for one that lives shorter


def is_fresh(account: Account, now: float) -> bool:
    """Say whether an account's access token is good for a while; unknown expiry counts as good."""
    if account.expires_at is None:
        return True
    leeway = min(_LEEWAY, _LEEWAY_SHARE * (account.expires_at - account.obtained_at))
    return now < account.expires_at - leeway


async def freshen(
    http: HttpClient,
    store: CredentialStore,
    account: Account,
    *,
    is_refused: bool = False,
    clock: Callable[[], float] = time.time,
) -> Account:
    """Give the account with an access token that can be used now, refreshed where needed.

    `is_refused`: the token at hand was not accepted, whatever its expiry says. Raises SignInLost,
    ClientError.
    """
    if is_fresh(account, clock()) and not is_refused:
        return account
    async with store.lock():
        current = store.find(account.key)
        if current is None:
            raise SignInLost(account.issuer, "signed out meanwhile")
        if current.access_token != account.access_token and is_fresh(current, clock()):
            return current  # another command was faster
        if current.refresh_token is None:
            why = "the access token is not accepted" if is_refused else "the sign-in has expired"
            raise SignInLost(account.issuer, why)
        endpoint = TokenEndpoint(
            http, await discover(http, current.issuer), current.client, clock=clock
        )
        try:
            tokens = await endpoint.refresh(current.refresh_token)
        except Refused as refused:
            if refused.code != "invalid_grant":
                raise
            now = clock()
            expires_at = now if current.expires_at is None else current.expires_at
            # The sign-in is over: a dead token that is shown again could look like a theft.
            store.put(replace(current, refresh_token=None, expires_at=min(now, expires_at)))
            why = f"the sign-in does not hold any more ({printable(refused.code)})"
            raise SignInLost(account.issuer, why) from None
        refreshed = current.with_tokens(tokens)
        store.put(refreshed)
        return refreshed
