"""`gateway token …`: the access tokens of the embedded authorization server."""

import json
import time
from typing import Annotated, Any

import typer

from gateway.authserver.records.tokens import AccessToken
from gateway.cli.configuration import ConfigOption
from gateway.cli.embedded import (
    open_embedded,
    parse_lifetime,
    report,
)
from gateway.cli.terminal import (
    fail,
    format_time,
    print_json,
    print_table,
    read_secret_argument,
    split_words,
)
from gateway.policy.rejection import Reason
from gateway.settings.quantities import format_duration

app = typer.Typer(
    help="Issue, inspect and revoke tokens of the embedded authorization server.\n\n"
    "Example: gateway token issue --client shop --lifetime 10m",
    rich_markup_mode=None,
    add_completion=False,
    no_args_is_help=True,
)

_TokenArgument = Annotated[
    str, typer.Argument(metavar="TOKEN", help="The token; - reads it from standard input.")
]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("issue")
def issue(
    client: Annotated[str, typer.Option(metavar="ID", help="The client whose token it is.")],
    config: ConfigOption = None,
    scope: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SCOPES", help="Scopes of the client, spaced.", show_default="all it may have"
        ),
    ] = None,
    lifetime: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION",
            help="How long it is good for, such as 10m.",
            show_default="the configuration's access_token_lifetime",
        ),
    ] = None,
    audience: Annotated[
        list[str] | None,
        typer.Option(metavar="URL", help="What it is for; may be given more than once."),
    ] = None,
    as_json: _Json = False,
) -> None:
    """Issue an access token in a client's name, and print it: for trying things out.

    The token is shown this once; only its hash is stored.

    Example: gateway token issue --client shop --scope orders:read --lifetime 10m
    """
    seconds = (
        None
        if lifetime is None
        else parse_lifetime(lifetime, "access_token_lifetime", "--lifetime")
    )
    with open_embedded(config) as embedded:
        issued = embedded.administration.issue_token(
            client,
            scopes=None if scope is None else split_words(scope),
            lifetime=seconds,
            audience=audience or (),
        )
    expires_in = issued.record.expires_at - issued.record.issued_at
    if as_json:
        members = {
            "access_token": issued.token,
            "token_type": "Bearer",
            "expires_in": expires_in,
            "scope": issued.record.scope,
        }
        typer.echo(json.dumps(members))
    else:
        # The token alone, so that $(gateway token issue …) is the token.
        typer.echo(issued.token)
        typer.echo(
            f"gateway: for {format_duration(expires_in)}, scope {issued.record.scope or '-'}; "
            "shown this once",
            err=True,
        )


@app.command("inspect")
def inspect(token: _TokenArgument, config: ConfigOption = None, as_json: _Json = False) -> None:
    """Say what a token is, and whether it is active. Exits with 0 when it is, else with 1.

    Example: gateway token inspect - < token
    """
    text = read_secret_argument(token, "TOKEN")
    with open_embedded(config) as embedded:
        found = embedded.administration.inspect_token(text)
        reason = Reason.INACTIVE_TOKEN if found is None else found.find_fault(time.time())
        why = None
        if found is not None and reason is Reason.REVOKED_TOKEN:
            why = embedded.administration.explain_revocation(found)
    if as_json:
        print_json(_as_dict(found, reason, why))
    elif found is None:
        fail("this is no token of this authorization server, or one that expired long ago")
    else:
        _print_token(found, reason, why)
    if reason is not None:
        raise typer.Exit(1)


@app.command("revoke")
def revoke(token: _TokenArgument, config: ConfigOption = None, as_json: _Json = False) -> None:
    """Revoke an access token; or a refresh token, and all that came of the same authorization.

    When it exits with 0, no gateway on this host accepts the token any more. It exits with 1 when
    a worker has not acknowledged; the token is revoked in the database all the same.

    Example: gateway token revoke - < token
    """
    text = read_secret_argument(token, "TOKEN")
    with open_embedded(config) as embedded:
        revocation = embedded.administration.revoke_token(text)
        if revocation is None:
            fail("this is no token of this authorization server, or one that expired long ago")
        members = {"revoked": True} if as_json else None
        report(embedded, revocation, "the token", "revoked", members)


def _as_dict(found: AccessToken | None, reason: Reason | None, why: str | None) -> dict[str, Any]:
    members: dict[str, Any] = {"active": reason is None, "reason": reason, "why": why}
    if found is not None:
        members |= {
            "client_id": found.client_id,
            "subject": found.subject,
            "username": found.username,
            "scope": found.scope,
            "audience": found.audience.split(),
            "issued_at": found.issued_at,
            "expires_at": found.expires_at,
            "revoked_at": found.revoked_at,
        }
    return members


def _print_token(found: AccessToken, reason: Reason | None, why: str | None) -> None:
    because = f", {why}" if why is not None else ""
    rows = [
        ("active", "yes" if reason is None else f"no: {reason}{because}"),
        ("client_id", found.client_id),
        ("subject", found.subject or "- (the client itself)"),
        ("username", found.username or "-"),
        ("scope", found.scope or "-"),
        ("audience", found.audience or "-"),
        ("issued", format_time(found.issued_at)),
        ("expires", format_time(found.expires_at)),
    ]
    if found.revoked_at is not None:
        rows.append(("revoked", format_time(found.revoked_at)))
    print_table(rows)
