"""The JSON Schema accepts the files that the gateway accepts, as they are written."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.settings.schema import json_schema
from tests.settings.conftest import VALID
from tests.settings.validator import validate

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "config").rglob("*.yaml"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_it_accepts_every_configuration_that_ships(file: Path) -> None:
    schema = json_schema()
    assert list(validate(yaml.safe_load(file.read_text()), schema, schema)) == []


def test_there_are_configurations_that_ship() -> None:
    assert len(FILES) >= 4


@pytest.mark.parametrize(
    ("written", "instead"),
    [
        ("upstreams:", "nonsense: 1\nupstreams:"),
        ("upstreams:", "limits: {body: 10MB}\nupstreams:"),
        ("upstreams:", "timeouts: {head: 30}\nupstreams:"),
        ("upstreams:", "access_log: some\nupstreams:"),
        ("upstreams:", "limits: {headers: 0}\nupstreams:"),
        ("name: orders", "name: two words"),
        ("name: orders\n", "name: orders\n    public: true\n"),
        ("require:", "forward_token:"),
        ("/orders/**", "orders"),
        ("{servers: [http://127.0.0.1:8000]}", "{servers: []}"),
        ("http://127.0.0.1:8000", "ftp://127.0.0.1:8000"),
        ("embedded:", "imbedded:"),
    ],
)
def test_it_refuses_what_an_editor_should_underline(written: str, instead: str) -> None:
    schema = json_schema()
    assert list(validate(yaml.safe_load(VALID), schema, schema)) == []
    content = yaml.safe_load(VALID.replace(written, instead, 1))
    assert list(validate(content, schema, schema)) != []


@pytest.mark.parametrize("secret", ["text", {"env": "NAME"}, {"file": "path"}])
def test_a_secret_has_three_forms(secret: object) -> None:
    schema = json_schema()
    definition = schema["$defs"]["Introspection"]["properties"]["client_secret"]
    assert list(validate(secret, definition, schema)) == []
    assert list(validate({"env": "A", "file": "b"}, definition, schema)) != []


def test_every_default_and_example_in_it_is_valid_by_it() -> None:
    schema = json_schema()

    def walk(part: Any) -> Iterator[dict[str, Any]]:
        if isinstance(part, dict):
            yield part
            for inner in part.values():
                yield from walk(inner)
        elif isinstance(part, list):
            for inner in part:
                yield from walk(inner)

    for part in walk(schema):
        if not isinstance(part.get("type"), str):
            continue
        for shown in (*part.get("examples", ()), *([part["default"]] if "default" in part else ())):
            assert list(validate(shown, part, schema)) == [], part
