"""The stage, on the same event loops as in the tests of the proxy."""

from tests.proxy.conftest import pytest_asyncio_loop_factories, stage

__all__ = ["pytest_asyncio_loop_factories", "stage"]
