"""The part of JSON Schema (draft 2020-12) that the configuration's schema uses."""

import re
from collections.abc import Callable, Iterator
from typing import Any

Schema = dict[str, Any]
Rule = Callable[[Any, Any, Schema, Schema], Iterator[str]]

_TYPES = {"string": str, "integer": int, "boolean": bool, "array": list, "object": dict}
_ANNOTATIONS = {"$schema", "$defs", "title", "description", "default", "examples"}


def validate(value: Any, schema: Schema, root: Schema) -> Iterator[str]:
    """Give what is wrong with a value; a keyword that is not known here is wrong too."""
    types = schema.get("type", [])
    if types and not any(_is(value, name) for name in [types] * isinstance(types, str) or types):
        yield f"{value!r} is not {types}"
        return
    for keyword, wanted in schema.items():
        if keyword in _RULES:
            yield from _RULES[keyword](value, wanted, schema, root)
        elif keyword not in _ANNOTATIONS | {"type"}:
            yield f"the keyword {keyword} is not known here"


def _is(value: Any, name: str) -> bool:
    if isinstance(value, bool):
        return name == "boolean"
    return isinstance(value, _TYPES[name])


def _rule(is_met: Callable[[Any, Any], bool]) -> Rule:
    def rule(value: Any, wanted: Any, schema: Schema, root: Schema) -> Iterator[str]:
        if not is_met(value, wanted):
            yield f"{value!r} does not meet {wanted!r}"

    return rule


def _reference(value: Any, wanted: str, schema: Schema, root: Schema) -> Iterator[str]:
    yield from validate(value, root["$defs"][wanted.removeprefix("#/$defs/")], root)


def _items(value: Any, wanted: Schema, schema: Schema, root: Schema) -> Iterator[str]:
    for item in value:
        yield from validate(item, wanted, root)


def _properties(value: Any, wanted: Schema, schema: Schema, root: Schema) -> Iterator[str]:
    for name in value.keys() & wanted.keys():
        yield from validate(value[name], wanted[name], root)


def _additional(value: Any, wanted: Any, schema: Schema, root: Schema) -> Iterator[str]:
    for name in value.keys() - schema.get("properties", {}).keys():
        yield from [f"{name} is unknown"] if not wanted else validate(value[name], wanted, root)


def _exactly_one(value: Any, wanted: list[Schema], schema: Schema, root: Schema) -> Iterator[str]:
    passed = sum(not list(validate(value, option, root)) for option in wanted)
    if passed != 1:
        yield f"{value!r} meets {passed} of {wanted}"


def _any(value: Any, wanted: list[Schema], schema: Schema, root: Schema) -> Iterator[str]:
    if all(list(validate(value, option, root)) for option in wanted):
        yield f"{value!r} meets none of {wanted}"


_at_least = _rule(lambda value, wanted: len(value) >= wanted)
_RULES: dict[str, Rule] = {
    "$ref": _reference,
    "items": _items,
    "properties": _properties,
    "propertyNames": _items,
    "additionalProperties": _additional,
    "oneOf": _exactly_one,
    "anyOf": _any,
    "const": _rule(lambda value, wanted: value is wanted),
    "enum": _rule(lambda value, wanted: value in wanted),
    "pattern": _rule(lambda value, wanted: re.search(wanted, value) is not None),
    "minimum": _rule(lambda value, wanted: value >= wanted),
    "maximum": _rule(lambda value, wanted: value <= wanted),
    "minLength": _at_least,
    "minItems": _at_least,
    "maxItems": _rule(lambda value, wanted: len(value) <= wanted),
    "minProperties": _at_least,
    "uniqueItems": _rule(lambda value, wanted: len(set(map(repr, value))) == len(value)),
    "required": _rule(lambda value, wanted: set(wanted) <= value.keys()),
}
