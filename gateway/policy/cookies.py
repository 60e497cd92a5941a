"""The cookies of the embedded server's sign-in, which no upstream may see or set.

A browser sends cookies to every port of a host (RFC 6265, section 8.5): where the authorization
server and the guard share one, its session would reach whatever stands behind the guard, and that
could put another in its place.
"""

SESSION_COOKIE = "gateway-session"
MARKS_COOKIE = "gateway-browser"
HOST_PREFIX = "__Host-"

_RESERVED = frozenset(
    (prefix + name).lower().encode("ascii")
    for prefix in ("", HOST_PREFIX)
    for name in (SESSION_COOKIE, MARKS_COOKIE)
)
_IN_ALL = b"gateway-"


def without_reserved_cookies(value: bytes) -> bytes:
    """Take the sign-in's cookies out of a Cookie field's value; may leave nothing."""
    if _IN_ALL not in value.lower():
        return value
    pairs = value.split(b";")
    kept = [pair for pair in pairs if not _is_reserved(pair)]
    return value if len(kept) == len(pairs) else b";".join(kept).strip(b" \t")


def sets_reserved_cookie(value: bytes) -> bool:
    """Say whether a Set-Cookie field's value sets one of the sign-in's cookies.

    One without a name comes back as what its value looks like: `=gateway-session=x` sets none, and
    still is sent as `gateway-session=x`.
    """
    return _is_reserved(value.partition(b";")[0])


def _is_reserved(pair: bytes) -> bool:
    return pair.lstrip(b" \t=").partition(b"=")[0].rstrip(b" \t").lower() in _RESERVED
