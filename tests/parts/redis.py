"""A Redis of the tests' own: in a temporary folder, on a port of its own, for one password.

    with RedisServer() as server:
        url = server.url

It keeps nothing: what it holds is gone when it is killed, unless `save` was called.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import redis

from tests.parts.get import locate
from tests.parts.ports import free_port

USER = "gateway"
PASSWORD = "sesame:open@home/now"
SECRET = "0123456789abcdef0123456789abcdef"
_PATIENCE = 30.0  # seconds for a start on a busy machine


class RedisServer:
    """One server; starts as a context manager, and is gone without a trace afterwards.

    Its only user may touch the keys of gateways, and nothing else.
    """

    def __init__(self, *, host: str = "127.0.0.1", prefix: tuple[str, ...] = ()) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="gateway-redis-"))
        self.host = host
        self.port = free_port()
        self._prefix = prefix  # what runs it elsewhere
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def url(self) -> str:
        """Gives the URL by which the gateway would reach it."""
        return f"redis://{self.host}:{self.port}/0"

    def section(self, **changes: object) -> dict[str, object]:
        """Gives the section `redis` of a configuration."""
        known = {"url": self.url, "username": USER, "password": PASSWORD, "secret": SECRET}
        return {**known, **changes}

    @property
    def pid(self) -> int:
        """Gives its process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Starts it and waits until it answers."""
        users = ["--user", "default", "off"]
        users += ["--user", USER, "on", f">{PASSWORD}", "~gateway:*", "+@all"]
        command = [
            *self._prefix,
            str(locate("redis-server")),
            "--port",
            str(self.port),
            "--bind",
            self.host,
        ]
        command += ["--dir", str(self.folder), "--save", "", "--appendonly", "no"]
        command += users
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + _PATIENCE
        with self.client() as client:
            while True:
                try:
                    client.ping()
                except redis.ConnectionError:
                    if self._process.poll() is not None or time.monotonic() > deadline:
                        raise RuntimeError((self.folder / "log").read_text()) from None
                    time.sleep(0.01)
                else:
                    return

    def client(self) -> "redis.Redis":
        """Gives a client of it, with the gateway's own rights."""
        return redis.Redis(
            self.host, self.port, username=USER, password=PASSWORD, socket_timeout=_PATIENCE
        )

    @property
    def is_running(self) -> bool:
        """Says whether it was started, and has not been killed since."""
        return self._process is not None

    def pause(self) -> None:
        """Lets it answer nothing any more, its connections open."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Lets a paused one go on."""
        if self._process is not None:
            os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """Ends it at once, as a power failure would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def close(self) -> None:
        """Ends it and removes its folder."""
        with suppress(ProcessLookupError):
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
