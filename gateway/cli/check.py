"""`gateway check`: everything that is wrong with a configuration, in one go."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.configuration import find_configuration
from gateway.settings import Finding, GatewaySettings, SettingsUnreadable, examine


def check(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE",
            help="The configuration file; without it ./config/gateway.yaml, "
            "then /etc/gateway/gateway.yaml.",
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", metavar="FILE", help="The same, as elsewhere."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the findings as a JSON array.")
    ] = False,
) -> None:
    """Find everything that is wrong or doubtful in a configuration file.

    Prints a line for each finding: where, what is wrong, and the mend. Exits with 0 when there is
    none, 1 when there are findings (warnings count), 2 when the file cannot be read.

    Example: gateway check config/gateway.yaml
    """
    if file is not None and config is not None:
        raise typer.BadParameter("the file is named twice; name it once")
    path = find_configuration(file or config)
    try:
        examination = examine(path)
    except SettingsUnreadable as unreadable:
        if as_json:
            _print_json(unreadable.findings)
        else:
            typer.echo(str(unreadable), err=True)
        raise typer.Exit(2) from None
    if as_json:
        _print_json(examination.findings)
    else:
        for finding in examination.findings:
            typer.echo(str(finding))
    if examination.findings:
        raise typer.Exit(1)
    if not as_json and examination.settings is not None:
        typer.echo(f"{path}: nothing to mend: {_count_all(examination.settings)}")


def _print_json(findings: Iterable[Finding]) -> None:
    typer.echo(json.dumps([finding.as_dict() for finding in findings], indent=2))


def _count_all(settings: GatewaySettings) -> str:
    counts = (
        (len(settings.routes), "route"),
        (len(settings.upstreams), "upstream"),
        (len(settings.authorization_servers), "authorization server"),
    )
    return ", ".join(f"{count} {noun}{'' if count == 1 else 's'}" for count, noun in counts)
