"""The access log: one line per request, never a token, never a query.

Lines are gathered and written together a few times a second: a write per request would cost as
much as the rest of the log. What is still gathered when the gateway stops is written then.

Rule: a line is written whole or not at all, and no trouble with the log troubles a request. What a
slow reader does not take is kept for a while; what a full disk does not take is lost.
"""

import asyncio
import contextlib
import json
import os
import select
import stat
import time
from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from typing import Literal

from gateway.policy.rejection import Reason

_FLUSH_SECONDS = 0.25
_FLUSH_BYTES = 64 * 1024
_KEPT_BYTES = 1024 * 1024

quote = json.encoder.encode_basestring_ascii


@dataclass(slots=True)
class LogEntry:
    """What is said of one request. Durations are in seconds."""

    request_id: str
    peer: str
    method: str
    host: str
    path: str
    route: str
    status: int
    reason: Reason | None = None
    detail: str = ""
    client_id: str | None = None
    subject: str | None = None
    upstream: str | None = None
    server: str | None = None
    duration: float = 0.0
    upstream_duration: float = 0.0
    bytes_received: int = 0
    bytes_sent: int = 0
    is_refused: bool = False


@contextlib.contextmanager
def never_blocking(descriptor: int) -> Iterator[int]:
    """Give a descriptor of the same pipe that does not block: a reader that hangs must not hang us.

    The flag belongs to what was opened, which others may share, so the pipe is opened anew. What is
    no pipe comes back as it is.
    """
    if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        yield descriptor
        return
    try:
        own = os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        # No /proc, or nobody reads: what is written will tell.
        yield descriptor
        return
    try:
        yield own
    finally:
        os.close(own)


class AccessLog:
    """Writes entries to a file descriptor, as JSON lines or as lines for a person.

    One that is shared has other writers than this process, and their lines must not mix. To a file
    the kernel writes them one after the other; of what goes to a pipe or a socket, only so much at
    a time as it takes whole or not at all. A longer line, whose path is that long, is shortened.
    """

    def __init__(
        self,
        descriptor: int,
        form: Literal["json", "text"],
        which: Literal["all", "refusals", "none"],
        *,
        is_shared: bool = False,
    ) -> None:
        self._descriptor = descriptor
        needs_care = is_shared and not stat.S_ISREG(os.fstat(descriptor).st_mode)
        self._most_at_once = select.PIPE_BUF if needs_care else None
        self._format = format_json if form == "json" else format_text
        self._which = which
        self._lines: list[str] = []
        self._size = 0
        # What goes out before anything else: the rest of a line, and lines kept for a slow reader.
        self._unsent = b""
        self._is_amid_line = False
        self._flush_handle: asyncio.TimerHandle | None = None
        self._stamped_second = -1
        self._stamp = ""

    def wants(self, *, is_refused: bool) -> bool:
        """Say whether a request that ended so is to be logged."""
        return self._which == "all" or (is_refused and self._which == "refusals")

    def write(self, entry: LogEntry, ended_at: float) -> None:
        """Log one request that ended at a Unix time."""
        stamp = self._timestamp(ended_at)
        line = self._format(stamp, entry)
        if self._most_at_once is not None:
            while len(line.encode("utf-8", "backslashreplace")) > self._most_at_once:
                entry = shorten(entry)
                line = self._format(stamp, entry)
        self._lines.append(line)
        self._size += len(line)
        if self._size >= _FLUSH_BYTES:
            self.flush()
        elif self._flush_handle is None:
            self._flush_later()

    def flush(self) -> None:
        """Write what has been gathered."""
        if self._flush_handle is not None:
            self._flush_handle.cancel()
            self._flush_handle = None
        data = self._unsent + "".join(self._lines).encode("utf-8", "backslashreplace")
        self._lines.clear()
        self._size = 0
        self._unsent = b""
        while data:
            try:
                written = os.write(self._descriptor, self._cut(data))
            except BlockingIOError:
                self._unsent = self._keep(data, _KEPT_BYTES)
                with contextlib.suppress(RuntimeError):  # at the end there is no loop any more
                    self._flush_later()
                return
            except OSError:
                # The reader of the log is gone or its disk is full: requests go on.
                self._unsent = self._keep(data, 0)
                return
            self._is_amid_line = data[written - 1] != _LINE_FEED
            data = data[written:]

    def _cut(self, data: bytes) -> bytes:
        """Give as many whole lines as can be written at once."""
        if self._most_at_once is None or len(data) <= self._most_at_once:
            return data
        return data[: data.rfind(b"\n", 0, self._most_at_once) + 1 or self._most_at_once]

    def _flush_later(self) -> None:
        self._flush_handle = asyncio.get_running_loop().call_later(_FLUSH_SECONDS, self.flush)

    def _keep(self, data: bytes, limit: int) -> bytes:
        """Cut off the lines beyond a limit, but never the rest of a line that has begun."""
        first = data.index(b"\n") + 1 if self._is_amid_line else 0
        return data[: max(first, data.rfind(b"\n", 0, limit) + 1)]

    def _timestamp(self, now: float) -> str:
        second = int(now)
        if second != self._stamped_second:
            self._stamped_second = second
            self._stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._stamp}.{int((now - second) * 1000):03d}Z"


