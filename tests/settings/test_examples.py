"""The configurations that are shipped as examples."""

from pathlib import Path

import pytest

from gateway.settings import examine

FOLDER = Path(__file__).parents[2] / "config"
ENVIRONMENT = {
    "GATEWAY_DATABASE": "postgresql://gateway:password@db.example.com/gateway",
    "CORPORATE_SECRET": "a-secret-of-some-length",
}


@pytest.mark.parametrize("file", sorted(FOLDER.rglob("*.yaml")), ids=lambda file: file.name)
def test_an_example_has_nothing_to_mend(file: Path) -> None:
    findings = examine(file, ENVIRONMENT).findings
    # A secret's own file is not shipped.
    assert [found for found in findings if found.id != "secret-missing"] == []
