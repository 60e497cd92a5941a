"""Where requests are counted: in this process, or where all gateways count together.

Rule: what is held is bounded, whoever asks. Under a flood of addresses the ones that asked longest
ago are forgotten and begin anew; those who ask on are counted on.
"""

import asyncio
import logging
import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from typing import Final

from gateway.policy.interfaces import RateStore

log = logging.getLogger(__name__)

_MOST_OF_A_KIND: Final = 50_000
_PATIENCE_SECONDS: Final = 0.25
_PAUSE_SECONDS: Final = 1.0


class _Counts:
    """The requests of one key: those of the window with this number, and of the one before."""

    __slots__ = ("before", "ends", "now", "number")

    def __init__(self) -> None:
        self.number = -1
        self.now = self.before = 0
        self.ends = 0.0

    def move_to(self, number: int, window: int) -> None:
        if number > self.number:
            self.before = self.now if number == self.number + 1 else 0
            self.now = 0
            self.number = number
            # From then on neither window counts.
            self.ends = (number + 2) * float(window)


class MemoryRateStore:
    """Counts in this process. A RateStore.

    Keys of one kind, what stands before their first slash, push out each other and no others: a
    flood of addresses is no way to be forgotten as a client.
    """

    def __init__(
        self, most: int = _MOST_OF_A_KIND, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = most
        self._clock = clock
        self._kinds: defaultdict[str, OrderedDict[str, _Counts]] = defaultdict(OrderedDict)

    def __len__(self) -> int:
        return sum(map(len, self._kinds.values()))

    async def acquire_sliding_window_entry(
        self, key: str, limit: int, expiry: int, amount: int = 1
    ) -> bool:
        """Count so many requests, if there is room for all of them; say whether there was."""
        counts, weight = self._find(key, expiry)
        if int(counts.before * weight + counts.now) + amount > limit:
            return False
        counts.now += amount
        return True

    async def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        """Give both counts and their ends, as RateStore describes it."""
        counts, weight = self._find(key, expiry)
        left = weight * expiry
        return counts.before, left if counts.before else 0.0, counts.now, left + expiry

    def _find(self, key: str, window: int) -> tuple[_Counts, float]:
        """Give the counts of a key, and the part of the window before that still counts."""
        now = self._clock()
        number, elapsed = divmod(now, window)
        known = self._kinds[key.partition("/")[0]]
        counts = known.get(key)
        if counts is None:
            self._make_room(known, now)
            counts = known[key] = _Counts()
        else:
            known.move_to_end(key)
        counts.move_to(int(number), window)
        return counts, 1 - elapsed / window

    def _make_room(self, known: OrderedDict[str, _Counts], now: float) -> None:
        # Two for each that comes: so what has ended goes, without a walk through all of them.
        for _ in range(2):
            oldest = next(iter(known), None)
            if oldest is not None and (known[oldest].ends <= now or len(known) >= self._most):
                del known[oldest]


class FallbackRateStore:
    """Counts where several gateways do; while that fails, in this process. A RateStore.

    So its trouble neither lets a flood through nor stops everybody: each process holds the limits
    by itself until the shared store answers again.
    """

    def __init__(
        self,
        shared: RateStore,
        own: RateStore,
        *,
        patience: float = _PATIENCE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._shared = shared
        self._own = own
        self._patience = patience
        self._clock = clock
        self._asked_again_at = 0.0
        self._has_failed = False

    async def acquire_sliding_window_entry(
        self, key: str, limit: int, expiry: int, amount: int = 1
    ) -> bool:
        """Count so many requests, if there is room for all of them; say whether there was."""
        if self._clock() >= self._asked_again_at:
            try:
                async with asyncio.timeout(self._patience):
                    is_counted = await self._shared.acquire_sliding_window_entry(
                        key, limit, expiry, amount
                    )
            except Exception as error:  # noqa: BLE001 - whatever a library raises, the limits hold
                self._give_up(error)
            else:
                self._has_failed = False
                return is_counted
        return await self._own.acquire_sliding_window_entry(key, limit, expiry, amount)

    async def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        """Give both counts and their ends, as RateStore describes it."""
        if self._clock() >= self._asked_again_at:
            try:
                async with asyncio.timeout(self._patience):
                    return await self._shared.get_sliding_window(key, expiry)
            except Exception as error:  # noqa: BLE001 - as above
                self._give_up(error)
        return await self._own.get_sliding_window(key, expiry)

    def _give_up(self, error: Exception) -> None:
        self._asked_again_at = self._clock() + _PAUSE_SECONDS
        if not self._has_failed:
            self._has_failed = True
            why = str(error) or type(error).__name__
            log.warning("rate limits are counted by this process alone: %s", why)
