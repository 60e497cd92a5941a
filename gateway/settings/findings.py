"""What is wrong with a configuration, where, and how to mend it.

Rule: no finding ever quotes a secret. Text of the file goes into a message only through `quoted`,
which masks the credentials in a URL, and nothing that stands where a secret belongs is quoted.
"""

import difflib
import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum

KeyPath = tuple[str | int, ...]

_LONGEST_QUOTE = 60
_LONGEST_MESSAGE = 600
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_:-]+")
_CREDENTIALS = re.compile(r"^(.*://)?.*:.*@|(?<=//).*@", re.DOTALL)


class Severity(StrEnum):
    """An error keeps the gateway from starting; a warning is worth a look."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: where (line and column count from 1), what, and the mend.

    `path` is the dotted key path, such as `routes[2].match.path`, empty for the file as a whole;
    `id` is kebab-case and stays the same across versions, for scripts that act on it.
    """

    file: str
    line: int
    column: int
    path: str
    id: str
    message: str
    severity: Severity = Severity.ERROR

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}: "
        subject = f"{self.path}: " if self.path else ""
        kind = "warning: " if self.severity is Severity.WARNING else ""
        return f"{where}{kind}{subject}{self.message}"

    def as_dict(self) -> dict[str, str | int]:
        """Give the finding as JSON spells it."""
        return asdict(self)


class SettingsError(Exception):
    """The configuration cannot be used. `findings` has every reason, in the order of the file."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = tuple(findings)
        super().__init__("\n".join(map(str, self.findings)))


class SettingsUnreadable(SettingsError):  # noqa: N818 - what the settings are
    """The file itself cannot be read, so nothing can be said about what stands in it."""


class Problem(Exception):  # noqa: N818 - wrong with the file, not with the program
    """What is wrong with one value: raised where it is noticed, placed by who knows the line."""

    def __init__(self, finding_id: str, what: str, mend: str) -> None:
        self.id = finding_id
        super().__init__(f"{what}; {mend}")


def render_path(path: KeyPath) -> str:
    """Write a key path as `routes[2].match.path`; keys that would confuse stand in brackets."""
    parts: list[str] = []
    for key in path:
        if isinstance(key, int):
            parts.append(f"[{key}]")
        elif _PLAIN_KEY.fullmatch(key) and len(key) <= _LONGEST_QUOTE:
            parts.append(f".{key}" if parts else key)
        else:
            parts.append(f"[{quoted(key)}]")
    return "".join(parts)


def printable(text: str) -> str:
    """Escape what a terminal or a log would not show as itself, and bound the length."""
    if len(text) > _LONGEST_MESSAGE:
        text = text[: _LONGEST_MESSAGE - 1] + "…"
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def quoted(text: str) -> str:
    """Quote text of the file for a message: bounded, printable, without credentials."""
    text = _CREDENTIALS.sub(r"\1***@", text)
    if len(text) > _LONGEST_QUOTE:
        text = text[: _LONGEST_QUOTE - 1] + "…"
    return printable(json.dumps(text, ensure_ascii=False))


def join_words(words: Iterable[str], conjunction: str) -> str:
    """Join words as a sentence does: `a, b or c`."""
    *rest, last = words
    return f"{', '.join(rest)} {conjunction} {last}" if rest else last


def suggest(word: str, known: Iterable[str], otherwise: str) -> str:
    """Say which known word was probably meant, or what to do when none is near."""
    by_folded = {_fold(candidate): candidate for candidate in known}
    if len(word) <= _LONGEST_QUOTE:  # comparing takes time by the square of the length
        near = difflib.get_close_matches(_fold(word), by_folded, n=1, cutoff=0.6)
        if near:
            return f"did you mean {quoted(by_folded[near[0]])}?"
    return otherwise


def _fold(word: str) -> str:
    return word.lower().replace("-", "_")
