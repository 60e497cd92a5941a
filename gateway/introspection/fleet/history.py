"""The revocations that this gateway has heard of, in the order in which the fleet counts them.

No I/O. An entry is known by its number and by a tag of its bytes: a Redis that has lost its end and
counts on from an older one has the same numbers, but never the same tags.
"""

import hashlib
import json
import secrets
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from gateway.introspection.fleet.sealing import Seal
from gateway.introspection.messages import read_revocation, write_revocation
from gateway.policy.interfaces import Revocation, RevocationSource
from gateway.policy.token import Token

# An answer that more revocations than these have followed is not looked into: it is a miss.
_MOST_TO_COMPARE = 1000
_REMEMBERED = 10_000
_TAG_LENGTH = 16


@dataclass(frozen=True, slots=True)
class Stamp:
    """How far somebody had heard: the number of the last entry, and its tag."""

    number: int
    tag: str


@dataclass(frozen=True, slots=True)
class SharedAnswer:
    """Who an active token is, and for how long that may be remembered, in seconds."""

    verdict: Token
    lifetime: float


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry. `revocation` is None for the one that opens the count; `host` who wrote it."""

    stamp: Stamp
    revocation: Revocation | None
    source: str
    host: str


class Gap(Exception):  # noqa: N818 - a state of the feed, not a fault here
    """What was read does not follow on what was heard: revocations may have gone unheard."""


class History:
    """What was heard last, and what came before it; empty until something was read."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque(maxlen=_REMEMBERED)

    @property
    def stamp(self) -> Stamp | None:
        """How far this gateway has heard; None before it has heard anything."""
        return self._entries[-1].stamp if self._entries else None

    def restart(self, entries: Sequence[Entry]) -> None:
        """Begin anew with what is there, as far as its end is without a gap."""
        self._entries.clear()
        for entry in entries:
            if self._entries and entry.stamp.number != self._entries[-1].stamp.number + 1:
                self._entries.clear()
            self._entries.append(entry)

    def follow(self, entries: Sequence[Entry]) -> list[Entry]:
        """Take what follows, and give what is new; the first has to be the last that was heard.

        Raises Gap, and takes nothing, when it is not, or when a number is missing.
        """
        if not entries or entries[0].stamp != self.stamp:
            raise Gap
        for number, entry in enumerate(entries, entries[0].stamp.number):
            if entry.stamp.number != number:
                raise Gap
        new = list(entries[1:])
        self._entries.extend(new)
        return new

    def vouches_for(self, stamp: Stamp, token: Token, token_hash: bytes) -> bool:
        """Whether nothing was revoked since the stamp that concerns an answer of that time.

        False, too, for a stamp that this gateway has not heard, or too long ago.
        """
        if not self._entries:
            return False
        later = self._entries[-1].stamp.number - stamp.number
        if not 0 <= later <= min(_MOST_TO_COMPARE, len(self._entries) - 1):
            return False
        newest_first = reversed(self._entries)
        for entry in islice(newest_first, later):
            revocation = entry.revocation
            if revocation is None:
                continue
            if revocation.kind == "token":
                if revocation.value == token_hash.hex():
                    return False
            elif revocation.concerns(token):
                return False
        return next(newest_first).stamp == stamp


def write_entry(
    seal: Seal, number: int, revocation: Revocation | None, source: RevocationSource, host: str
) -> bytes:
    """Write an entry that will have this number; no two are the same."""
    content = {"host": host, "nonce": secrets.token_hex(8)}
    if revocation is not None:
        content |= write_revocation(revocation, source)
    return seal.close(_place(number), json.dumps(content).encode())


def read_entry(seal: Seal, number: int, sealed: bytes) -> Entry:
    """Read an entry. Raises Gap when no gateway of this fleet wrote it there."""
    content = seal.open(_place(number), sealed)
    if content is None:
        raise Gap
    message = json.loads(content)
    revocation, source = None, ""
    if "kind" in message:
        revocation, source = read_revocation(message)
    tag = hashlib.sha256(sealed).hexdigest()[:_TAG_LENGTH]
    return Entry(Stamp(number, tag), revocation, source, message["host"])


def _place(number: int) -> bytes:
    return b"revocation %d" % number
