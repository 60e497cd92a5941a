"""`gateway migrate`: brings the embedded server's database to the schema of this version."""

import json
from typing import Annotated

import typer

from gateway.authserver.options import embedded_options
from gateway.authserver.storage.database import DatabaseUnavailable
from gateway.authserver.storage.migration import migrate as migrate_database
from gateway.cli.configuration import ConfigOption, load_settings
from gateway.cli.terminal import (
    fail,
)


def migrate(
    config: ConfigOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Bring the embedded server's database to the schema of this version, or create it there.

    It is done whole or not at all, and may be repeated. On PostgreSQL `gateway run` leaves it to
    this command, because several gateways share the database: stop those of the older version,
    migrate, start those of the newer one. The database itself and its user are made beforehand.
    A SQLite file is migrated by `gateway run` as well.

    Example: gateway migrate -c config/gateway.yaml
    """
    options = embedded_options(load_settings(config))
    if options is None:
        fail("no authorization server of this configuration is embedded; there is no database")
    try:
        done = migrate_database(options.database_url)
    except DatabaseUnavailable as error:
        fail(str(error))
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "database": done.database,
                    "previous": done.previous,
                    "current": done.current,
                    "changed": done.has_changed,
                }
            )
        )
    elif not done.has_changed:
        typer.echo(f"{done.database} has schema {done.current} already")
    elif done.previous is None:
        typer.echo(f"created schema {done.current} in {done.database}")
    else:
        typer.echo(f"migrated {done.database} from schema {done.previous} to {done.current}")
