"""The stage; on both event loops where bodies and tunnels stream, else on the one that ships."""

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop

from tests.proxy.stage import stage

__all__ = ["stage"]

_ON_BOTH_LOOPS = ("test_e", "test_g")


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    loops: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"uvloop": uvloop.new_event_loop}
    if item.name.startswith(_ON_BOTH_LOOPS):
        loops["asyncio"] = asyncio.new_event_loop
    return loops
