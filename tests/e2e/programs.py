"""Programs that the end-to-end tests start: each waited for, and ended by its own process id."""

import json
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import requests

from tests.parts.ports import free_port

START_SECONDS = 30.0
STOP_SECONDS = 15.0

GATEWAY = Path(sys.executable).parent / "gateway"


def wait_until(condition: Callable[[], object], seconds: float = 10.0, what: str = "") -> None:
    """Returns as soon as the condition holds; fails when it has not after some seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what or condition}")
        time.sleep(0.01)  # between two looks at another process, which tells nobody when it holds


class Program:
    """A running program whose standard error is read line by line."""

    def __init__(self, command: Sequence[str | Path], output: Path, **options: object) -> None:
        self.output = output
        self.said: list[str] = []
        self._unread: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        with output.open("ab") as stream:
            self.process = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.PIPE,
                text=True,
                **options,
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self.process.pid

    def _read(self) -> None:
        for line in self.process.stderr:
            self.said.append(line)
            self._unread.put(line)
        self._unread.put(None)

    def wait_for_line(self, pattern: str) -> re.Match[str]:
        """Gives the first line, of those not asked for yet, in which the pattern is found."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                line = self._unread.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                line = None
            if line is None:
                raise AssertionError(f"{self.process.args}: no {pattern!r}; said:\n{self.text()}")
            if found := re.search(pattern, line):
                return found

    def text(self) -> str:
        """Gives all that it has said on standard error so far."""
        return "".join(self.said)

    def stop(self) -> int:
        """Ends it by SIGTERM, by SIGKILL if need be, and gives its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
        status = self.process.wait()
        self._reader.join(STOP_SECONDS)
        self.process.stderr.close()
        return status


@dataclass
class Gateway:
    """A `gateway run` process that accepts connections."""

    program: Program
    configuration: Path
    url: str
    admin_url: str
    authorization_server_url: str | None
    environment: Mapping[str, str] | None = None
    executable: Path = GATEWAY
    secrets: dict[str, str] = field(default_factory=dict)  # client -> its secret

    @property
    def pid(self) -> int:
        return self.program.pid

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.url.partition("://")[2].rpartition(":")
        return host, int(port)

    def command(self, *words: str, **options: object) -> subprocess.CompletedProcess[str]:
        """Runs a `gateway` command on this gateway's configuration."""
        command = [str(self.executable), *words, "-c", str(self.configuration)]
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            env=self.environment,
            timeout=60,
            **options,
        )

    def add_client(self, name: str, *options: str) -> str:
        """Registers a client and gives its secret."""
        done = self.command("client", "add", name, *options, "--json")
        assert done.returncode == 0, done.stderr
        self.secrets[name] = json.loads(done.stdout)["client_secret"]
        return self.secrets[name]

    def issue_token(self, client: str, scope: str) -> str:
        """Gets an access token of a registered client from the embedded server."""
        answer = requests.post(
            f"{self.authorization_server_url}/oauth2/token",
            data={"grant_type": "client_credentials", "scope": scope},
            auth=(client, self.secrets[client]),
            timeout=10,
        )
        assert answer.status_code == 200, answer.text
        return answer.json()["access_token"]

    def access_log(self) -> list[dict[str, object]]:
        """Gives the lines of the access log so far."""
        return [json.loads(line) for line in self.program.output.read_text().splitlines()]


@contextmanager
def running_gateway(
    settings: Mapping[str, object],
    folder: Path,
    *,
    executable: Path = GATEWAY,
    environment: Mapping[str, str] | None = None,
    words: Sequence[str] = (),
    **options: object,
) -> Iterator[Gateway]:
    """Runs `gateway run -c FILE` and more words with these settings until the block ends.

    Listeners that the settings leave out get port 0; the ready line says which they got.
    """
    folder.mkdir(parents=True, exist_ok=True)
    configuration = folder / "gateway.yaml"
    defaults = {"listen": "127.0.0.1:0", "admin_listen": "127.0.0.1:0"}
    # JSON is YAML: what is quoted here cannot be misread there.
    configuration.write_text(json.dumps({**defaults, **settings}, indent=2), encoding="utf-8")
    command = [executable, "run", "-c", configuration, *words]
    program = Program(command, folder / "access.log", env=environment, **options)
    try:
        ready = program.wait_for_line(
            r"ready on (?P<url>(https?://|unix:)[^\s,]+)( and [^\s,]+)*, admin (?P<admin>http://[^\s,]+)"
            r"(, authorization server (?P<server>https?://[^\s,]+))?$"
        )
        yield Gateway(
            program,
            configuration,
            ready["url"],
            ready["admin"],
            ready["server"],
            environment,
            executable,
        )
    finally:
        program.stop()


@contextmanager
def running_httpbin(gunicorn: Path, folder: Path) -> Iterator[str]:
    """Runs httpbin under gunicorn until the block ends, and gives its URL."""
    folder.mkdir(parents=True, exist_ok=True)
    command: list[str | Path] = [gunicorn, "--bind", "127.0.0.1:0", "--threads", "16"]
    # Fold `_` and `-` of header names together, as CGI does and older servers did: the legacy
    # service that is easiest to deceive is the one to guard.
    command += ["--header-map", "dangerous", "--no-control-socket", "httpbin:app"]
    program = Program(command, folder / "httpbin.log", cwd=folder)
    try:
        yield program.wait_for_line(r"Listening at: (http://[0-9.:]+)")[1]
    finally:
        program.stop()


def embedded_server(scopes: Mapping[str, str], lifetime: str = "10m") -> dict[str, object]:
    """Gives the settings of an embedded authorization server on a free port."""
    address = f"127.0.0.1:{free_port()}"
    return {
        "embedded": {
            "listen": address,
            "issuer": f"http://{address}",
            "access_token_lifetime": lifetime,
            "scopes": dict(scopes),
        }
    }
