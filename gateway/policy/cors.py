"""Which pages of other origins may use a route from a browser (WHATWG Fetch, section 3.2).

Rule: an origin is allowed when it is one of those named, character by character; `null` never is.
What this allows is for browsers alone: it opens nothing that a token would not.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.policy.headers import HeaderPair
from gateway.policy.method import FORWARDED_METHODS

EVERY_ORIGIN = "*"
PREFLIGHT_METHOD = "OPTIONS"
_PREFIX = b"access-control-"
_METHODS = frozenset(FORWARDED_METHODS)


@dataclass(frozen=True, slots=True)
class CorsRules:
    """What a route allows; `origins` may be `*` alone, and `methods` None for all of the route.

    `max_age` is in seconds.
    """

    origins: frozenset[str]
    methods: tuple[str, ...] | None = None
    headers: tuple[str, ...] = ()
    expose: tuple[str, ...] = ()
    credentials: bool = False
    max_age: int = 0

    def allows(self, origins: Sequence[str]) -> bool:
        """Say whether the Origin headers of a request name one that is allowed."""
        if EVERY_ORIGIN in self.origins:
            return True
        return len(origins) == 1 and origins[0] in self.origins


def requested_method(origins: Sequence[str], methods: Sequence[str]) -> str | None:
    """Give the method that a preflight asks for; None when an OPTIONS request is no preflight.

    Takes the values of Origin and of Access-Control-Request-Method.
    """
    if len(origins) == 1 and len(methods) == 1 and methods[0] in _METHODS:
        return methods[0]
    return None


def preflight_fields(rules: CorsRules, origins: Sequence[str], method: str) -> list[HeaderPair]:
    """Give the fields that answer a preflight."""
    fields = _origin_fields(rules, origins)
    if rules.allows(origins):
        fields.append(_list(b"Access-Control-Allow-Methods", rules.methods or (method,)))
        if rules.headers:
            fields.append(_list(b"Access-Control-Allow-Headers", rules.headers))
        fields.append((b"Access-Control-Max-Age", b"%d" % rules.max_age))
    return fields


def answer_fields(rules: CorsRules, origins: Sequence[str]) -> list[HeaderPair]:
    """Give the fields that every other answer of the route has, refusals among them."""
    fields = _origin_fields(rules, origins)
    if rules.expose and rules.allows(origins):
        fields.append(_list(b"Access-Control-Expose-Headers", rules.expose))
    return fields


def replace_fields(
    rules: CorsRules, origins: Sequence[str], fields: list[HeaderPair]
) -> list[HeaderPair]:
    """Put a route's fields in the place of those that an upstream has written."""
    kept = [pair for pair in fields if not pair[0].lower().startswith(_PREFIX)]
    return kept + answer_fields(rules, origins)


def _origin_fields(rules: CorsRules, origins: Sequence[str]) -> list[HeaderPair]:
    if EVERY_ORIGIN in rules.origins:
        return [(b"Access-Control-Allow-Origin", b"*")]
    # Also where there is no Origin: a cache must not give that answer to one who has it.
    fields = [(b"Vary", b"Origin")]
    if rules.allows(origins):
        fields.append((b"Access-Control-Allow-Origin", origins[0].encode("ascii")))
        if rules.credentials:
            fields.append((b"Access-Control-Allow-Credentials", b"true"))
    return fields


def _list(name: bytes, values: Sequence[str]) -> HeaderPair:
    return name, ", ".join(values).encode("ascii")
