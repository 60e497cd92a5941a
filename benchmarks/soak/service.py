"""A server behind the gateway that breaks one connection in a hundred.

`python -m benchmarks.soak.service PORT LOG`. It answers each request with the request's own id. To
LOG goes a line for each request before it is answered, so that it stands there whatever happens to
this process: `got TIME ID NUMBER`, the request's number on its connection. A connection that it
breaks leaves `broke TIME ID NUMBER` when a request was waiting for its answer, `left TIME - NUMBER`
when none was.
"""

import asyncio
import os
import random
import re
import socket
import struct
import sys
import time
from typing import cast

import uvloop

SHARE_OF_BROKEN = 0.01
# How many requests a connection takes, as many as Apache's by default.
_MOST_REQUESTS = 100
_PAUSE_SECONDS = 0.05
_RESET = struct.pack("ii", 1, 0)
_HEAD = re.compile(rb"(?:GET|POST) /items/([0-9]+) ")
_LENGTH = re.compile(rb"\r\ncontent-length: ([0-9]+)\r\n", re.IGNORECASE)
_HEALTHY = b"HTTP/1.1 204 No Content\r\n\r\n"


class Connection(asyncio.Protocol):
    """A connection, which may be one of those that break."""

    def __init__(self, log: int) -> None:
        self._log = log
        self._data = b""
        self._number = 0
        is_doomed = random.random() < SHARE_OF_BROKEN
        self._last = random.randint(1, _MOST_REQUESTS) if is_doomed else _MOST_REQUESTS
        self._is_doomed = is_doomed
        self._breaks_before_the_answer = random.random() < 0.5

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Answer each request that is whole."""
        self._data += data
        while (end := self._data.find(b"\r\n\r\n") + 4) >= 4:
            length = _LENGTH.search(self._data, 0, end)
            end += int(length[1]) if length else 0
            if len(self._data) < end:
                return
            request, self._data = self._data[:end], self._data[end:]
            self._answer(request)

    def _answer(self, request: bytes) -> None:
        found = _HEAD.match(request)
        if found is None:
            self._transport.write(_HEALTHY)
            return
        item = found[1]
        self._number += 1
        self._note(b"got", item)
        is_last = self._number == self._last
        if is_last and self._is_doomed and self._breaks_before_the_answer:
            self._note(b"broke", item)
            self._break()
            return
        ends = b"Connection: close\r\n" if is_last and not self._is_doomed else b""
        self._transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n%bContent-Length: %d\r\n\r\n%b"
            % (ends, len(item), item)
        )
        if ends:
            self._transport.close()
        elif is_last:
            pause = random.random() * _PAUSE_SECONDS
            asyncio.get_running_loop().call_later(pause, self._leave)

    def _leave(self) -> None:
        if not self._transport.is_closing():
            self._note(b"left", b"-")
            self._break()

    def _break(self) -> None:
        sock = self._transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._transport.abort()

    def _note(self, what: bytes, item: bytes) -> None:
        os.write(self._log, b"%b %.6f %b %d\n" % (what, time.time(), item, self._number))


async def serve(port: int, log: int) -> None:
    """Serve until the process is ended."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(log), "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(
        serve(int(sys.argv[1]), os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
    )
