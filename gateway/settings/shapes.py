"""The shapes that values of the file have: how each is read, and what the JSON Schema says of it.

A model's field carries its shape in its annotation. The reader, the JSON Schema and the reference
page all walk the same shapes, so they cannot tell three stories.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final, Generic, Protocol, TypeVar

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from gateway.settings import document
from gateway.settings.document import Entry, Mark, Node, Refused, describe_kind
from gateway.settings.findings import Problem, join_words, quoted, suggest
from gateway.settings.reading import Place

Schema = dict[str, Any]
T = TypeVar("T")

_UNREAD: Final = object()


class Shape(Protocol):
    """What a value of the file looks like."""

    @property
    def noun(self) -> str:
        """What belongs here, with its article: `a duration`."""
        ...

    def read(self, node: Node, place: Place) -> Any:
        """Give the value. Raises Problem; what is wrong inside it goes to the place instead."""
        ...

    def schema(self, define: "Define") -> Schema:
        """Give the JSON Schema of the value as it stands in the file."""
        ...

    def write(self, value: Any) -> Any:
        """Spell a value as it would stand in the file."""
        ...


# Puts the schema of a section among the definitions, once, and gives the reference to it.
Define = Callable[["Section"], Schema]


@dataclass(frozen=True)
class Derived:
    """In a field's annotation: the key may be left out, and this says what it is then."""

    words: str


@dataclass(frozen=True)
class Text(Generic[T]):
    """A single value that is written as text; `parse` makes it what it means, or raises Problem."""

    noun: str
    example: str
    parse: Callable[[str], T]
    write: Callable[[T], str] = str
    pattern: str | None = None
    choices: tuple[str, ...] = ()
    bounds: tuple[str, str] | None = None

    def read(self, node: Node, place: Place) -> T:  # noqa: ARG002 - the protocol's
        """Read text; what YAML 1.1 takes for something else is refused."""
        if not isinstance(node, document.Scalar):
            raise wrong_type(node, self.noun, self.example)
        if node.kind == "null":
            raise no_value(self.noun, self.example)
        if node.kind == "str":
            return self.parse(node.text)
        mend = f'write "{node.text}", in quotes'
        try:
            self.parse(node.text)
        except Problem:
            # A bare number has a better answer from whoever parses it: that its unit is missing.
            if node.kind in ("int", "float") and ":" not in node.text:
                raise
            such_as = "" if self.choices else f" such as {self.example}"
            mend = f"write {self.noun}{such_as}"
        what = f"{quoted(node.text)} is {describe_kind(node)} to YAML 1.1, not {self.noun}"
        raise Problem("yaml-surprise", what, mend)

    def schema(self, define: Define) -> Schema:  # noqa: ARG002 - the protocol's
        """Say that it is a string, and of which form."""
        if self.choices:
            return {"type": "string", "enum": list(self.choices)}
        schema: Schema = {"type": "string", "minLength": 1, "examples": [self.example]}
        if self.pattern is not None:
            schema["pattern"] = self.pattern
        return schema


@dataclass(frozen=True)
class Items:
    """A list. An empty one says nothing, so it is refused where `if_empty` has the mend."""

    item: Shape
    if_empty: str | None = None
    is_unique: bool = True

    @property
    def noun(self) -> str:
        """Say what belongs here."""
        return "a list"

    def read(self, node: Node, place: Place) -> tuple[Any, ...]:
        """Read every item; those that cannot be read leave a finding."""
        if not isinstance(node, document.Sequence):
            raise wrong_type(node, "a list", f"[{_example_of(self.item)}]")
        if not node.items and self.if_empty is not None:
            raise Problem("empty-list", "the list is empty", self.if_empty)
        values: list[Any] = []
        first_line: dict[Any, int] = {}
        for index, item in enumerate(node.items):
            inner = place.child(index, item.mark)
            value = _attempt(self.item, item, inner)
            if value is _UNREAD:
                continue
            values.append(value)
            if self.is_unique:
                if value in first_line:
                    what = f"this stands twice in the list, first on line {first_line[value]}"
                    inner.report(Problem("duplicate-item", what, "keep one of them"))
                first_line.setdefault(value, item.mark.line)
        return tuple(values)

    def schema(self, define: Define) -> Schema:
        """Say that it is a list, and of what."""
        schema: Schema = {"type": "array", "items": self.item.schema(define)}
        if self.if_empty is not None:
            schema["minItems"] = 1
        if self.is_unique:
            schema["uniqueItems"] = True
        return schema

    def write(self, value: tuple[Any, ...]) -> list[Any]:
        """Spell every item."""
        return [self.item.write(item) for item in value]


@dataclass(frozen=True)
class Table:
    """A mapping whose keys are names that the operator gives."""

    key: Text[str]
    value: Shape
    if_empty: str | None = None

    @property
    def noun(self) -> str:
        """Say what belongs here."""
        return "a mapping"

    def read(self, node: Node, place: Place) -> dict[str, Any]:
        """Read every name and its value; what cannot be read leaves a finding."""
        if not isinstance(node, document.Mapping):
            example = f"{{{self.key.example}: {_example_of(self.value)}}}"
            raise wrong_type(node, "a mapping", example)
        if not node.entries and not node.has_lost_keys and self.if_empty is not None:
            raise Problem("empty-mapping", "the mapping is empty", self.if_empty)
        values: dict[str, Any] = {}
        for name, entry in node.entries.items():
            try:
                self.key.parse(name)
            except Problem as problem:
                place.child(name, entry.key.mark).refuse(problem)
            value = _attempt(self.value, entry.value, place.child(name, *_marks(entry)))
            if value is not _UNREAD:
                values[name] = value
        return values

    def schema(self, define: Define) -> Schema:
        """Say which names there may be, and what stands under them."""
        schema: Schema = {
            "type": "object",
            "propertyNames": {"pattern": self.key.pattern} if self.key.pattern else {},
            "additionalProperties": self.value.schema(define),
        }
        if self.if_empty is not None:
            schema["minProperties"] = 1
        return schema

    def write(self, value: Mapping[str, Any]) -> dict[str, Any]:
        """Spell every value."""
        return {name: self.value.write(item) for name, item in value.items()}


