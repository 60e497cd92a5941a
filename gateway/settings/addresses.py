"""Listening addresses, origins and networks: reading them, and telling which are the same place."""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from gateway.policy.addresses import IPNetwork, parse_ip
from gateway.settings.findings import Problem, quoted

TrustedPeer = IPNetwork | Literal["unix"]
"""Who may say whom they speak for: a network, or whoever the unix socket's mode lets in."""

# No private network is wider than 10.0.0.0/8 or fc00::/7, so no proxy of one's own needs more.
_WIDEST: Final = {4: 8, 6: 7}
_LOCALHOST: Final = ipaddress.IPv4Address("127.0.0.1")
_MAPPED: Final = ipaddress.IPv6Network("::ffff:0:0/96")

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*", re.ASCII)
_NUMERIC_LABEL = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*", re.ASCII)
_PORT = re.compile(r"[0-9]{1,5}", re.ASCII)
_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<rest>.*)")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_LONGEST_HOST: Final = 253


@dataclass(frozen=True, slots=True)
class Address:
    """Where a listener listens: an IP address or `localhost`, and a port (0: the kernel picks)."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{_bracketed(self.host)}:{self.port}"


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """A unix socket where a listener listens: the path of its file."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"


ListenAddress = Address | UnixAddress


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port of a URL, the port made explicit; the host without brackets."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        port = "" if _DEFAULT_PORTS.get(self.scheme) == self.port else f":{self.port}"
        return f"{self.scheme}://{_bracketed(self.host)}{port}"

    @property
    def is_secure(self) -> bool:
        """Whether nobody on a network reads along: https, or a host that is this machine."""
        return self.scheme == "https" or is_loopback(self.host)


def parse_listen(text: str) -> Address:
    """Read `127.0.0.1:8080`, `[::1]:8080` or `localhost:8080`. Raises Problem."""
    host, colon, port_text = text.rpartition(":")
    if text.isascii() and text.isdecimal():
        raise Problem(
            "invalid-address", f"{text} is a port without an address", f"write 127.0.0.1:{text}"
        )
    if "://" in text or "@" in text:
        what = "more than an address stands here"
        raise Problem("invalid-address", what, "write only address and port, as in 127.0.0.1:8080")
    if not colon or text.endswith("]"):
        raise Problem(
            "invalid-address", f"{quoted(text)} has no port", "write it as 127.0.0.1:8080"
        )
    if not host:
        raise Problem(
            "invalid-address",
            f"{quoted(text)} has no address",
            f"write 127.0.0.1{text} for this machine alone, 0.0.0.0{text} for every interface",
        )
    port = _parse_port(port_text, lowest=0)
    bare = _unbracket(host)
    if ":" in bare and bare == host:
        what = "an IPv6 address stands without brackets"
        raise Problem("invalid-address", what, f"write it as {quoted(f'[{bare}]:{port}')}")
    if bare.lower() == "localhost":
        return Address("localhost", port)
    address = parse_ip(bare)
    if address is None:
        raise Problem(
            "invalid-address",
            f"{quoted(host)} is not an IP address",
            "write one of this machine's addresses, 127.0.0.1, 0.0.0.0 or localhost",
        )
    return Address(str(address), port)


def read_address(text: str) -> ListenAddress:
    """Read what an address of a listener says of itself by `str`."""
    path = text.removeprefix("unix:")
    return parse_listen(text) if path == text else UnixAddress(path)


def parse_origin(text: str, schemes: tuple[str, ...] = ("https", "http")) -> Origin:
    """Read `scheme://host[:port]` with nothing behind it. Raises Problem."""
    origin, rest = split_url(text, schemes)
    if rest:
        what = "a slash" if rest == "/" else "a path" if rest[0] == "/" else "a query or fragment"
        raise Problem("invalid-origin", f"{what} follows the host", f"write only {origin}")
    return origin


