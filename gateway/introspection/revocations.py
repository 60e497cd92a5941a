"""The feed of revocations between the processes of one host.

Every worker listens on a socket of its own in `state_dir`, before it serves its first request. Who
revokes commits to the database first, then tells every worker and awaits its acknowledgement. A
worker that starts listening after the commit has asked nobody yet, and will read what was committed.

Wire: one JSON line there, `ok` and a line feed back.
"""

import asyncio
import errno
import json
import logging
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path

from gateway.policy.interfaces import Revocation, RevocationNotAcknowledged, RevocationSink

log = logging.getLogger(__name__)

_FOLDER = "workers"
_SOCKET = re.compile(r"([0-9]+)\.sock")
_MAXIMUM_LINE = 4096
_ACKNOWLEDGEMENT = b"ok\n"


class RevocationListener:
    """Hears of revocations and passes them to a sink. A context manager: `async with`."""

    def __init__(self, state_dir: Path, sink: RevocationSink, count: Callable[[str], None]) -> None:
        self._path = _socket_folder(state_dir) / f"{os.getpid()}.sock"
        self._sink = sink
        self._count = count
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> "RevocationListener":
        """Begin to listen. Raises OSError when the socket cannot be made."""
        # A worker with this process id may have crashed here before.
        self._path.unlink(missing_ok=True)
        previous = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(
                self._serve, self._path, limit=_MAXIMUM_LINE
            )
        except OSError as error:
            if "too long" in str(error) or error.errno == errno.ENAMETOOLONG:
                raise OSError(
                    f"state_dir makes the socket's path too long ({self._path}); "
                    "choose a shorter one"
                ) from error
            raise
        finally:
            os.umask(previous)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()
        self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            message = json.loads(await reader.readline())
            revocation = Revocation(
                message["authorization_server"], message["kind"], message["value"]
            )
            self._sink.revoke(revocation)
            self._count(message["source"])
            writer.write(_ACKNOWLEDGEMENT)
            await writer.drain()
        except (ValueError, KeyError, TypeError, OSError) as error:
            # No acknowledgement: whoever revokes must not believe that this worker has understood.
            log.error("a revocation could not be understood: %s", error)
        finally:
            writer.close()


async def publish(
    state_dir: Path, revocation: Revocation, *, source: str, timeout: float = 1.0
) -> int:
    """Tell every worker of this host, and give the number that acknowledged.

    `source` is what the revocation is counted under; `timeout` is in seconds for all of them
    together. Raises RevocationNotAcknowledged when one stays silent: it may still let the token
    pass.
    """
    folder = _socket_folder(state_dir)
    line = (
        json.dumps(
            {
                "authorization_server": revocation.authorization_server,
                "kind": revocation.kind,
                "value": revocation.value,
                "source": source,
            }
        ).encode()
        + b"\n"
    )
    workers = [
        (int(match[1]), path)
        for path in sorted(folder.iterdir())
        if (match := _SOCKET.fullmatch(path.name)) and stat.S_ISSOCK(path.lstat().st_mode)
    ]
    heard = await asyncio.gather(*(_tell(path, line, timeout) for _, path in workers))
    silent = tuple(pid for (pid, _), answer in zip(workers, heard, strict=True) if answer is False)
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
        path.unlink(missing_ok=True)
        return None
    except (OSError, TimeoutError):
        return False
    finally:
        if writer is not None:
            writer.close()


def _socket_folder(state_dir: Path) -> Path:
    folder = state_dir / _FOLDER
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder
