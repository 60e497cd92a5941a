"""How long one request takes at 70 % of what each proxy can carry at most."""

import json
import statistics
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.load import MeasurementFailed
from benchmarks.pace import PATIENCE
from benchmarks.proxies import OTHER_CORE
from benchmarks.stage import ANSWER, Row, Stage

SHARE = 0.7  # of a proxy's own top rate
_START_SECONDS = 30


@dataclass
class Latency:
    """What one proxy gave at an even pace, round by round."""

    row: Row
    rate: float  # requests per second
    rounds: list[Mapping[str, float]] = field(default_factory=list)

    def median(self, name: str) -> float:
        """Gives a figure's median over the rounds."""
        return statistics.median(one[name] for one in self.rounds)

    def as_json(self) -> dict[str, object]:
        """Gives it as it stands in the result file."""
        return {
            "name": self.row.name,
            "rate": round(self.rate),
            "rate_kept": round(self.median("rate")),
            "p50_microseconds": self.median("p50_us"),
            "p99_microseconds": self.median("p99_us"),
            "p99_microseconds_rounds": [one["p99_us"] for one in self.rounds],
            "generator_delay_p99_microseconds": self.median("own_delay_p99_us"),
            "generator_busy": round(self.median("generator_busy"), 2),
        }


def measure_latencies(
    stage: Stage, rates: Mapping[str, float], connections: int, rounds: int, seconds: int
) -> list[Latency]:
    """Measures every guarded row in turn, round after round.

    Args:
        stage: what is measured.
        rates: the most requests per second that each row has answered, by its name.
        connections: how many there are to each proxy.
        rounds: how often each is measured.
        seconds: how long each time.

    Raises:
        MeasurementFailed: an answer differed or did not come.
    """
    table = [Latency(row, SHARE * rates[row.name]) for row in stage.rows if row.asked]
    for number in range(rounds):
        for latency in table:
            found = _drive(latency.row, latency.rate, stage.tokens, connections, seconds)
            latency.rounds.append(found)
            print(
                f"round {number + 1}/{rounds}  {latency.row.name:<32} at {latency.rate:6.0f} / s: "
                f"p50 {found['p50_us'] / 1000:.2f} ms, p99 {found['p99_us'] / 1000:.2f} ms",
                file=sys.stderr,
            )
    return table


def _drive(
    row: Row, rate: float, tokens: Path, connections: int, seconds: int
) -> Mapping[str, float]:
    command = ["taskset", "-c", str(OTHER_CORE), sys.executable, "-m", "benchmarks.pace"]
    command += [str(tokens), str(connections), str(row.port), str(rate), str(seconds), ANSWER]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds + PATIENCE + _START_SECONDS,
    )
    if done.returncode:
        raise MeasurementFailed(f"{row.name} at {rate:.0f} / s: {done.stderr.strip()}")
    found: Mapping[str, float] = json.loads(done.stdout)
    return found


def as_text(table: list[Latency]) -> str:
    """Gives the table as Markdown."""
    lines = [
        f"| at {SHARE:.0%} of its own top rate | requests / s | p50 ms | p99 ms |",
        "|---|---:|---:|---:|",
    ]
    lines += [
        f"| {latency.row.name} | {latency.rate:,.0f} | {latency.median('p50_us') / 1000:.2f} "
        f"| {latency.median('p99_us') / 1000:.2f} |"
        for latency in table
    ]
    return "\n".join(lines)
