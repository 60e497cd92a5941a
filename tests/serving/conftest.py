"""The stage, on the event loop that ships, and on asyncio's own: their transports differ."""

import asyncio
from collections.abc import Callable, Mapping

import uvloop

from tests.proxy.stage import stage

__all__ = ["stage"]


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}
