"""One reading of one file: what the shapes need from outside, and the findings they leave."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.settings.document import Mark
from gateway.settings.findings import Finding, KeyPath, Problem, Severity, printable, render_path

# A file of a megabyte can hold more mistakes than anybody reads.
_MAXIMUM_FINDINGS: Final = 1000


class Reading:
    """Collects findings, and remembers which values are broken so that no rule builds on them."""

    def __init__(self, file: Path, environ: Mapping[str, str]) -> None:
        self.file = file
        self.folder = file.absolute().parent
        self.environ = environ
        self._findings: set[Finding] = set()
        self._broken: set[KeyPath] = set()
        self._above_broken: set[KeyPath] = set()

    def report(
        self, mark: Mark, path: KeyPath, problem: Problem, severity: Severity = Severity.ERROR
    ) -> None:
        """Record what is wrong at a place."""
        if len(self._findings) < _MAXIMUM_FINDINGS:
            self._findings.add(
                Finding(
                    file=str(self.file),
                    line=mark.line,
                    column=mark.column,
                    path=render_path(path),
                    id=problem.id,
                    message=printable(str(problem)),
                    severity=severity,
                )
            )

    def mark_broken(self, path: KeyPath) -> None:
        """Remember that the value of this key could not be read."""
        self._broken.add(path)
        self._above_broken.update(path[:length] for length in range(len(path)))

    def is_sound(self, *path: str | int) -> bool:
        """Say whether this key's value, and all that is in it, could be read."""
        return path not in self._above_broken and self._broken.isdisjoint(
            path[:length] for length in range(len(path) + 1)
        )

    def findings(self) -> tuple[Finding, ...]:
        """Give all findings in the order of the file."""
        return tuple(
            sorted(self._findings, key=lambda f: (f.line, f.column, f.path, f.id, f.message))
        )


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the file a value is being read: at `mark`, for a key that stands at `key_mark`."""

    reading: Reading
    path: KeyPath
    mark: Mark
    key_mark: Mark

    def child(self, key: str | int, mark: Mark, key_mark: Mark | None = None) -> "Place":
        """Give the place of a value inside this one; an item of a list has no key."""
        return Place(self.reading, (*self.path, key), mark, key_mark or mark)

    def report(self, problem: Problem) -> None:
        """Record what is wrong here, in a value that can still be read."""
        self.reading.report(self.mark, self.path, problem)

    def refuse(self, problem: Problem) -> None:
        """Record what is wrong here, in a value that nothing can be built on."""
        self.report(problem)
        self.reading.mark_broken(self.path)
