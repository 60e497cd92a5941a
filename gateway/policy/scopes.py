"""Does a scope of a token stand for one that a route demands?

Exactly: when they are the same. By wildcards, where a route says so: as the strategy of that name
in Ory's Fosite, on words that `:` or `.` separate. A `*` in place of a word stands for one word, as
the last word for one or more. It is the token's alone: a `*` in what a route demands is a `*`.
"""

import re
from collections.abc import Iterable
from typing import Final

WILDCARD: Final = "*"
_SEPARATOR: Final = re.compile("([:.])")


def stands_for(granted: str, demanded: str) -> bool:
    """Say whether a token's scope, whose `*` are wildcards, stands for the one demanded."""
    if granted == demanded:
        return True
    if WILDCARD not in granted:
        return False
    # Words and separators in turn, so a `*` never meets a separator.
    words, wanted = _SEPARATOR.split(granted), _SEPARATOR.split(demanded)
    if len(words) != len(wanted) and (len(words) > len(wanted) or words[-1] != WILDCARD):
        return False
    return "" not in wanted[len(words) :] and all(
        word == other or (word == WILDCARD and other != "")
        for word, other in zip(words, wanted, strict=False)
    )


def missing_scopes(
    demanded: frozenset[str], granted: frozenset[str], *, has_wildcards: bool
) -> frozenset[str]:
    """Give those of the demanded scopes that no granted one stands for."""
    missing = demanded - granted
    if not missing or not has_wildcards:
        return missing
    wild = [scope for scope in granted if WILDCARD in scope]
    return frozenset(one for one in missing if not _is_among(one, wild))


def has_one(any_scope: frozenset[str], granted: frozenset[str], *, has_wildcards: bool) -> bool:
    """Say whether a granted scope stands for one of these, of which there is at least one."""
    return missing_scopes(any_scope, granted, has_wildcards=has_wildcards) != any_scope


def has_wildcard_word(scope: str) -> bool:
    """Say whether one of the words of a scope is a `*`."""
    return WILDCARD in _SEPARATOR.split(scope)


def _is_among(demanded: str, wild: Iterable[str]) -> bool:
    return any(stands_for(scope, demanded) for scope in wild)
