"""`gateway call`: a request with the token, as the person who is signed in."""

import os
import sys
from pathlib import Path
from typing import Annotated

import aiohttp
import typer

from gateway.cli.client_role import run_client
from gateway.cli.terminal import fail, note
from gateway.client.call import Output, find_account, prepare_call, send
from gateway.client.errors import ClientError
from gateway.client.store import CredentialStore
from gateway.client.transport import HttpClient


def call(
    method: Annotated[str, typer.Argument(metavar="METHOD", help="GET, POST, PUT, …")],
    url: Annotated[str, typer.Argument(metavar="URL", help="What to ask.")],
    header: Annotated[
        list[str] | None,
        typer.Option(
            "--header", "-H", metavar="'K: V'", help="A header; may be given more than once."
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data", "-d", metavar="DATA", help="The body; @FILE reads a file, - standard input."
        ),
    ] = None,
    include: Annotated[
        bool, typer.Option("--include", "-i", help="Print status and headers, too.")
    ] = False,
    issuer: Annotated[
        str | None,
        typer.Option(
            metavar="ISSUER", help="Send the token of this issuer, wherever the URL leads."
        ),
    ] = None,
) -> None:
    """Send a request with the token, and print the answer. Exits with 0 below status 400, else 1.

    The token is renewed when it has to be. It goes only where it belongs: to a resource of the
    sign-in, or one that names the issuer as its own (RFC 9728); anywhere else with --issuer. It
    never follows a redirect.

    Example: gateway call GET http://127.0.0.1:8080/orders
    """
    try:
        request = prepare_call(method, url, header or (), None if data is None else _read(data))
    except ClientError as error:
        raise typer.BadParameter(str(error)) from None
    output = Output(_print_head if include else _print_nothing, _print_body, note)

    async def work(http: HttpClient, store: CredentialStore) -> int:
        account = await find_account(http, store, request.origin, issuer, note)
        return await send(http, store, account, request, output)

    try:
        status = run_client(work)
    except BrokenPipeError:
        # Whoever read the answer has read enough. Nothing is to be written at exit, either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(1) from None
    if status >= 400:
        if not include:
            note(f"answered {status}")
        raise typer.Exit(1)


def _read(data: str) -> bytes:
    """Give the body that an argument stands for; a file's own bytes, line ends and all."""
    if data == "-":
        return sys.stdin.buffer.read()
    if not data.startswith("@"):
        return data.encode("utf-8", "surrogateescape")
    try:
        return Path(data[1:]).read_bytes()
    except OSError as error:
        fail(f"cannot read {data[1:]}: {error.strerror or error}")


def _print_nothing(response: aiohttp.ClientResponse) -> None:
    """Leave the head out."""


def _print_head(response: aiohttp.ClientResponse) -> None:
    lines = [
        f"HTTP/1.1 {response.status} {response.reason or ''}".rstrip().encode(
            "utf-8", "surrogateescape"
        )
    ]
    lines += [b": ".join(pair) for pair in response.raw_headers]
    _print_body(b"\r\n".join([*lines, b"", b""]))


def _print_body(chunk: bytes) -> None:
    sys.stdout.buffer.write(chunk)
    sys.stdout.buffer.flush()
