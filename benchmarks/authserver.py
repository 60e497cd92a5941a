"""`make bench`, its second half: what the embedded authorization server costs, on both databases.

Prints a table and writes benchmarks/results/authserver.json; benchmarks/README.md says how to read
it. Ends with an error when one answer has another status than it should.
"""

import argparse
import base64
import http.client
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import urlopen

from benchmarks.fill import fill
from benchmarks.goals import RESULTS, Goal, write_result
from benchmarks.load import MeasurementFailed, drive, write_requests
from benchmarks.processes import StartFailed, cpu_seconds, free_ports, running
from benchmarks.run import QUIET, machine
from benchmarks.stage import ANSWER, GATEWAY, OTHER_CORE, PROXY_CORE, filled, running_nginx
from tests.parts.get import PartMissing, locate
from tests.parts.postgresql import PostgresServer

CONNECTIONS = 16
SIGN_IN_CONNECTIONS = 4  # two hash at a time; the others wait
FEW, MANY = 1_000, 1_000_000
# So many different tokens are asked about in turn. With a cache that remembers for a millisecond,
# every guarded request is a cold one.
ASKED = 1_000
LEAST_COLD = 0.99  # of the guarded requests; the rest met an answer on its way
PASSWORD = "correct horse battery staple"
COLD, NGINX_COLD = "guarded, cold", "nginx that asks for each"


