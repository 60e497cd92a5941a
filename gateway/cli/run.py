"""`gateway run`: the gateway, until it is told to stop."""

import asyncio
import re
import signal
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Annotated, Literal

import typer

from gateway.app import Addresses, RunningGateway, StartFailure, run_gateway
from gateway.cli.configuration import examine_configuration, find_configuration
from gateway.serving import raise_descriptor_limit, tell_of_few_descriptors
from gateway.settings import GatewaySettings, UnixAddress
from gateway.workers.beginning import configure_logging, freeze_memory, run_event_loop
from gateway.workers.count import count_workers
from gateway.workers.supervisor import Supervisor, supervise

_ConfigOption = Annotated[
    Path | None, typer.Option("--config", "-c", metavar="FILE", help="The configuration file.")
]

_WorkersOption = Annotated[
    str | None,
    typer.Option(
        "--workers",
        metavar="N",
        help="How many processes serve, or auto; instead of what the file says.",
    ),
]
_MOST_WORKERS = 1024

Running = AbstractAsyncContextManager[RunningGateway] | AbstractAsyncContextManager[Supervisor]


def run(config: _ConfigOption = None, workers: _WorkersOption = None) -> None:
    """Run the guard, and the embedded authorization server when one is configured.

    Prints one line when it accepts connections. SIGTERM and SIGINT let the requests under way
    finish, for 30 seconds at most.

    Example: gateway run -c config/gateway.yaml
    """
    wanted = _read_workers(workers) if workers is not None else None
    file = find_configuration(config)
    settings, content = examine_configuration(file, show_warnings=True)
    count = count_workers(settings.workers if wanted is None else wanted)
    configure_logging()
    raise_descriptor_limit()
    tell_of_few_descriptors(settings)
    try:
        if count == 1:
            run_event_loop(serve(settings, run_gateway(settings)))
        else:
            run_event_loop(serve(settings, supervise(settings, count, file.absolute(), content)))
    except StartFailure as error:
        typer.echo(f"gateway: {error}", err=True)
        raise typer.Exit(1) from None


def _read_workers(text: str) -> int | Literal["auto"]:
    if text == "auto":
        return "auto"
    if re.fullmatch("[0-9]{1,4}", text, re.ASCII) and 1 <= int(text) <= _MOST_WORKERS:
        return int(text)
    raise typer.BadParameter(f"write a number from 1 to {_MOST_WORKERS}, or auto")


async def serve(settings: GatewaySettings, running: Running) -> None:
    """Run a gateway until SIGTERM or SIGINT. Raises StartFailure."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with running as gateway:
        freeze_memory()
        typer.echo(describe(settings, gateway.addresses), err=True)
        await stop.wait()
        typer.echo("gateway: draining", err=True)


def describe(settings: GatewaySettings, addresses: Addresses) -> str:
    """Say in one line where everything listens."""
    scheme = "http" if settings.tls is None else "https"
    places = [
        str(guard) if isinstance(guard, UnixAddress) else f"{scheme}://{guard}"
        for guard in addresses.guard
    ]
    parts = [f"gateway: ready on {' and '.join(places)}", f"admin http://{addresses.admin}"]
    for server in settings.authorization_servers.values():
        if server.embedded is not None:
            scheme = "http" if server.embedded.tls is None else "https"
            parts.append(f"authorization server {scheme}://{addresses.authorization_server}")
    return ", ".join(parts)
