"""What the commands that administer the embedded server share."""

import asyncio
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import typer

from gateway.authserver.administration import Administration, AdministrationError
from gateway.authserver.options import AuthorizationServerOptions, embedded_options
from gateway.authserver.storage.database import DatabaseUnavailable, describe_database
from gateway.cli.configuration import load_settings
from gateway.cli.terminal import fail, print_json
from gateway.introspection.announcing import announce as announce_to_all
from gateway.middleware.instance import InstanceUnknown, own_pseudonym
from gateway.policy.interfaces import Revocation, RevocationNotAcknowledged
from gateway.settings import GatewaySettings
from gateway.settings.authorization_server_models import EmbeddedSettings
from gateway.settings.findings import Problem
from gateway.settings.quantities import format_duration
from gateway.settings.shapes import Text, fields_of

_PATIENCE = 1.0  # seconds for all acknowledgements; they take milliseconds
_LEAST_PATIENCE = 0.3
_BUDGET = 1.8  # seconds from the process's start, so that it has ended within two


@dataclass(frozen=True, slots=True)
class Embedded:
    """The embedded server of a configuration, opened for administration."""

    settings: GatewaySettings
    administration: Administration


@contextmanager
def open_embedded(config: Path | None) -> Iterator[Embedded]:
    """Open the embedded server's database, creating or migrating a file where needed.

    Says so on standard error, and turns what cannot be done into one line there and
    typer.Exit(1); a configuration that cannot be used is typer.Exit(2).
    """
    settings = load_settings(config)
    options = embedded_options(settings)
    if options is None:
        fail(
            "no authorization server of this configuration is embedded; "
            "clients, people and tokens are administered where the server is"
        )
    try:
        with _open(options) as administration:
            migration = administration.migration
            if migration.previous is None:
                typer.echo(f"gateway: created the database {migration.database}", err=True)
            elif migration.has_changed:
                typer.echo(
                    f"gateway: migrated the database {migration.database} "
                    f"from schema {migration.previous} to {migration.current}",
                    err=True,
                )
            yield Embedded(settings, administration)
    except AdministrationError as error:
        fail(str(error))
    except DatabaseUnavailable as error:
        fail(_describe_unavailable(error, describe_database(options.database_url)))


def _open(options: AuthorizationServerOptions) -> Administration:
    try:
        return Administration(options)
    except ValueError as error:  # what only the database's driver knows of its URL
        fail(str(error))


def _describe_unavailable(error: DatabaseUnavailable, database: str) -> str:
    """Say why the database did not do it; what SQLite says of a lock does not tell the mend."""
    if "database is locked" not in str(error):
        return str(error)
    return (
        f"another process holds the write lock of {database}, such as a backup or a sqlite3 shell "
        "with an open transaction, so nothing was changed; end that process "
        f"(fuser {database} names who has the file open), and repeat the command"
    )


def announce(embedded: Embedded, revocation: Revocation, subject: str) -> int:
    """Tell the workers of this host what has been committed; give how many acknowledged.

    When one stays silent, says so on standard error and raises typer.Exit(1).
    """
    try:
        return asyncio.run(_announce(embedded.settings, revocation))
    except RevocationNotAcknowledged as error:
        fail(
            f"{subject} is revoked in the database, but {_describe_silent(error)} and may still "
            f"accept it for {_remembered(embedded)}; {_mend(error)}"
        )
    except OSError as error:
        fail(
            f"{subject} is revoked in the database, but the workers cannot be told "
            f"({error.strerror}: {error.filename}) and may still accept it for "
            f"{_remembered(embedded)}; administer as the user that the gateway runs as"
        )


async def _announce(settings: GatewaySettings, revocation: Revocation) -> int:
    async with AsyncExitStack() as stack:
        stream = None
        if settings.redis is not None:
            from gateway.fleet import open_stream

            stream = await stack.enter_async_context(
                open_stream(settings.redis, _own_host(settings))
            )
        timeout = _choose_patience(_measure_age())
        return await announce_to_all(
            settings.state_dir, stream, revocation, "command", timeout=timeout
        )


def _own_host(settings: GatewaySettings) -> str:
    """Give this host's name in the feed, by which its gateways know what they heard before."""
    try:
        return own_pseudonym(settings.state_dir)
    except InstanceUnknown:
        return ""  # then they count the revocation once more


def _describe_silent(error: RevocationNotAcknowledged) -> str:
    pids = ", ".join(str(pid) for pid in error.workers)
    silent = []
    if error.workers:
        who = "worker" if len(error.workers) == 1 else "workers"
        silent.append(f"{who} pid {pids} did not acknowledge")
    if error.is_fleet_silent:
        silent.append("gateways on other hosts could not be told through Redis")
    return " and ".join(silent)


def _mend(error: RevocationNotAcknowledged) -> str:
    if error.is_fleet_silent:
        return "repeat the command when Redis answers again"
    return "end what does not answer to be sure"


def _choose_patience(age: float) -> float:
    """Give the seconds to wait for acknowledgements, in a process that is `age` seconds old.

    Whoever revokes in an emergency is to know within two seconds where they stand. On a busy
    machine the start of the interpreter alone may take one of them.
    """
    return max(_LEAST_PATIENCE, min(_PATIENCE, _BUDGET - age))


def _measure_age() -> float:
    """Give the seconds since this process was started; 0 where the system does not say."""
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        started = int(fields[19]) / os.sysconf("SC_CLK_TCK")  # proc(5): starttime
        return time.clock_gettime(time.CLOCK_BOOTTIME) - started
    except (OSError, ValueError, IndexError):
        return 0.0


def _remembered(embedded: Embedded) -> str:
    """Say how long a worker that heard nothing goes by what it remembers."""
    return format_duration(embedded.settings.introspection_cache.max_lifetime)


def report(
    embedded: Embedded,
    revocation: Revocation,
    subject: str,
    done: str,
    members: Mapping[str, object] | None,
) -> None:
    """Announce a revocation, and say what was done and who heard of it.

    As JSON with `members`, as the words `done` where they are None. Raises as `announce` does.
    """
    count = announce(embedded, revocation, subject)
    if members is not None:
        print_json({**members, "acknowledged": count})
    else:
        typer.echo(f"{done}: {describe_acknowledgements(embedded, count)}")


def describe_acknowledgements(embedded: Embedded, count: int) -> str:
    """Say who heard of a revocation."""
    here = f"{count} worker{'' if count == 1 else 's'} acknowledged"
    if count == 0:
        here = "no gateway is running here; the revocation is in the database"
    has_fleet = embedded.settings.redis is not None
    return f"{here}; other hosts have been told through Redis" if has_fleet else here


def parse_lifetime(text: str, key: str, option: str) -> int:
    """Give the seconds of a lifetime that an option names.

    As long as the key of the configuration lets it be, and no longer. Raises typer.BadParameter.
    """
    shape = fields_of(EmbeddedSettings)[key].shape
    assert isinstance(shape, Text)  # noqa: S101 - what the field is of, for mypy
    try:
        return int(shape.parse(text))
    except Problem as problem:
        raise typer.BadParameter(str(problem), param_hint=option) from None
