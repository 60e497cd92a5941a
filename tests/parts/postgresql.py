"""A PostgreSQL server of the tests' own: in a temporary folder, on a port and a socket of its own.

    with PostgresServer() as server:
        url = server.create_database()

It shares nothing with a server that the machine may have. It syncs nothing to the disk unless it is
made durable: what it holds is gone when it stops.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import closing, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg
from psycopg import sql

from tests.parts.get import locate
from tests.parts.ports import free_port

USER = "gateway"
PASSWORD = "sesame:open@home/now"  # what must be percent-encoded in a URL
ENCODED_PASSWORD = "sesame%3Aopen%40home%2Fnow"

_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "on",
    "max_connections": "200",
    "shared_buffers": "32MB",
    "autovacuum": "off",  # it would take part in what tests measure and lock
    "max_wal_size": "256MB",
    "log_min_messages": "fatal",
}
_PATIENCE = 60.0  # seconds for a start on a busy machine


class PostgresServer:
    """One server; starts as a context manager, and is gone without a trace afterwards."""

    def __init__(self, *, is_durable: bool = False) -> None:
        # A durable one, for measurements, keeps PostgreSQL's own defaults.
        self._settings = {} if is_durable else _SETTINGS
        self._programs = locate("postgres").parent
        # The server refuses root, and any other user could not enter root's temporary folders.
        self._owner = unprivileged_owner()
        folder = None if is_durable else _folder_in_memory()
        self.folder = Path(tempfile.mkdtemp(prefix="gateway-postgres-", dir=folder))
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._count = 0

    def __enter__(self) -> Self:
        try:
            self._initialize()
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
    def pid(self) -> int:
        """Gives the process that all others of the server come from."""
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Says whether it was started, and has not been killed or stopped since."""
        return self._process is not None

    def url(self, database: str, *, password: str = ENCODED_PASSWORD) -> str:
        """Gives the URL by which the gateway would reach the database."""
        return f"postgresql://{USER}:{password}@127.0.0.1:{self.port}/{database}"

    def socket_url(self, database: str) -> str:
        """Gives the URL that goes by the unix socket, where no password is asked for."""
        return f"postgresql://{USER}@:{self.port}/{database}?host={self.folder}"

    def create_database(self, template: str = "template0") -> str:
        """Makes a database with what the template holds, and gives its name."""
        self._count += 1
        name = f"gateway_{self._count}"
        self._administer("CREATE DATABASE {} TEMPLATE {} ENCODING 'UTF8'", name, template)
        return name

    def drop_database(self, name: str) -> None:
        """Removes a database, whoever is connected to it."""
        self._administer("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)

    def start(self) -> None:
        """Starts the server and waits until it answers; after a kill it recovers first."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            command = [str(self._programs / "postgres"), "-D", str(self.folder / "data")]
            with (self.folder / "log").open("ab") as log:
                self._process = subprocess.Popen(
                    command, stdout=log, stderr=log, cwd=self.folder, **self._owner
                )
            while self._process.poll() is None:
                with suppress(psycopg.Error):
                    self._administer("SELECT 1")
                    return
                assert time.monotonic() < deadline, self._log()
                time.sleep(0.02)  # between two tries: nothing tells when the server accepts
            # Processes of one that was killed may be about to notice it; the next start fails until
            # they have, and nothing tells when that is.
            assert time.monotonic() < deadline, self._log()
            time.sleep(0.1)  # see above

    def kill(self) -> None:
        """Ends the server and all its processes with SIGKILL, as the lack of memory would."""
        assert self._process is not None
        pid = self._process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for victim in [pid, *map(int, children)]:
            with suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
        self._process.wait(_PATIENCE)
        self._process = None

    def stop(self) -> None:
        """Ends the server at once and in order."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)  # "fast": it ends its sessions itself
            self._process.wait(_PATIENCE)
            self._process = None

    def pause(self) -> None:
        """Lets every process of the server stand still."""
        self._signal_all(signal.SIGSTOP)

    def resume(self) -> None:
        """Lets the server go on."""
        self._signal_all(signal.SIGCONT)

    def close(self) -> None:
        """Stops the server and removes its folder."""
        self.stop()
        shutil.rmtree(self.folder)

    def connect(self, database: str = "postgres") -> psycopg.Connection:
        """Gives a connection of the administrator's, outside the gateway's own code."""
        return psycopg.connect(
            host=str(self.folder), port=self.port, user=USER, dbname=database, autocommit=True
        )

    def _initialize(self) -> None:
        if self._owner:
            shutil.chown(self.folder, self._owner["user"], self._owner["group"])
        password = self.folder / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)  # in a folder that nobody else enters
        command = [str(self._programs / "initdb"), "--pgdata", str(self.folder / "data")]
        command += ["--username", USER, "--pwfile", str(password), "--no-sync"]
        command += ["--auth-host=scram-sha-256", "--auth-local=trust"]
        command += ["--encoding=UTF8", "--locale=C"]
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=self.folder, check=False, **self._owner
        )
        assert done.returncode == 0, done.stderr
        settings = {
            **self._settings,
            "port": str(self.port),
            "listen_addresses": "'127.0.0.1'",
            "unix_socket_directories": f"'{self.folder}'",
        }
        with (self.folder / "data" / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = {value}\n" for name, value in settings.items())

    def _administer(self, statement: str, *names: str) -> None:
        composed = sql.SQL(statement).format(*map(sql.Identifier, names))
        with closing(self.connect()) as connection:
            connection.execute(composed)

    def _signal_all(self, number: int) -> None:
        assert self._process is not None
        pid = self._process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for receiver in [pid, *map(int, children)]:
            os.kill(receiver, number)

    def _log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")


def _folder_in_memory() -> Path | None:
    """Gives one that is no disk, where there is room in it: making a database copies files."""
    folder = Path("/dev/shm")
    has_room = folder.is_dir() and shutil.disk_usage(folder).free > 2**30
    return folder if has_room and os.access(folder, os.W_OK) else None


def unprivileged_owner() -> dict[str, object]:
    """Gives subprocess's arguments for another user, where this one is root."""
    if os.geteuid() != 0:
        return {}
    return {"user": "nobody", "group": "nogroup", "extra_groups": []}
