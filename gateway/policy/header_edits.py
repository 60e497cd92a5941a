"""The header fields that a route sets, adds and removes.

Rule: what is set or removed is taken away in every spelling first, so that no copy of it that the
other side wrote crosses.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from gateway.policy.headers import HeaderPair, fold_name


@dataclass(frozen=True, slots=True)
class HeaderEdits:
    """The edits of one side of a route; `strips` has folded names. Values may be secrets."""

    strips: frozenset[bytes] = frozenset()
    adds: tuple[HeaderPair, ...] = field(default=(), repr=False)

    def edit(self, fields: list[HeaderPair]) -> list[HeaderPair]:
        """Give the fields of a message as they are to be."""
        return [*self.strip(fields), *self.adds]

    def strip(self, fields: list[HeaderPair]) -> list[HeaderPair]:
        """Give the fields without what is set or removed: all that is done to trailers."""
        strips = self.strips
        return [pair for pair in fields if fold_name(pair[0]) not in strips] if strips else fields


def compile_edits(
    *, set_: Mapping[str, str], add: Mapping[str, str], remove: Iterable[str]
) -> HeaderEdits | None:
    """Compile edits from names and values; None when there are none."""
    strips = frozenset(fold_name(name.encode("ascii")) for name in (*set_, *remove))
    adds = tuple(
        (name.encode("ascii"), value.encode("utf-8"))
        for name, value in (*set_.items(), *add.items())
    )
    return HeaderEdits(strips, adds) if strips or adds else None
