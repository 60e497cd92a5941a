"""The shapes of what people read and see: descriptions by language, a name, a colour."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from gateway.policy.accept import LANGUAGES
from gateway.settings import document
from gateway.settings.document import Node
from gateway.settings.findings import Problem, join_words, quoted, suggest
from gateway.settings.reading import Place
from gateway.settings.scalars import DESCRIPTION
from gateway.settings.shapes import Define, Schema, Table, Text, wrong_type

_COLOR_PATTERN: Final = r"^#([0-9A-Fa-f]{3}|[0-9A-Fa-f]{6})$"


def _parse_language(text: str) -> str:
    if text not in LANGUAGES:
        mend = suggest(text, LANGUAGES, f"write {join_words(LANGUAGES, 'or')}")
        raise Problem("unknown-language", f"there are no pages in {quoted(text)}", mend)
    return text


_BY_LANGUAGE: Final = Table(
    Text("a language", "en", _parse_language, pattern=f"^({'|'.join(LANGUAGES)})$"),
    DESCRIPTION,
    if_empty="write a description, or one for each language",
)


@dataclass(frozen=True)
class Descriptions:
    """One text, or one for each language; read as a mapping, where `""` is every language."""

    noun: str = "a description, or one for each language"
    example: str = DESCRIPTION.example

    def read(self, node: Node, place: Place) -> dict[str, str]:
        """Read a text, or a mapping of language tags to texts."""
        if isinstance(node, document.Mapping):
            return _BY_LANGUAGE.read(node, place)
        if isinstance(node, document.Sequence):
            raise wrong_type(node, self.noun, "{en: …, ko: …}")
        return {"": DESCRIPTION.read(node, place)}

    def schema(self, define: Define) -> Schema:
        """Say that it is a string, or an object of strings."""
        return {"anyOf": [DESCRIPTION.schema(define), _BY_LANGUAGE.schema(define)]}

    def write(self, value: Mapping[str, str]) -> str | dict[str, str]:
        """Spell one text as text."""
        return value[""] if "" in value else dict(value)


def _parse_color(text: str) -> str:
    for candidate in (text, f"#{text}"):
        if re.fullmatch(_COLOR_PATTERN, candidate) is not None:
            if candidate is not text:
                what = f"{quoted(text)} lacks the # of a colour"
                raise Problem("invalid-color", what, f'write "{candidate}", in quotes')
            digits = text[1:].lower()
            return f"#{digits}" if len(digits) == 6 else "#" + "".join(2 * one for one in digits)
    what = f"{quoted(text)} is not a colour"
    mend = 'write six hexadecimal digits behind #, in quotes, as in "#2457c5"'
    raise Problem("invalid-color", what, mend)


@dataclass(frozen=True)
class _Color(Text[str]):
    """A colour; without quotes YAML takes it for a comment, and nothing is left of it."""

    def read(self, node: Node, place: Place) -> str:
        """Read `#rrggbb` or `#rgb`; give `#rrggbb`, lower case."""
        if isinstance(node, document.Scalar) and node.kind == "null":
            what = "the key has no value, as # begins a comment where no quotes stand"
            raise Problem("missing-value", what, f'write it as in color: "{self.example}"')
        return super().read(node, place)


def _parse_brand_name(text: str) -> str:
    if not text.strip() or len(text) > 60 or not text.isprintable():
        what = f"{quoted(text)} is not a name to show"
        raise Problem("invalid-name", what, "write one line of at most 60 characters")
    return text.strip()


COLOR: Final = _Color("a colour", "#2457c5", _parse_color, pattern=_COLOR_PATTERN)
BRAND_NAME: Final = Text("a name to show", "Example Inc.", _parse_brand_name)
