"""How a revocation is written for another process, and read from what one wrote."""

import re
from collections.abc import Mapping
from typing import get_args

from gateway.policy.interfaces import Revocation, RevocationKind, RevocationSource

# What the value of a revocation looks like, by its kind.
_VALUES: Mapping[RevocationKind, re.Pattern[str]] = {
    "token": re.compile(r"[0-9a-f]{64}"),
    "grant": re.compile(r"[^ ]+ [^ ]+"),
    "client": re.compile(r".*", re.DOTALL),
    "person": re.compile(r"[^ ]+"),
}

# What revocations are counted under; no message makes another.
SOURCES: tuple[RevocationSource, ...] = get_args(RevocationSource)
_OTHER_SOURCE = "other"


def write_revocation(revocation: Revocation, source: RevocationSource) -> dict[str, str]:
    """Give the members of the JSON object that says what was revoked, and whence it comes."""
    return {
        "issuer": revocation.issuer,
        "kind": revocation.kind,
        "value": revocation.value,
        "source": source,
    }


def read_revocation(message: Mapping[str, object]) -> tuple[Revocation, str]:
    """Read what `write_revocation` wrote: the revocation and its source. Raises ValueError."""
    issuer, value = message.get("issuer"), message.get("value")
    if not isinstance(issuer, str) or not isinstance(value, str):
        raise ValueError("it does not say what has been revoked")  # noqa: TRY004 - nonsense as above
    kind = next((known for known in _VALUES if known == message.get("kind")), None)
    if kind is None:
        raise ValueError("it is of an unknown kind")
    if not _VALUES[kind].fullmatch(value):
        raise ValueError(f"it names no {kind}")
    source = next((known for known in SOURCES if known == message.get("source")), _OTHER_SOURCE)
    return Revocation(issuer, kind, value), source
