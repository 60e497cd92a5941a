"""Writes the lock files beside it from the lists in pyproject.toml: `make lock`.

Every file holds exact versions with the hashes of all that was published under them, for every
platform and Python alike, and no registry's address: whoever installs uses a registry of theirs.
The versions already locked stay unless `--upgrade` (or `--upgrade-package NAME`) is given.
"""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

FOLDER = Path(__file__).parent
ROOT = FOLDER.parent

# Lock file -> the dependency groups in it, beside the run-time dependencies or without them.
# Later files are held to what the first one chose, so that no two environments differ.
LOCKS: dict[str, tuple[bool, tuple[str, ...]]] = {
    "dev": (True, ("dev",)),
    "run": (True, ()),
    "build": (False, ("build",)),
    "lock": (False, ("lock",)),
    "httpbin": (False, ("httpbin",)),
    "postgresql": (False, ("postgresql",)),
    "nodejs": (False, ("nodejs",)),
    "envoy": (False, ("envoy",)),
    "py-spy": (False, ("py-spy",)),
}
HELD_TO_DEV = ("run", "build")

# httpbin pins a greenlet that no wheel carries to newer Pythons, for a kind of gunicorn worker
# that nothing here starts: it is left out, so that environment is installed with --no-deps.
LEFT_OUT = {"httpbin": "greenlet"}


def requirements_of(pyproject: dict, group: str) -> list[str]:
    """Takes a dependency group's name and gives its requirements, includes followed (PEP 735)."""
    found: list[str] = []
    for entry in pyproject["dependency-groups"][group]:
        if isinstance(entry, str):
            found.append(entry)
        else:
            found.extend(requirements_of(pyproject, entry["include-group"]))
    return found


def write_lock(name: str, requirements: list[str], arguments: list[str]) -> None:
    """Resolves the requirements and writes requirements/NAME.txt."""
    command = [sys.executable, "-m", "piptools", "compile", "-", "--quiet"]
    command += ["--output-file", f"requirements/{name}.txt"]
    command += ["--generate-hashes", "--strip-extras", "--no-annotate"]
    if name in LEFT_OUT:
        command += ["--unsafe-package", LEFT_OUT[name], "--no-allow-unsafe"]
    else:
        command += ["--allow-unsafe"]
    command += ["--no-emit-index-url", "--no-emit-find-links", "--no-emit-trusted-host"]
    if name in HELD_TO_DEV:
        # A constraint with hashes is one with versions: the hashes are written anew.
        command += ["--constraint", "requirements/dev.txt"]
    print(f"requirements/{name}.txt")
    subprocess.run(
        [*command, *arguments],
        input="\n".join(requirements) + "\n",
        text=True,
        check=True,
        cwd=ROOT,
        env={**os.environ, "CUSTOM_COMPILE_COMMAND": "make lock"},
    )
    if name in LEFT_OUT:
        # pip-compile ends such a file with a warning about installing it without --no-deps.
        path = FOLDER / f"{name}.txt"
        pins, _, _ = path.read_text(encoding="utf-8").partition("\n# WARNING")
        path.write_text(pins, encoding="utf-8")


def main(arguments: list[str]) -> None:
    """Takes pip-compile's further arguments and writes every lock file."""
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    for name, (with_run_time, groups) in LOCKS.items():
        requirements = list(pyproject["project"]["dependencies"]) if with_run_time else []
        for group in groups:
            requirements += requirements_of(pyproject, group)
        write_lock(name, requirements, arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
