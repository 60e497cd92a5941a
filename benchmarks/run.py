"""`make bench`: CPU time per request of the guard, beside its peers doing the same job, in one run.

Prints tables and writes benchmarks/results/latest.json; benchmarks/README.md says how to read them.
Ends with an error when one answer differs from what it should be, or a side was not cached.
"""

import argparse
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import latency
from benchmarks.goals import RESULTS, Goal, write_result
from benchmarks.latency import Latency, measure_latencies
from benchmarks.load import MeasurementFailed, drive, write_requests
from benchmarks.processes import StartFailed, cpu_seconds
from benchmarks.stage import ANSWER, TOKENS, Row, Stage, set_up
from gateway import __version__
from tests.parts.get import PartMissing, locate

CONNECTIONS = 64

# More programs than this wanting a core before the run makes its figures theirs as well.
QUIET = 0.5

# How the peers tell their version.
VERSIONS = (
    ("nginx", "-v"),
    ("apache2", "-v"),
    ("haproxy", "-v"),
    ("envoy", "--version"),
    ("caddy", "version"),
)

# Rounds for the latencies: each takes two minutes, and all rows have been warm for long.
LATENCY_ROUNDS = 3

# Both sides remember an answer for so many seconds, and so ask about each token that often at most.
LIFETIME = 60

# Below this share of requests answered from memory, a row would measure introspection instead.
LEAST_HIT_RATE = 0.95


@dataclass
class Measured:
    """What one row gave, round by round."""

    row: Row
    micros: list[float] = field(default_factory=list)  # CPU microseconds per request
    decisions: list[float] = field(default_factory=list)  # the same of whom it asks each time
    rates: list[float] = field(default_factory=list)  # requests per second
    p99: list[int] = field(default_factory=list)  # microseconds
    requests: int = 0
    introspections: int = 0

    @property
    def hit_rate(self) -> float:
        """The share of requests that asked nobody."""
        return 1 - self.introspections / self.requests

    def as_json(self) -> dict[str, object]:
        """Gives the row as it stands in the result file."""
        return {
            "name": self.row.name,
            "cpu_microseconds_per_request": round(statistics.median(self.micros), 2),
            "least": round(min(self.micros), 2),
            "most": round(max(self.micros), 2),
            "rounds": [round(value, 2) for value in self.micros],
            "decision_service_cpu_microseconds_per_request": (
                round(statistics.median(self.decisions), 2) if self.decisions else None
            ),
            "requests_per_second": round(statistics.median(self.rates)),
            "p99_microseconds": round(statistics.median(self.p99)),
            "requests": self.requests,
            "introspections": self.introspections if self.row.asks else None,
            "hit_rate": round(self.hit_rate, 5) if self.row.asks else None,
            "answers_that_differ": 0,
        }


def drive_row(row: Row, requests: Path, seconds: int) -> dict[str, float]:
    """Sends requests to one proxy and gives the counts. Raises MeasurementFailed."""
    return drive(row.name, row.port, CONNECTIONS, seconds, requests, "200", ANSWER)


def measure(measured: Measured, requests: Path, seconds: int) -> None:
    """Adds one round to a row."""
    row = measured.row
    asked, used = row.introspections(), cpu_seconds(row.pid)
    deciding = cpu_seconds(row.decision_pid) if row.decision_pid else 0.0
    result = drive_row(row, requests, seconds)
    used, asked = cpu_seconds(row.pid) - used, row.introspections() - asked
    if row.decision_pid:
        deciding = cpu_seconds(row.decision_pid) - deciding
        measured.decisions.append(deciding / result["requests"] * 1e6)
    measured.micros.append(used / result["requests"] * 1e6)
    measured.rates.append(result["requests"] / result["seconds"])
    measured.p99.append(int(result["p99_us"]))
    measured.requests += int(result["requests"])
    measured.introspections += asked


def warm_up(row: Row, requests: Path) -> None:
    """Sends what is not counted, until each token has been asked about."""
    sent = 0.0
    while sent < 2 * TOKENS:
        sent += drive_row(row, requests, 2)["requests"]


def write_warm_requests(stage: Stage) -> Path:
    """Writes requests with all of the tokens in turn, and gives the file."""
    return write_requests(
        stage.tokens.with_suffix(".lua"),
        [
            ("GET", "/orders/17", {"Authorization": f"Bearer {token}"}, "")
            for token in stage.tokens.read_text(encoding="utf-8").splitlines()
        ],
    )


