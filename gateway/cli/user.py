"""`gateway user …`: the people of the embedded authorization server."""

from typing import Annotated, Any

import typer

from gateway.authserver.records.grants import GrantedClient
from gateway.authserver.records.users import User
from gateway.cli.configuration import ConfigOption
from gateway.cli.embedded import (
    open_embedded,
    report,
)
from gateway.cli.terminal import (
    format_time,
    print_json,
    print_table,
    read_password,
)

app = typer.Typer(
    help="Administer the people who sign in to the embedded authorization server.\n\n"
    "Example: gateway user add alice",
    rich_markup_mode=None,
    add_completion=False,
    no_args_is_help=True,
)

_Name = Annotated[
    str, typer.Argument(metavar="NAME", help="The name that the person signs in with.")
]
_PasswordStdin = Annotated[
    bool,
    typer.Option(
        "--password-stdin",
        help="Read the password from standard input, one line; else it is asked for.",
    ),
]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("add")
def add(
    name: _Name,
    config: ConfigOption = None,
    password_stdin: _PasswordStdin = False,
    as_json: _Json = False,
) -> None:
    """Add a person. The password is typed, or comes on standard input; only its hash is stored.

    Example: gateway user add alice --password-stdin < password
    """
    password = read_password(name, from_stdin=password_stdin)
    with open_embedded(config) as embedded:
        user = embedded.administration.add_user(name, password)
    if as_json:
        print_json({"username": user.name, "subject": user.id})
    else:
        typer.echo(f"added user {user.name}, subject {user.id}")


@app.command("list")
def list_(config: ConfigOption = None, as_json: _Json = False) -> None:
    """List everybody.

    Example: gateway user list --json
    """
    with open_embedded(config) as embedded:
        users = embedded.administration.list_users()
    if as_json:
        print_json([_as_dict(user) for user in users])
    elif users:
        print_table([("NAME", "SUBJECT", "STATE", "CREATED"), *map(_as_row, users)])
    else:
        typer.echo("gateway: there are no users yet; add one with gateway user add", err=True)


@app.command("show")
def show(name: _Name, config: ConfigOption = None, as_json: _Json = False) -> None:
    """Show one person, and which clients have access to the account.

    Example: gateway user show alice
    """
    with open_embedded(config) as embedded:
        user = embedded.administration.get_user(name)
        grants = embedded.administration.list_grants(name)
    if as_json:
        print_json({**_as_dict(user), "clients": [_grant_as_dict(grant) for grant in grants]})
        return
    rows = [
        ("username", user.name),
        ("subject", user.id),
        ("created", format_time(user.created_at)),
    ]
    if user.disabled_at is not None:
        rows.append(("disabled", format_time(user.disabled_at)))
    rows += [
        ("client", f"{one.grant.client_id}: {one.grant.scope or 'no scopes'}") for one in grants
    ]
    print_table(rows)


@app.command("passwd")
def passwd(
    name: _Name,
    config: ConfigOption = None,
    password_stdin: _PasswordStdin = False,
    as_json: _Json = False,
) -> None:
    """Give a person another password, and end all sessions and tokens.

    When it exits with 0, no gateway on this host accepts the tokens any more. It exits with 1 when
    a worker has not acknowledged; the password is another one all the same.

    Example: gateway user passwd alice --password-stdin < password
    """
    password = read_password(name, from_stdin=password_stdin)
    with open_embedded(config) as embedded:
        revocation = embedded.administration.set_password(name, password)
        members = {"username": name.lower(), "changed": True} if as_json else None
        report(
            embedded,
            revocation,
            _everything_of(name),
            f"changed the password of user {name}",
            members,
        )


@app.command("revoke")
def revoke(
    name: _Name,
    config: ConfigOption = None,
    client: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Take back only what the person allowed this client."),
    ] = None,
    as_json: _Json = False,
) -> None:
    """End all of a person's sessions and tokens; or with --client, that client's access.

    When it exits with 0, no gateway on this host accepts the tokens any more. It exits with 1 when
    a worker has not acknowledged; they are revoked in the database all the same.

    Example: gateway user revoke alice --client desk
    """
    with open_embedded(config) as embedded:
        if client is None:
            what = _everything_of(name)
            revocation = embedded.administration.revoke_user(name)
        else:
            what = f"the access of client {client} to user {name}"
            revocation = embedded.administration.revoke_grant(name, client)
        members = {"username": name.lower(), "client_id": client, "revoked": True}
        report(embedded, revocation, what, f"revoked {what}", members if as_json else None)


@app.command("disable")
def disable(name: _Name, config: ConfigOption = None, as_json: _Json = False) -> None:
    """Let a person not sign in any more, and end all sessions and tokens.

    When it exits with 0, no gateway on this host accepts the tokens any more. It exits with 1 when
    a worker has not acknowledged; the person is disabled in the database all the same.

    Example: gateway user disable alice
    """
    with open_embedded(config) as embedded:
        revocation = embedded.administration.disable_user(name)
        members = {"username": name.lower(), "disabled": True} if as_json else None
        report(embedded, revocation, _everything_of(name), f"disabled user {name}", members)


@app.command("enable")
def enable(name: _Name, config: ConfigOption = None, as_json: _Json = False) -> None:
    """Let a disabled person sign in again. Sessions and tokens that ended stay so.

    Example: gateway user enable alice
    """
    with open_embedded(config) as embedded:
        embedded.administration.enable_user(name)
    if as_json:
        print_json({"username": name.lower(), "disabled": False})
    else:
        typer.echo(f"enabled user {name}")


@app.command("remove")
def remove(name: _Name, config: ConfigOption = None, as_json: _Json = False) -> None:
    """Remove a person, and end all sessions and tokens.

    When it exits with 0, no gateway on this host accepts the tokens any more. It exits with 1 when
    a worker has not acknowledged; the person is removed from the database all the same.

    Example: gateway user remove alice
    """
    with open_embedded(config) as embedded:
        revocation = embedded.administration.remove_user(name)
        members = {"username": name.lower(), "removed": True} if as_json else None
        report(embedded, revocation, _everything_of(name), f"removed user {name}", members)


def _everything_of(name: str) -> str:
    return f"every token of user {name}"


def _as_dict(user: User) -> dict[str, Any]:
    return {
        "username": user.name,
        "subject": user.id,
        "created_at": user.created_at,
        "disabled_at": user.disabled_at,
    }


def _grant_as_dict(granted: GrantedClient) -> dict[str, Any]:
    return {
        "client_id": granted.grant.client_id,
        "scopes": granted.grant.scope.split(),
        "updated_at": granted.grant.updated_at,
    }


def _as_row(user: User) -> tuple[str, ...]:
    state = "enabled" if user.disabled_at is None else "disabled"
    return user.name, user.id, state, format_time(user.created_at)
