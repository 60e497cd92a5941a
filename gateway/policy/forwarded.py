"""Which way a request came, as the upstream is told (X-Forwarded-*, and Forwarded of RFC 7239).

Rule: what a stranger says of it is replaced. What a trusted proxy says is extended, all its lines
in their order, as far as it is well-formed: nothing else of it crosses. The gateway itself believes
the address and the scheme alone.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from gateway.policy.addresses import UNIX, read_hop
from gateway.policy.headers import HeaderPair
from gateway.policy.host import normalize_host
from gateway.policy.path import AmbiguousPath, canonicalize_path

_FOR: Final = b"x-forwarded-for"
_PROTO: Final = b"x-forwarded-proto"
_HOST: Final = b"x-forwarded-host"
_PREFIX: Final = b"x-forwarded-prefix"
_FORWARDED: Final = b"forwarded"
_SCHEMES: Final = frozenset({"http", "https"})
_UNKNOWN: Final = "unknown"

_WORD: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PAIR: Final = rf'({_WORD})=({_WORD}|"[\t !#-\[\]-~]*")'
_ELEMENT: Final = re.compile(rf"[ \t]*{_PAIR}(?:[ \t]*;[ \t]*{_PAIR})*[ \t]*", re.ASCII)
_EACH_PAIR: Final = re.compile(_PAIR, re.ASCII)
# What separates elements, but for a comma within quotes.
_EACH_ELEMENT: Final = re.compile(r'(?:[^",]|"[^"]*")+')
_IS_WORD: Final = re.compile(_WORD, re.ASCII)
_OBFUSCATED: Final = re.compile(r"_[A-Za-z0-9._-]+", re.ASCII)
_PREFIX_FORM: Final = re.compile(r"(?:/[A-Za-z0-9._~%@:+=-]+)+/?", re.ASCII)


def forwarding_headers(peer: str, scheme: str) -> list[HeaderPair]:
    """Tell where a request came from of which nobody who is trusted says more.

    `peer` is the address at the other end of the connection; one on a unix socket has none.
    """
    headers = [] if peer == UNIX else [(b"X-Forwarded-For", _encode(peer))]
    return [*headers, (b"X-Forwarded-Proto", _encode(scheme))]


def extended_headers(
    peer: str, scheme: str, authority: bytes | None, received: Iterable[HeaderPair]
) -> list[HeaderPair]:
    """Extend what the trusted `peer` says of the way that a request came, `received` among others.

    `scheme` is that of its connection, `authority` the Host of its request.
    """
    said: dict[bytes, list[str]] = {}
    for name, value in received:
        said.setdefault(name.lower(), []).append(value.decode("latin-1"))
    host = None if authority is None else authority.decode("latin-1")
    hops = _last_well_formed(said.get(_FOR, ()), _is_hop)
    if peer != UNIX:
        hops.append(peer)
    hosts = _last_well_formed(said.get(_HOST, ()), lambda item: normalize_host(item) is not None)
    if host is not None and hosts[-1:] != [host]:
        # A proxy that passes Host on says it twice; many services read one host alone.
        hosts.append(host)
    prefixes = _items(said.get(_PREFIX, ()))
    told = [
        (b"X-Forwarded-For", hops),
        (b"X-Forwarded-Proto", [_last_scheme(said.get(_PROTO, ())) or scheme]),
        (b"X-Forwarded-Host", hosts),
        (b"X-Forwarded-Prefix", prefixes if all(map(_is_prefix, prefixes)) else []),
        (b"Forwarded", _extend_forwarded(said.get(_FORWARDED, ()), peer, scheme, host)),
    ]
    return [(name, _encode(", ".join(items))) for name, items in told if items]


def forwarded_scheme(received: Iterable[HeaderPair]) -> str | None:
    """Give the scheme that X-Forwarded-Proto says last, over all its lines; None when none."""
    return _last_scheme(
        [value.decode("latin-1") for name, value in received if name.lower() == _PROTO]
    )


def _last_scheme(lines: Iterable[str]) -> str | None:
    last = [line.rpartition(",")[2].strip(" \t").lower() for line in lines]
    return next((scheme for scheme in reversed(last) if scheme in _SCHEMES), None)


def _items(lines: Iterable[str]) -> list[str]:
    return [item.strip(" \t") for line in lines for item in line.split(",")]


def _last_well_formed(lines: Iterable[str], is_well_formed: Callable[[str], bool]) -> list[str]:
    """Give the items behind the last malformed one: what stands before it is nobody's word."""
    items = _items(lines)
    for index in range(len(items) - 1, -1, -1):
        if not is_well_formed(items[index]):
            return items[index + 1 :]
    return items


def _is_hop(item: str) -> bool:
    return item == _UNKNOWN or read_hop(item) is not None


def _is_prefix(item: str) -> bool:
    if _PREFIX_FORM.fullmatch(item) is None:
        return False
    try:
        return canonicalize_path(item) == item
    except AmbiguousPath:
        return False


def _extend_forwarded(lines: Sequence[str], peer: str, scheme: str, host: str | None) -> list[str]:
    """Give the elements of Forwarded and ours behind them; none when it is malformed, or not there.

    What is left of it could be understood in another way than it was meant.
    """
    if not lines or not all(map(_is_forwarded, lines)):
        return []
    node = peer.partition("%")[0]
    pairs = [("for", _UNKNOWN if peer == UNIX else f"[{node}]" if ":" in node else node)]
    if host is not None:
        pairs.append(("host", host))
    pairs.append(("proto", scheme))
    return [*lines, ";".join(f"{name}={_quote(value)}" for name, value in pairs)]


def _quote(value: str) -> str:
    return value if _IS_WORD.fullmatch(value) else f'"{value}"'


def _is_forwarded(line: str) -> bool:
    elements = _EACH_ELEMENT.findall(line)
    return bool(elements) and ",".join(elements) == line and all(map(_is_element, elements))


def _is_element(element: str) -> bool:
    if _ELEMENT.fullmatch(element) is None:
        return False
    pairs = [(name.lower(), value.strip('"')) for name, value in _EACH_PAIR.findall(element)]
    names = {name for name, _ in pairs}
    return len(names) == len(pairs) and all(_is_parameter(name, value) for name, value in pairs)


def _is_parameter(name: str, value: str) -> bool:
    if name in ("for", "by"):
        return _is_hop(value) or _OBFUSCATED.fullmatch(value) is not None
    if name == "host":
        return normalize_host(value) is not None
    return name != "proto" or value.lower() in _SCHEMES


def _encode(text: str) -> bytes:
    return text.encode("latin-1", "replace")
