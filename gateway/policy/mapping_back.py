"""An answer's references to the upstream itself, mapped back to where the client knows it.

Rule: no reference is led to another place than it names. What is not clearly the upstream's own, or
has no path on this route, stays as it is.
"""

import re
from dataclasses import dataclass

from gateway.policy.headers import HeaderPair
from gateway.policy.rewriting import PathRewrite

# Scheme and authority may be missing, in this order; then comes an absolute path, or nothing.
_REFERENCE = re.compile(
    r"(?:(?:(?P<scheme>https?):)?//(?P<authority>[^/?#]*))?"
    r"(?P<path>(?:/[^?#]*)?)(?P<rest>(?:[?#].*)?)",
    re.IGNORECASE,
)
_DEFAULT_PORT = re.compile(r":(?:80|443)?$")
_PORT = re.compile(r":[0-9]*$")
_ADDRESS = re.compile(r"[0-9.]+|\[.*\]")
# As browsers read it (WHATWG HTML, section 4.2.5.3): seconds, then a URL, perhaps in quotes.
# Nothing is given back once it has matched: blanks would take the square of their number.
_REFRESH = re.compile(
    r"(?P<before>[ \t]*+[0-9.]++[ \t]*+[;,][ \t]*+(?:url[ \t]*+=[ \t]*+)?+)"
    r"(?P<quote>[\"']?+)(?P<url>[^\"']*+)(?P=quote)",
    re.IGNORECASE,
)
_REFERS = frozenset({b"location", b"content-location"})
_REFRESHES = b"refresh"
_SET_COOKIE = b"set-cookie"
_SECURE = "https:"


@dataclass(frozen=True, slots=True)
class BothSides:
    """One request as it was on both sides of the gateway.

    `origin` is where the client reached the gateway, `path` the canonical path that it asked for.
    `own` are the authorities by which the upstream may know itself, as `plain_authority` gives
    them: its servers', the Host that it was sent, and the client's. `sent_host` is the second;
    `replaces_host` says that it is not the client's.
    """

    origin: str
    path: str
    own: frozenset[str]
    sent_host: str
    replaces_host: bool = False
    rewrite: PathRewrite | None = None
    secure_cookies: bool = False


def map_back(fields: list[HeaderPair], sides: BothSides) -> list[HeaderPair]:
    """Give the fields of an answer as they are to be read by the client."""
    mapped = []
    for name, value in fields:
        lower = name.lower()
        if lower in _REFERS:
            mapped.append((name, _encode(map_reference(_decode(value.rstrip(b" \t")), sides))))
        elif lower == _REFRESHES:
            mapped.append((name, _encode(map_refresh(_decode(value.rstrip(b" \t")), sides))))
        elif lower == _SET_COOKIE:
            mapped.append((name, _encode(map_cookie(_decode(value), sides))))
        else:
            mapped.append((name, value))
    return mapped


def map_reference(value: str, sides: BothSides) -> str:
    """Map a Location or Content-Location (RFC 9110, sections 10.2.2 and 8.7)."""
    match = _REFERENCE.fullmatch(value)
    if match is None:
        return value
    scheme, authority, path = match["scheme"], match["authority"], match["path"]
    if authority is None:
        # A reference that begins with neither authority nor slash counts from where the client is.
        prefix = ""
        if not path or path.startswith("//"):
            return value
    else:
        if plain_authority(authority) not in sides.own:
            return value
        prefix = value[: match.start("path")]
        if not _stays_with_its_host(scheme, authority, sides):
            prefix = sides.origin
    return prefix + _map_path(path, sides) + match["rest"]


def map_refresh(value: str, sides: BothSides) -> str:
    """Map the URL in a Refresh, which old services redirect by."""
    match = _REFRESH.fullmatch(value)
    if match is None:
        return value
    quote = match["quote"]
    return f"{match['before']}{quote}{map_reference(match['url'], sides)}{quote}"


def _stays_with_its_host(scheme: str | None, authority: str, sides: BothSides) -> bool:
    """Say whether an authority is the client's own already, and no worse than its origin.

    Nobody is led from https to http: somebody else may end TLS for the same host.
    """
    if sides.replaces_host or plain_authority(authority) != sides.sent_host:
        return False
    return scheme is None or (scheme.lower() == "https" and not sides.origin.startswith(_SECURE))


def _map_path(path: str, sides: BothSides) -> str:
    if sides.rewrite is None:
        return path
    mapped = sides.rewrite.backward(path or "/", sides.path)
    return path if mapped is None else mapped


def map_cookie(value: str, sides: BothSides) -> str:
    """Map a Set-Cookie (RFC 6265, section 4.1).

    A Domain of the upstream's own host goes where the client has another host, and the cookie is
    then its host's alone. A Path under the upstream's prefix becomes one under the client's.
    """
    pair, *attributes = value.split(";")
    # A browser takes such a one only with the path `/` (RFC 6265bis, section 4.1.3.2).
    is_for_host = pair.strip(" \t").lower().startswith("__host-")
    kept = [pair]
    is_secure = False
    for attribute in attributes:
        key, equals, content = attribute.partition("=")
        name, content = key.strip(" \t").lower(), content.strip(" \t")
        is_secure = is_secure or name == "secure"
        if name == "domain" and sides.replaces_host and _is_foreign_to_client(content, sides):
            continue
        if name == "path" and not is_for_host:
            mapped = _map_cookie_path(content, sides)
            if mapped != content:
                kept.append(f"{key}{equals}{mapped}")
                continue
        kept.append(attribute)
    if sides.secure_cookies and not is_secure and sides.origin.startswith(_SECURE):
        kept.append(" Secure")
    return ";".join(kept)


def _is_foreign_to_client(domain: str, sides: BothSides) -> bool:
    """Say whether a cookie's Domain covers the host that the upstream saw, not the client's."""
    domain = domain.lstrip(".").lower()
    client = sides.origin.partition("://")[2]
    return any(_covers(domain, host) for host in sides.own) and not _covers(domain, client)


def _covers(domain: str, authority: str) -> bool:
    host = _PORT.sub("", authority.lower())
    return host == domain or (host.endswith(f".{domain}") and not _ADDRESS.fullmatch(host))


def _map_cookie_path(path: str, sides: BothSides) -> str:
    if not path.startswith("/"):
        return path
    mapped = _map_path(path, sides)
    # All of the upstream is all below the prefix, which `/prefix/` does not cover by itself.
    return mapped.rstrip("/") or "/" if path == "/" else mapped


def plain_authority(authority: str) -> str:
    """Give an authority in lower case, without the default port of http or https."""
    return _DEFAULT_PORT.sub("", authority.lower())


def _decode(value: bytes) -> str:
    return value.decode("latin-1")


def _encode(value: str) -> bytes:
    return value.encode("latin-1")
