"""Tokens that are remembered by the hundred thousand, in little memory.

What many tokens have in common, such as a client's scopes, is there once; claims, which few routes
look at, are kept as the text that they came in.
"""

import json
from collections.abc import ItemsView, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Self, TypeVar

from gateway.policy.token import Token

Shared = TypeVar("Shared", str, str | None, bytes, frozenset[str], tuple[str, ...])

# What is each token's own; the others of a client mostly have the same values.
_OF_ONE_TOKEN = frozenset(
    {
        "auth_time",
        "email",
        "exp",
        "iat",
        "jti",
        "name",
        "nbf",
        "preferred_username",
        "sid",
        "sub",
        "username",
    }
)
_MOST_SHARED = 4096


class Claims(Mapping[str, object]):
    """The claims of one token; read anew whenever somebody looks at them."""

    __slots__ = ("_own", "_shared")

    def __init__(self, own: bytes, shared: bytes) -> None:
        self._own = own
        self._shared = shared

    @classmethod
    def of(cls, members: Mapping[str, object]) -> Self:
        """Keep members that JSON can express."""
        own: dict[str, object] = {}
        shared: dict[str, object] = {}
        for name, value in members.items():
            (own if name in _OF_ONE_TOKEN else shared)[name] = value
        return cls(_write(own), _once(_write(shared)))

    def __getitem__(self, name: str) -> object:
        return self._read(self._own if name in _OF_ONE_TOKEN else self._shared)[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def items(self) -> ItemsView[str, object]:
        """Give all of them, read once."""
        return self._all().items()

    def _all(self) -> dict[str, object]:
        return self._read(self._shared) | self._read(self._own)

    @staticmethod
    def _read(text: bytes) -> dict[str, object]:
        members: dict[str, object] = json.loads(text)
        return members

    def __repr__(self) -> str:
        return f"Claims({self._all()!r})"


def compact(token: Token) -> Token:
    """Give a token that says the same and takes little memory beside others like it."""
    return replace(
        token,
        issuer=_once(token.issuer),
        client_id=_once(token.client_id),
        scopes=_once(token.scopes),
        audience=_once(token.audience),
        claims=Claims.of(token.claims),
    )


def _write(members: Mapping[str, object]) -> bytes:
    return json.dumps(members, separators=(",", ":")).encode()


def _once(value: Shared) -> Shared:
    """Give the one that was kept of those that are equal."""
    return _kept(value)  # type: ignore[return-value]


@lru_cache(_MOST_SHARED)
def _kept(value: object) -> object:
    return value
