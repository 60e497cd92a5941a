"""What the commands of the client role share: store, connections, one line on failure."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import TypeVar

from gateway.cli.terminal import fail
from gateway.client.errors import ClientError
from gateway.client.store import CredentialStore, default_folder
from gateway.client.transport import HttpClient

T = TypeVar("T")


def run_client(work: Callable[[HttpClient, CredentialStore], Awaitable[T]]) -> T:
    """Run a coroutine function with connections and the person's own store.

    A ClientError becomes one line on standard error and typer.Exit(1).
    """

    async def run() -> T:
        store = CredentialStore(default_folder(os.environ))
        async with HttpClient() as http:
            return await work(http, store)

    try:
        return asyncio.run(run())
    except ClientError as error:
        fail(str(error))
