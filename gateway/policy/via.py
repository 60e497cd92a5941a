"""Whether a request has been here before (RFC 9110, section 7.6.3).

A gateway puts its pseudonym into Via, behind those of the proxies before it, and refuses what has
it there already: such a request runs in a circle.
"""

import re
from collections.abc import Iterable

_COMMENT = re.compile(r"\([^()]*\)")
_ENTRY = re.compile(r"\s*\S+\s+(\S+)\s*")


def names_proxy(lines: Iterable[str], pseudonym: str) -> bool:
    """Say whether the lines of Via name a proxy; what others say in comments is no name."""
    for line in lines:
        if pseudonym not in line:
            continue
        for entry in _COMMENT.sub(" ", line).split(","):
            match = _ENTRY.fullmatch(entry)
            if match is not None and match[1].lower() == pseudonym:
                return True
    return False
