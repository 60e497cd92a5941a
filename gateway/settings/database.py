"""The shape of a database URL: a SQLite file, or a PostgreSQL server whose URL may be a secret.

Rule: nothing of a PostgreSQL URL is ever quoted; it may hold a password.
"""

import re
from dataclasses import dataclass
from typing import Final

from pydantic import SecretStr

from gateway.settings import document
from gateway.settings.addresses import is_loopback
from gateway.settings.document import Node
from gateway.settings.findings import Problem
from gateway.settings.reading import Place
from gateway.settings.secret import SOURCES, Secret
from gateway.settings.shapes import Define, Schema, no_value

SQLITE_SCHEME: Final = "sqlite:///"
_POSTGRESQL_SCHEMES: Final = ("postgresql://", "postgres://")
_POSTGRESQL: Final = re.compile(
    r"postgres(?:ql)?://(?P<authority>[^/?]*)(?:/(?P<name>[^?]*))?(?:\?(?P<options>.*))?"
)
_AUTHORITY: Final = re.compile(
    r"(?:(?P<user>[^:@]*)(?::(?P<password>[^@]*))?@)?[^@:]*(?::[0-9]*)?(?:,[^@:,]*(?::[0-9]*)?)*"
    r"|(?:(?P<user6>[^:@]*)(?::(?P<password6>[^@]*))?@)?\[[0-9A-Fa-f:.]+\](?::[0-9]*)?"
)
_PORT: Final = re.compile(r":[0-9]*\Z")
_OPTIONS: Final = re.compile(r"[a-z_]+=[^&=]*(?:&[a-z_]+=[^&=]*)*")
_EXAMPLE: Final = "sqlite:///gateway.db"
_URL_PATTERN: Final = r"^(sqlite:///[^?#]+|postgres(ql)?://[^#]+)$"


@dataclass(frozen=True)
class DatabaseUrl:
    """The URL itself, or `{env: NAME}` or `{file: PATH}` with the URL; read as a SecretStr."""

    noun: str = "a database URL"

    def read(self, node: Node, place: Place) -> SecretStr:
        """Read the URL from where the file says that it is."""
        if isinstance(node, document.Scalar):
            if node.kind == "null":
                raise no_value(self.noun, _EXAMPLE)
            text = node.text
        else:
            text = Secret().read(node, place).get_secret_value()
        return SecretStr(_check(text))

    def schema(self, define: Define) -> Schema:  # noqa: ARG002 - the protocol's
        """Say that it has one of three forms."""
        url: Schema = {"type": "string", "pattern": _URL_PATTERN}
        return {"oneOf": [*SOURCES, url], "examples": [_EXAMPLE, {"env": "DATABASE_URL"}]}

    def write(self, value: SecretStr) -> str:
        """Spell the URL of a file; no other one, which may hold a password."""
        text = value.get_secret_value()
        return text if text.startswith(SQLITE_SCHEME) else str(value)


def has_password(url: str) -> bool:
    """Say whether a database URL that was read holds a password."""
    match = _POSTGRESQL.fullmatch(url)
    if match is None:
        return False
    authority = _AUTHORITY.fullmatch(match["authority"])
    in_authority = authority is not None and (authority["password"] or authority["password6"])
    options = (match["options"] or "").split("&")
    return bool(in_authority) or any(option.startswith("password=") for option in options)


def is_on_another_host(url: str) -> bool:
    """Say whether a database URL that was read names a server beyond this machine."""
    match = _POSTGRESQL.fullmatch(url)
    if match is None:
        return False
    named = [
        option.removeprefix(key)
        for option in (match["options"] or "").split("&")
        for key in ("host=", "hostaddr=")
        if option.startswith(key)
    ]
    for one in (match["authority"].rpartition("@")[2], *named):
        for place in one.split(","):
            host = place if place.count(":") > 1 and "]" not in place else _PORT.sub("", place)
            if (
                host
                and not host.upper().startswith(("/", "%2F"))
                and not is_loopback(host.strip("[]"))
            ):
                return True
    return False


def _check(text: str) -> str:
    if text.startswith(_POSTGRESQL_SCHEMES):
        _check_postgresql(text)
        return text
    if text.startswith("postgres"):
        what = "the scheme of PostgreSQL is postgresql, alone"
        raise Problem("invalid-database", what, "write postgresql://user@host/name")
    if not text.startswith(SQLITE_SCHEME):
        what = "this is the URL of neither a SQLite nor a PostgreSQL database"
        raise Problem(
            "invalid-database", what, "write sqlite:///gateway.db or postgresql://user@host/name"
        )
    path = text.removeprefix(SQLITE_SCHEME)
    if path in ("", ":memory:"):
        what = "a database in memory is gone with its process, and the commands cannot reach it"
        raise Problem("invalid-database", what, "write a file name, as in sqlite:///gateway.db")
    if "?" in path or "#" in path:
        what = "options follow the file name"
        raise Problem("invalid-database", what, "remove the ? or # and all behind it")
    if path.endswith("/"):
        raise Problem("invalid-database", "the path names a folder", "add the name of a file")
    return text


def _check_postgresql(text: str) -> None:
    if not text.isascii() or not text.isprintable() or {" ", "#"} & set(text):
        what = "the URL holds a space, a # or a letter beyond ASCII"
        raise Problem("invalid-database", what, "percent-encode it, as in %20")
    match = _POSTGRESQL.fullmatch(text)
    if match is None or _AUTHORITY.fullmatch(match["authority"]) is None:
        what = "this is not user:password@host:port in front of the database's name"
        mend = "percent-encode an @, : or / that belongs to the password, as in %40"
        raise Problem("invalid-database", what, mend)
    options = match["options"]
    if options is not None and _OPTIONS.fullmatch(options) is None:
        what = "what follows the ? is not options"
        raise Problem("invalid-database", what, "write them as in ?sslmode=verify-full")
    if not match["name"] and "dbname=" not in (options or ""):
        what = "the URL names no database"
        raise Problem("invalid-database", what, "add /name behind the host")
