"""What went over the wire, as the panel shows it: plain values, masked before they are kept.

What this file guards: a secret never gets into a Call. Values are masked by the name of their
parameter or header, and whatever was once masked so is masked again wherever else it stands.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import parse_qsl, urlsplit

_SHOWN = 6  # characters of a secret
_DOTS = "•" * 8
_MAXIMUM_TEXT = 2000  # characters of a body
_MAXIMUM_SECRETS = 200
_SHORTEST_SECRET = 12  # characters; a shorter one is all dots, and is not looked for in texts

_SECRET_NAMES = frozenset(
    {
        "access_token",
        "client_secret",
        "code",
        "code_verifier",
        "id_token",
        "refresh_token",
        "state",
        "token",
    }
)
# Shown of all that is sent; of these two only the scheme and a beginning.
_HEADERS = ("Authorization", "Content-Type", "WWW-Authenticate", "Location", "Retry-After")


class Party(StrEnum):
    """Who asks, or is asked."""

    BROWSER = "browser"
    CLIENT = "client"
    AUTHORIZATION_SERVER = "authorization_server"
    GUARD = "guard"


class Kind(StrEnum):
    """What a call is for."""

    DISCOVER = "discover"
    ASK = "ask"
    CALLBACK = "callback"
    TRADE = "trade"
    READ = "read"
    WRITE = "write"
    REFRESH = "refresh"
    REVOKE = "revoke"


class Place(StrEnum):
    """Where a value stands in a message."""

    HEADER = "header"
    QUERY = "query"
    FORM = "form"
    JSON = "json"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Field:
    """One named value of a message, masked where it is a secret."""

    place: Place
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Call:
    """One request and its answer. `status` is None when no answer came; `at` is the Unix time."""

    number: int
    at: float
    kind: Kind
    asker: Party
    asked: Party
    method: str
    url: str  # without its query, which is among the fields
    sent: tuple[Field, ...]
    status: int | None
    answered: tuple[Field, ...]

    @property
    def is_refused(self) -> bool:
        """Whether the answer is a no, or none came."""
        return self.status is None or self.status >= 400 or self.error != ""

    @property
    def error(self) -> str:
        """The OAuth error code of the answer, or of the callback; empty when there is none."""
        fields = (*self.answered, *(self.sent if self.kind is Kind.CALLBACK else ()))
        for field in fields:
            if field.name == "error":
                return field.value
            if field.name == "WWW-Authenticate" and (error := challenge_error(field.value)):
                return error
        return ""


def mask(secret: str) -> str:
    """Give the beginning of a secret and dots; only dots for a short one."""
    return _DOTS if len(secret) < _SHORTEST_SECRET else secret[:_SHOWN] + _DOTS


class Masker:
    """Turns what was sent and answered into fields without secrets. One for each session.

    Takes the secrets that are known from the start; of those that it meets the last are remembered.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._lasting = tuple(secret for secret in secrets if len(secret) >= _SHORTEST_SECRET)
        self._secrets: dict[str, None] = {}

    def query(self, url: str) -> tuple[Field, ...]:
        """Read the query of a URL."""
        return self._form(urlsplit(url).query, Place.QUERY)

    def headers(self, headers: Mapping[str, str]) -> tuple[Field, ...]:
        """Read the headers that matter here; a Location's query becomes fields of its own."""
        fields: list[Field] = []
        for name in _HEADERS:
            value = headers.get(name)
            if value is None:
                continue
            if name == "Authorization":
                value = self._authorization(value)
            elif name == "Location":
                fields += self.query(value)
                value = without_query(value)
            fields.append(Field(Place.HEADER, name, self._text(value)))
        return tuple(sorted(fields, key=lambda field: field.place is not Place.HEADER))

    def body(self, body: bytes, content_type: str) -> tuple[Field, ...]:
        """Read a body: JSON and forms become fields, anything else is text, cut when long."""
        text = body.decode("utf-8", "replace")
        if content_type.startswith("application/x-www-form-urlencoded"):
            return self._form(text, Place.FORM)
        if "json" in content_type:
            try:
                members = json.loads(text)
            except (ValueError, RecursionError):
                members = None
            if isinstance(members, dict):
                return tuple(
                    Field(Place.JSON, self._text(name), self._member(name, value))
                    for name, value in members.items()
                )
        return (Field(Place.TEXT, "", self._text(text)),) if text.strip() else ()

    def _form(self, text: str, place: Place) -> tuple[Field, ...]:
        try:
            pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=50)
        except ValueError:
            return (Field(place, "", _DOTS),)
        return tuple(
            Field(place, self._text(name), self._value(name, value)) for name, value in pairs
        )

    def _member(self, name: str, value: object) -> str:
        if isinstance(value, str):
            return self._value(name, value)
        return self._text(json.dumps(self._nested(name, value), ensure_ascii=False))

    def _nested(self, name: str, value: object) -> object:
        if isinstance(value, dict):
            return {key: self._nested(key, inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self._nested(name, inner) for inner in value]
        return self._value(name, value) if isinstance(value, str) else value

    def _value(self, name: str, value: str) -> str:
        if name.lower() not in _SECRET_NAMES:
            return self._text(value)
        self._learn(value)
        return mask(value)

    def _authorization(self, value: str) -> str:
        scheme, _, credentials = value.partition(" ")
        self._learn(credentials)
        if scheme.lower() == "basic":
            self._learn(_password(credentials))
        return f"{scheme} {mask(credentials)}"

    def _learn(self, secret: str) -> None:
        if len(secret) >= _SHORTEST_SECRET:
            self._secrets.pop(secret, None)  # to the end: those seen last are kept
            self._secrets[secret] = None
        while len(self._secrets) > _MAXIMUM_SECRETS:
            del self._secrets[next(iter(self._secrets))]

    def _text(self, text: str) -> str:
        # First the whole text, then the cut: half a secret would not be found.
        for secret in sorted((*self._lasting, *self._secrets), key=len, reverse=True):
            text = text.replace(secret, mask(secret))
        return text if len(text) <= _MAXIMUM_TEXT else text[:_MAXIMUM_TEXT] + " …"


def challenge_error(challenge: str) -> str:
    """Give the OAuth error code of a WWW-Authenticate header; empty when there is none."""
    found = re.search(r'\berror="([^"]*)"', challenge)
    return found[1] if found else ""


def without_query(url: str) -> str:
    """Give a URL up to its query or fragment."""
    return re.split(r"[?#]", url, maxsplit=1)[0]


def _password(credentials: str) -> str:
    try:
        return base64.b64decode(credentials).decode("utf-8", "replace").partition(":")[2]
    except (binascii.Error, ValueError):
        return ""
