"""Where requests are counted: how many pass, what is forgotten, what a failing store does."""

import asyncio
import logging
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from limits.aio.storage import MemoryStorage

from gateway.middleware.rate_store import FallbackRateStore, MemoryRateStore


class Clock:
    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


async def pass_through(store, key, limit, expiry, tries):
    """How many of so many tries are let through at one moment."""
    passed = [await store.acquire_sliding_window_entry(key, limit, expiry) for _ in range(tries)]
    return sum(passed)


async def test_no_more_pass_than_the_limit_at_the_border_of_two_windows_neither() -> None:
    clock = Clock(1009.9)
    store = MemoryRateStore(clock=clock)
    assert await pass_through(store, "client/a", 10, 10, 20) == 10
    clock.now = 1010.1
    assert await pass_through(store, "client/a", 10, 10, 20) == 1
    clock.now = 1015.0
    assert await pass_through(store, "client/a", 10, 10, 20) == 4
    clock.now = 1040.0
    assert await pass_through(store, "client/a", 10, 10, 20) == 10


async def test_each_key_has_its_count() -> None:
    store = MemoryRateStore(clock=Clock())
    assert await pass_through(store, "client/a", 3, 10, 9) == 3
    assert await pass_through(store, "client/b", 3, 10, 9) == 3


async def test_what_is_refused_is_not_counted() -> None:
    """Who goes on asking gets through as soon as there is room."""
    clock = Clock(1000.0)
    store = MemoryRateStore(clock=clock)
    await pass_through(store, "client/a", 10, 10, 1000)
    assert (await store.get_sliding_window("client/a", 10))[2] == 10
    clock.now = 1011.0
    assert await pass_through(store, "client/a", 10, 10, 1) == 1


@given(
    steps=st.lists(st.tuples(st.integers(0, 25), st.integers(1, 4)), min_size=1, max_size=30),
    start=st.integers(1000, 1100),
)
def test_it_counts_as_the_library_does(steps, start) -> None:
    """The storages of `limits` that several gateways share are of the same kind."""

    async def compare() -> None:
        clock = Clock(float(start))
        ours = MemoryRateStore(clock=clock)
        theirs = MemoryStorage()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(time, "time", clock)
            for seconds, tries in steps:
                # Off the borders of windows, where a rounding would decide.
                clock.now += seconds + 0.125
                for _ in range(tries):
                    expected = await theirs.acquire_sliding_window_entry("client/a", 5, 10)
                    assert await ours.acquire_sliding_window_entry("client/a", 5, 10) is expected
                found = await ours.get_sliding_window("client/a", 10)
                assert found == pytest.approx(await theirs.get_sliding_window("client/a", 10))
            if theirs.timer is not None:
                await theirs.timer

    asyncio.run(compare())


async def test_a_flood_of_addresses_is_bounded_and_lets_nobody_off_who_asks_on() -> None:
    store = MemoryRateStore(most=100, clock=Clock())
    assert await pass_through(store, "address/mine", 3, 10, 9) == 3
    assert await pass_through(store, "client/app", 3, 10, 9) == 3
    for number in range(1000):
        assert await pass_through(store, f"address/{number}", 3, 10, 1) == 1
        assert await pass_through(store, "address/mine", 3, 10, 1) == 0
    assert len(store) == 101
    assert await pass_through(store, "client/app", 3, 10, 1) == 0


async def test_what_has_ended_makes_room_by_itself() -> None:
    clock = Clock(0.0)
    store = MemoryRateStore(clock=clock)
    for number in range(100):
        await store.acquire_sliding_window_entry(f"address/{number}", 3, 86_400)
        await store.acquire_sliding_window_entry(f"client/{number}", 3, 10)
    assert len(store) == 200
    clock.now = 60.0
    for number in range(100):
        await store.acquire_sliding_window_entry(f"client/new-{number}", 3, 10)
    assert len(store) == 200


class BrokenStore:
    """A store that several gateways share, which can fail in several ways."""

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.is_silent = False
        self.asked = 0
        self._store = MemoryRateStore()

    async def acquire_sliding_window_entry(self, *arguments: object) -> bool:
        await self._fail()
        return await self._store.acquire_sliding_window_entry(*arguments)  # type: ignore[arg-type]

    async def get_sliding_window(self, *arguments: object) -> tuple[int, float, int, float]:
        await self._fail()
        return await self._store.get_sliding_window(*arguments)  # type: ignore[arg-type]

    async def _fail(self) -> None:
        self.asked += 1
        if self.is_silent:
            await asyncio.Event().wait()
        if self.failure is not None:
            raise self.failure


async def test_a_shared_store_counts_for_all(caplog: pytest.LogCaptureFixture) -> None:
    shared = BrokenStore()
    stores = [FallbackRateStore(shared, MemoryRateStore()) for _ in range(2)]
    assert await pass_through(stores[0], "client/a", 10, 3600, 6) == 6
    assert await pass_through(stores[1], "client/a", 10, 3600, 6) == 4
    assert (await stores[0].get_sliding_window("client/a", 3600))[2] == 10
    assert not caplog.records


@pytest.mark.parametrize("failure", [RuntimeError("no route to it"), None])
async def test_while_the_shared_store_fails_each_holds_the_limit_by_itself(
    failure: Exception | None, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    shared = BrokenStore()
    shared.failure, shared.is_silent = failure, failure is None
    store = FallbackRateStore(shared, MemoryRateStore(clock=clock), patience=0.02, clock=clock)
    with caplog.at_level(logging.WARNING):
        assert await pass_through(store, "client/a", 10, 60, 30) == 10
    assert (await store.get_sliding_window("client/a", 60))[2] == 10
    assert shared.asked == 1  # not again with every request
    [record] = caplog.records
    assert "counted by this process alone" in record.getMessage()
    shared.failure, shared.is_silent = None, False
    clock.now += 1.0
    assert await pass_through(store, "client/a", 10, 60, 30) == 10
    assert shared.asked == 31
