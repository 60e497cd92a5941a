"""The shape of what is mostly one value, and may be a list of them."""

from dataclasses import dataclass
from typing import Any

from gateway.settings import document
from gateway.settings.document import Node
from gateway.settings.findings import Problem
from gateway.settings.reading import Place
from gateway.settings.shapes import Define, Items, Schema, Text, wrong_type


@dataclass(frozen=True)
class OneOrMore:
    """A value, or a list of `at_most` so many different ones; read as a tuple in either case.

    `if_empty` and `if_more` have the mends of lists that are too short or too long.
    """

    item: Text[Any]
    at_most: int
    if_empty: str
    if_more: str

    @property
    def noun(self) -> str:
        """Say what belongs here."""
        return f"{self.item.noun}, or a list of them"

    @property
    def example(self) -> str:
        """Spell something that could stand there."""
        return self.item.example

    def read(self, node: Node, place: Place) -> tuple[Any, ...]:
        """Read the one, or every item; those that cannot be read leave a finding."""
        if isinstance(node, document.Scalar):
            return (self.item.read(node, place),)
        if not isinstance(node, document.Sequence):
            raise wrong_type(node, self.noun, self.example)
        if len(node.items) > self.at_most:
            what = f"the list has {len(node.items)} items, and {self.at_most} are the most"
            raise Problem("list-too-long", what, self.if_more)
        return self._list.read(node, place)

    def schema(self, define: Define) -> Schema:
        """Say that it is a value or a list of them."""
        several = {**self._list.schema(define), "maxItems": self.at_most}
        return {"anyOf": [self.item.schema(define), several]}

    def write(self, value: tuple[Any, ...]) -> Any:
        """Spell one without a list."""
        [first, *rest] = self._list.write(value)
        return [first, *rest] if rest else first

    @property
    def _list(self) -> Items:
        return Items(self.item, if_empty=self.if_empty)