def split_url(text: str, schemes: tuple[str, ...]) -> tuple[Origin, str]:
    """Split a URL into its origin and all that follows. Raises Problem."""
    match = _URL.fullmatch(text)
    if match is None:
        raise Problem(
            "invalid-url",
            f"{quoted(text)} is not a URL",
            f"write it with its scheme, as in {schemes[0]}://host.example:8000",
        )
    scheme, authority, rest = match["scheme"].lower(), match["authority"], match["rest"]
    if scheme not in schemes:
        raise Problem(
            "invalid-url",
            f"the scheme {quoted(scheme)} cannot be used here",
            f"write {' or '.join(f'{scheme}://' for scheme in schemes)}",
        )
    if "@" in authority:
        raise Problem(
            "invalid-url",
            "a user or password stands before the host",
            "remove everything up to the @",
        )
    host, port = _split_authority(authority)
    return Origin(scheme, host, _DEFAULT_PORTS[scheme] if port is None else port), rest


def parse_host(text: str) -> str:
    """Read a host name or IP address (IPv6 with or without brackets) into one spelling.

    Lower case, no brackets, addresses compressed. Raises Problem.
    """
    address = parse_ip(_unbracket(text))
    if address is not None:
        return str(address)
    if not text.isascii():
        what = f"{quoted(text)} is not ASCII"
        raise Problem("invalid-host", what, "write the host in its xn-- form")
    if _HOST_NAME.fullmatch(text) is None or len(text) > _LONGEST_HOST:
        what = f"{quoted(text)} is not a host" if text else "the host is missing"
        raise Problem(
            "invalid-host", what, "write a name such as api.example.com, or an IP address"
        )
    # 127.1 and 0x7f000001 are addresses to the system's resolver and names to everybody else.
    if _NUMERIC_LABEL.fullmatch(text.rsplit(".", 1)[-1]):
        what = f"{quoted(text)} is an abbreviated address"
        raise Problem("invalid-host", what, "write all four numbers, as in 127.0.0.1")
    return text.lower()


def parse_network(text: str) -> IPNetwork:
    """Read a network such as `10.0.0.0/8` or a single address. Raises Problem.

    A network inside ::ffff:0:0/96 comes out as the IPv4 network that it stands for.
    """
    try:
        network = ipaddress.ip_network(text, strict=False)
        address = ipaddress.ip_address(text.partition("/")[0])
    except ValueError:
        what = f"{quoted(text)} is not a network"
        mend = "write it as 10.0.0.0/8, fd00::/8 or one address"
        raise Problem("invalid-network", what, mend) from None
    if address != network.network_address:
        what = f"{quoted(text)} has bits set behind its prefix"
        raise Problem(
            "invalid-network",
            what,
            f"write {network} for the network, {address} for the one address",
        )
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED):
        address = ipaddress.IPv4Address(int(network.network_address) & 0xFFFFFFFF)
        network = ipaddress.IPv4Network((address, network.prefixlen - _MAPPED.prefixlen))
    return network


def parse_clients(text: str) -> IPNetwork:
    """Read a network of clients, which is not all of them. Raises Problem."""
    network = parse_network(text)
    if network.prefixlen == 0:
        what = f"{network} is everybody's network"
        raise Problem("network-too-wide", what, "name those of your clients, or leave the key out")
    return network


def parse_trusted(text: str) -> TrustedPeer:
    """Read a network of one's own proxies, or the word `unix`. Raises Problem."""
    if text == "unix":
        return "unix"
    network = parse_network(text)
    if network.prefixlen < _WIDEST[network.version]:
        what = (
            "the whole internet is trusted"
            if network.prefixlen == 0
            else f"{network} is wider than any network of one's own"
        )
        raise Problem(
            "trusted-network-too-wide", what, "name only the addresses of your own proxies"
        )
    return network


def networks_among(trusted: Iterable[TrustedPeer]) -> tuple[IPNetwork, ...]:
    """Give the networks among those who are trusted."""
    return tuple(peer for peer in trusted if not isinstance(peer, str))


def is_loopback(host: str) -> bool:
    """Say whether a host is this machine as seen from itself: 127.0.0.0/8, ::1, localhost."""
    address = parse_ip(host)
    if address is not None:
        return address.is_loopback
    name = host.lower().rstrip(".")
    return name == "localhost" or name.endswith(".localhost")


