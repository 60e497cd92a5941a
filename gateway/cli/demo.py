"""`gateway demo`: all the parts of OAuth 2.0 on this machine, with a person and clients to try."""

import asyncio
import shlex
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import typer

from gateway.app import StartFailure, run_gateway
from gateway.cli.demo_stage import (
    Cast,
    Places,
    choose_places,
    legacy_service,
    register,
    write_configuration,
)
from gateway.cli.demo_words import END, LINES, WITHOUT_CURL
from gateway.client.order_desk import OrderDeskOptions, create_order_desk
from gateway.serving import raise_descriptor_limit, serve
from gateway.settings import Address, GatewaySettings
from gateway.workers.beginning import configure_logging, run_event_loop


def demo() -> None:
    """Run all of it on embedded defaults, and print what to try, ready to paste.

    Everything is kept in a temporary folder and gone when the demo ends (Ctrl-C).

    Example: gateway demo
    """
    configure_logging()
    raise_descriptor_limit()
    try:
        with (
            tempfile.TemporaryDirectory(prefix="gateway-demo-") as folder,
            legacy_service() as legacy,
        ):
            places = choose_places(legacy)
            file = Path(folder) / "gateway.yaml"
            settings = write_configuration(file, places)
            cast = register(settings, places)
            run_event_loop(_serve(settings, places, cast, file))
    except StartFailure as error:
        typer.echo(f"gateway: {error}", err=True)
        raise typer.Exit(1) from None


async def _serve(settings: GatewaySettings, places: Places, cast: Cast, file: Path) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with run_gateway(settings) as gateway, _order_desk(cast.desk, places.desk):
        addresses = gateway.addresses
        typer.echo(
            LINES.format(
                desk=cast.desk.base_url,
                user=cast.user,
                password=cast.password,
                guard=f"http://{addresses.guard[0]}",
                admin=f"http://{addresses.admin}",
                issuer=f"http://{addresses.authorization_server}",
                client=cast.client,
                secret=cast.client_secret,
                gateway=_own_name(),
                file=file,
            )
        )
        if shutil.which("curl") is None:
            typer.echo(WITHOUT_CURL)
        typer.echo(END)
        sys.stdout.flush()
        await stop.wait()


@asynccontextmanager
async def _order_desk(options: OrderDeskOptions, address: Address) -> AsyncIterator[None]:
    """Run the Order desk until the context is left. Raises StartFailure."""
    async with AsyncExitStack() as stack:
        try:
            sock = stack.enter_context(socket.create_server((address.host, address.port)))
        except OSError as error:
            raise StartFailure(f"the Order desk cannot listen on {address}: {error}") from error
        await serve(create_order_desk(options), sock, stack)
        yield


def _own_name() -> str:
    """Give the name by which this program can be called from another terminal."""
    if shutil.which("gateway"):
        return "gateway"
    program = Path(sys.argv[0]).resolve()
    if program.name == "__main__.py":  # python -m gateway
        return f"{shlex.quote(sys.executable)} -m gateway"
    return shlex.quote(str(program))