def measure_all(stage: Stage, rounds: int, seconds: int) -> tuple[list[Measured], list[Latency]]:
    """Measures every row in turn, round after round, so that drift meets all of them alike."""
    table = [Measured(row) for row in stage.rows]
    requests = write_warm_requests(stage)
    for measured in table:
        warm_up(measured.row, requests)
    started = time.monotonic()
    for number in range(rounds):
        for measured in table:
            measure(measured, requests, seconds)
            print(
                f"round {number + 1}/{rounds}  {measured.row.name:<28} {measured.micros[-1]:6.1f}",
                file=sys.stderr,
            )
    questions = TOKENS * ((time.monotonic() - started) / LIFETIME + 1)
    for measured in table:
        if measured.introspections > questions or measured.hit_rate < LEAST_HIT_RATE:
            raise MeasurementFailed(
                f"{measured.row.name}: {measured.introspections} introspections for "
                f"{measured.requests} requests: not answered from memory"
            )
    rates = {measured.row.name: statistics.median(measured.rates) for measured in table}
    latencies = measure_latencies(stage, rates, CONNECTIONS, min(rounds, LATENCY_ROUNDS), seconds)
    return table, latencies


def as_text(table: list[Measured]) -> str:
    """Gives the table as Markdown."""
    lines = [
        "| | µs CPU / request | least - most | requests / s | p99 ms | from memory |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for measured in table:
        rate = f"{measured.hit_rate:.3%}" if measured.row.asks else ""
        lines.append(
            f"| {measured.row.name} | {statistics.median(measured.micros):.1f} "
            f"| {min(measured.micros):.1f} - {max(measured.micros):.1f} "
            f"| {statistics.median(measured.rates):,.0f} "
            f"| {statistics.median(measured.p99) / 1000:.1f} | {rate} |"
        )
    return "\n".join(lines)


def goals_of(table: list[Measured], latencies: list[Latency]) -> list[Goal]:
    """Gives what should be reached: ratios of CPU time; latencies are only told."""
    cost = {measured.row.name: statistics.median(measured.micros) for measured in table}
    ours, logging = "gateway, no log", "gateway, log"
    goals = [
        Goal(f"warm guarded request: {one} : {other}", cost[one] / cost[other], most, "x")
        for one, other, most in (
            (ours, "nginx auth_request, no log", 1.5),
            (logging, "nginx auth_request, log", 1.5),
            (ours, "Envoy ext_authz, no log", 0.7),
            (ours, "Apache mod_auth_openidc, no log", 0.5),
            (ours, "HAProxy with Lua, no log", None),
            (ours, "Caddy forward_auth, no log", None),
            (logging, ours, 1.2),
        )
    ]
    for one in latencies:
        for name in ("p50", "p99"):
            title = f"{name} at {latency.SHARE:.0%} of its own top rate: {one.row.name}"
            goals.append(Goal(title, one.median(f"{name}_us") / 1000, None, "ms"))
    return goals


def machine() -> dict[str, object]:
    """Gives what the figures were measured on and with."""
    cpu = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        if line.startswith("model name")
    ]
    return {
        "processor": cpu[0] if cpu else platform.processor(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        **{name: _version(name, *words) for name, *words in VERSIONS},
        "gateway": __version__,
    }


def _version(name: str, *words: str) -> str:
    done = subprocess.run([locate(name), *words], capture_output=True, text=True, check=True)
    found = re.search(r"\d+\.\d+[.\d]*", done.stdout + done.stderr)
    return found[0] if found else ""


def main() -> int:
    """Gives the exit status: 0 when every figure means what it says."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=4, help="how long one row of a round takes")
    parser.add_argument("--results", type=Path, default=RESULTS, help="the folder of the results")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    if load > QUIET:
        print(f"bench: other programs are busy (load {load:.1f}): expect more", file=sys.stderr)
    try:
        with tempfile.TemporaryDirectory(prefix="gateway-bench-") as folder:
            # nginx as root gives its workers to another user, who must reach its folder.
            Path(folder).chmod(0o755)
            with set_up(Path(folder)) as stage:
                table, latencies = measure_all(stage, options.rounds, options.seconds)
    except (PartMissing, StartFailed, MeasurementFailed) as problem:
        print(f"bench: {problem}", file=sys.stderr)
        return 1
    write_result(
        options.results / "latest.json",
        goals_of(table, latencies),
        measured=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=machine(),
        load_before=round(load, 2),
        connections=CONNECTIONS,
        tokens=TOKENS,
        answer_bytes=len(ANSWER),
        rounds=options.rounds,
        seconds=options.seconds,
        rows=[measured.as_json() for measured in table],
        latencies=[one.as_json() for one in latencies],
    )
    print(as_text(table), latency.as_text(latencies), sep="\n\n", end="\n\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
