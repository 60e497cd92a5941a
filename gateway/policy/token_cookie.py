"""A token from a cookie, on a route that takes it from there.

What this file guards: a browser adds cookies to requests that any page makes. So a request that may
change something, or open a WebSocket, must name a page that is the route's own or a friend's as
where it comes from: Origin is what no page can write.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gateway.policy.headers import HeaderPair
from gateway.policy.rejection import Reason, Rejection

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


@dataclass(frozen=True, slots=True)
class TokenCookie:
    """The cookie's name, and the other origins whose pages may use it (`cors` of the route)."""

    name: str
    origins: frozenset[str] = frozenset()


def read_cookie(cookie: TokenCookie, values: Sequence[str]) -> str | Reason:
    """Give what the Cookie headers of a request have as the token, or why there is none.

    Names compare with case (RFC 6265, section 5.4).
    """
    pairs = [pair.strip(" \t").partition("=") for value in values for pair in value.split(";")]
    found = [value for name, _, value in pairs if name.rstrip(" \t") == cookie.name]
    if len(found) > 1:
        return Reason.MULTIPLE_TOKENS
    return found[0].strip(" \t") if found else Reason.MISSING_TOKEN


def judge_origin(
    cookie: TokenCookie, method: str, origins: Sequence[str], own: str, *, is_upgrade: bool
) -> Rejection | None:
    """Hold the Origin headers of a request with the cookie against its own origin."""
    if method in _SAFE_METHODS and not is_upgrade:
        return None
    if len(origins) == 1 and (origins[0] == own or origins[0] in cookie.origins):
        return None
    detail = "it is of another origin" if origins else "it names no origin"
    return Rejection(Reason.CROSS_ORIGIN, detail=detail)


def without_cookie(name: bytes, fields: Iterable[HeaderPair]) -> list[HeaderPair]:
    """Take a cookie out of the fields of a request; the other cookies stay byte by byte.

    In every case of its letters: to some services these are one.
    """
    kept = []
    for pair in fields:
        field, value = pair
        if field.lower() != b"cookie" or name.lower() not in value.lower():
            kept.append(pair)
            continue
        pairs = value.split(b";")
        others = [one for one in pairs if not _is_named(one, name)]
        if len(others) == len(pairs):
            kept.append(pair)
        elif others:
            kept.append((field, b";".join(others).strip(b" \t")))
    return kept


def without_setting(name: bytes, fields: Iterable[HeaderPair]) -> list[HeaderPair]:
    """Take what would set a cookie out of the fields of an answer."""
    return [
        (field, value)
        for field, value in fields
        if field.lower() != b"set-cookie" or not _is_named(value.partition(b";")[0], name)
    ]


def keep_private(fields: list[HeaderPair]) -> list[HeaderPair]:
    """Keep an answer from the caches that several people share.

    They know that what answers an Authorization header is not for others (RFC 9111, section 3.5);
    of a cookie they know nothing.
    """
    # As a whole: `private="name"` is about one field alone.
    directives = {
        directive.strip(b" \t").lower()
        for field, value in fields
        if field.lower() == b"cache-control"
        for directive in value.split(b",")
    }
    if directives & {b"private", b"no-store"}:
        return fields
    return [*fields, (b"Cache-Control", b"private")]


def _is_named(pair: bytes, name: bytes) -> bool:
    # One without a name comes back as what its value looks like: `=token=x` is sent as `token=x`.
    return pair.lstrip(b" \t=").partition(b"=")[0].rstrip(b" \t").lower() == name.lower()
