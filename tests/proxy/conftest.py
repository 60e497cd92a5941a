"""The stage, on the event loop that ships and on asyncio's own: their transports differ."""

from tests.proxy.stage import pytest_asyncio_loop_factories, stage

__all__ = ["pytest_asyncio_loop_factories", "stage"]
