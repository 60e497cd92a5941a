"""The requests that all gateways of a fleet count together, in Redis."""

from limits.aio.storage import RedisStorage

from gateway.introspection.fleet.connecting import RedisOptions, open_pool
from gateway.introspection.fleet.sealing import Seal

_MOST_CONNECTIONS = 16


class SharedRateStore:
    """Counts by keys, of which Redis learns nothing but that they differ. A RateStore.

    `prefix` is how every key of the fleet begins; `patience` is for how long a question waits for
    one of the connections, in seconds. Raises what the library raises when Redis does not answer.
    """

    def __init__(self, options: RedisOptions, seal: Seal, prefix: str, *, patience: float) -> None:
        self._pool = open_pool(options, _MOST_CONNECTIONS, patience)
        self._seal = seal
        # The address counts for nothing where there is a pool.
        self._storage = RedisStorage(
            "redis://",
            implementation="redispy",
            key_prefix=f"{prefix}:rate",
            connection_pool=self._pool,  # type: ignore[arg-type]  # typed as a text
        )

    async def acquire_sliding_window_entry(
        self, key: str, limit: int, expiry: int, amount: int = 1
    ) -> bool:
        """Count so many requests, if there is room for all of them; say whether there was."""
        return await self._storage.acquire_sliding_window_entry(
            self._place(key), limit, expiry, amount
        )

    async def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        """Give both counts and their ends, as RateStore describes it."""
        return await self._storage.get_sliding_window(self._place(key), expiry)

    async def close(self) -> None:
        """Close the connections."""
        await self._pool.aclose()

    def _place(self, key: str) -> str:
        return self._seal.name(b"rate", key.encode())
