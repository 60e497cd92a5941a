"""The rooms and the direction of their imports, read from the source."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "gateway"

# From the door inwards. A room may import those further down, never those above it or beside it.
FLOORS: tuple[frozenset[str], ...] = (
    frozenset({"__main__"}),
    frozenset({"cli"}),
    frozenset({"workers"}),
    frozenset({"app"}),
    frozenset({"fleet", "upstreams", "vouching"}),
    frozenset({"serving"}),
    frozenset({"tls", "unix"}),
    frozenset({"admin", "authserver", "client", "middleware", "proxy"}),
    frozenset({"introspection"}),
    frozenset({"telemetry"}),
    frozenset({"settings"}),
    frozenset({"policy"}),
)

# All that pure decisions may lean on: nothing here reads a clock, a file, a socket or a loop.
# `secrets` and `hashlib` make and name tokens; what decides takes neither.
PURE = frozenset(
    {
        "base64",
        "binascii",
        "bisect",
        "collections",
        "dataclasses",
        "enum",
        "functools",
        "hashlib",
        "ipaddress",
        "itertools",
        "json",
        "operator",
        "re",
        "secrets",
        "string",
        "types",
        "typing",
        "unicodedata",
        "urllib.parse",
        "zlib",
    }
)

# Loading these costs tens of MiB and a second; a guard without the embedded server does without.
HEAVY = frozenset({"alembic", "authlib", "sqlalchemy"})


def imported_names(source: str, module: str) -> Iterator[tuple[int, str]]:
    """Gives line and full name of all that a module imports, wherever in it the import stands."""
    package = module.rsplit(".", 1)[0]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = ".".join(package.split(".")[: len(package.split(".")) - node.level + 1])
                base = f"{above}.{base}" if base else above
            if base == "gateway":
                for alias in node.names:
                    yield node.lineno, f"gateway.{alias.name}"
            else:
                yield node.lineno, base


def room_of(module: str) -> str | None:
    """Gives the room that a module's full name stands in; None for gateway itself."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else None


def floor_of(room: str) -> int | None:
    """Gives the number of a room's floor, 0 at the door; None for what is no room."""
    return next((number for number, rooms in enumerate(FLOORS) if room in rooms), None)


def violations(source: str, module: str) -> list[str]:
    """Gives every import of a module that the architecture forbids, one line each."""
    room = room_of(module)
    found = []
    for line, name in imported_names(source, module):
        top = name.split(".")[0]
        if top == "gateway":
            found += _wrong_direction(module, line, name)
        elif room == "policy" and not {top, name} & PURE:
            found.append(f"{module}:{line}: policy is pure and may not import {name}")
        elif room != "authserver" and top in HEAVY:
            found.append(f"{module}:{line}: {name} is loaded by gateway/authserver only")
    return found


def _wrong_direction(module: str, line: int, name: str) -> list[str]:
    own, other = room_of(module), room_of(name)
    if own == other or other in {"__version__", None}:
        return []
    if own is None:
        return [f"{module}:{line}: the package itself imports no room, but {name}"]
    own_floor, other_floor = floor_of(own), floor_of(other)
    if own_floor is None or other_floor is None:
        return [f"{module}:{line}: {name} or {module} stands in no room of FLOORS"]
    if other_floor <= own_floor:
        return [f"{module}:{line}: {own} may not import {name}: imports go down only"]
    return []


def modules() -> list[tuple[str, Path]]:
    """Gives the full name and the file of every module of the package."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        # A room's own __init__ keeps that name, so that relative imports count from the room.
        found.append(("gateway" if name == "gateway.__init__" else name, path))
    return found


@pytest.mark.parametrize(("module", "path"), modules(), ids=str)
def test_imports_go_down_only(module, path):
    """No module imports a room above or beside its own, nor anything its room may not load."""
    assert violations(path.read_text(encoding="utf-8"), module) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("gateway.proxy.pool", "from gateway.middleware.guard import guard"),
        ("gateway.proxy.pool", "import gateway.app"),
        ("gateway.proxy.pool", "from gateway import app"),
        ("gateway.proxy.pool", "from ..authserver import server"),
        ("gateway.proxy.__init__", "from ..authserver import server"),
        ("gateway.settings.load", "def f():\n    from gateway.telemetry import metrics"),
        (
            "gateway.policy.path",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import gateway.settings",
        ),
        ("gateway.admin.application", "from gateway.proxy.upstream import Upstream"),
        ("gateway.policy.decision", "import time"),
        ("gateway.policy.decision", "from asyncio import sleep"),
        ("gateway.policy.decision", "import aiohttp.web"),
        ("gateway.policy.decision", "import urllib.request"),
        ("gateway.cli.client", "from sqlalchemy import select"),
        ("gateway.app", "def f():\n    import authlib.oauth2"),
        ("gateway.common", "from gateway.policy import path"),
        ("gateway", "from gateway.policy import path"),
    ],
)
def test_a_forbidden_import_is_found(module, source):
    """The test above can fail: each planted import is one that it must refuse."""
    assert violations(source, module)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("gateway.cli.run", "from gateway.app import serve\nfrom gateway import __version__"),
        ("gateway.middleware.guard", "from gateway.introspection.cache import Cache"),
        ("gateway.authserver.store", "import sqlalchemy\nfrom gateway.policy import tokenformat"),
        ("gateway.policy.table", "from gateway.policy.routes import Route\nimport dataclasses"),
        ("gateway.proxy.pool", "from . import connection"),
    ],
)
def test_an_allowed_import_is_not(module, source):
    assert violations(source, module) == []


def test_the_guard_alone_loads_nothing_of_the_embedded_server():
    """Importing the composition root loads no database, no migrations and no grants."""
    program = (
        "import sys, gateway.app\n"
        f"print(sorted({{name.split('.')[0] for name in sys.modules}} & {set(HEAVY)!r}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr
