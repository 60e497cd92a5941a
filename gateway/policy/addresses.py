"""Whose address a request comes from, as far as proxies are believed that say it.

Rule: an address that nobody who is believed has named is not known, and None. What a client wrote
into X-Forwarded-For itself stands left of what the first proxy of ours adds, and is never reached.
"""

import ipaddress
import re
from collections.abc import Sequence
from typing import Final

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

UNIX: Final = "unix"
"""The peer at the other end of a unix socket, which has no address."""

# More proxies than any request passes; whoever names more wants to keep the gateway busy.
_MOST_HOPS: Final = 32
_WITH_PORT: Final = re.compile(r"(?:\[([^\]]*)\]|([0-9.]+))(?::[0-9]{1,5})?", re.ASCII)
_COUNTED_PREFIX: Final = 64


def parse_ip(host: str) -> IPAddress | None:
    """Give the address that a host spells, an IPv4-mapped one as IPv4; None for a name."""
    if "%" in host:  # a zone belongs to one interface of one machine, and may hold any text
        return None
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def is_within(address: IPAddress, networks: Sequence[IPNetwork]) -> bool:
    """Say whether one of the networks has the address."""
    return any(address in network for network in networks)


def find_client(
    peer: str, forwarded_for: Sequence[str], trusted: Sequence[IPNetwork], *, trusts_unix: bool
) -> IPAddress | None:
    """Give the address of the client; None when it is not known.

    `peer` is the address at the other end of the connection, or `unix`; `forwarded_for` are the
    lines of X-Forwarded-For, of which those of `trusted` proxies count, from the right: the first
    that is no proxy's is the client. A proxy with an address that names nobody speaks for itself.
    """
    hops = [hop for line in forwarded_for for hop in line.split(",")]
    if peer == UNIX:
        if not trusts_unix or not hops:
            return None
        address = read_hop(hops.pop())
    else:
        address = parse_ip(peer.partition("%")[0])
    for _ in range(_MOST_HOPS):
        if address is None or not hops or not is_within(address, trusted):
            return address
        address = read_hop(hops.pop())
    return None


def counted_as(address: IPAddress | None) -> str:
    """Give the place by which an address is counted: itself, or an IPv6 /64; `-` for none.

    A household has at least a /64, and can take another address for every request.
    """
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, _COUNTED_PREFIX), strict=False))
    return "-" if address is None else str(address)


def read_hop(text: str) -> IPAddress | None:
    """Read an element of X-Forwarded-For; some proxies add brackets and a port."""
    text = text.strip(" \t")
    match = _WITH_PORT.fullmatch(text)
    return parse_ip(text if match is None else match[1] or match[2] or "")
