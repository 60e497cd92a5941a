"""A person's terminal: `gateway login`, `call`, `whoami`, `logout`, with a home of its own."""

import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.e2e.forms import Browser
from tests.e2e.programs import GATEWAY, START_SECONDS, Program, wait_until
from tests.parts.get import FOLDER, ROOT


class Terminal:
    """Runs commands, and is the browser that they open."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._address = folder / "address"
        script = folder / "browser"
        script.write_text(
            f"#!/bin/sh\nprintf %s \"$1\" > '{self._address}.new'\n"
            f"mv '{self._address}.new' '{self._address}'\n"
        )
        script.chmod(0o700)
        self.environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(folder),
            "XDG_STATE_HOME": str(folder / "state"),
            "BROWSER": str(script),
            "PYTHONASYNCIODEBUG": "1",
            "PYTHONWARNINGS": "error",
            "GATEWAY_DEBUG": "1",
        }
        self.said: list[str] = []

    @property
    def credentials(self) -> Path:
        return self.folder / "state" / "gateway" / "credentials.json"

    def accounts(self) -> list[dict[str, Any]]:
        """Gives what the store has, the account used last first."""
        return json.loads(self.credentials.read_text())["accounts"]

    def age(self) -> None:
        """Makes the access token of the account used last look expired."""
        self._change(expires_at=1)

    def forge(self) -> None:
        """Puts an access token that nobody knows in the place of the one used last."""
        self._change(access_token="a-token-that-nobody-knows")

    def _change(self, **members: object) -> None:
        content = json.loads(self.credentials.read_text())
        content["accounts"][0] |= members
        self.credentials.write_text(json.dumps(content))

    def run(self, *words: str, **options: object) -> subprocess.CompletedProcess[str]:
        """Runs a command to its end."""
        done = subprocess.run(
            [str(GATEWAY), *words],
            capture_output=True,
            text=True,
            check=False,
            env=self.environment,
            cwd=self.folder,
            timeout=60,
            **options,
        )
        self.said += [done.stdout, done.stderr]
        return done

    @contextmanager
    def login(self, *words: str) -> Iterator[Program]:
        """Runs `gateway login` beside the test, which is the person at the browser."""
        self._address.unlink(missing_ok=True)
        command = [GATEWAY, "login", *words]
        program = Program(command, self.folder / "login.out", env=self.environment, cwd=self.folder)
        try:
            yield program
        except AssertionError as error:
            error.add_note(f"gateway login said:\n{program.text()}")
            raise
        finally:
            program.stop()
            self.said += [program.text(), (self.folder / "login.out").read_text()]

    def opened_address(self) -> str:
        """Gives the address that the command has opened in the browser."""
        wait_until(self._address.exists, START_SECONDS, "an address in the browser")
        return self._address.read_text()

    def sign_in(self, *words: str, browser: Browser, answers: dict[str, str]) -> str:
        """Runs `gateway login` to its end; gives what it said."""
        with self.login(*words) as program:
            page = browser.open(self.opened_address())
            page = browser.follow_forms(page, answers, "Back to the terminal")
            assert program.process.wait(START_SECONDS) == 0, program.text()
            program.wait_for_line("signed in at ")
            return program.text()


@contextmanager
def running_node(
    node: Path,
    script: str,
    arguments: Sequence[str],
    folder: Path,
    ready: str,
    *,
    packages: str = "node",
) -> Iterator[Program]:
    """Runs a script of tests/e2e/node where a part's packages are, until the block ends."""
    source = (ROOT / "tests" / "e2e" / "node" / script).read_text(encoding="utf-8")
    command = [node, "--input-type=module", "--eval", source, *arguments]
    program = Program(command, folder / "node.log", cwd=FOLDER / packages)
    try:
        program.wait_for_line(ready)
        yield program
    finally:
        program.stop()
