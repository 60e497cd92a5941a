"""`gateway client …`: the clients of the embedded authorization server."""

import json
from typing import Annotated, Any

import typer

from gateway.authserver.administration import NewSecret
from gateway.authserver.metadata import DEVICE_CODE_GRANT
from gateway.authserver.records.clients import Client
from gateway.cli.configuration import ConfigOption
from gateway.cli.embedded import (
    open_embedded,
    parse_lifetime,
    report,
)
from gateway.cli.terminal import (
    format_time,
    print_json,
    print_table,
    split_words,
)
from gateway.settings.quantities import format_duration

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
def add(  # noqa: PLR0913, PLR0917 - an option for all that a client has
    client_id: Annotated[
        str,
        typer.Argument(
            metavar="ID",
            help="Its id: up to 100 letters, digits, '.', '_' and '-'.",
        ),
    ],
    config: ConfigOption = None,
    name: Annotated[
        str, typer.Option(metavar="NAME", help="What people read when it asks them for access.")
    ] = "",
    grant: Annotated[
        list[str] | None,
        typer.Option(
            metavar="GRANTS",
            help="How it gets tokens: authorization_code, device_code, client_credentials, spaced.",
            show_default="authorization_code with a redirect URI",
        ),
    ] = None,
    scope: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SCOPES", help="What its tokens may do: scopes of the configuration, spaced."
        ),
    ] = None,
    redirect_uri: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URI",
            help="Where people come back to, exactly; may be given more than once.",
        ),
    ] = None,
    origin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ORIGIN",
            help="Where its pages come from, if it runs in browsers; may be given more than once.",
        ),
    ] = None,
    public: Annotated[
        bool, typer.Option("--public", help="It runs where no secret stays one: it gets none.")
    ] = False,
    introspect: Annotated[
        bool, typer.Option("--introspect", help="Let it ask about any token (RFC 7662).")
    ] = False,
    access_token_lifetime: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION",
            help="How long its access tokens are good for, such as 10m.",
            show_default="the configuration's",
        ),
    ] = None,
    refresh_token_lifetime: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION",
            help="How long its refresh tokens wait for their use, such as 168h.",
            show_default="the configuration's",
        ),
    ] = None,
    no_refresh_token: Annotated[
        bool,
        typer.Option("--no-refresh-token", help="Let it ask people again when its token expires."),
    ] = False,
    as_json: _Json = False,
) -> None:
    """Register a client, and print its secret.

    The secret is shown this once; only its hash is stored. A public client has none.

    Example: gateway client add desk --name "Order desk" --scope "orders:read orders:write"
    --redirect-uri https://desk.example.com/callback
    """
    access_seconds, refresh_seconds = (
        None if text is None else parse_lifetime(text, key, f"--{key.replace('_', '-')}")
        for text, key in (
            (access_token_lifetime, "access_token_lifetime"),
            (refresh_token_lifetime, "refresh_token_lifetime"),
        )
    )
    with open_embedded(config) as embedded:
        added = embedded.administration.add_client(
            client_id,
            grant_types=split_words(grant),
            scopes=split_words(scope),
            name=name,
            redirect_uris=redirect_uri or (),
            origins=origin or (),
            is_public=public,
            may_introspect=introspect,
            access_token_lifetime=access_seconds,
            refresh_token_lifetime=refresh_seconds,
            has_refresh_token=not no_refresh_token,
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
        print_json([_as_dict(client) for client in clients])
    elif clients:
        head = ("ID", "TYPE", "GRANTS", "SCOPES", "INTROSPECTS", "STATE")
        print_table([head, *map(_as_row, clients)])
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
        print_json(_as_dict(client))
    else:
        print_table(_describe(client))


@app.command("rotate")
def rotate(client_id: _ClientId, config: ConfigOption = None, as_json: _Json = False) -> None:
    """Replace a client's secret, and print the new one.

    The old secret is worthless from now on. The tokens that the client has live on until they
    expire: rotating is for secrets that get old. Where a secret leaked, tokens may have been got
    with it: rotate it, and then revoke the client's tokens with gateway client revoke.

    Example: gateway client rotate shop
    """
    with open_embedded(config) as embedded:
        rotated = embedded.administration.rotate_client(client_id)
    _print_secret(rotated, as_json)


@app.command("revoke")
def revoke(client_id: _ClientId, config: ConfigOption = None, as_json: _Json = False) -> None:
    """Revoke all of a client's tokens, refresh tokens too. It may get new ones.

    When it exits with 0, no gateway on this host accepts the tokens any more. It exits with 1 when
    a worker has not acknowledged; they are revoked in the database all the same.

    Example: gateway client revoke shop
    """
    with open_embedded(config) as embedded:
        revocation = embedded.administration.revoke_client(client_id)
        members = {"client_id": client_id, "revoked": True} if as_json else None
        report(
            embedded,
            revocation,
            f"every token of client {client_id}",
            f"revoked every token of client {client_id}",
            members,
        )


@app.command("disable")
def disable(client_id: _ClientId, config: ConfigOption = None, as_json: _Json = False) -> None:
    """Let a client get no tokens any more, and revoke those that it has.

    When it exits with 0, no gateway on this host accepts its tokens any more. It exits with 1 when
    a worker has not acknowledged; the client is disabled in the database all the same.

    Example: gateway client disable shop
    """
    with open_embedded(config) as embedded:
        revocation = embedded.administration.disable_client(client_id)
        members = {"client_id": client_id, "disabled": True} if as_json else None
        report(
            embedded,
            revocation,
            f"every token of client {client_id}",
            f"disabled client {client_id}",
            members,
        )


@app.command("enable")
def enable(client_id: _ClientId, config: ConfigOption = None, as_json: _Json = False) -> None:
    """Let a disabled client get tokens again. Those that were revoked stay so.

    Example: gateway client enable shop
    """
    with open_embedded(config) as embedded:
        embedded.administration.enable_client(client_id)
    if as_json:
        print_json({"client_id": client_id, "disabled": False})
    else:
        typer.echo(f"enabled client {client_id}")


@app.command("remove")
def remove(client_id: _ClientId, config: ConfigOption = None, as_json: _Json = False) -> None:
    """Remove a client, and revoke all its tokens.

    When it exits with 0, no gateway on this host accepts its tokens any more. It exits with 1 when
    a worker has not acknowledged; the client is removed in the database all the same.

    Example: gateway client remove shop
    """
    with open_embedded(config) as embedded:
        revocation = embedded.administration.remove_client(client_id)
        members = {"client_id": client_id, "removed": True} if as_json else None
        report(
            embedded,
            revocation,
            f"every token of client {client_id}",
            f"removed client {client_id}",
            members,
        )


def _print_secret(new: NewSecret, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"client_id": new.client.id, "client_secret": new.secret}))
        return
    if new.secret is None:
        print_table([("client_id", new.client.id)])
        typer.echo("gateway: the client is public; it has no secret", err=True)
        return
    print_table([("client_id", new.client.id), ("client_secret", new.secret)])
    typer.echo("gateway: the secret is shown this once; only its hash is stored", err=True)


