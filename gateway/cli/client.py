"""`gateway client …`: the clients of the embedded authorization server."""

import json
from typing import Annotated, Any

import typer

from gateway.authserver.administration import NewSecret
from gateway.authserver.clients import Client
from gateway.cli.configuration import ConfigOption
from gateway.cli.embedded import (
    announce,
    describe_acknowledgements,
    format_time,
    open_embedded,
    print_table,
    split_words,
)

app = typer.Typer(
    help="Administer the clients of the embedded authorization server.\n\n"
    "Example: gateway client add shop --grant client_credentials",
    rich_markup_mode=None,
    add_completion=False,
    no_args_is_help=True,
)

_ClientId = Annotated[str, typer.Argument(metavar="ID", help="The client's id.")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("add")
def add(
    client_id: Annotated[
        str,
        typer.Argument(
            metavar="ID",
            help="Its id: up to 100 letters, digits, '.', '_' and '-'.",
        ),
    ],
    config: ConfigOption = None,
    grant: Annotated[
        list[str] | None,
        typer.Option(metavar="GRANT", help="How it gets tokens: client_credentials."),
    ] = None,
    scope: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SCOPES", help="What its tokens may do: scopes of the configuration, spaced."
        ),
    ] = None,
    introspect: Annotated[
        bool, typer.Option("--introspect", help="Let it ask about any token (RFC 7662).")
    ] = False,
    as_json: _Json = False,
) -> None:
    """Register a client, and print its secret.

    The secret is shown this once; only its hash is stored.

    Example: gateway client add shop --grant client_credentials --scope "orders:read orders:write"
    """
    with open_embedded(config) as embedded:
        added = embedded.administration.add_client(
            client_id,
            grant_types=split_words(grant),
            scopes=split_words(scope),
            may_introspect=introspect,
        )
    _print_secret(added, as_json)


@app.command("list")
def list_(config: ConfigOption = None, as_json: _Json = False) -> None:
    """List all clients.

    Example: gateway client list --json
    """
    with open_embedded(config) as embedded:
        clients = embedded.administration.list_clients()
    if as_json:
        typer.echo(json.dumps([_as_dict(client) for client in clients], indent=2))
    elif clients:
        print_table([("ID", "GRANTS", "SCOPES", "INTROSPECTS"), *map(_as_row, clients)])
    else:
        typer.echo("gateway: there are no clients yet; add one with gateway client add", err=True)


@app.command("show")
def show(client_id: _ClientId, config: ConfigOption = None, as_json: _Json = False) -> None:
    """Show one client; never its secret, which nobody knows any more.

    Example: gateway client show shop
    """
    with open_embedded(config) as embedded:
        client = embedded.administration.get_client(client_id)
    if as_json:
        typer.echo(json.dumps(_as_dict(client), indent=2))
    else:
        print_table(
            [
                ("client_id", client.id),
                ("grants", _join(client.grant_types)),
                ("scopes", _join(client.scopes)),
                ("introspects", "yes" if client.may_introspect else "no"),
                ("created", format_time(client.created_at)),
            ]
        )


@app.command("rotate")
def rotate(client_id: _ClientId, config: ConfigOption = None, as_json: _Json = False) -> None:
    """Replace a client's secret, and print the new one.

    The old secret is worthless from now on. The tokens that the client has live on until they
    expire: rotating is for secrets that get old. Where a secret leaked, tokens may have been got
    with it: remove the client instead, which revokes them, and add it again.

    Example: gateway client rotate shop
    """
    with open_embedded(config) as embedded:
        rotated = embedded.administration.rotate_client(client_id)
    _print_secret(rotated, as_json)


@app.command("remove")
def remove(client_id: _ClientId, config: ConfigOption = None, as_json: _Json = False) -> None:
    """Remove a client, and revoke all its tokens.

    When it exits with 0, no gateway on this host accepts its tokens any more. It exits with 1 when
    a worker has not acknowledged; the client is removed in the database all the same.

    Example: gateway client remove shop
    """
    with open_embedded(config) as embedded:
        revocation = embedded.administration.remove_client(client_id)
        count = announce(embedded, revocation, f"every token of client {client_id}")
    if as_json:
        typer.echo(json.dumps({"client_id": client_id, "removed": True, "acknowledged": count}))
    else:
        typer.echo(f"removed client {client_id}: {describe_acknowledgements(count)}")


def _print_secret(new: NewSecret, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"client_id": new.client.id, "client_secret": new.secret}))
    else:
        print_table([("client_id", new.client.id), ("client_secret", new.secret)])
        typer.echo("gateway: the secret is shown this once; only its hash is stored", err=True)


def _as_dict(client: Client) -> dict[str, Any]:
    return {
        "client_id": client.id,
        "grant_types": sorted(client.grant_types),
        "scopes": sorted(client.scopes),
        "may_introspect": client.may_introspect,
        "created_at": client.created_at,
    }


def _as_row(client: Client) -> tuple[str, ...]:
    introspects = "yes" if client.may_introspect else "no"
    return client.id, _join(client.grant_types), _join(client.scopes), introspects


def _join(words: frozenset[str]) -> str:
    return " ".join(sorted(words)) or "-"
