"""`make bench`: what it costs to know who a token is, by where the answer comes from.

From memory, from Redis, from the embedded server, from one that is asked over HTTP; how soon a
revocation holds on another host; what remembered tokens weigh; whether random ones push them out.
Prints a table and writes benchmarks/results/introspection.json.
"""

import argparse
import http.client
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import urlopen

from joserfc import jwt
from joserfc.jwk import ECKey

from benchmarks.authserver import run_gateway_command
from benchmarks.fill import fill
from benchmarks.footprint import KIB, resident
from benchmarks.goals import RESULTS, Goal, as_text, write_result
from benchmarks.load import MeasurementFailed, drive, write_requests
from benchmarks.processes import StartFailed, cpu_seconds, free_ports, running
from benchmarks.run import machine
from benchmarks.stage import ANSWER, GATEWAY, OTHER_CORE, PROXY_CORE, running_nginx
from tests.parts.get import PartMissing, locate
from tests.parts.redis import RedisServer

CONNECTIONS = 16
TOKENS = 1_000
REVOCATIONS = 1_000
RANDOM_TOKENS = 1_000_000
REMEMBERED = 100_000
LEAST = 0.99  # of a row's requests that are answered from where the row says
NO_MEMORY = {"max_lifetime": "1ms", "negative_lifetime": "1ms"}
LONG_MEMORY = {"max_lifetime": "1h"}
SCOPE = "orders:read"