def _as_dict(client: Client) -> dict[str, Any]:
    return {
        "client_id": client.id,
        "name": client.name,
        "public": client.is_public,
        "grant_types": sorted(client.grant_types),
        "scopes": sorted(client.scopes),
        "redirect_uris": sorted(client.redirect_uris),
        "origins": sorted(client.origins),
        "may_introspect": client.may_introspect,
        "access_token_lifetime": client.access_token_lifetime,
        "refresh_token_lifetime": client.refresh_token_lifetime,
        "created_at": client.created_at,
        "disabled_at": client.disabled_at,
    }


def _as_row(client: Client) -> tuple[str, ...]:
    return (
        client.id,
        _type(client),
        _grants(client),
        _join(client.scopes),
        "yes" if client.may_introspect else "no",
        "enabled" if client.disabled_at is None else "disabled",
    )


def _describe(client: Client) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [
        ("client_id", client.id),
        ("name", client.name or "-"),
        ("type", _type(client)),
        ("grants", _grants(client)),
        ("scopes", _join(client.scopes)),
        *(("redirect_uri", uri) for uri in sorted(client.redirect_uris)),
        *(("origin", origin) for origin in sorted(client.origins)),
        ("introspects", "yes" if client.may_introspect else "no"),
        ("access tokens live", _lifetime(client.access_token_lifetime)),
        ("refresh tokens live", _lifetime(client.refresh_token_lifetime)),
        ("created", format_time(client.created_at)),
    ]
    if client.disabled_at is not None:
        rows.append(("disabled", format_time(client.disabled_at)))
    return rows


def _type(client: Client) -> str:
    return "public" if client.is_public else "confidential"


def _grants(client: Client) -> str:
    return _join(
        frozenset(
            "device_code" if grant == DEVICE_CODE_GRANT else grant for grant in client.grant_types
        )
    )


def _lifetime(seconds: int | None) -> str:
    return "as the configuration says" if seconds is None else format_duration(seconds)


def _join(words: frozenset[str]) -> str:
    return " ".join(sorted(words)) or "-"
