"""The stage, on the event loop that ships, and on asyncio's own where their transports differ."""

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop

from tests.proxy.stage import stage

__all__ = ["stage"]


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    loops: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"uvloop": uvloop.new_event_loop}
    if "malformed_answer" not in item.name:
        # Those are about the parser, which knows nothing of loops.
        loops["asyncio"] = asyncio.new_event_loop
    return loops
