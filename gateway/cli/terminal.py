"""How commands speak: one line on failure, notes on standard error, tables, secrets read in."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NoReturn

import typer

from gateway.settings.findings import printable

_MAX_INPUT = 8192  # characters: no token or secret of anybody is longer


def note(message: str) -> None:
    """Tell the person something on standard error, in one line."""
    typer.echo(f"gateway: {printable(message)}", err=True)


def fail(message: str) -> NoReturn:
    """Say in one line on standard error why the command failed, and exit with 1."""
    note(message)
    raise typer.Exit(1)


def read_secret_argument(value: str, name: str) -> str:
    """Give the argument, or the line on standard input when the argument is `-`.

    An argument is seen by everyone who may list the processes of the machine.
    """
    text = sys.stdin.readline(_MAX_INPUT).strip() if value == "-" else value
    if not text:
        raise typer.BadParameter(f"{name} is empty")
    return text


def print_table(rows: Sequence[tuple[str, ...]]) -> None:
    """Print rows in columns. The first row has the headings."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        typer.echo("  ".join(cells).rstrip())


def format_time(seconds: float) -> str:
    """Write Unix seconds as a date and a time, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
