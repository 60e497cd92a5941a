"""`gateway schema` prints what editors want."""

import json

import pytest

from gateway.cli.main import main


def test_it_prints_a_json_schema_of_the_draft_that_editors_know(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["required"] == ["upstreams", "routes"]
    assert schema["additionalProperties"] is False
