"""The host that a request is for."""

import re
from functools import lru_cache

_HOST = re.compile(
    r"(?P<name>[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*)\.?(?::(?P<port>[0-9]{1,5}))?"
    r"|\[(?P<address>[0-9A-Fa-f:.]+)\](?::(?P<port6>[0-9]{1,5}))?"
)


@lru_cache(maxsize=1024)
def normalize_host(value: str) -> str | None:
    """Bring the value of a Host header to lower case, without trailing dot and without port.

    An IPv6 address keeps its brackets. None when it is no host with an optional port (RFC 9110,
    section 7.2): such a request is malformed.
    """
    match = _HOST.fullmatch(value)
    if match is None or int(match["port"] or match["port6"] or 0) > 65535:
        return None
    return (match["name"] or f"[{match['address']}]").lower()
