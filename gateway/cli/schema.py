"""`gateway schema`: the JSON Schema of the configuration, for editors."""

import json

import typer

from gateway.settings.schema import json_schema


def schema() -> None:
    """Print the JSON Schema (draft 2020-12) of the configuration file.

    Editors complete and check the YAML by it; `gateway check` knows more than it can say.

    Example: gateway schema > gateway.schema.json
    """
    typer.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))
