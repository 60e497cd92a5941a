"""Sends requests at an even pace, whatever the answers do, and says how long each one waited.

An open loop: every request has its moment beforehand, and its time counts from that moment to the
last byte of its answer, also when all connections were busy and it was sent later. So a proxy that
stands still is charged for all requests that it kept waiting, not for one on each connection
("coordinated omission", which wrk's own times have).

Runs as a process of its own: `python -m benchmarks.pace REQUESTS CONNECTIONS PORT RATE SECONDS
BODY`. Prints one line of JSON.
"""

import ctypes
import gc
import json
import select
import socket
import sys
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from benchmarks.load import MeasurementFailed

PATIENCE = 10.0  # seconds for the last answers
_PR_SET_TIMERSLACK = 29  # prctl(2)


class Connection:
    """One keep-alive connection, with at most one request on its way."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.due = 0.0  # when the request on its way was to be sent
        self.idle_since = 0.0
        self.received = b""


class Pace:
    """Requests at a rate over some connections, for some seconds."""

    def __init__(
        self, requests: Sequence[bytes], connections: int, port: int, rate: float, body: bytes
    ) -> None:
        self._requests = requests
        self._interval = 1 / rate
        self._body = body
        self._poll = select.epoll()
        self._connections: dict[int, Connection] = {}
        for _ in range(connections):
            connection = Connection(port)
            self._connections[connection.socket.fileno()] = connection
            self._poll.register(connection.socket, select.EPOLLIN)
        self._idle = deque(self._connections.values())
        self._sent = 0
        self._lateness: list[float] = []  # how long they were due while a connection was idle
        self._latencies: list[float] = []

    def run(self, seconds: float) -> dict[str, float]:
        """Sends for some seconds, waits for the last answers, and gives the figures.

        Raises:
            MeasurementFailed: an answer differed, or did not come, or this program was too slow.
        """
        total = round(seconds / self._interval)
        # The kernel would else round each wait up by as much as 50 microseconds.
        ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)
        clock, started = time.perf_counter, time.perf_counter()
        used = time.process_time()
        last = started + total * self._interval + PATIENCE
        while len(self._latencies) < total:
            now = clock()
            if now > last:
                raise MeasurementFailed(f"{total - len(self._latencies)} requests have no answer")
            self._send_due(now, started, total)
            wait = PATIENCE if self._sent >= total else started + self._sent * self._interval - now
            if self._idle and wait > 0:
                # epoll itself counts in milliseconds; select waits for it to the microsecond.
                select.select([self._poll], [], [], min(wait, 1.0))
            elif not self._idle:
                self._poll.poll(1.0, 1)
            for number, _ in self._poll.poll(0):
                self._receive(self._connections[number])
        took = clock() - started
        self._latencies.sort()
        self._lateness.sort()
        return {
            "requests": total,
            "rate": total / took,
            "p50_us": self._percentile(self._latencies, 0.50),
            "p99_us": self._percentile(self._latencies, 0.99),
            "own_delay_p99_us": self._percentile(self._lateness, 0.99),
            "generator_busy": (time.process_time() - used) / took,
        }

    def close(self) -> None:
        """Closes every connection."""
        self._poll.close()
        for connection in self._connections.values():
            connection.socket.close()

    def _send_due(self, now: float, started: float, total: int) -> None:
        """Sends what is due, as far as connections are idle."""
        while self._idle and self._sent < total:
            due = started + self._sent * self._interval
            if due > now:
                return
            connection = self._idle.popleft()
            connection.due = due
            connection.socket.send(self._requests[self._sent % len(self._requests)])
            self._sent += 1
            self._lateness.append(now - max(due, connection.idle_since))

    def _receive(self, connection: Connection) -> None:
        data = connection.received + connection.socket.recv(65536)
        head, _, body = data.partition(b"\r\n\r\n")
        if len(body) < len(self._body) and len(data) > len(connection.received):
            connection.received = data  # more is to come
            return
        if not head.startswith(b"HTTP/1.1 200 ") or body != self._body:
            raise MeasurementFailed(f"an answer differs: {data[:200]!r}")
        connection.idle_since = time.perf_counter()
        self._latencies.append(connection.idle_since - connection.due)
        connection.received = b""
        self._idle.append(connection)

    @staticmethod
    def _percentile(ordered: Sequence[float], share: float) -> float:
        if not ordered:
            return 0.0
        return round(ordered[min(int(len(ordered) * share), len(ordered) - 1)] * 1e6)


def main() -> int:
    """Does what the arguments say."""
    path, connections, port, rate, seconds, body = sys.argv[1:]
    lines = Path(path).read_text(encoding="ascii").splitlines()
    requests = [
        f"GET /orders/17 HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        f"Authorization: Bearer {token}\r\n\r\n".encode()
        for token in lines
    ]
    gc.disable()
    pace = Pace(requests, int(connections), int(port), float(rate), body.encode())
    try:
        print(json.dumps(pace.run(float(seconds))))
    except (MeasurementFailed, OSError) as problem:
        print(problem, file=sys.stderr)
        return 1
    finally:
        pace.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
