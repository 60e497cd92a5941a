"""`gateway whoami`: as whom, where and until when this terminal is signed in."""

import json
import time
from typing import Annotated, Any

import typer

from gateway.cli.client_role import run_client
from gateway.cli.terminal import fail, format_time, print_table
from gateway.client.errors import ClientError
from gateway.client.standing import Standing, find_standing
from gateway.client.store import CredentialStore
from gateway.client.transport import HttpClient
from gateway.settings.quantities import format_duration


def whoami(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say where this terminal is signed in, for what, and whether that still holds.

    Asks the server: at its userinfo endpoint, or by renewing the token, which is all that it lets
    a client ask. Who the person is, only a userinfo endpoint tells. Exits with 1 when not signed
    in, or not any more.

    Example: gateway whoami --json
    """

    async def work(http: HttpClient, store: CredentialStore) -> tuple[Standing, int]:
        accounts = store.read()
        if not accounts:
            raise ClientError("not signed in anywhere: gateway login ISSUER")
        return await find_standing(http, store, accounts[0]), len(accounts) - 1

    standing, others = run_client(work)
    if as_json:
        typer.echo(json.dumps(_as_dict(standing), indent=2))
    else:
        _print(standing, others)
    if standing.is_active is False:
        if as_json:
            raise typer.Exit(1)
        fail(standing.reason or "the sign-in does not hold any more")


def _as_dict(standing: Standing) -> dict[str, Any]:
    account = standing.account
    return {
        "active": standing.is_active,
        "reason": standing.reason,
        "issuer": account.issuer,
        "client_id": account.client_id,
        "subject": standing.subject,
        "username": standing.username,
        "scope": account.scope,
        "resources": list(account.resources),
        "origins": list(account.origins),
        "signed_in_at": int(account.signed_in_at),
        "expires_at": None if account.expires_at is None else int(account.expires_at),
        "refreshable": account.refresh_token is not None,
    }


def _print(standing: Standing, others: int) -> None:
    account = standing.account
    active = {True: "yes", False: "no", None: f"not known: {standing.reason}"}
    rows = [
        ("issuer", account.issuer),
        ("client_id", account.client_id),
        ("active", active[standing.is_active]),
    ]
    if standing.username is not None:
        rows.append(("username", standing.username))
    if standing.subject is not None:
        rows.append(("subject", standing.subject))
    rows += [
        ("scope", account.scope or "-"),
        ("goes to", ", ".join(account.origins) or "- (found at the first call)"),
        ("signed in", format_time(account.signed_in_at)),
        ("access token", _describe_expiry(account.expires_at)),
        ("renewed", "by itself" if account.refresh_token is not None else "not: sign in again"),
    ]
    if others:
        rows.append(("others", f"{others} more sign-in{'' if others == 1 else 's'} in the file"))
    print_table(rows)


def _describe_expiry(expires_at: float | None) -> str:
    if expires_at is None:
        return "the server does not say when it expires"
    left = int(expires_at - time.time())
    when = format_time(expires_at)
    return f"until {when}, {format_duration(left)} from now" if left > 0 else f"expired {when}"
