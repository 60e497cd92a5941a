"""`gateway logout`: revokes the tokens at the server, and forgets them here."""

from typing import Annotated

import typer

from gateway.cli.client_role import run_client
from gateway.cli.terminal import note
from gateway.client.errors import ClientError
from gateway.client.standing import log_out
from gateway.client.store import CredentialStore
from gateway.client.transport import HttpClient


def logout(
    all_: Annotated[
        bool, typer.Option("--all", help="Every sign-in, not only the one used last.")
    ] = False,
) -> None:
    """Sign out: revoke the tokens at the server, and forget them here.

    They are forgotten in any case. Exits with 1, and says so, when the server could not be told:
    whoever has a copy of a token may then use it until it expires.

    Example: gateway logout
    """

    async def work(http: HttpClient, store: CredentialStore) -> bool:
        accounts = store.read()
        if not accounts:
            raise ClientError("not signed in anywhere")
        is_certain = True
        for account in accounts if all_ else accounts[:1]:
            doubt = await log_out(http, store, account)
            if doubt is None:
                note(f"signed out of {account.issuer}: the tokens are revoked")
            else:
                is_certain = False
                note(
                    f"the tokens of {account.issuer} are forgotten here, but perhaps not revoked "
                    f"({doubt}); they may be good until they expire, so take the access back "
                    "on your account's page there"
                )
        return is_certain

    if not run_client(work):
        raise typer.Exit(1)
