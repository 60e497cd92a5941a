"""`make bench`: CPU time per request of the guard, beside nginx doing the same job, in one run.

Prints a table and writes benchmarks/results/latest.json; benchmarks/README.md says how to read it.
Ends with an error when one answer differs from what it should be, or a side was not cached.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.load import MeasurementFailed, drive, write_requests
from benchmarks.processes import StartFailed, cpu_seconds
from benchmarks.stage import ANSWER, TOKENS, Row, Stage, set_up
from gateway import __version__
from tests.parts.get import PartMissing, locate

CONNECTIONS = 64

# More programs than this wanting a core before the run makes its figures theirs as well.
QUIET = 0.5
RESULT = Path(__file__).parent / "results" / "latest.json"

# Both sides remember an answer for so many seconds, and so ask about each token that often at most.
LIFETIME = 60

# Below this share of requests answered from memory, a row would measure introspection instead.
LEAST_HIT_RATE = 0.95


@dataclass
class Measured:
    """What one row gave, round by round."""

    row: Row
    micros: list[float] = field(default_factory=list)  # CPU microseconds per request
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
    result = drive_row(row, requests, seconds)
    used, asked = cpu_seconds(row.pid) - used, row.introspections() - asked
    measured.micros.append(used / result["requests"] * 1e6)
    measured.rates.append(result["requests"] / result["seconds"])
    measured.p99.append(int(result["p99_us"]))
    measured.requests += int(result["requests"])
    measured.introspections += asked


def measure_all(stage: Stage, rounds: int, seconds: int) -> list[Measured]:
    """Measures every row in turn, round after round, so that drift meets all of them alike."""
    table = [Measured(row) for row in stage.rows]
    requests = write_requests(
        stage.tokens.with_suffix(".lua"),
        [
            ("GET", "/orders/17", {"Authorization": f"Bearer {token}"}, "")
            for token in stage.tokens.read_text(encoding="utf-8").splitlines()
        ],
    )
    for measured in table:
        drive_row(measured.row, requests, 2)  # warm-up, not counted
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
    return table


def as_text(table: list[Measured], ratios: dict[str, float]) -> str:
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
    for name, ratio in ratios.items():
        lines.append(f"| **{name}** | **{ratio:.2f}** | | | | |")
    return "\n".join(lines)


def ratios_of(table: list[Measured]) -> dict[str, float]:
    """Gives gateway's CPU time as a multiple of what others, or itself, need."""
    cost = {measured.row.name: statistics.median(measured.micros) for measured in table}
    pairs = {
        "gateway : nginx auth_request, no log": ("gateway, no log", "nginx auth_request, no log"),
        "gateway : nginx auth_request, log": ("gateway, log", "nginx auth_request, log"),
        "gateway : mod_auth_openidc, no log": (
            "gateway, no log",
            "Apache mod_auth_openidc, no log",
        ),
        "gateway, log : no log": ("gateway, log", "gateway, no log"),
    }
    return {name: round(cost[one] / cost[other], 3) for name, (one, other) in pairs.items()}


def machine() -> dict[str, object]:
    """Gives what the figures were measured on and with."""
    cpu = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        if line.startswith("model name")
    ]
    nginx = subprocess.run([locate("nginx"), "-v"], capture_output=True, text=True, check=True)
    return {
        "processor": cpu[0] if cpu else platform.processor(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "nginx": nginx.stderr.strip().rpartition("/")[2],
        "gateway": __version__,
    }


def main() -> int:
    """Gives the exit status: 0 when every figure means what it says."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=4, help="how long one row of a round takes")
    parser.add_argument("--output", type=Path, default=RESULT)
    options = parser.parse_args()
    load = os.getloadavg()[0]
    if load > QUIET:
        print(f"bench: other programs are busy (load {load:.1f}): expect more", file=sys.stderr)
    try:
        with tempfile.TemporaryDirectory(prefix="gateway-bench-") as folder:
            # nginx as root gives its workers to another user, who must reach its folder.
            Path(folder).chmod(0o755)
            with set_up(Path(folder)) as stage:
                table = measure_all(stage, options.rounds, options.seconds)
    except (PartMissing, StartFailed, MeasurementFailed) as problem:
        print(f"bench: {problem}", file=sys.stderr)
        return 1
    ratios = ratios_of(table)
    result = {
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "load_before": round(load, 2),
        "connections": CONNECTIONS,
        "tokens": TOKENS,
        "answer_bytes": len(ANSWER),
        "rounds": options.rounds,
        "seconds": options.seconds,
        "rows": [measured.as_json() for measured in table],
        "ratios": ratios,
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(as_text(table, ratios))
    return 0


if __name__ == "__main__":
    sys.exit(main())
