"""`gateway login`: signs a person in at an authorization server, from a terminal."""

import os
import shlex
import sys
import threading
import webbrowser
from typing import Annotated

import typer

from gateway.cli.client_role import run_client
from gateway.cli.configuration import DEFAULT_FILES, load_settings
from gateway.cli.terminal import format_time, note, read_secret_argument
from gateway.client.code_flow import Wish
from gateway.client.device_flow import DeviceAuthorization
from gateway.client.errors import ClientError
from gateway.client.login import Surroundings, log_in
from gateway.client.store import Account, CredentialStore
from gateway.client.transport import HttpClient
from gateway.settings.findings import printable
from gateway.settings.quantities import format_duration

DEFAULT_CLIENT = "gateway-cli"


def login(
    issuer: Annotated[
        str | None,
        typer.Argument(
            metavar="ISSUER",
            help="The authorization server, or a resource that it guards.",
            show_default="the one used last, then that of the configuration file",
        ),
    ] = None,
    client_id: Annotated[
        str, typer.Option(metavar="ID", help="The client to sign in through.")
    ] = DEFAULT_CLIENT,
    client_secret: Annotated[
        str | None,
        typer.Option(
            metavar="SECRET", help="Its secret, if it has one; - reads it from standard input."
        ),
    ] = None,
    scope: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SCOPES",
            help="What to ask for, spaced.",
            show_default="what the server gives unasked",
        ),
    ] = None,
    resource: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URL",
            help="What the token is for and where alone it may go; may be given more than once.",
        ),
    ] = None,
    device: Annotated[
        bool, typer.Option("--device", help="Show a code to enter in a browser elsewhere.")
    ] = False,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Only print the address to open.")
    ] = False,
) -> None:
    """Sign in, and keep the tokens in a file that is for you alone.

    Opens a browser and waits for it to come back; where there is none, shows a code to enter in a
    browser elsewhere. The password is typed into the authorization server's page only.

    Example: gateway login http://127.0.0.1:8081 --scope "orders:read orders:write"
    """
    if device and no_browser:
        raise typer.BadParameter("choose one of --device and --no-browser")
    secret = None if client_secret is None else read_secret_argument(client_secret, "the secret")
    wish = Wish(client_id, [word for text in scope or () for word in text.split()], resource or ())

    def show_address(url: str) -> None:
        _show_address(url, describe_registration(wish, is_public=secret is None))
        if not no_browser:
            _open_address(url)

    surroundings = Surroundings(
        has_browser=_has_browser(),
        wants_device=device,
        wants_no_browser=no_browser,
        show_address=show_address,
        show_code=_show_code,
    )

    async def work(http: HttpClient, store: CredentialStore) -> Account:
        address = issuer or _choose_issuer(store)
        return await log_in(http, store, address, wish, secret, surroundings)

    account = run_client(work)
    until = "" if account.expires_at is None else f", until {format_time(account.expires_at)}"
    renewed = ", renewed by itself" if account.refresh_token is not None else ""
    note(f"signed in at {account.issuer}, scope {account.scope or '-'}{until}{renewed}")


def _choose_issuer(store: CredentialStore) -> str:
    """Give the issuer used last, or that of the embedded server of the default configuration."""
    accounts = store.read()
    if accounts:
        return accounts[0].issuer
    if any(os.path.lexists(path) for path in DEFAULT_FILES):
        for server in load_settings(None).authorization_servers.values():
            if server.embedded is not None:
                return server.embedded.issuer
    raise ClientError("say where to sign in: gateway login ISSUER")


def _has_browser() -> bool:
    """Say whether a browser would open in front of this person."""
    if sys.platform != "darwin" and not any(
        os.environ.get(name) for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY")
    ):
        # What is left are browsers in the terminal, which would take it over.
        return False
    try:
        webbrowser.get()
    except webbrowser.Error:
        return False
    return True


def describe_registration(wish: Wish, *, is_public: bool) -> str:
    """Give the command that registers the client at an embedded authorization server."""
    words = ["gateway", "client", "add", wish.client_id]
    words += ["--public"] if is_public else []
    words += ["--grant", "authorization_code device_code"]
    words += ["--redirect-uri", "http://127.0.0.1/callback"]
    words += ["--scope", " ".join(wish.scopes) or "SCOPES"]
    return printable(shlex.join(words))


def _show_address(url: str, registration: str) -> None:
    # Not through note(), which cuts long lines short.
    typer.echo(
        f"gateway: open this address to sign in:\n{url}\n"
        # An unknown client is not sent back: only the person sees that page (RFC 6749, 4.1.2.1).
        "gateway: if the page says that the app is unknown, name another with --client-id, "
        f"or register it at the server:\n{registration}",
        err=True,
    )


def _open_address(url: str) -> None:
    if _has_browser():
        # Some browsers return only when they are closed, so the thread may outlive the command.
        threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()


def _show_code(authorization: DeviceAuthorization) -> None:
    minutes = format_duration(int(authorization.lifetime))
    typer.echo(
        f"gateway: open {authorization.verification_uri} in a browser and enter the code\n"
        f"{authorization.user_code}",
        err=True,
    )
    if authorization.verification_uri_complete is not None:
        typer.echo(
            f"gateway: or open it with the code in it, and compare:\n"
            f"{authorization.verification_uri_complete}",
            err=True,
        )
    note(f"waiting until it is confirmed there, for {minutes} at most")
