"""Finding and loading the configuration file, for every command that takes `-c FILE`."""

import os
from pathlib import Path
from typing import Annotated, Final

import typer

from gateway.settings import GatewaySettings, SettingsUnreadable, examine

DEFAULT_FILES: Final = (Path("config/gateway.yaml"), Path("/etc/gateway/gateway.yaml"))

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        help="The configuration file; without it ./config/gateway.yaml, "
        "then /etc/gateway/gateway.yaml.",
    ),
]


def find_configuration(config: Path | None) -> Path:
    """Give the file that was named, or the first default that is there.

    Without any, says so on standard error and raises typer.Exit(2).
    """
    if config is not None:
        return config
    for path in DEFAULT_FILES:
        if os.path.lexists(path):
            return path
    typer.echo(
        "gateway: there is neither ./config/gateway.yaml nor /etc/gateway/gateway.yaml; "
        "name the configuration file with -c FILE",
        err=True,
    )
    raise typer.Exit(2)


def load_settings(config: Path | None, *, show_warnings: bool = False) -> GatewaySettings:
    """Load the file that was named, or the default one.

    Errors, and with `show_warnings` also warnings, go to standard error, a line each; errors raise
    typer.Exit(2).
    """
    return examine_configuration(find_configuration(config), show_warnings=show_warnings)[0]


def examine_configuration(
    file: Path, *, show_warnings: bool = False
) -> tuple[GatewaySettings, bytes]:
    """Load a file as `load_settings` does, and give with its settings what it held."""
    try:
        examination = examine(file)
    except SettingsUnreadable as unreadable:
        typer.echo(str(unreadable), err=True)
        raise typer.Exit(2) from None
    for finding in examination.findings:
        if examination.settings is None or show_warnings:
            typer.echo(str(finding), err=True)
    if examination.settings is None:
        raise typer.Exit(2)
    return examination.settings, examination.content
