"""Requests at a steady rate over kept-alive connections, each with an id of its own."""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

# Of ten requests one may not be repeated.
_POST_EVERY = 10
_PATIENCE = 60.0


@dataclass(frozen=True)
class Failure:
    """A request that was not answered as it should be. Times are Unix seconds.

    `status` is 0 when the connection broke, and `body` what came.
    """

    item: int
    method: str
    status: int
    body: str
    started: float
    ended: float


@dataclass
class Tally:
    """What became of the requests."""

    answered: int = 0
    failures: list[Failure] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    slowest: float = 0.0


class Load:
    """Sends requests to a gateway, with a token, over so many connections."""

    def __init__(self, port: int, token: str, connections: int) -> None:
        self.tally = Tally()
        self._port = port
        self._connections = connections
        self._items = itertools.count(1)
        fields = f"Host: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n"
        self._fields = fields.encode("ascii")

    async def run(self, seconds: float, rate: float | None) -> float:
        """Send so many requests a second, or as many as are answered; give how many were."""
        before = self.tally.answered
        started = time.monotonic()
        slots = itertools.count() if rate else iter(())
        await asyncio.gather(
            *(self._work(started, seconds, rate, slots) for _ in range(self._connections))
        )
        return (self.tally.answered - before) / (time.monotonic() - started)

    async def _work(
        self, started: float, seconds: float, rate: float | None, slots: Iterator[int]
    ) -> None:
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while True:
            if rate:
                due = started + next(slots) / rate
                await asyncio.sleep(max(0.0, due - time.monotonic()))
            if time.monotonic() > started + seconds:
                break
            if streams is None:
                streams = await asyncio.open_connection("127.0.0.1", self._port)
            if not await self._ask(*streams):
                streams[1].close()
                streams = None
        if streams is not None:
            streams[1].close()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Send one request and compare its answer; say whether the connection can be used again."""
        item = next(self._items)
        method = "GET" if item % _POST_EVERY else "POST"
        body = b"" if method == "GET" else b"Content-Length: 4\r\n\r\nbody"
        started = time.time()
        status, content, is_open = 0, b"", False
        try:
            writer.write(
                b"%b /items/%d HTTP/1.1\r\n%b%b"
                % (method.encode("ascii"), item, self._fields, body or b"\r\n")
            )
            async with asyncio.timeout(_PATIENCE):
                head = await reader.readuntil(b"\r\n\r\n")
                status = int(head[9:12])
                fields = head.lower()
                length = int(fields.partition(b"\r\ncontent-length: ")[2].partition(b"\r\n")[0])
                content = await reader.readexactly(length)
                is_open = b"\r\nconnection: close\r\n" not in fields
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            status = 0
        ended = time.time()
        self.tally.slowest = max(self.tally.slowest, ended - started)
        self.tally.statuses[status] += 1
        if status == 200 and content == b"%d" % item:
            self.tally.answered += 1
        else:
            text = content.decode("utf-8", "replace")
            self.tally.failures.append(Failure(item, method, status, text, started, ended))
        return is_open
