"""The host that a request is for, and the origins that hosts stand for."""

import re
from collections.abc import Iterable
from ipaddress import AddressValueError, IPv6Address

_HOST = re.compile(
    r"(?P<name>[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*)\.?(?::(?P<port>[0-9]{1,5}))?"
    r"|\[(?P<address>[0-9A-Fa-f:.]+)\](?::(?P<port6>[0-9]{1,5}))?"
)

# A gateway has few hosts, and every request asks for one. What is malformed or longer than any name
# is not remembered: a stranger must not fill memory with it.
_remembered: dict[str, str] = {}
_MAXIMUM_REMEMBERED = 1024
_LONGEST_HOST = len(".:65535") + 253


def normalize_host(value: str) -> str | None:
    """Bring the value of a Host header to lower case, without trailing dot and without port.

    An IPv6 address keeps its brackets and is written in its shortest form. None when it is no host
    with an optional port (RFC 9110, section 7.2): such a request is malformed.
    """
    known = _remembered.get(value)
    if known is not None:
        return known
    host = _normalize(value)
    if host is not None and len(value) <= _LONGEST_HOST:
        if len(_remembered) >= _MAXIMUM_REMEMBERED:
            _remembered.clear()
        _remembered[value] = host
    return host


def _normalize(value: str) -> str | None:
    match = _HOST.fullmatch(value)
    if match is None or int(match["port"] or match["port6"] or 0) > 65535:
        return None
    if match["name"] is not None:
        return match["name"].lower()
    try:
        return f"[{IPv6Address(match['address'])}]"
    except AddressValueError:
        return None


def routed_origins(public_url: str, hosts: Iterable[str]) -> dict[str, str]:
    """Give the origin of each host that routes name, by the host.

    They are reached by the same scheme and port as the public origin.
    """
    scheme, _, authority = public_url.partition("://")
    port = authority.rpartition(":")[2] if not authority.endswith("]") else ""
    suffix = f":{port}" if port.isdigit() and ":" in authority else ""
    return {host: f"{scheme}://{host}{suffix}" for host in hosts}
