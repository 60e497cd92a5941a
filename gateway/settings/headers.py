"""The shapes of header fields that a route sets, adds and removes.

Rule: a value of a request's field may be a secret, so none is ever quoted.
"""

import re
from dataclasses import dataclass
from typing import Final

from pydantic import SecretStr

from gateway.policy.headers import HOP_BY_HOP, IDENTITY_PREFIX, fold_name, is_safe_value
from gateway.policy.identity import MalformedTemplate, parse_template
from gateway.settings.document import Node, Scalar, describe_kind
from gateway.settings.findings import Problem, quoted
from gateway.settings.reading import Place
from gateway.settings.secret import SOURCES, Secret
from gateway.settings.shapes import Define, Schema, Text, no_value, wrong_type

# A token of RFC 9110, section 5.6.2.
_NAME_PATTERN: Final = r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,255}$"
_NAME = re.compile(_NAME_PATTERN, re.ASCII)
_FRAMING: Final = HOP_BY_HOP | {b"content-length", b"expect", b"http2-settings"}
_FORWARDING: Final = (b"x-forwarded", b"forwarded", b"x-real-ip")


def _parse_field(text: str) -> str:
    if _NAME.fullmatch(text) is None:
        what = f"{quoted(text)} is not the name of a header"
        raise Problem("invalid-header", what, "write it without colon and spaces, as in X-Api-Key")
    if text == "*":
        what = "* stands for no header"
        raise Problem("invalid-header", what, "name each header")
    return text


FIELD_NAME: Final = Text("the name of a header", "X-Total", _parse_field, pattern=_NAME_PATTERN)
"""The name of any field."""


def _parse_name(text: str) -> str:
    _parse_field(text)
    folded = fold_name(text.encode("ascii"))
    what = f"{text} is not for a route to change"
    if folded in _FRAMING:
        mend = "remove it; how messages are framed and passed on is the gateway's to say"
    elif folded == b"host":
        mend = "write forward_host"
    elif folded in (b"x-request-id", b"via"):
        mend = "remove it; the gateway writes its own"
    elif folded.startswith(IDENTITY_PREFIX):
        mend = "remove it; X-Auth- says who a token is, and only the gateway says so"
    elif folded.startswith(_FORWARDING):
        mend = "remove it; the gateway says where a request came from"
    else:
        return text
    raise Problem("header-not-editable", what, mend)


HEADER_NAME: Final = Text("the name of a header", "X-Api-Key", _parse_name, pattern=_NAME_PATTERN)
"""The name of a field that a route may change."""


def _check(value: str) -> str:
    if not value:
        raise Problem("invalid-header", "the value is empty", "name the header under remove")
    if not is_safe_value(value):
        what = "the value has a control character in it, or a blank at one of its ends"
        raise Problem("invalid-header", what, "write it on one line, without them")
    return value


HEADER_TEXT: Final = Text("a header's value", "no-store", _check)
"""The value of an answer's field."""


def _parse_template(text: str) -> str:
    try:
        template = parse_template("x", text)
    except MalformedTemplate as error:
        raise Problem("invalid-template", str(error), "write it as in '{email}'") from None
    if not all(map(is_safe_value, filter(None, "".join(template.parts[::2]).split(" ")))):
        what = "the text has a control character in it"
        raise Problem("invalid-template", what, "write it on one line")
    return text


IDENTITY_TEMPLATE: Final = Text("a template", "{email}", _parse_template)
"""The value of a header that says who asks."""


@dataclass(frozen=True)
class HeaderValue:
    """The value of a request's field: text, or a secret from elsewhere; read as a SecretStr."""

    noun: str = "a header's value, which may be a secret"
    example: str = "{env: NAME}"

    def read(self, node: Node, place: Place) -> SecretStr:
        """Read the text, or fetch it from where the file says it is."""
        if not isinstance(node, Scalar):
            if hasattr(node, "items"):
                raise wrong_type(node, "a header's value", "text, {env: NAME} or {file: PATH}")
            return SecretStr(_check(Secret().read(node, place).get_secret_value()))
        if node.kind == "null":
            raise no_value("a header's value", self.example)
        if node.kind != "str":
            what = f"the value is {describe_kind(node)} to YAML 1.1, not text"
            raise Problem("yaml-surprise", what, "put it in quotes")
        return SecretStr(_check(node.text))

    def schema(self, define: Define) -> Schema:  # noqa: ARG002 - the protocol's
        """Say that it has one of three forms."""
        text: Schema = {"type": "string", "minLength": 1, "description": "The value itself"}
        return {"oneOf": [*SOURCES, text], "examples": ["acme", {"env": "API_KEY"}]}

    def write(self, value: SecretStr) -> str:
        """Spell no secret, ever."""
        return str(value)
