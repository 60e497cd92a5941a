"""Unix sockets to listen on: for a proxy on the same machine, and whom its file's mode lets in."""

import errno
import os
import socket
import stat
from contextlib import suppress
from typing import Final

# The gateway's user and group; nobody else, whatever the umask is.
_MODE: Final = 0o660


def bind_unix(path: str, backlog: int) -> tuple[socket.socket, os.stat_result]:
    """Listen on a path, in place of a socket that a gateway which was killed has left there.

    Gives the socket and its file's status, for `remove_unix`. Raises OSError.
    """
    with suppress(FileNotFoundError):
        _clear(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # The file takes its mode from here, less the umask: it is never open to more than that.
        os.fchmod(sock.fileno(), _MODE)
        sock.bind(path)
        os.chmod(path, _MODE)  # noqa: PTH101 - what the umask took
        status = os.lstat(path)
        sock.listen(backlog)
    except OSError:
        sock.close()
        raise
    return sock, status


def remove_unix(path: str, status: os.stat_result) -> None:
    """Remove the socket's file, unless another gateway has put its own there."""
    with suppress(OSError):
        now = os.lstat(path)
        if (now.st_dev, now.st_ino) == (status.st_dev, status.st_ino):
            os.unlink(path)  # noqa: PTH108 - as above


def _clear(path: str) -> None:
    """Remove a socket on which nobody listens any more. Raises OSError."""
    if not stat.S_ISSOCK(os.lstat(path).st_mode):
        raise FileExistsError(errno.EEXIST, "something that is no socket stands there")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        # A full backlog is an answer, too, and not to be waited for.
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)  # noqa: PTH108 - a string, as sockets take it
            return
        except BlockingIOError:
            pass
    raise OSError(errno.EADDRINUSE, "somebody listens there")
