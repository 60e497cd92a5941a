"""A YAML file as a tree that remembers the place of every key and value.

The tree is built from the parser's events, with a bounded depth and without recursion, so that no
file can exhaust the stack or the memory. What YAML can do and a configuration does not need is
refused here: tags, anchors and aliases, merge keys, a second document, keys that are not text.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import yaml
from yaml.reader import Reader
from yaml.resolver import Resolver

from gateway.settings.findings import KeyPath, Problem, quoted

MAXIMUM_BYTES: Final = 1024 * 1024
MAXIMUM_DEPTH: Final = 32

_TAG_PREFIX = "tag:yaml.org,2002:"
_PARSER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_RESOLVER = Resolver()


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in the file, counted from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value. `kind` is the type that YAML 1.1 gives it: str, int, bool, null and so on."""

    mark: Mark
    text: str
    kind: str
    is_plain: bool


@dataclass(slots=True)
class Sequence:
    """A list."""

    mark: Mark
    items: list["Node"] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Entry:
    """A key and its value."""

    key: Scalar
    value: "Node"


@dataclass(slots=True)
class Mapping:
    """Keys and values, in the order of the file; each key once, and each is text.

    `has_lost_keys` when a key was refused, so that nobody can say what is missing.
    """

    mark: Mark
    entries: dict[str, Entry] = field(default_factory=dict)
    has_lost_keys: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """Something that has its finding already; whoever reads on passes over it."""

    mark: Mark


Node = Scalar | Sequence | Mapping | Refused
Report = Callable[[Mark, KeyPath, Problem], None]


class Unusable(Exception):  # noqa: N818 - a state of the file
    """The file has no tree at all: `problem` says why, at `mark`."""

    def __init__(self, mark: Mark, problem: Problem) -> None:
        self.mark = mark
        self.problem = problem
        super().__init__(str(problem))


class NoText(Unusable):
    """The bytes are no text that anything could be said about."""


def parse_document(content: bytes, report: Report) -> Mapping:
    """Build the tree of a file's bytes. Each flaw goes to `report` with its place and key path.

    Raises Unusable when there is no tree to go on with, NoText when there is not even text.
    """
    text = _decode(content)
    builder = _Builder(report)
    try:
        for event in yaml.parse(text, Loader=_PARSER):
            if not builder.take(event):
                break
    except yaml.MarkedYAMLError as error:
        raise _describe_syntax_error(error, text) from None
    if builder.root is None:
        problem = Problem("empty-file", "the file is empty", "write at least upstreams and routes")
        raise Unusable(Mark(1, 1), problem)
    if not isinstance(builder.root, Mapping):
        what = "a list" if isinstance(builder.root, Sequence) else "a single value"
        problem = Problem(
            "wrong-type",
            f"the file holds {what}, not settings",
            "write `key: value` lines, beginning with upstreams and routes",
        )
        raise Unusable(builder.root.mark, problem)
    return builder.root


def _decode(content: bytes) -> str:
    if len(content) > MAXIMUM_BYTES:
        problem = Problem(
            "too-large", "the file is larger than 1MiB", "give the path of a configuration file"
        )
        raise NoText(Mark(1, 1), problem)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8")
        problem = Problem(
            "not-utf-8",
            f"byte 0x{content[error.start]:02X} is not UTF-8",
            "save the file with the encoding UTF-8",
        )
        raise NoText(_mark_after(before), problem) from None
    unprintable = Reader.NON_PRINTABLE.search(text)
    if unprintable:
        problem = Problem(
            "control-character",
            f"the character U+{ord(unprintable[0]):04X} cannot stand in YAML",
            "remove it, or write it as an escape in double quotes",
        )
        raise Unusable(_mark_after(text[: unprintable.start()]), problem)
    return text


def _mark_after(text: str) -> Mark:
    lines = re.split(r"\r\n|[\r\n\x85\u2028\u2029]", text)
    return Mark(len(lines), len(lines[-1]) + 1)


def _describe_syntax_error(error: yaml.MarkedYAMLError, text: str) -> Unusable:
    mark = error.problem_mark or error.context_mark
    place = Mark(mark.line + 1, mark.column + 1) if mark else Mark(1, 1)
    lines = text.splitlines()
    line = lines[place.line - 1] if place.line <= len(lines) else ""
    found = line[place.column - 1 : place.column]
    indentation = line[: len(line) - len(line.lstrip())]
    said = error.problem or "the text cannot be understood"
    if "\t" in indentation:
        problem = Problem("yaml-tab", "a tab indents this line", "YAML wants spaces")
        return Unusable(Mark(place.line, indentation.index("\t") + 1), problem)
    if "cannot start any token" in said and found in ("@", "`", "%", "|", ">"):
        mend = f"put the text that begins with {found} in double quotes"
    elif "mapping values are not allowed" in said:
        mend = "put text that contains `: ` in double quotes, or mend the indentation"
    elif "block sequence entries" in said:
        mend = "begin the list on the next line, or put a lone - in double quotes"
    elif "end of stream" in said:
        mend = "close the quote that was opened before"
    elif "expected ',' or" in said or "expected node content" in said:
        mend = "close every [ and {, part items with commas, put text with brackets in quotes"
    elif "tag" in said:
        # The parser may name the tag, and a secret that begins with ! is taken for one.
        said, mend = "a broken tag", "put text that begins with ! in double quotes"
    else:
        mend = "look at the indentation and the quotes here and on the line above"
    return Unusable(place, Problem("yaml-syntax", f"this is not YAML: {said}", mend))


