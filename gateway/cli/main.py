"""The program `gateway`: its commands, and how each failure ends in one line."""

import importlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import typer
from typer.core import TyperGroup

from gateway import __version__
from gateway.settings.findings import join_words, printable, quoted, suggest

USAGE_ERROR: Final = 2
INTERNAL_ERROR: Final = 70  # EX_SOFTWARE: never taken for a finding or a refusal, which are 1
INTERRUPTED: Final = 130  # 128 and the number of SIGINT


@dataclass(frozen=True, slots=True)
class Command:
    """Where a command is, and what the list of commands says of it.

    `attribute` names a function, or a typer.Typer with commands of its own.
    """

    module: str
    attribute: str
    summary: str


COMMANDS: Final = {
    "run": Command("gateway.cli.run", "run", "Run the guard until it is told to stop"),
    "demo": Command("gateway.cli.demo", "demo", "Run a guarded example, with lines to paste"),
    "check": Command("gateway.cli.check", "check", "Find all that is wrong with a configuration"),
    "explain": Command("gateway.cli.explain", "explain", "Say what the guard would do, and why"),
    "schema": Command("gateway.cli.schema", "schema", "Print the configuration's JSON Schema"),
    "migrate": Command("gateway.cli.migrate", "migrate", "Bring the database to this version"),
    "client": Command("gateway.cli.client", "app", "Administer clients of the embedded server"),
    "user": Command("gateway.cli.user", "app", "Administer the people who sign in to it"),
    "token": Command("gateway.cli.token", "app", "Issue, inspect and revoke its tokens"),
    "login": Command("gateway.cli.login", "login", "Sign in at an authorization server"),
    "call": Command("gateway.cli.call", "call", "Send a request with the token"),
    "whoami": Command("gateway.cli.whoami", "whoami", "Say where this terminal is signed in"),
    "logout": Command("gateway.cli.logout", "logout", "Sign out, and revoke the tokens"),
}


class LazyGroup(TyperGroup):
    """The list of commands, each imported when it is asked for and not before."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - the base class's
        """Give the names in the order in which a newcomer meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import a command."""
        command = COMMANDS.get(cmd_name)
        if command is not None:
            return load_command(cmd_name, command)
        mend = suggest(cmd_name, COMMANDS, f"there are {join_words(COMMANDS, 'and')}")
        return ctx.fail(f"there is no command {quoted(cmd_name)}; {mend}")

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - the base class's
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.summary) for name, command in COMMANDS.items()])


def load_command(name: str, command: Command) -> Any:
    """Import a command and give it as typer runs it."""
    target = getattr(importlib.import_module(command.module), command.attribute)
    if not isinstance(target, typer.Typer):
        single = typer.Typer(rich_markup_mode=None, add_completion=False)
        single.command(name)(target)
        target = single
    loaded = typer.main.get_command(target)
    loaded.name = name
    return loaded


app = typer.Typer(
    cls=LazyGroup,
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
    invoke_without_command=True,
)


@app.callback()
def gateway(
    ctx: typer.Context,
    version: bool = typer.Option(
        False, "--version", is_eager=True, help="Print the version and exit."
    ),
) -> None:
    """Guard HTTP services that know nothing of OAuth: only requests with a valid token pass.

    Example: gateway run -c config/gateway.yaml
    """
    if version:
        typer.echo(f"gateway {__version__}")
        raise typer.Exit
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help(), err=True)
        raise typer.Exit(USAGE_ERROR)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program with these arguments, or those of the process; give the exit code."""
    try:
        code = typer.main.get_command(app).main(
            None if arguments is None else list(arguments),
            prog_name="gateway",
            standalone_mode=False,
        )
    except typer.TyperException as error:
        return _report_usage_error(error)
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except Exception as error:
        if os.environ.get("GATEWAY_DEBUG"):
            raise
        typer.echo(_describe_internal_error(error), err=True)
        return INTERNAL_ERROR
    return code if isinstance(code, int) else 0


def _report_usage_error(error: typer.TyperException) -> int:
    message = error.format_message()
    if "\n" in message:  # the help of a group that was called without a command
        typer.echo(message, err=True)
        return error.exit_code
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "gateway"
    typer.echo(f"{command}: {printable(message).rstrip('.')} (see {command} --help)", err=True)
    return error.exit_code


def _describe_internal_error(error: Exception) -> str:
    # The first line alone: what follows it may be the parameters of a statement.
    words = str(error).partition("\n")[0]
    what = f"{type(error).__name__}: {words}" if words else type(error).__name__
    hint = "(run with GATEWAY_DEBUG=1 for the traceback)"
    return f"gateway: internal error: {printable(what)} {hint}"
