"""`gateway run`: the gateway, until it is told to stop."""

import asyncio
import gc
import logging
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated

import typer

from gateway.app import Addresses, StartFailure, run_gateway
from gateway.cli.configuration import load_settings
from gateway.serving import raise_descriptor_limit
from gateway.settings import GatewaySettings

_ConfigOption = Annotated[
    Path | None, typer.Option("--config", "-c", metavar="FILE", help="The configuration file.")
]


def run(config: _ConfigOption = None) -> None:
    """Run the guard, and the embedded authorization server when one is configured.

    Prints one line when it accepts connections. SIGTERM and SIGINT let the requests under way
    finish, for 30 seconds at most.

    Example: gateway run -c config/gateway.yaml
    """
    settings = load_settings(config, show_warnings=True)
    configure_logging()
    raise_descriptor_limit()
    try:
        run_event_loop(serve(settings))
    except StartFailure as error:
        typer.echo(f"gateway: {error}", err=True)
        raise typer.Exit(1) from None


async def serve(settings: GatewaySettings) -> None:
    """Run a gateway until SIGTERM or SIGINT. Raises StartFailure."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with run_gateway(settings) as gateway:
        # What has been made by now stays: the collector need not look at it again and again.
        gc.collect()
        gc.freeze()
        typer.echo(describe(settings, gateway.addresses), err=True)
        await stop.wait()
        typer.echo("gateway: draining", err=True)


def describe(settings: GatewaySettings, addresses: Addresses) -> str:
    """Say in one line where everything listens."""
    scheme = "http" if settings.tls is None else "https"
    parts = [f"gateway: ready on {scheme}://{addresses.guard}", f"admin http://{addresses.admin}"]
    for server in settings.authorization_servers.values():
        if server.embedded is not None:
            scheme = "http" if server.embedded.tls is None else "https"
            parts.append(f"authorization server {scheme}://{addresses.authorization_server}")
    return ", ".join(parts)


def run_event_loop(main: Coroutine[object, object, None]) -> None:
    """Run a coroutine on uvloop."""
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)


def configure_logging() -> None:
    """Send the gateway's own messages to standard error; the access log has standard output."""
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    # aiohttp and asyncio describe requests, tokens and all; Alembic tells of its own plugins.
    for name in ("aiohttp", "asyncio", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