@dataclass(slots=True)
class _Frame:
    """A list or mapping that is still open."""

    node: Sequence | Mapping
    path: KeyPath
    key: "Node | None" = None

    def child_path(self) -> KeyPath:
        if isinstance(self.node, Sequence):
            return (*self.path, len(self.node.items))
        return (*self.path, self.key.text) if isinstance(self.key, Scalar) else self.path


class _Builder:
    """Turns parser events into nodes."""

    def __init__(self, report: Report) -> None:
        self.root: Node | None = None
        self._report = report
        self._open: list[_Frame] = []
        self._documents = 0

    def take(self, event: yaml.Event) -> bool:
        """Take the next event; False when nothing after it counts."""
        start = event.start_mark
        mark = Mark(start.line + 1, start.column + 1) if start else Mark(1, 1)
        match event:
            case yaml.DocumentStartEvent():
                self._documents += 1
                if self._documents > 1:
                    problem = Problem(
                        "yaml-documents",
                        "a second YAML document begins here",
                        "remove the line `---` and keep one document in the file",
                    )
                    self._report(mark, (), problem)
                    return False
            case yaml.AliasEvent():
                problem = Problem(
                    "yaml-alias",
                    "an alias stands here",
                    "write the value out, or quote text that begins with *",
                )
                self._report(mark, self._path(), problem)
                self._add(Refused(mark))
            case yaml.ScalarEvent():
                self._refuse_decoration(event, mark)
                self._add(_scalar(event, mark))
            case yaml.SequenceStartEvent():
                self._begin(event, mark, Sequence(mark))
            case yaml.MappingStartEvent():
                self._begin(event, mark, Mapping(mark))
            case yaml.CollectionEndEvent():
                self._add(self._open.pop().node)
        return True

    def _path(self) -> KeyPath:
        return self._open[-1].child_path() if self._open else ()

    def _refuse_decoration(self, event: yaml.NodeEvent, mark: Mark) -> None:
        # Neither is quoted: a secret that begins with ! or & is taken for a tag or an anchor.
        if getattr(event, "tag", None) is not None:
            problem = Problem(
                "yaml-tag", "a YAML tag stands here", "remove it, or quote text that begins with !"
            )
            self._report(mark, self._path(), problem)
        if event.anchor is not None:
            problem = Problem(
                "yaml-anchor",
                "an anchor stands here",
                "remove it, or quote text that begins with &",
            )
            self._report(mark, self._path(), problem)

    def _begin(self, event: yaml.NodeEvent, mark: Mark, node: Sequence | Mapping) -> None:
        self._refuse_decoration(event, mark)
        if len(self._open) >= MAXIMUM_DEPTH:
            problem = Problem(
                "too-deep",
                f"lists and mappings are nested more than {MAXIMUM_DEPTH} deep",
                "close the brackets that were opened before",
            )
            raise Unusable(mark, problem)
        self._open.append(_Frame(node, self._path()))

    def _add(self, node: Node) -> None:
        if not self._open:
            self.root = node
            return
        frame = self._open[-1]
        if isinstance(frame.node, Sequence):
            frame.node.items.append(node)
        elif frame.key is None:
            frame.key = node
        else:
            key, frame.key = frame.key, None
            self._add_entry(frame.node, frame.path, key, node)

    def _add_entry(self, mapping: Mapping, path: KeyPath, key: Node, value: Node) -> None:
        if not isinstance(key, Scalar) or key.kind != "str":
            mapping.has_lost_keys = True
        if not isinstance(key, Scalar):
            if not isinstance(key, Refused):
                what = "a key is a list or a mapping"
                self._report(key.mark, path, Problem("wrong-type", what, "write a word as the key"))
        elif key.kind != "str":
            self._report(key.mark, path, _describe_odd_key(key))
        elif key.text in mapping.entries:
            line = mapping.entries[key.text].key.mark.line
            what = f"the key stands twice, first on line {line}"
            problem = Problem("duplicate-key", what, "keep one of them")
            self._report(key.mark, (*path, key.text), problem)
        else:
            mapping.entries[key.text] = Entry(key, value)


def _scalar(event: yaml.ScalarEvent, mark: Mark) -> Scalar:
    is_plain = bool(event.implicit[0])
    tag: str = _RESOLVER.resolve(  # type: ignore[no-untyped-call] # its stubs leave it out
        yaml.ScalarNode, event.value, (is_plain, not is_plain)
    )
    return Scalar(mark, event.value, tag.removeprefix(_TAG_PREFIX), is_plain)


def _describe_odd_key(key: Scalar) -> Problem:
    if key.kind == "merge":
        return Problem("yaml-merge", "a merge key (<<) stands here", "write the keys out")
    what = f"the key {quoted(key.text)} is {describe_kind(key)} to YAML 1.1, not text"
    return Problem("yaml-surprise", what, "put it in double quotes")


def describe_kind(scalar: Scalar) -> str:
    """Say in words what YAML 1.1 takes a scalar for."""
    match scalar.kind:
        case "bool":
            is_true = scalar.text.lower() in ("true", "yes", "on")
            return f"the boolean {'true' if is_true else 'false'}"
        case "int" | "float" if ":" in scalar.text:
            return "a number in base 60"
        case "int" | "float":
            return "a number"
        case "timestamp":
            return "a date"
        case "null":
            return "nothing"
        case _:
            return "text"
