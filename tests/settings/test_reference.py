"""The reference page that ships is the one that the models give."""

from pathlib import Path

from gateway.settings.reference import render_reference
from tests.settings.test_models import KEYS

PAGE = Path(__file__).parents[2] / "config" / "REFERENCE.md"


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == render_reference(), (
        "run: python -m gateway.settings.reference > config/REFERENCE.md"
    )


def test_every_key_is_on_the_page() -> None:
    page = render_reference()
    for name, key in KEYS.items():
        assert f"| `{key.name}` | {key.words.replace('|', chr(92) + '|')} |" in page, name
