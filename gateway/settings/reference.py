"""The reference page of the configuration, made from the models.

`python -m gateway.settings.reference` prints it; config/REFERENCE.md is its output, and a test
keeps it so.
"""

import json
import sys
from collections.abc import Iterator

from gateway.settings.literals import WholeNumber, WholeNumberOr
from gateway.settings.models import GatewaySettings
from gateway.settings.one_or_more import OneOrMore
from gateway.settings.shapes import Items, Key, Section, Shape, Table, Text, fields_of

_PREFACE = """\
# Configuration reference

One YAML file says everything. `gateway check FILE` finds all that is wrong with one, each finding
with its line; `gateway schema` prints a JSON Schema for editors. Unknown and duplicate keys are
errors. Made from `gateway/settings/models.py` by `python -m gateway.settings.reference`.

- **Durations** are a whole number and a unit: `250ms`, `30s`, `10m`, `2h`.
- **Sizes** likewise: `64KiB`, `10MiB`, `1GiB`.
- **Secrets** are `{env: NAME}`, `{file: PATH}` (without the newline at its end), or the text.
- **Relative paths** count from the folder of the file, never from the working directory.
- **Names** have at most 64 letters, digits, `_`, `.` or `-`, beginning with a letter or digit.
- **Text that YAML takes for something else** (`on`, `1:30`, `123`) stands in quotes.
"""


def render_reference() -> str:
    """Give the reference page, in Markdown."""
    parts = [_PREFACE, *_render_section("The file", "", Section(GatewaySettings))]
    return "\n".join(parts)


def _render_section(title: str, prefix: str, section: Section) -> Iterator[str]:
    fields = fields_of(section.model)
    yield f"## {title}\n"
    yield " ".join((section.model.__doc__ or "").split()) + "\n"
    yield "| key | what | value | default |"
    yield "|---|---|---|---|"
    for key in fields.values():
        yield f"| `{key.name}` | {_cell(key.words)} | {_value(key.shape)} | {_default(key)} |"
    yield ""
    for key in fields.values():
        inner = _inner_section(key.shape)
        if inner is not None:
            path = f"{prefix}{key.name}{_step(key.shape)}"
            yield from _render_section(f"`{path}`", f"{path}.", inner)


def _inner_section(shape: Shape) -> Section | None:
    match shape:
        case Section():
            return shape
        case Items(item=Section() as section) | Table(value=Section() as section):
            return section
        case _:
            return None


def _step(shape: Shape) -> str:
    return "[]" if isinstance(shape, Items) else ".NAME" if isinstance(shape, Table) else ""


def _value(shape: Shape) -> str:
    match shape:
        case Section():
            return "keys, see below"
        case Items() | OneOrMore():
            return _list_of(shape)
        case Table(value=value, key=key):
            if isinstance(value, Section):
                return "names, each with keys, see below"
            return f"{_bare(key.noun)} → {_bare(value.noun)}"
        case Text(choices=choices) if choices:
            return " \\| ".join(f"`{choice}`" for choice in choices)
        case Text(bounds=(lowest, highest)):
            return f"{_bare(shape.noun)}, `{lowest}` to `{highest}`"
        case WholeNumber():
            return f"{_bare(shape.noun)}, {shape.at_least} to {shape.at_most}"
        case WholeNumberOr():
            return f"{_value(shape.number)}, or `{shape.word}`"
        case Text():
            return f"{_bare(shape.noun)}, as `{shape.example}`"
        case _:
            return _bare(shape.noun)


def _list_of(shape: Items | OneOrMore) -> str:
    if isinstance(shape, OneOrMore):
        return f"{_value(shape.item)}, or a list of at most {shape.at_most}"
    if isinstance(shape.item, Section):
        return "list of sections, see below"
    return f"list of: {_value(shape.item)}"


def _default(key: Key) -> str:
    if key.is_required:
        return "required"
    if key.derived is not None:
        return key.derived
    if key.default is None:
        is_section = isinstance(key.shape, Section)
        return "see below" if key.info.default_factory is not None and is_section else "none"
    return f"`{json.dumps(key.default) if not isinstance(key.default, str) else key.default}`"


def _bare(noun: str) -> str:
    for article in ("a ", "an "):
        noun = noun.removeprefix(article)
    return noun


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> None:
    """Print the page."""
    sys.stdout.write(render_reference())


if __name__ == "__main__":
    main()