@dataclass(frozen=True)
class Section:
    """A mapping whose keys are the fields of a model."""

    model: type[BaseModel]

    @property
    def noun(self) -> str:
        """Say what belongs here."""
        return "a mapping"

    def read(self, node: Node, place: Place) -> BaseModel:
        """Read every key into a model, unvalidated and perhaps incomplete."""
        fields = fields_of(self.model)
        if not isinstance(node, document.Mapping):
            raise wrong_type(node, f"a mapping with {_list_keys(fields)}", _example_of(self))
        values: dict[str, Any] = {}
        for name, entry in node.entries.items():
            known = fields.get(name)
            if known is None:
                mend = suggest(name, fields, f"remove it, or use {_list_keys(fields)}")
                problem = Problem("unknown-key", f"the key {quoted(name)} is unknown here", mend)
                place.child(name, entry.key.mark).report(problem)
                continue
            inner = place.child(name, *_marks(entry))
            value = _attempt(known.shape, entry.value, inner)
            if value is not _UNREAD:
                values[name] = value
        for name, known in fields.items():
            if known.is_required and name not in node.entries:
                if node.has_lost_keys:
                    place.reading.mark_broken((*place.path, name))
                    continue
                mend = f"add {name}: {_example_of(known.shape)}"
                problem = Problem("missing-key", f"the key {quoted(name)} is missing", mend)
                place.child(name, place.key_mark).refuse(problem)
        return self.model.model_construct(None, **values)

    def schema(self, define: Define) -> Schema:
        """Refer to the definition of the section."""
        return define(self)

    def write(self, value: BaseModel) -> dict[str, Any]:
        """Spell every key."""
        return {
            name: known.shape.write(getattr(value, name))
            for name, known in fields_of(self.model).items()
        }


@dataclass(frozen=True)
class Key:
    """A key of a section, as the file sees it."""

    name: str
    shape: Shape
    info: FieldInfo = field(compare=False)
    derived: str | None

    @property
    def is_required(self) -> bool:
        """Whether the file must have the key."""
        return self.info.is_required() and self.derived is None

    @property
    def words(self) -> str:
        """What the key is for."""
        return self.info.description or ""

    @property
    def default(self) -> Any:
        """The default as it would stand in the file; None when there is none to show."""
        if self.info.is_required() or isinstance(self.shape, Section):
            return None
        value = self.info.get_default(call_default_factory=True)
        # What is empty by default is left out of a file, never written as empty.
        return None if value in (None, (), {}) else self.shape.write(value)


@cache
def fields_of(model: type[BaseModel]) -> Mapping[str, Key]:
    """Give the keys of a section in the order in which the model defines them."""
    fields = {}
    for name, info in model.model_fields.items():
        shape = next((item for item in info.metadata if _is_shape(item)), None)
        if shape is None:
            # mypy cannot know that a field without a shape of its own is always a section.
            assert isinstance(info.annotation, type)  # noqa: S101 - a fault of a model, found at import
            shape = Section(info.annotation)
        derived = next((item.words for item in info.metadata if isinstance(item, Derived)), None)
        fields[name] = Key(name, shape, info, derived)
    return fields


def wrong_type(node: Node, wanted: str, example: str) -> Problem:
    """Say that something of another kind stands here. Quotes nothing."""
    if isinstance(node, document.Scalar):
        if node.kind == "null":
            return no_value(wanted, example)
        found = "a single value"
    else:
        found = "a list" if isinstance(node, document.Sequence) else "a mapping"
    return Problem("wrong-type", f"{found} stands where {wanted} belongs", f"write {example}")


def no_value(wanted: str, example: str) -> Problem:
    """Say that a key stands there with nothing behind it."""
    mend = f"write {wanted}, such as {example}, or remove the key"
    return Problem("missing-value", "the key has no value", mend)


def _attempt(shape: Shape, node: Node, place: Place) -> Any:
    if isinstance(node, Refused):
        place.reading.mark_broken(place.path)
    else:
        try:
            return shape.read(node, place)
        except Problem as problem:
            place.refuse(problem)
    # An empty section keeps its name and its position for whoever refers to it.
    return shape.model.model_construct() if isinstance(shape, Section) else _UNREAD


def _marks(entry: Entry) -> tuple[Mark, Mark]:
    return entry.value.mark, entry.key.mark


def _example_of(shape: Shape) -> str:
    """Spell something that could stand there, in a line."""
    match shape:
        case Items():
            return f"[{_example_of(shape.item)}]"
        case Table():
            return f"{{{shape.key.example}: {_example_of(shape.value)}}}"
        case Section():
            keys = list(fields_of(shape.model).values())
            shown = [key for key in keys if key.is_required] or keys[:1]
            return f"{{{', '.join(f'{key.name}: {_example_of(key.shape)}' for key in shown)}}}"
        case _:
            example: str = getattr(shape, "example", shape.noun)
            return example


def _is_shape(item: object) -> bool:
    return hasattr(item, "read") and hasattr(item, "schema")


def _list_keys(fields: Mapping[str, Key]) -> str:
    return join_words(fields, "and")