_LINE_FEED = 0x0A


def format_json(stamp: str, entry: LogEntry) -> str:
    """Write an entry as one line of JSON. Members that say nothing are left out."""
    line = (
        f'{{"time":"{stamp}","request_id":"{entry.request_id}","peer":{quote(entry.peer)},'
        f'"method":{quote(entry.method)},"host":{quote(entry.host)},"path":{quote(entry.path)},'
        f'"route":"{entry.route}","outcome":"{outcome(entry)}","status":{entry.status},'
        f'"duration_ms":{entry.duration * 1000:.3f},'
        f'"bytes_received":{entry.bytes_received},"bytes_sent":{entry.bytes_sent}'
    )
    if entry.reason is not None:
        line += f',"reason":"{entry.reason}"'
        if entry.detail:
            line += f',"detail":{quote(entry.detail)}'
    if entry.client_id is not None:
        line += f',"client_id":{quote(entry.client_id)}'
    if entry.subject is not None:
        line += f',"subject":{quote(entry.subject)}'
    if entry.upstream is not None:
        line += f',"upstream":"{entry.upstream}","upstream_ms":{entry.upstream_duration * 1000:.3f}'
    if entry.server is not None:
        line += f',"server":{quote(entry.server)}'
    return line + "}\n"


def format_text(stamp: str, entry: LogEntry) -> str:
    """Write an entry as one line that a person reads on a terminal."""
    who = entry.subject or entry.client_id or "-"
    what = f" {entry.reason}" if entry.reason else ""
    if entry.reason is not None and entry.detail:
        what += f" ({_printable(entry.detail)})"
    return (
        f"{stamp[11:23]} {entry.status} {_printable(entry.method):<7} {_printable(entry.host)}"
        f"{_printable(entry.path)} {entry.route}{what} {entry.duration * 1000:.1f}ms "
        f"{_printable(who)} {entry.request_id}\n"
    )


def shorten(entry: LogEntry) -> LogEntry:
    """Give an entry whose longest text is half as long."""
    name = max(_TEXTS, key=lambda name: len(getattr(entry, name) or ""))
    shortened = copy(entry)
    text: str = getattr(entry, name)
    setattr(shortened, name, text[: len(text) // 2] + "…")
    return shortened


# What has no bound but that of a request's head or of a token.
_TEXTS = ("host", "path", "detail", "client_id", "subject")


def outcome(entry: LogEntry) -> Literal["allowed", "refused", "failed", "gone"]:
    """Say in a word how a request ended."""
    if entry.status == CLIENT_GONE:
        return "gone"
    if entry.reason is None:
        return "refused" if entry.is_refused else "allowed"
    if entry.reason.startswith("upstream_") or entry.reason is Reason.INTERNAL_ERROR:
        return "failed"
    return "refused"


# What nginx logs when the client has closed the connection before its answer.
CLIENT_GONE = 499


def _printable(text: str) -> str:
    # A terminal obeys control characters; the path of a refused request may hold any.
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")
