"""Where clients have reached the gateway, as they see it."""

from collections.abc import Iterable
from ipaddress import ip_address

from aiohttp.hdrs import X_FORWARDED_FOR

from gateway.middleware.exchange import Exchange
from gateway.policy.addresses import IPAddress, find_client
from gateway.policy.forwarded import forwarded_scheme
from gateway.policy.host import normalize_host, routed_origins
from gateway.settings.addresses import TrustedPeer, networks_among


class ClientOrigins:
    """Knows the origin of a request: its scheme and authority on the client's side.

    `public_url` is the origin by which clients reach the gateway, `hosts` are those that routes
    name, reached by the same scheme and port.
    """

    def __init__(
        self,
        public_url: str,
        hosts: Iterable[str],
        trusted_proxies: tuple[TrustedPeer, ...],
    ) -> None:
        self._public_url = public_url
        self._trusted_networks = networks_among(trusted_proxies)
        self._trusts_unix = "unix" in trusted_proxies
        self._known = routed_origins(public_url, hosts)
        self._known[normalize_host(public_url.partition("://")[2]) or ""] = public_url

    def is_trusted(self, peer: str) -> bool:
        """Say whether the address at the other end is a proxy that is believed."""
        if peer == "unix":
            return self._trusts_unix
        if not self._trusted_networks:
            return False
        address = ip_address(peer)
        return any(address in network for network in self._trusted_networks)

    def client_of(self, exchange: Exchange) -> IPAddress | None:
        """Give the address of whoever made the request; None when it is not known."""
        return find_client(
            exchange.peer,
            exchange.headers.getall(X_FORWARDED_FOR, ()),
            self._trusted_networks,
            trusts_unix=self._trusts_unix,
        )

    def of(self, exchange: Exchange) -> str:
        """Give the origin by which the client made its request.

        What a trusted proxy says of the scheme counts, then TLS of our own, then what the
        configuration says of the host.
        """
        scheme = None
        if self.is_trusted(exchange.peer):
            scheme = forwarded_scheme(exchange.message.raw_headers)
        if scheme is None and exchange.protocol.ssl_context is not None:
            scheme = "https"
        return self.at(exchange.host, exchange.authority, scheme)

    def at(self, host: str | None, authority: bytes | None, scheme: str | None) -> str:
        """Give the origin of a request to a host; `authority` is the Host header as it came."""
        if authority is None:
            return self._public_url
        known = self._known.get(host or "")
        if known is not None and (scheme is None or known.startswith(f"{scheme}:")):
            return known
        return f"{scheme or 'http'}://{authority.decode('latin-1')}"
