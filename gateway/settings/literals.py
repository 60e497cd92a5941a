"""The shapes of values that are not text: whole numbers, true or false, what claims may be."""

import re
from dataclasses import dataclass
from typing import Final

from gateway.policy.routes import ClaimValue
from gateway.settings import document
from gateway.settings.document import Node, describe_kind
from gateway.settings.findings import Problem, quoted
from gateway.settings.reading import Place
from gateway.settings.shapes import Define, Schema, wrong_type

_DECIMAL: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,17})", re.ASCII)
# Numbers to YAML 1.2 and to people, text to YAML 1.1: the file would say one thing and do another.
_LOOKS_LIKE_NUMBER: Final = re.compile(r"[-+]?[0-9]+[eE][-+]?[0-9]+|0o[0-7]+", re.ASCII)


@dataclass(frozen=True)
class WholeNumber:
    """A whole number, in decimal."""

    at_least: int
    at_most: int
    noun: str = "a whole number"

    def read(self, node: Node, place: Place) -> int:  # noqa: ARG002 - the protocol's
        """Read plain decimal digits; the other spellings of YAML 1.1 are refused."""
        range_ = f"{self.at_least} to {self.at_most}"
        if not isinstance(node, document.Scalar) or node.kind == "null":
            raise wrong_type(node, self.noun, f"a number from {range_}")
        if node.kind == "int" and _DECIMAL.fullmatch(node.text):
            number = int(node.text)
            if not self.at_least <= number <= self.at_most:
                what = f"{number} is too {'small' if number < self.at_least else 'large'}"
                raise Problem("out-of-range", what, f"write a number from {range_}")
            return number
        if node.kind == "str" and _DECIMAL.fullmatch(node.text):
            raise Problem(
                "wrong-type", "the number is in quotes", f"write {node.text} without them"
            )
        finding_id = "wrong-type" if node.kind == "str" else "yaml-surprise"
        what = f"{quoted(node.text)} is not a whole number in plain decimal digits"
        raise Problem(finding_id, what, f"write a number from {range_}, digits only")

    def schema(self, define: Define) -> Schema:  # noqa: ARG002 - the protocol's
        """Say that it is an integer within bounds."""
        return {"type": "integer", "minimum": self.at_least, "maximum": self.at_most}

    def write(self, value: int) -> int:
        """Spell the number."""
        return value


@dataclass(frozen=True)
class WholeNumberOr:
    """A whole number in decimal, or one word in its place; the word is read as itself."""

    number: WholeNumber
    word: str

    @property
    def noun(self) -> str:
        """Say what belongs here."""
        return f"{self.number.noun} or {self.word}"

    def read(self, node: Node, place: Place) -> int | str:
        """Read the word, or plain decimal digits."""
        if not isinstance(node, document.Scalar) or node.kind == "null":
            raise wrong_type(node, self.noun, self.word)
        if node.text == self.word:
            return self.word
        try:
            return self.number.read(node, place)
        except Problem as problem:
            what, _, mend = str(problem).partition("; ")
            raise Problem(problem.id, what, f"{mend}, or {self.word}") from None

    def schema(self, define: Define) -> Schema:
        """Say that it is an integer within bounds, or the word."""
        return {"anyOf": [self.number.schema(define), {"const": self.word}]}

    def write(self, value: int | str) -> int | str:
        """Spell the number or the word."""
        return value


@dataclass(frozen=True)
class Switch:
    """`true` or `false`; with `if_false`, only true means anything, and that has the mend."""

    if_false: str | None = None
    noun: str = "true or false"

    def read(self, node: Node, place: Place) -> bool:  # noqa: ARG002 - the protocol's
        """Read `true` or `false`; `yes`, `on` and their like are refused."""
        if not isinstance(node, document.Scalar) or node.kind == "null":
            raise wrong_type(node, self.noun, "true")
        if node.kind != "bool":
            in_quotes = node.text in ("true", "false")
            mend = f"write {node.text} without quotes" if in_quotes else "write true or false"
            raise Problem("wrong-type", f"{quoted(node.text)} is not true or false", mend)
        if node.text not in ("true", "false"):
            meant = describe_kind(node)
            what = f"{quoted(node.text)} is {meant} to YAML 1.1 and text to YAML 1.2"
            raise Problem("yaml-surprise", what, f"write {meant.removeprefix('the boolean ')}")
        if node.text == "false" and self.if_false is not None:
            raise Problem("meaningless-false", "false says nothing here", self.if_false)
        return node.text == "true"

    def schema(self, define: Define) -> Schema:  # noqa: ARG002 - the protocol's
        """Say that it is a boolean, or true alone."""
        return {"type": "boolean"} if self.if_false is None else {"const": True}

    def write(self, value: bool) -> bool:
        """Spell the boolean."""
        return value


@dataclass(frozen=True)
class ClaimValues:
    """The values that a claim may have: one, or a list of which any will do."""

    noun: str = "a value or a list of values"

    def read(self, node: Node, place: Place) -> tuple[ClaimValue, ...]:
        """Read text, whole numbers and booleans, each as the type that it is compared as."""
        if not isinstance(node, document.Sequence):
            return (self._read_one(node),)
        if not node.items:
            raise Problem("empty-list", "the list is empty, so no token fits", "name the values")
        values = []
        for index, item in enumerate(node.items):
            try:
                values.append(self._read_one(item))
            except Problem as problem:
                place.child(index, item.mark).refuse(problem)
        return tuple(values)

    def _read_one(self, node: Node) -> ClaimValue:
        if not isinstance(node, document.Scalar) or node.kind == "null":
            raise wrong_type(node, "text, a whole number, true or false", "one value, or a list")
        if node.kind == "bool" and node.text in ("true", "false"):
            return node.text == "true"
        if node.kind == "int" and _DECIMAL.fullmatch(node.text):
            return int(node.text)
        if node.kind == "str" and not (node.is_plain and _LOOKS_LIKE_NUMBER.fullmatch(node.text)):
            return node.text
        if node.kind == "float" and ":" not in node.text:
            what = f"{quoted(node.text)} is a number that is not whole, which cannot be compared"
            raise Problem("invalid-claim", what, "write a whole number, or text in quotes")
        taken_for = f"{describe_kind(node)} to YAML 1.1"
        what = f"{quoted(node.text)} is {taken_for} and may be something else to its reader"
        mend = f'write "{node.text}" in quotes if it is text, or the plain value that is meant'
        raise Problem("yaml-surprise", what, mend)

    def schema(self, define: Define) -> Schema:  # noqa: ARG002 - the protocol's
        """Say that it is a scalar or a list of them."""
        scalar: Schema = {"type": ["string", "integer", "boolean"]}
        return {"anyOf": [scalar, {"type": "array", "items": scalar, "minItems": 1}]}

    def write(self, value: tuple[ClaimValue, ...]) -> list[ClaimValue]:
        """Spell the values as a list."""
        return list(value)
