"""Reading what a resource server says of a refused token (RFC 6750, section 3)."""

import re
from collections.abc import Iterable, Mapping
from typing import Final

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - the grammar's word, no secret
_PARAMETER = re.compile(rf'({_TOKEN})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|({_TOKEN}))')
_SCHEME = re.compile(rf"({_TOKEN})(?:\s+|$)")
_LONGEST: Final = 8192


def read_bearer_challenge(values: Iterable[str]) -> Mapping[str, str] | None:
    """Take the values of WWW-Authenticate and give the parameters of the Bearer challenge.

    None when there is no such challenge. Names are in lower case; the first of a name counts.
    """
    for value in values:
        scheme, found = "", False
        parameters: dict[str, str] = {}
        position, text = 0, value[:_LONGEST]
        while position < len(text):
            if text[position] in " \t,":
                position += 1
            elif match := _PARAMETER.match(text, position):
                if scheme == "bearer":
                    name = match[1].lower()
                    quoted = None if match[2] is None else re.sub(r"\\(.)", r"\1", match[2])
                    parameters.setdefault(name, match[3] if quoted is None else quoted)
                position = match.end()
            elif match := _SCHEME.match(text, position):
                if found:
                    break
                scheme = match[1].lower()
                found = scheme == "bearer"
                position = match.end()
            else:
                position += 1
        if found:
            return parameters
    return None