@dataclass(frozen=True)
class Gateway:
    """A running gateway."""

    pid: int
    port: int
    admin: int
    issuer: int

    def lookups(self) -> dict[str, int]:
        """Gives where answers came from, how many from each place."""
        with urlopen(f"http://127.0.0.1:{self.admin}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        name = "gateway_introspection_cache_lookups_total"
        return {
            result: int(count)
            for result, count in re.findall(rf'^{name}{{result="(\w+)"}} (\d+)', text, re.MULTILINE)
        }


@dataclass
class Row:
    """Requests to one gateway whose answers come from one place, and what each round gave."""

    name: str
    gateway: Gateway
    result: str  # what its look-ups must come to
    requests: Path
    micros: list[float] = field(default_factory=list)

    def measure(self, seconds: int) -> None:
        """Adds one round. Raises MeasurementFailed when the answers came from elsewhere."""
        used, before = cpu_seconds(self.gateway.pid), self.gateway.lookups()
        port = self.gateway.port
        done = drive(self.name, port, CONNECTIONS, seconds, self.requests, "200", ANSWER)
        used, after = cpu_seconds(self.gateway.pid) - used, self.gateway.lookups()
        count = after[self.result] - before[self.result]
        if count < LEAST * done["requests"]:
            raise MeasurementFailed(f"{self.name}: {count} of {done['requests']} {self.result}")
        self.micros.append(used / done["requests"] * 1e6)


class Fleet:
    """Gateways that share a database, and how each of them is configured."""

    def __init__(self, folder: Path, backend: int, stack: ExitStack) -> None:
        self.folder = folder
        self.backend = backend
        self.database = f"sqlite:///{folder / 'shared.db'}"
        self.issuer, self.second_issuer = free_ports(2)
        self.secrets: dict[str, str] = {}
        self._stack = stack

    def embedded(self, port: int | None = None) -> dict[str, object]:
        """Gives the section of the one embedded server, listening somewhere."""
        return {
            "embedded": {
                "listen": f"127.0.0.1:{port or self.issuer}",
                "issuer": f"http://127.0.0.1:{self.issuer}",
                "database": self.database,
                "scopes": {SCOPE: "See your orders"},
            }
        }

    def asked(self) -> dict[str, object]:
        """Gives the section of the same server, asked over HTTP."""
        issuer = f"http://127.0.0.1:{self.issuer}"
        return {
            "introspection": {
                "issuer": issuer,
                "url": f"{issuer}/oauth2/introspect",
                "client_id": "api",
                "client_secret": self.secrets["api"],
            }
        }

    def configure(
        self, name: str, server: Mapping[str, object], **changes: object
    ) -> tuple[Path, int, int]:
        """Writes a configuration; gives it and the ports of the guard and of the operator."""
        folder = self.folder / name
        folder.mkdir()
        port, admin = free_ports(2)
        settings = {
            "listen": f"127.0.0.1:{port}",
            "admin_listen": f"127.0.0.1:{admin}",
            "access_log": "none",
            "authorization_servers": {"local": server},
            "upstreams": {"orders": {"servers": [f"http://127.0.0.1:{self.backend}"]}},
            "routes": [
                {
                    "name": "read-orders",
                    "match": {"path": "/orders/**", "methods": ["GET"]},
                    "require": {"scopes": [SCOPE]},
                }
            ],
            **changes,
        }
        path = folder / "gateway.yaml"
        path.write_text(json.dumps(settings, indent=2), encoding="utf-8")
        return path, port, admin

    def register(self, configuration: Path) -> None:
        """Makes the clients that get tokens and that ask about them."""
        options = {
            "load": ("--grant", "client_credentials", "--scope", SCOPE),
            "api": ("--introspect",),
        }
        for name, words in options.items():
            done = run_gateway_command(configuration, "client", "add", name, *words)
            self.secrets[name] = done["client_secret"]

    def start(self, configuration: tuple[Path, int, int], core: int = PROXY_CORE) -> Gateway:
        """Runs a gateway until the measurement is over."""
        path, port, admin = configuration
        command = [GATEWAY, "run", "-c", path]
        process = self._stack.enter_context(running(command, core, path.parent / "output", [port]))
        return Gateway(process.pid, port, admin, self.issuer)


def requests_with(tokens: Sequence[str], path: Path) -> Path:
    """Writes a request with each token."""
    return write_requests(
        path, [("GET", "/orders/17", {"Authorization": f"Bearer {token}"}, "") for token in tokens]
    )


def learn(gateway: Gateway, requests: Path) -> None:
    """Has a gateway with a long memory ask about each token once."""
    before, asked = -1, 0
    while before < asked:
        drive("warm-up", gateway.port, CONNECTIONS, 2, requests, "200", ANSWER)
        before, asked = asked, gateway.lookups()["miss"]


def sign_tokens(folder: Path) -> tuple[list[str], dict[str, object]]:
    """Gives JWTs with eleven claims, each another one, and who vouches for them."""
    key = ECKey.generate_key("P-256", {"kid": "1", "alg": "ES256", "use": "sig"})
    public = folder / "jwks.json"
    public.write_text(json.dumps({"keys": [key.as_dict(private=False)]}), encoding="utf-8")
    issuer, now = "https://login.example.com", int(time.time())
    header = {"alg": "ES256", "typ": "at+jwt", "kid": "1"}
    claims = {
        "iss": issuer,
        "aud": "orders",
        "client_id": "web-application",
        "scope": f"{SCOPE} orders:write profile",
        "iat": now,
        "exp": now + 24 * 3600,
        "tenant": "acme",
        "auth_time": now,
        "acr": "1",
    }
    signed = [
        jwt.encode(header, {**claims, "sub": f"person-{number}", "jti": str(number)}, key)
        for number in range(TOKENS)
    ]
    return signed, {"jwt": {"issuer": issuer, "audience": "orders", "jwks": str(public)}}


def measure_places(folder: Path, rounds: int, seconds: int) -> list[Goal]:
    """Measures a request whose token is known in memory, in Redis, or by asking."""
    answer = f"default_type application/json; return 200 '{ANSWER}';"
    with ExitStack() as stack:
        _, backend = stack.enter_context(running_nginx(folder / "backend", OTHER_CORE, answer))
        redis = stack.enter_context(RedisServer())
        fleet = Fleet(folder, backend, stack)
        first = fleet.configure("memory", fleet.embedded(), introspection_cache=LONG_MEMORY)
        fleet.register(first[0])
        memory = fleet.start(first)
        (other,) = free_ports(1)
        cold = fleet.start(
            fleet.configure("cold", fleet.embedded(other), introspection_cache=NO_MEMORY)
        )
        shared = {"redis": redis.section(timeout="1s")}
        # One learns and shares for long; the other one remembers nothing itself.
        writer = fleet.start(
            fleet.configure("writer", fleet.asked(), introspection_cache=LONG_MEMORY, **shared)
        )
        reader = fleet.start(
            fleet.configure("reader", fleet.asked(), introspection_cache=NO_MEMORY, **shared)
        )
        over_http = fleet.start(
            fleet.configure("http", fleet.asked(), introspection_cache=NO_MEMORY)
        )
        tokens = fill(fleet.database, TOKENS, TOKENS)
        requests = requests_with(tokens, folder / "requests.lua")
        signed, server = sign_tokens(folder)
        signed_requests = requests_with(signed, folder / "signed.lua")
        checker = fleet.start(fleet.configure("jwt", server, introspection_cache=NO_MEMORY))
        for gateway in (memory, writer):
            learn(gateway, requests)
        rows = [
            Row("known from memory", memory, "hit", requests),
            Row("known from Redis", reader, "redis_hit", requests),
            Row("cold, embedded server", cold, "miss", requests),
            Row("cold, asked over HTTP", over_http, "miss", requests),
            Row("JWT of ES256, checked here", checker, "miss", signed_requests),
        ]
        for row in rows:
            drive("warm-up", row.gateway.port, CONNECTIONS, 1, row.requests, "200", ANSWER)
        for number in range(rounds):
            for row in rows:
                row.measure(seconds)
                print(f"round {number + 1}/{rounds}  {row.name:<24} {row.micros[-1]:8.1f}")
        goals = [Goal(row.name, statistics.median(row.micros), None, "µs") for row in rows]
        return goals + measure_flood(memory, requests)


def measure_flood(gateway: Gateway, requests: Path) -> list[Goal]:
    """Throws random tokens at the gateway; gives how many of the good ones it has forgotten."""
    count, seed = 0, int(time.time())
    while count < RANDOM_TOKENS:
        command = ["taskset", "-c", str(OTHER_CORE), locate("wrk"), "-t", "1", "--timeout", "10s"]
        command += ["-c", "64", "-d", "20s", "-s", Path(__file__).parent / "flood.lua"]
        command += [f"http://127.0.0.1:{gateway.port}", "--", str(seed + count)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        line = next(one for one in done.stdout.splitlines() if one.startswith("RESULT "))
        result = json.loads(line.removeprefix("RESULT "))
        if result["different"] or result["errors"]:
            raise MeasurementFailed(f"random tokens: {result}")
        count += result["compared"]
        print(f"{count:,} random tokens refused", file=sys.stderr)
    before = gateway.lookups()
    drive("good tokens", gateway.port, CONNECTIONS, 3, requests, "200", ANSWER)
    after = gateway.lookups()
    looked = sum(after.values()) - sum(before.values())
    missed = looked - (after["hit"] - before["hit"])
    name = f"look-ups that miss a good token after {count:,} random ones"
    return [Goal(name, 100 * missed / looked, 0, "%")]


@contextmanager
def keeping(port: int) -> Iterator[http.client.HTTPConnection]:
    """Gives a connection to a port of this machine."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        yield connection
    finally:
        connection.close()


def measure_revocations(folder: Path) -> list[Goal]:
    """Revokes at one host what another one remembers, and waits until that refuses it."""
    answer = f"default_type application/json; return 200 '{ANSWER}';"
    delays = []
    with ExitStack() as stack:
        _, backend = stack.enter_context(running_nginx(folder / "backend", OTHER_CORE, answer))
        redis = stack.enter_context(RedisServer())
        fleet = Fleet(folder, backend, stack)
        shared = {"redis": redis.section(timeout="1s")}
        first = fleet.configure("here", fleet.embedded(), **shared)
        fleet.register(first[0])
        here = fleet.start(first)
        there = fleet.start(
            fleet.configure("there", fleet.embedded(fleet.second_issuer), **shared), OTHER_CORE
        )
        basic = b64encode(f"load:{fleet.secrets['load']}".encode()).decode()
        headers = {
            "Authorization": f"Basic {basic}",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        asking = stack.enter_context(keeping(there.port))
        revoking = stack.enter_context(keeping(here.issuer))
        for token in fill(fleet.database, REVOCATIONS, REVOCATIONS):
            if ask(asking, token) != http.HTTPStatus.OK:
                raise MeasurementFailed("a token was refused before it was revoked")
            revoking.request("POST", "/oauth2/revoke", urlencode({"token": token}), headers)
            done = revoking.getresponse()
            done.read()
            if done.status != http.HTTPStatus.OK:
                raise MeasurementFailed(f"a revocation was answered with {done.status}")
            revoked_at = time.perf_counter()
            started = revoked_at
            while ask(asking, token) == http.HTTPStatus.OK:
                started = time.perf_counter()
            delays.append((started - revoked_at) * 1e3)
    delays.sort()
    median, ninety_nine = delays[len(delays) // 2], delays[len(delays) * 99 // 100]
    name = "a revocation holds on another host"
    return [
        Goal(f"{name}, median of {len(delays):,}", median, None, "ms"),
        Goal(f"{name}, 99 of 100", ninety_nine, 50, "ms"),
        Goal(f"{name}, the slowest", delays[-1], None, "ms"),
    ]


def ask(connection: http.client.HTTPConnection, token: str) -> int:
    """Sends a request with a token, and gives its status."""
    connection.request("GET", "/orders/17", headers={"Authorization": f"Bearer {token}"})
    answer = connection.getresponse()
    answer.read()
    return answer.status


def remember(count: int) -> None:
    """Remembers so many answers as a gateway would, and prints what they take, in bytes."""
    from gateway.introspection.cache import IntrospectionCache, cache_key
    from gateway.introspection.rfc7662 import read_answer

    cache = IntrospectionCache(max_lifetime=3600, negative_lifetime=5, max_entries=count)
    before = resident_here()
    for number in range(count):
        claims = {
            "active": True,
            "iss": "https://login.example.com",
            "sub": f"5f0c7a52-93b1-4f5e-9a54-{number:012d}",
            "username": f"person-{number}",
            "client_id": "web-application",
            "scope": "orders:read orders:write profile",
            "aud": ["https://api.example.com"],
            "exp": int(time.time()) + 3600,
            "iat": int(time.time()),
            "token_type": "Bearer",
            "tenant": "acme",
        }
        verdict = read_answer(json.dumps(claims).encode(), "https://login.example.com")
        cache.land(cache.depart(cache_key(b"source..", f"token-{number}")), verdict)
    print(resident_here() - before)


def resident_here() -> int:
    """Gives the memory of this process in bytes."""
    import os

    return resident(os.getpid())


def measure_memory() -> list[Goal]:
    """Measures what remembered tokens weigh, in a process of their own."""
    command = [sys.executable, "-m", "benchmarks.introspection", "--remember", str(REMEMBERED)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [Goal(f"{REMEMBERED:,} remembered tokens", int(done.stdout) / KIB**2, 90, "MiB")]


def main() -> int:
    """Gives the exit status: 0 when every figure means what it says, reached or not."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3, help="how long one row of a round takes")
    parser.add_argument("--results", type=Path, default=RESULTS, help="the folder of the results")
    parser.add_argument("--remember", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.remember:
        remember(options.remember)
        return 0
    try:
        goals = measure_memory()
        with tempfile.TemporaryDirectory(prefix="gateway-bench-") as name:
            folder = Path(name)
            folder.chmod(0o755)
            for part in ("places", "revocations"):
                (folder / part).mkdir()
            goals += measure_places(folder / "places", options.rounds, options.seconds)
            goals += measure_revocations(folder / "revocations")
    except (PartMissing, StartFailed, MeasurementFailed) as problem:
        print(f"bench: {problem}", file=sys.stderr)
        return 1
    write_result(
        options.results / "introspection.json",
        goals,
        measured=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=machine(),
        rounds=options.rounds,
        seconds=options.seconds,
    )
    print(as_text(goals), end="\n\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
