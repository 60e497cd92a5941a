"""The messages between the supervisor and a worker: JSON, each with its length before it.

From the supervisor first the orders; then questions, each with a number. From the worker `ready` or
`failed`, answers with the question's number, and what has changed in its metrics. The end of the
stream says that the other one is gone.
"""

import asyncio
import json
import socket
from dataclasses import dataclass
from typing import Any, Final

_LENGTH_BYTES: Final = 4

Message = dict[str, Any]


@dataclass(slots=True)
class Control:
    """One end."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def open(cls, sock: socket.socket) -> "Control":
        """Take an end of a pair of stream sockets."""
        reader, writer = await asyncio.open_unix_connection(sock=sock)
        return cls(reader, writer)

    async def read(self) -> Message | None:
        """Give the next message; None when the other end is gone."""
        try:
            length = int.from_bytes(await self.reader.readexactly(_LENGTH_BYTES), "big")
            message: Message = json.loads(await self.reader.readexactly(length))
        except (asyncio.IncompleteReadError, OSError):
            return None
        return message

    def write(self, message: Message) -> None:
        """Send a message; it is lost when the other end is gone."""
        self.write_encoded(encode(message))

    def write_encoded(self, data: bytes) -> None:
        """Send what `encode` gave."""
        if not self.writer.is_closing():
            self.writer.write(data)

    async def close(self) -> None:
        """Send what is still to be sent, and close this end."""
        try:
            await self.writer.drain()
            self.writer.close()
            await self.writer.wait_closed()
        except OSError:
            pass


def encode(message: Message) -> bytes:
    """Write a message as it is sent."""
    data = json.dumps(message, separators=(",", ":")).encode()
    return len(data).to_bytes(_LENGTH_BYTES, "big") + data
