"""Secrets: written out, taken from the environment, or read from a file.

Rule: nothing that stands where a secret belongs is ever quoted, neither key nor value.
"""

import os
import re
import stat
from dataclasses import dataclass
from typing import Final

from pydantic import SecretStr

from gateway.settings import document
from gateway.settings.document import Node, Scalar
from gateway.settings.findings import Problem, quoted
from gateway.settings.reading import Place
from gateway.settings.shapes import Define, Schema, no_value

_MAXIMUM_BYTES: Final = 64 * 1024
_ENV_PATTERN: Final = r"^[A-Za-z_][A-Za-z0-9_]*$"
_ENV_NAME = re.compile(_ENV_PATTERN, re.ASCII)
_FORMS: Final = "write {env: NAME} or {file: PATH}"


@dataclass(frozen=True)
class Secret:
    """`{env: NAME}`, `{file: PATH}` or the text itself; read as a SecretStr."""

    noun: str = "a secret"

    def read(self, node: Node, place: Place) -> SecretStr:
        """Fetch the secret from where the file says it is."""
        if isinstance(node, Scalar):
            return SecretStr(_check(_read_plain(node), "the secret"))
        if not isinstance(node, document.Mapping):
            raise Problem("wrong-type", "a list stands where a secret belongs", _FORMS)
        entries = node.entries
        if len(entries) != 1 or not entries.keys() <= {"env", "file"}:
            what = "a secret has exactly one of the keys env and file"
            raise Problem("invalid-secret", what, _FORMS)
        [(kind, entry)] = entries.items()
        if not isinstance(entry.value, Scalar) or entry.value.kind != "str":
            what = f"no name stands behind {kind}"
            raise Problem("invalid-secret", what, f"{_FORMS}; put it in quotes if it is a number")
        source = entry.value.text
        fetch = _from_environment if kind == "env" else _from_file
        return SecretStr(fetch(source, place))

    def schema(self, define: Define) -> Schema:  # noqa: ARG002 - the protocol's
        """Say that it has one of three forms."""
        return {
            "oneOf": [
                *SOURCES,
                {"type": "string", "minLength": 1, "description": "The secret itself"},
            ],
            "examples": [{"env": "CLIENT_SECRET"}, {"file": "client_secret"}],
        }

    def write(self, value: SecretStr) -> str:
        """Spell no secret, ever."""
        return str(value)


def _single_key(name: str, description: str, pattern: str | None) -> Schema:
    text: Schema = {"type": "string", "minLength": 1, "description": description}
    if pattern is not None:
        text["pattern"] = pattern
    return {
        "type": "object",
        "properties": {name: text},
        "required": [name],
        "additionalProperties": False,
    }


SOURCES: Final = (
    _single_key("env", "The environment variable that holds it", _ENV_PATTERN),
    _single_key("file", "The file that holds it, relative to this one", None),
)
"""The JSON Schemas of what says where a secret is."""


def _read_plain(node: Scalar) -> str:
    if node.kind == "null":
        raise no_value("a secret", "{env: NAME}")
    if node.kind != "str":
        what = f"the secret is {document.describe_kind(node)} to YAML 1.1, not text"
        raise Problem("yaml-surprise", what, "put it in quotes, or better write {env: NAME}")
    return node.text


def _from_environment(name: str, place: Place) -> str:
    if _ENV_NAME.fullmatch(name) is None:
        what = "what stands behind env is not the name of an environment variable"
        raise Problem("invalid-secret", what, "write the name alone, without $ and braces")
    value = place.reading.environ.get(name)
    if value is None:
        what = f"the environment variable {name} is not set"
        raise Problem("secret-missing", what, "set it before starting, or write {file: PATH}")
    return _check(value, f"the environment variable {name}")


def _from_file(name: str, place: Place) -> str:
    path = place.reading.folder / name
    shown = f"the file {quoted(str(path))}"
    if "\0" in name:
        raise Problem("secret-missing", "the path of the file holds a NUL", "remove it")
    try:
        # Not waiting for a writer: a named pipe would hold up the start for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as stream:
            is_regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
            content = stream.read(_MAXIMUM_BYTES + 1) if is_regular else b""
    except OSError as error:
        what = f"{shown} cannot be read ({(error.strerror or 'unknown error').lower()})"
        mend = "create it, or let the user that runs the gateway read it"
        raise Problem("secret-missing", what, mend) from None
    if not is_regular or len(content) > _MAXIMUM_BYTES:
        what = f"{shown} is not a regular file of at most 64KiB"
        raise Problem("invalid-secret", what, "name the file that holds the secret alone")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        what = f"{shown} is not UTF-8 text"
        raise Problem("invalid-secret", what, "store the secret as text") from None
    return _check(text.removesuffix("\n").removesuffix("\r"), shown)


def _check(value: str, subject: str) -> str:
    if not value:
        raise Problem("secret-missing", f"{subject} is empty", "put the secret there")
    if not value.isprintable():
        what = f"{subject} holds a line break or control character"
        raise Problem("invalid-secret", what, "store the secret alone, on one line")
    return value
