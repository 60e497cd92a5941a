"""How many connections a listener takes: in all, and from one address.

Rule: whoever has one network, however many addresses are in it, cannot take the places of all
others. A household has at least a /64 of IPv6, so that much counts as one address.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

# What remains for files, databases, log and sockets of the process's own.
_RESERVED_DESCRIPTORS: Final = 128
# Requests and their upstreams have a connection each.
_DESCRIPTORS_PER_CONNECTION: Final = 2
_MOST_AT_ADMIN: Final = 64
_MOST_AT_AUTHORIZATION_SERVER: Final = 1024

Network = IPv4Network | IPv6Network


class Refused(StrEnum):
    """Why a connection is closed before anything is read from it."""

    TOO_MANY = "limit"
    TOO_MANY_OF_ONE = "address_limit"
    NO_DESCRIPTOR = "file_descriptors"


@dataclass(frozen=True, slots=True)
class ConnectionBounds:
    """How many at a time; peers in `exempt` networks, and those without address, in all only."""

    total: int
    per_address: int
    exempt: Sequence[Network] = ()


class ConnectionCount:
    """The connections of one listener. Holds no more than there are connections."""

    def __init__(self, bounds: ConnectionBounds) -> None:
        self.bounds = bounds
        self.total = 0
        self.by_address: dict[int, int] = {}

    def admit(self, peer: str | None) -> int | Refused:
        """Count one from the address `peer` (None: it has none), or say why not.

        Gives what `release` is to be given, once, when the connection is gone.
        """
        if self.total >= self.bounds.total:
            return Refused.TOO_MANY
        key = self._key(peer) if peer is not None else 0
        if key:
            count = self.by_address.get(key, 0)
            if count >= self.bounds.per_address:
                return Refused.TOO_MANY_OF_ONE
            self.by_address[key] = count + 1
        self.total += 1
        return key

    def has_room(self, peer: str | None) -> bool:
        """Say whether one from the address `peer` would be admitted now."""
        if self.total >= self.bounds.total:
            return False
        key = self._key(peer) if peer is not None else 0
        return self.by_address.get(key, 0) < self.bounds.per_address or not key

    def release(self, key: int) -> None:
        """Take one off again."""
        self.total -= 1
        if key:
            count = self.by_address[key] - 1
            if count:
                self.by_address[key] = count
            else:
                del self.by_address[key]

    def _key(self, peer: str) -> int:
        """Give a number for all addresses that count as one; 0 for those that are exempt."""
        address = ip_address(peer)
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        if any(address in network for network in self.bounds.exempt):
            return 0
        # IPv6 on odd numbers, IPv4 on even ones, none on 0.
        if isinstance(address, IPv6Address):
            return (int(address) >> 64) * 2 + 1
        return (int(address) + 1) * 2


@dataclass(frozen=True, slots=True)
class Shares:
    """How many connections each listener may have with the file descriptors that there are."""

    guard: int
    admin: int
    authorization_server: int


def share_descriptors(available: int, wanted: int, *, has_embedded: bool) -> Shares:
    """Give the guard the `wanted` connections, or as many as `available` descriptors allow."""
    admin = min(_MOST_AT_ADMIN, max(8, available // 16))
    embedded = min(_MOST_AT_AUTHORIZATION_SERVER, max(8, available // 8)) if has_embedded else 0
    fitting = (available - _RESERVED_DESCRIPTORS - admin - embedded) // _DESCRIPTORS_PER_CONNECTION
    return Shares(max(1, min(wanted, fitting)), admin, embedded)


def needed_descriptors(wanted: int, *, has_embedded: bool) -> int:
    """Give how many file descriptors so many connections to the guard need, all others counted."""
    others = _MOST_AT_ADMIN + (_MOST_AT_AUTHORIZATION_SERVER if has_embedded else 0)
    return wanted * _DESCRIPTORS_PER_CONNECTION + _RESERVED_DESCRIPTORS + others
