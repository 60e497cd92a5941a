"""A running `gateway demo`, and what it has printed."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.programs import GATEWAY, Program, wait_until

END = "Ctrl-C ends the demo"


@dataclass
class Demo:
    """What a newcomer reads."""

    printed: str

    @property
    def desk(self) -> str:
        return self._find(r"#   (http://\S+)$")

    @property
    def issuer(self) -> str:
        return self._find(r"(http://[\d.:]+)/oauth2/token")

    @property
    def guard(self) -> str:
        return self._find(r"curl -i (http://[\d.:]+)/orders")

    @property
    def user(self) -> str:
        return self._find(r"as (\w+) with the password")

    @property
    def password(self) -> str:
        return self._find(r"with the password (\S+)$")

    def _find(self, pattern: str) -> str:
        found = re.search(pattern, self.printed, re.MULTILINE)
        assert found, f"{pattern!r} is not in\n{self.printed}"
        return found[1]


@contextmanager
def running_demo(folder: Path) -> Iterator[Demo]:
    """Runs `gateway demo` until the block ends; it must then end by itself."""
    folder.mkdir(parents=True, exist_ok=True)
    # Its standard output as it is redirected to a file: nothing may wait in a buffer.
    program = Program([GATEWAY, "demo"], folder / "printed", cwd=folder)
    try:
        wait_until(lambda: END in program.output.read_text(), 30, f"{END!r} in what it prints")
        lines, _, _ = program.output.read_text().partition(END)
        yield Demo(lines + END + "\n")
    finally:
        assert program.stop() == 0, program.text()
    assert "Traceback" not in program.text(), program.text()