def is_every_interface(host: str) -> bool:
    """Say whether listening there means listening on every address of the machine."""
    address = parse_ip(host)
    return address is not None and address.is_unspecified


def reaches(host: str, port: int, listener: Address) -> bool:
    """Say whether connecting to this host and port ends at our own listener.

    Judged without asking a resolver: what this machine's other addresses are called is not known.
    """
    return port == listener.port != 0 and _is_same_place(host, listener.host)


def first_with_port(listen: Iterable[ListenAddress]) -> Address | None:
    """Give the first address that a client could name; None where all are unix sockets."""
    return next((address for address in listen if isinstance(address, Address)), None)


def first_beyond_loopback(listen: Iterable[ListenAddress]) -> Address | None:
    """Give the first address by which other machines come; None where none does."""
    return first_with_port(
        address
        for address in listen
        if isinstance(address, Address) and not is_loopback(address.host)
    )


def exclude_each_other(one: Address, other: Address) -> bool:
    """Say whether the system lets only one of two sockets listen.

    Both families can be had on one port, for :: takes IPv6 alone here; `localhost` is IPv4.
    """
    ours, theirs = (parse_ip(address.host) or _LOCALHOST for address in (one, other))
    if one.port != other.port or one.port == 0 or ours.version != theirs.version:
        return False
    return ours == theirs or ours.is_unspecified or theirs.is_unspecified


def collide(one: Address, other: Address) -> bool:
    """Say whether two listeners cannot both be opened, or clients could take one for the other."""
    return reaches(one.host, one.port, other) or (
        one.port == other.port != 0
        and (is_every_interface(one.host) or is_every_interface(other.host))
    )


def _is_same_place(host: str, listener: str) -> bool:
    ours, theirs = parse_ip(listener), parse_ip(host)
    if is_every_interface(listener):
        # Without a resolver only the loopback names are known to be this machine. A listener on
        # :: may or may not take IPv4 too, so both families count; one on 0.0.0.0 takes IPv4 alone.
        if not (is_loopback(host) or is_every_interface(host)):
            return False
        return theirs is None or ours is None or ours.version == 6 or theirs.version == 4
    if is_every_interface(host):  # connecting to 0.0.0.0 means connecting to this machine
        return is_loopback(listener)
    if ours is not None and theirs is not None:
        return ours == theirs
    return is_loopback(host) and is_loopback(listener)


def _split_authority(authority: str) -> tuple[str, int | None]:
    host, port_text = authority, None
    if authority.startswith("["):
        host, bracket, port_text = authority.partition("]")
        if not bracket or (port_text and not port_text.startswith(":")):
            raise Problem(
                "invalid-host", f"{quoted(authority)} is not a host", "write it as [::1]:8000"
            )
        host += bracket
        port_text = port_text[1:] if port_text else None
    elif ":" in authority:
        host, _, port_text = authority.partition(":")
    port = None if port_text is None else _parse_port(port_text, lowest=1)
    return parse_host(host), port


def _parse_port(text: str, *, lowest: int) -> int:
    if _PORT.fullmatch(text) is None or not lowest <= int(text) <= 65535:
        raise Problem(
            "invalid-port",
            f"{quoted(text)} is not a port",
            f"write a number from {lowest} to 65535",
        )
    return int(text)


def _unbracket(host: str) -> str:
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def is_endpoint_of(url: str, issuer: str) -> bool:
    """Say whether an issuer may name such a URL as an endpoint of its own.

    https; or plain http on loopback, for an issuer that is there itself: no server on the network
    sends the gateway to services of this machine.
    """
    try:
        origin, _ = split_url(url, ("https", "http"))
        own, _ = split_url(issuer, ("https", "http"))
    except Problem:
        return False
    if own.scheme == "https":
        return origin.scheme == "https" and (is_loopback(own.host) or not is_loopback(origin.host))
    return origin.is_secure
