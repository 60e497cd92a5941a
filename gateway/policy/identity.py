"""What a service learns of who asks, in headers that a route writes by templates.

Rule: a template that lacks one of its claims makes no header, and no claim steps out of its place:
beside other text or another claim, each is percent-encoded.
"""

import re
from dataclasses import dataclass
from typing import Final, Literal

from gateway.policy.headers import HeaderPair, is_safe_value
from gateway.policy.token import Token

Encoding = Literal["utf8", "percent"]

_PLACEHOLDER: Final = re.compile(r"\{([^{}]+)\}")
# RFC 3986, section 2.3; and what addresses of people have.
_PLAIN: Final = re.compile(rb"[A-Za-z0-9._~@-]")


class MalformedTemplate(ValueError):  # noqa: N818 - says what the template is
    """The template says nothing of who asks, or has a brace too many; the text says which."""


@dataclass(frozen=True, slots=True)
class IdentityTemplate:
    """The parts of a header's value: text and, at every odd place, the name of a claim."""

    name: bytes
    parts: tuple[str, ...]

    @property
    def is_bare(self) -> bool:
        """Whether it is one claim and nothing else."""
        return len(self.parts) == 3 and not self.parts[0] and not self.parts[2]


@dataclass(frozen=True, slots=True)
class IdentityHeaders:
    """The headers of one route."""

    templates: tuple[IdentityTemplate, ...]
    encoding: Encoding

    def write(self, token: Token) -> list[HeaderPair]:
        """Give those that a token fills, each with a value that a header can carry whole."""
        written = []
        for template in self.templates:
            value = self._fill(template, token)
            if value is not None and is_safe_value(value):
                written.append((template.name, value.encode("utf-8")))
        return written

    def _fill(self, template: IdentityTemplate, token: Token) -> str | None:
        found = []
        for place, part in enumerate(template.parts):
            if place % 2 == 0:
                found.append(part)
                continue
            text = _text_of(_claim(token, part))
            if text is None:
                return None
            found.append(_encode(text) if self.encoding == "percent" else text)
        return "".join(found)


def parse_template(name: str, text: str) -> IdentityTemplate:
    """Read a template such as `{email}` or `tenant/{tenant}`. Raises MalformedTemplate."""
    parts = _PLACEHOLDER.split(text)
    if any("{" in part or "}" in part for part in parts[::2]):
        raise MalformedTemplate("a brace has no other one")
    if len(parts) == 1:
        raise MalformedTemplate("it names no claim")
    return IdentityTemplate(name.encode("ascii"), tuple(parts))


def _claim(token: Token, name: str) -> object:
    """Give a claim. The one that says who it is, is the person's alone (RFC 9700, section 4.15)."""
    if name == "sub":
        return token.subject
    if name == "username":
        return token.username
    if name == "client_id":
        return token.client_id
    if name == "scope":
        return " ".join(sorted(token.scopes))
    if name == "iss":
        return token.issuer
    return token.claims.get(name)


def _text_of(value: object) -> str | None:
    """Write a claim as text: several values with commas; None for what has no such form."""
    if isinstance(value, list | tuple):
        texts = [None if isinstance(one, list | dict) else _text_of(one) for one in value]
        known = [text for text in texts if text is not None]
        # A comma within one would make two of it.
        if len(known) < len(texts) or any("," in text for text in known):
            return None
        return ",".join(known) or None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value or None
    if isinstance(value, int):
        return str(value)
    return None


def _encode(text: str) -> str:
    """Percent-encode all but letters, digits and `.`, `_`, `~`, `@`, `-`, as UTF-8."""
    raw = text.encode("utf-8", "surrogatepass")
    return "".join(map(_encode_byte, raw))


def _encode_byte(byte: int) -> str:
    return chr(byte) if _PLAIN.fullmatch(bytes((byte,))) else f"%{byte:02X}"
