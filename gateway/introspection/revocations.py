"""The feed of revocations between the processes of one host.

Every worker listens on a socket of its own in `state_dir`, before it serves its first request. Who
revokes commits to the database first, then tells every worker and awaits its acknowledgement. A
worker that starts listening after the commit has asked nobody yet: it will read what was committed.

Rule: a worker that lives can be found. Its socket gets its final name only when it listens, so one
that refuses connections is dead for certain and may be removed; and no two workers ever have the
same name, not even two of the same process id in two containers.

Wire: one JSON line there, `ok` and a line feed back.
"""

import asyncio
import contextlib
import json
import logging
import os
import re
import secrets
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Self

from gateway.introspection.messages import read_revocation, write_revocation
from gateway.policy.interfaces import (
    Revocation,
    RevocationNotAcknowledged,
    RevocationSink,
    RevocationSource,
)

log = logging.getLogger(__name__)

_FOLDER = "workers"
_SOCKET = re.compile(r"([0-9]+)(?:-[0-9a-f]+)?\.sock")
_BACKLOG = 100
_MAXIMUM_LINE = 4096
_ACKNOWLEDGEMENT = b"ok\n"


class RevocationListener:
    """Hears of revocations and passes them to a sink. A context manager: `async with`."""

    def __init__(self, state_dir: Path, sink: RevocationSink, count: Callable[[str], None]) -> None:
        self._folder = state_dir / _FOLDER
        self._path = self._folder / f"{os.getpid()}-{secrets.token_hex(4)}.sock"
        self._sink = sink
        self._count = count
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        """Begin to listen. Raises OSError when the socket cannot be made."""
        state_dir = self._folder.parent
        if not state_dir.exists():
            state_dir.mkdir(mode=0o700, parents=True)
            state_dir.chmod(0o700)  # whatever the umask took from it
        self._folder.mkdir(mode=0o700, exist_ok=True)
        # Whatever the umask was, and whoever made it: nobody else puts a socket here.
        self._folder.chmod(0o700)
        for path, _ in _find_sockets(self._folder):
            if _is_abandoned(path):
                _remove(path)
        self._server = await asyncio.start_unix_server(
            self._serve, sock=_listen(self._path), limit=_MAXIMUM_LINE
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()
        self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = await reader.readline()
            if not line:
                return  # somebody looked whether this worker lives
            revocation, source = _read_message(line)
            self._sink.revoke(revocation)
            self._count(source)
            writer.write(_ACKNOWLEDGEMENT)
            await writer.drain()
        except (ValueError, RecursionError) as error:
            # No acknowledgement: whoever revokes must not believe that this worker has understood.
            log.error("a revocation could not be understood: %s", error)
        except OSError as error:
            log.warning("a revocation could not be acknowledged: %s", error)
        finally:
            writer.close()


async def publish(
    state_dir: Path, revocation: Revocation, source: RevocationSource, *, timeout: float = 1.0
) -> int:
    """Tell every worker of this host, and give the number that acknowledged.

    `source` is what the revocation is counted under; `timeout` is in seconds for all of them
    together. Raises RevocationNotAcknowledged when one stays silent: it may still let the token
    pass; and OSError when it cannot be seen which workers there are.
    """
    message = write_revocation(revocation, source)
    line = json.dumps(message).encode() + b"\n"
    workers = _find_sockets(state_dir / _FOLDER)
    heard = await asyncio.gather(*(_tell(path, line, timeout) for path, _ in workers))
    silent = tuple(pid for (_, pid), answer in zip(workers, heard, strict=True) if answer is False)
    if silent:
        raise RevocationNotAcknowledged(silent)
    return sum(answer is True for answer in heard)


async def _tell(path: Path, line: bytes, timeout: float) -> bool | None:
    """Tell one worker: True when it acknowledged, False when not, None when there is none."""
    writer = None
    try:
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(line)
            return await reader.readline() == _ACKNOWLEDGEMENT
    except (ConnectionRefusedError, FileNotFoundError):
        # Nobody listens: what is left of a worker that crashed. It holds no answers any more.
        _remove(path)
        return None
    except (OSError, ValueError, TimeoutError):
        return False
    finally:
        if writer is not None:
            writer.close()


def _find_sockets(folder: Path) -> list[tuple[Path, int]]:
    """Give the sockets of workers with their process ids; none when no worker ever ran."""
    found = []
    try:
        paths = sorted(folder.iterdir())
    except FileNotFoundError:
        return []
    for path in paths:
        match = _SOCKET.fullmatch(path.name)
        try:
            if match is not None and stat.S_ISSOCK(path.lstat().st_mode):
                found.append((path, int(match[1])))
        except FileNotFoundError:
            continue  # the worker has stopped just now
    return found


def _listen(path: Path) -> socket.socket:
    """Make a socket that listens, for its owner alone, and only then give it its name."""
    unfinished = path.with_suffix(".bind")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        try:
            sock.bind(str(unfinished))
        except OSError as error:
            if "too long" not in str(error):
                raise
            raise OSError(
                f"state_dir makes the socket's path too long ({path}); choose a shorter one"
            ) from error
        try:
            unfinished.chmod(0o600)
            sock.listen(_BACKLOG)
            unfinished.rename(path)
        except OSError:
            unfinished.unlink(missing_ok=True)
            raise
    except OSError:
        sock.close()
        raise
    sock.setblocking(False)
    return sock


def _is_abandoned(path: Path) -> bool:
    """Say whether nobody listens at a socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.setblocking(False)
        try:
            sock.connect(str(path))
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return False


def _remove(path: Path) -> None:
    # Who may not remove it loses nothing: it is asked in vain the next time, too.
    with contextlib.suppress(OSError):
        path.unlink()


def _read_message(line: bytes) -> tuple[Revocation, str]:
    """Read what `publish` wrote: the revocation and its source. Raises ValueError."""
    message = json.loads(line)
    if not isinstance(message, dict) or not line.endswith(b"\n"):
        raise ValueError("it is no line with a JSON object")
    return read_revocation(message)
