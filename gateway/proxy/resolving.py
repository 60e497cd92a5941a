"""The addresses behind the names of servers, looked up again and again."""

import asyncio
import logging
import socket
from collections.abc import Callable
from ipaddress import ip_address

from gateway.proxy.server import ServerOrigin

log = logging.getLogger(__name__)

# No resolver of the system tells for how long an answer is good; this is what many names are.
_SECONDS_BETWEEN = 10.0
# How often one that is asked for may be looked up, so that requests do not flood a name server.
_LEAST_SECONDS_BETWEEN = 1.0

Resolved = Callable[[ServerOrigin, tuple[str, ...]], None]


def needs_resolving(origin: ServerOrigin) -> bool:
    """Say whether a server is given by a name."""
    if origin.path is not None:
        return False
    try:
        ip_address(origin.host)
    except ValueError:
        return True
    return False


class Resolving:
    """Looks names up in turn; `on_change` is told of new addresses.

    A name that cannot be looked up for a while keeps the addresses that it had.
    """

    def __init__(self, origins: tuple[ServerOrigin, ...], on_change: Resolved) -> None:
        self._origins = origins
        self._on_change = on_change
        self._known: dict[ServerOrigin, tuple[str, ...]] = {}
        self._complained: set[ServerOrigin] = set()
        self._under_way: asyncio.Task[None] | None = None
        self._last = float("-inf")

    async def look_up(self) -> None:
        """Look every name up now, or wait for the look-up that is under way."""
        loop = asyncio.get_running_loop()
        if self._under_way is None or self._under_way.done():
            if loop.time() < self._last + _LEAST_SECONDS_BETWEEN:
                return
            self._under_way = asyncio.create_task(self._look_all_up())
        await asyncio.shield(self._under_way)

    async def run(self) -> None:
        """Look the names up until cancelled."""
        try:
            while True:
                await self.look_up()
                await asyncio.sleep(_SECONDS_BETWEEN)
        finally:
            if self._under_way is not None:
                self._under_way.cancel()

    async def _look_all_up(self) -> None:
        await asyncio.gather(*map(self._look_one_up, self._origins))
        self._last = asyncio.get_running_loop().time()

    async def _look_one_up(self, origin: ServerOrigin) -> None:
        try:
            addresses = await _get_addresses(origin.host, origin.port)
        except (OSError, UnicodeError) as error:
            if origin not in self._complained:
                self._complained.add(origin)
                log.warning(
                    "the name of the server %s cannot be looked up: %s", origin.label, error
                )
            return
        self._complained.discard(origin)
        if addresses and addresses != self._known.get(origin):
            self._known[origin] = addresses
            self._on_change(origin, addresses)


async def _get_addresses(host: str, port: int) -> tuple[str, ...]:
    """Ask the system for the addresses of a name. Raises OSError, UnicodeError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    return tuple(sorted({str(address[0]) for *_, address in found}))