@dataclass(frozen=True)
class Server:
    """A running gateway with its embedded server, pinned to the core under test."""

    database: str  # SQLite or PostgreSQL
    configuration: Path
    url: str  # of the database
    pid: int
    database_pid: int | None
    guard: int
    admin: int
    issuer: int
    credentials: Mapping[str, str]  # client -> the value of its Authorization header

    def introspections(self) -> int:
        """Gives how many tokens the guard has asked its server about."""
        with urlopen(f"http://127.0.0.1:{self.admin}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        found = re.findall(r"^gateway_introspections_total\{.*\} (\d+)", text, re.MULTILINE)
        return sum(map(int, found))


@dataclass
class Row:
    """One line of the table: requests of one kind to one server, and what each round gave."""

    kind: str
    stored: int  # tokens
    server: Server
    port: int
    status: int
    requests: Path
    connections: int
    peer_pid: int | None = None  # whose CPU time is counted with the gateway's
    micros: list[float] = field(default_factory=list)  # of the gateway, per request
    database_micros: list[float] = field(default_factory=list)  # of PostgreSQL, per request
    rates: list[float] = field(default_factory=list)  # requests per second

    @property
    def name(self) -> str:
        """What is measured, among how many tokens."""
        return f"{self.kind}, {self.stored:,} tokens stored"

    def drive(self, seconds: int) -> dict[str, float]:
        """Sends the requests for some seconds and gives the counts. Raises MeasurementFailed."""
        expected = str(self.status)
        return drive(self.name, self.port, self.connections, seconds, self.requests, expected)

    def measure(self, seconds: int) -> None:
        """Adds one round."""
        used, database_used = self._used()
        asked = self.server.introspections()
        result = self.drive(seconds)
        asked = self.server.introspections() - asked
        later, database_later = self._used()
        if self.port == self.server.guard and asked < LEAST_COLD * result["requests"]:
            raise MeasurementFailed(f"{self.name}: {asked} introspections for {result}: not cold")
        self.micros.append((later - used) / result["requests"] * 1e6)
        self.database_micros.append((database_later - database_used) / result["requests"] * 1e6)
        self.rates.append(result["requests"] / result["seconds"])

    def _used(self) -> tuple[float, float]:
        ours, database, peer = (
            cpu_seconds(pid) if pid is not None else 0.0
            for pid in (self.server.pid, self.server.database_pid, self.peer_pid)
        )
        return ours + peer, database

    def as_json(self) -> dict[str, object]:
        """Gives the row as it stands in the result file."""
        micros = statistics.median(self.micros)
        return {
            "name": self.name,
            "database": self.server.database,
            "cpu_microseconds_per_request": round(micros, 1),
            "least": round(min(self.micros), 1),
            "most": round(max(self.micros), 1),
            "per_cpu_second": round(1e6 / micros),
            "database_cpu_microseconds_per_request": round(
                statistics.median(self.database_micros), 1
            ),
            "requests_per_second": round(statistics.median(self.rates)),
        }


def run_gateway_command(configuration: Path, *words: str, text: str = "") -> dict[str, str]:
    """Runs a command on a configuration and gives the JSON that it printed."""
    command = [GATEWAY, *words, "-c", configuration, "--json"]
    done = subprocess.run(command, input=text, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, str] = json.loads(done.stdout)
    return found


@contextmanager
def start_server(
    database: str, url: str, folder: Path, backend: int, database_pid: int | None
) -> Iterator[Server]:
    """Runs a gateway with that database until the block ends."""
    folder.mkdir()
    guard, admin, issuer = free_ports(3)
    configuration = folder / "gateway.yaml"
    settings = {
        "listen": f"127.0.0.1:{guard}",
        "admin_listen": f"127.0.0.1:{admin}",
        "access_log": "none",
        "introspection_cache": {"max_lifetime": "1ms", "negative_lifetime": "1ms"},
        "authorization_servers": {
            "local": {
                "embedded": {
                    "listen": f"127.0.0.1:{issuer}",
                    "issuer": f"http://127.0.0.1:{issuer}",
                    "database": url,
                    "scopes": {"orders:read": "See your orders"},
                }
            }
        },
        "upstreams": {"orders": {"servers": [f"http://127.0.0.1:{backend}"]}},
        "routes": [
            {
                "name": "read-orders",
                "match": {"path": "/orders/**", "methods": ["GET"]},
                "require": {"scopes": ["orders:read"]},
            }
        ],
    }
    configuration.write_text(json.dumps(settings, indent=2))
    credentials = {}
    for name, options in (
        ("load", ("--grant", "client_credentials", "--scope", "orders:read")),
        ("api", ("--introspect",)),
    ):
        secret = run_gateway_command(configuration, "client", "add", name, *options)
        pair = f"{name}:{secret['client_secret']}".encode()
        credentials[name] = f"Basic {base64.b64encode(pair).decode()}"
    run_gateway_command(configuration, "user", "add", "alice", "--password-stdin", text=PASSWORD)
    command = [GATEWAY, "run", "-c", configuration]
    with running(command, PROXY_CORE, folder / "output", [guard, issuer]) as process:
        path = folder / "state" / "gateway.db"
        yield Server(
            database,
            configuration,
            f"sqlite:///{path}" if database == "SQLite" else url,
            process.pid,
            database_pid,
            guard,
            admin,
            issuer,
            credentials,
        )


def rows_of(
    server: Server, nginx: tuple[int, int], folder: Path, tokens: Sequence[str], stored: int
) -> list[Row]:
    """Gives the rows of a server that holds so many tokens, some of which are named.

    `nginx` is the process id and the port of an nginx that asks this server.
    """
    nginx_pid, nginx_port = nginx
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    name = f"{server.database}-{stored}"
    issue = write_requests(
        folder / f"{name}-issue.lua",
        [
            (
                "POST",
                "/oauth2/token",
                {**form, "Authorization": server.credentials["load"]},
                urlencode({"grant_type": "client_credentials", "scope": "orders:read"}),
            )
        ],
    )
    introspect = write_requests(
        folder / f"{name}-introspect.lua",
        [
            (
                "POST",
                "/oauth2/introspect",
                {**form, "Authorization": server.credentials["api"]},
                urlencode({"token": token}),
            )
            for token in tokens
        ],
    )
    guarded = write_requests(
        folder / f"{name}-guarded.lua",
        [("GET", "/orders/17", {"Authorization": f"Bearer {token}"}, "") for token in tokens],
    )
    issuer = server.issuer
    return [
        Row("client credentials", stored, server, issuer, 200, issue, CONNECTIONS),
        Row("introspection over HTTP", stored, server, issuer, 200, introspect, CONNECTIONS),
        Row(COLD, stored, server, server.guard, 200, guarded, CONNECTIONS),
        Row(
            NGINX_COLD,
            stored,
            server,
            nginx_port,
            200,
            guarded,
            CONNECTIONS,
            nginx_pid,
        ),
    ]


@contextmanager
def start_nginx(server: Server, folder: Path, backend: int) -> Iterator[tuple[int, int]]:
    """Runs an nginx that asks the server about each request, and gives its process id and port."""
    folder.mkdir()
    (port,) = free_ports(1)
    words = {
        "folder": folder,
        "port": port,
        "backend_port": backend,
        "authorization_server_port": server.issuer,
        "introspection_credentials": server.credentials["api"],
    }
    (folder / "nginx.conf").write_text(filled("nginx/cold.conf", words), encoding="utf-8")
    command = [locate("nginx"), "-p", folder, "-c", folder / "nginx.conf"]
    with running(command, PROXY_CORE, folder / "output", [port]) as process:
        yield process.pid, port


def sign_in_row(server: Server, folder: Path, stored: int) -> Row:
    """Gives the row of people who sign in: one form, posted again and again."""
    connection = http.client.HTTPConnection("127.0.0.1", server.issuer, timeout=10)
    connection.request("GET", "/account")
    answer = connection.getresponse()
    cookie = str(answer.headers["Set-Cookie"]).partition(";")[0]
    found = re.search(r'name="csrf"\s+value="([^"]+)"', answer.read().decode())
    connection.close()
    if found is None:
        raise MeasurementFailed("the sign-in page has no form")
    body = urlencode(
        {"action": "sign-in", "csrf": found[1], "username": "alice", "password": PASSWORD}
    )
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": cookie}
    requests = write_requests(
        folder / f"{server.database}-sign-in.lua", [("POST", "/account", headers, body)]
    )
    return Row(
        "sign-in",
        stored,
        server,
        server.issuer,
        303,
        requests,
        SIGN_IN_CONNECTIONS,
    )


def measure(rows: Sequence[Row], rounds: int, seconds: int) -> None:
    """Measures rows in turn, round after round, so that drift meets all of them alike."""
    for row in rows:
        row.drive(seconds)  # warm-up, not counted
    for number in range(rounds):
        for row in rows:
            row.measure(seconds)
            print(
                f"round {number + 1}/{rounds}  {row.server.database:<10} {row.name:<46}"
                f" {row.micros[-1]:9.1f}",
                file=sys.stderr,
            )


def measure_all(folder: Path, rounds: int, seconds: int) -> list[Row]:
    """Starts both servers, measures them nearly empty, fills them, and measures them again."""
    table: list[Row] = []
    answer = f"default_type application/json; return 200 '{ANSWER}';"
    with ExitStack() as stack:
        _, backend = stack.enter_context(running_nginx(folder / "backend", OTHER_CORE, answer))
        postgresql = stack.enter_context(PostgresServer(is_durable=True))
        os.sched_setaffinity(postgresql.pid, {OTHER_CORE})  # and all that it starts from now on
        servers = [
            stack.enter_context(
                start_server("SQLite", "sqlite:///gateway.db", folder / "sqlite", backend, None)
            ),
            stack.enter_context(
                start_server(
                    "PostgreSQL",
                    postgresql.url(postgresql.create_database()),
                    folder / "postgres",
                    backend,
                    postgresql.pid,
                )
            ),
        ]
        peers = [
            stack.enter_context(start_nginx(server, folder / f"nginx-{server.database}", backend))
            for server in servers
        ]
        for stored in (FEW, MANY):
            rows = []
            for server, nginx in zip(servers, peers, strict=True):
                print(f"storing {stored:,} tokens in {server.database}", file=sys.stderr)
                tokens = fill(server.url, stored, ASKED)
                rows += rows_of(server, nginx, folder, tokens, stored)
            rows += [sign_in_row(server, folder, stored) for server in servers]
            measure(rows, rounds, seconds)
            table += rows
    return table


def as_text(table: Sequence[Row]) -> str:
    """Gives the table as Markdown."""
    lines = [
        "| | database | µs CPU / request | least - most | per CPU-second | of PostgreSQL, µs |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for row in table:
        micros = statistics.median(row.micros)
        theirs = statistics.median(row.database_micros)
        lines.append(
            f"| {row.name} | {row.server.database} | {micros:,.0f} "
            f"| {min(row.micros):,.0f} - {max(row.micros):,.0f} | {1e6 / micros:,.0f} "
            f"| {f'{theirs:,.0f}' if theirs else ''} |"
        )
    return "\n".join(lines)


def goals_of(table: Sequence[Row]) -> list[Goal]:
    """Gives the rows with many tokens: in microseconds, and beside nginx that asks for each."""
    goals = []
    for database in ("SQLite", "PostgreSQL"):
        micros = {
            row.kind: statistics.median(row.micros)
            for row in table
            if row.server.database == database and row.stored == MANY
        }
        ratio = micros[COLD] / micros[NGINX_COLD]
        goals.append(Goal(f"{COLD}, {database}: {NGINX_COLD}", ratio, 1.0, "x"))
        goals += [
            Goal(f"{kind}, {database}", value, None, "µs")
            for kind, value in micros.items()
            if kind != NGINX_COLD
        ]
    return goals


def main() -> int:
    """Gives the exit status: 0 when every figure means what it says."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3, help="how long one row of a round takes")
    parser.add_argument("--results", type=Path, default=RESULTS, help="the folder of the results")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    if load > QUIET:
        print(f"bench: other programs are busy (load {load:.1f}): expect more", file=sys.stderr)
    try:
        with tempfile.TemporaryDirectory(prefix="gateway-bench-") as folder:
            # nginx and PostgreSQL give their work to another user, who must reach the folder.
            Path(folder).chmod(0o755)
            table = measure_all(Path(folder), options.rounds, options.seconds)
    except (PartMissing, StartFailed, MeasurementFailed) as problem:
        print(f"bench: {problem}", file=sys.stderr)
        return 1
    write_result(
        options.results / "authserver.json",
        goals_of(table),
        measured=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=machine(),
        load_before=round(load, 2),
        rounds=options.rounds,
        seconds=options.seconds,
        rows=[row.as_json() for row in table],
    )
    print(as_text(table), end="\n\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
