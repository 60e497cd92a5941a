"""A doorman and workers' receptions in one process, with clients before them."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest

from gateway.middleware.entrance import Entrance
from gateway.policy.connections import ConnectionBounds
from gateway.workers.doorman import Doorman, Listener
from gateway.workers.passage import Passage, open_passage
from gateway.workers.reception import Reception

PATIENCE = 10.0


class Greeter(asyncio.Protocol):
    """Says who serves, and then back whatever it hears."""

    def __init__(self, name: str, stack: AsyncExitStack, leave: Callable[[], None]) -> None:
        self.name = name
        self.stack = stack
        self.leave = leave

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.stack.callback(transport.abort)
        transport.write(f"{self.name}\n".encode())

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        self.leave()


class Stand:
    """Listeners with a doorman; workers that are only the ends of their passages."""

    def __init__(self) -> None:
        self.entrances: list[Entrance] = []
        self.listeners: list[Listener] = []
        self.passages: dict[int, Passage] = {}
        self.receptions: dict[int, Reception] = {}
        self.ends: dict[int, asyncio.Event] = {}
        self.lost: list[int] = []
        self.raw: dict[int, socket.socket] = {}
        self.clients: list[Client] = []
        self.stack = AsyncExitStack()

    def open(self, *only: int | None, total: int = 1000) -> "Stand":
        """Opens a listener for each argument: None for one that all workers serve."""
        for worker in only or (None,):
            entrance = Entrance(ConnectionBounds(total, total))
            sock = self.stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=200))
            self.entrances.append(entrance)
            self.listeners.append(Listener(sock, entrance, worker))
        self.doorman = Doorman(self.listeners)
        self.doorman.open()
        return self

    def add_raw(self, number: int) -> socket.socket:
        """Adds a worker of which there is only the socket: it takes nothing by itself."""
        here, there = open_passage()
        self.stack.callback(there.close)
        there.setblocking(False)
        passage = Passage(number, here, self.doorman.settle, self._lose)
        self.passages[number] = passage
        self.raw[number] = there
        self.doorman.add(passage)
        return there

    def add(self, number: int, *, is_taking: bool = True) -> Reception:
        """Adds a worker."""
        there = self.add_raw(number)
        end = self.ends[number] = asyncio.Event()

        async def serve(sock: socket.socket, leave: Callable[[], None]) -> None:
            greeter = Greeter(f"worker {number}", self.stack, leave)
            await asyncio.get_running_loop().connect_accepted_socket(lambda: greeter, sock)

        listeners = dict.fromkeys(range(9), (socket.AF_INET, serve))
        reception = Reception(there, listeners, end.set)
        self.receptions[number] = reception
        if is_taking:
            reception.begin()
        return reception

    def _lose(self, passage: Passage) -> None:
        self.lost.append(passage.worker)
        self.doorman.remove(passage)

    async def connect(self, listener: int = 0) -> "Client":
        address = self.listeners[listener].sock.getsockname()
        client = Client(*await asyncio.open_connection(*address))
        self.clients.append(client)
        self.stack.callback(client.writer.transport.abort)
        return client

    async def connect_many(self, count: int) -> list["Client"]:
        return [await self.connect() for _ in range(count)]

    async def handed_to(self, number: int, count: int) -> None:
        """Waits until so many connections are a worker's."""
        await until(lambda: self.passages[number].count == count)

    async def close(self) -> None:
        self.doorman.close()
        for passage in self.passages.values():
            passage.close()
        for reception in self.receptions.values():
            reception.close()
        await self.stack.aclose()
        for _ in range(3):
            await asyncio.sleep(0)  # in which transports are closed


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def server(self) -> str:
        """Gives the name of who serves it; "" when the connection was closed instead."""
        async with asyncio.timeout(PATIENCE):
            try:
                return (await self.reader.readline()).decode().strip()
            except ConnectionError:
                return ""

    async def echo(self, data: bytes) -> bytes:
        self.writer.write(data)
        async with asyncio.timeout(PATIENCE):
            return await self.reader.readexactly(len(data))


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - what is looked at tells nobody
            await asyncio.sleep(0.001)


@pytest.fixture
async def stand() -> AsyncIterator[Stand]:
    stand = Stand()
    yield stand
    await stand.close()
