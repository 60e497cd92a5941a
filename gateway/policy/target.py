"""The request target: which path and query a request line asks for (RFC 9112, section 3.2)."""

from gateway.policy.host import normalize_host


class MalformedTarget(ValueError):  # noqa: N818 - says what the target is
    """The target is none that a gateway can serve; the text is for the log."""


class ForeignTarget(MalformedTarget):
    """The target names another host than the Host header."""


def split_target(target: str, host: str | None) -> tuple[str, str]:
    """Split a target into its path and its query (with the question mark, or empty).

    `host` is the normalised host of the request's Host header. An absolute target must name the
    same: a request is not judged by one authority and forwarded to another. Raises MalformedTarget,
    and its kind ForeignTarget when another host is named.
    """
    if not target.startswith("/"):
        scheme, separator, rest = target.partition("://")
        if not separator or scheme.lower() not in ("http", "https"):
            raise MalformedTarget("the target is neither a path nor an http URL")
        # An authority ends at the path or, where there is none, at the query (RFC 3986, 3.2).
        end = min((rest.find(mark) for mark in "/?" if mark in rest), default=len(rest))
        named = normalize_host(rest[:end])
        if host is None or named is None:
            raise MalformedTarget("the target's host is malformed, or there is no Host header")
        if named != host:
            raise ForeignTarget("the target names another host than the Host header")
        target = rest[end:] if rest.startswith("/", end) else f"/{rest[end:]}"
    path, mark, query = target.partition("?")
    # In the path it is the canonicaliser's to refuse.
    if "#" in query:
        raise MalformedTarget("the target has a fragment")
    return path, mark + query
