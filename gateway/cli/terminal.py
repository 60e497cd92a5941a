"""How commands speak: one line on failure, notes on standard error, tables, secrets read in."""

import getpass
import json
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


def read_password(name: str, *, from_stdin: bool) -> str:
    """Give the line on standard input, or what is typed twice on a terminal. Never an argument.

    Raises typer.Exit when there is neither.
    """
    if from_stdin:
        line = sys.stdin.buffer.readline(_MAX_INPUT)
        try:
            return line.decode("utf-8").removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError:
            fail("the password on standard input is not UTF-8")
    if not sys.stdin.isatty():
        fail("there is no terminal to ask for the password; pipe it in, with --password-stdin")
    password = getpass.getpass(f"Password of {name}: ")
    if getpass.getpass("The same again: ") != password:
        fail("the two passwords differ; nothing was changed")
    return password


def print_json(value: object) -> None:
    """Print what scripts read."""
    typer.echo(json.dumps(value, indent=2))


def split_words(values: list[str] | None) -> list[str]:
    """Give the words of an option that takes several, in one value or in many."""
    return [word for value in values or () for word in value.split()]
