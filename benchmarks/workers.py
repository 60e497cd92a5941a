"""`make bench`, fourth part: two workers beside one.

CPU time per request, the supervisor's included; how connections and work are split; and what a
connection costs that is opened for one request. Writes benchmarks/results/workers.json.
"""

import argparse
import json
import os
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.footprint import resident
from benchmarks.goals import RESULTS, Goal, as_text, write_result
from benchmarks.load import MeasurementFailed, drive, write_requests
from benchmarks.processes import StartFailed, family, free_ports, own_cpu_seconds, running
from benchmarks.run import machine
from benchmarks.stage import ANSWER, GATEWAY, OTHER_CORE, PROXY_CORE, running_nginx
from tests.parts.get import PartMissing

CONNECTIONS = 64
TRIALS = 40
MIB = 1024**2


@dataclass
class Side:
    """A gateway with so many workers, and what it used round by round."""

    workers: int
    port: int
    pid: int
    kept: list["Round"] = field(default_factory=list)  # 64 connections that are kept open
    opened: list["Round"] = field(default_factory=list)  # a connection for each request

    @property
    def serving(self) -> list[int]:
        """The processes that serve requests."""
        members = family(self.pid)
        return members if self.workers == 1 else [one for one in members if one != self.pid]


@dataclass(frozen=True)
class Round:
    """CPU microseconds per request: of each process that serves, and of the supervisor."""

    serving: list[float]
    supervisor: float

    @property
    def total(self) -> float:
        """What all of them used together."""
        return sum(self.serving) + self.supervisor

    @property
    def larger_share(self) -> float:
        """The part of the work that the busier of the workers did, in percent."""
        return 100 * max(self.serving) / sum(self.serving)


@contextmanager
def set_up(folder: Path) -> Iterator[list[Side]]:
    """Starts a service, and gateways with one and with two workers in front of it."""
    with ExitStack() as stack:
        location = f"default_type application/json; return 200 '{ANSWER}';"
        _, backend = stack.enter_context(running_nginx(folder / "backend", OTHER_CORE, location))
        sides = []
        for workers in (1, 2):
            own = folder / str(workers)
            own.mkdir()
            port, admin = free_ports(2)
            settings = {
                "listen": f"127.0.0.1:{port}",
                "admin_listen": f"127.0.0.1:{admin}",
                "workers": workers,
                "access_log": "none",
                # All clients here have one address.
                "limits": {"connections_per_address": 10_000},
                "upstreams": {"orders": {"servers": [f"http://127.0.0.1:{backend}"]}},
                "routes": [{"name": "orders", "match": {"path": "/**"}, "public": True}],
            }
            (own / "gateway.yaml").write_text(json.dumps(settings), encoding="utf-8")
            command = [GATEWAY, "run", "-c", own / "gateway.yaml"]
            # The operator's port answers when all workers are ready.
            process = stack.enter_context(
                running(command, PROXY_CORE, own / "output", [admin, port])
            )
            sides.append(Side(workers, port, process.pid))
        yield sides


def measure(side: Side, requests: Path, seconds: int) -> Round:
    """Gives what one round of requests used."""
    serving = side.serving
    before = [own_cpu_seconds(pid) for pid in (*serving, side.pid)]
    name = f"{side.workers} workers"
    count = drive(name, side.port, CONNECTIONS, seconds, requests, "200", ANSWER)["requests"]
    after = [own_cpu_seconds(pid) for pid in (*serving, side.pid)]
    *used, supervisor = (
        (later - earlier) / count * 1e6 for earlier, later in zip(before, after, strict=True)
    )
    return Round(used, supervisor if side.workers > 1 else 0.0)


def measure_load(sides: list[Side], folder: Path, rounds: int, seconds: int) -> None:
    """Measures both sides in turn, round after round, so that drift meets both alike."""
    request = ("GET", "/orders/17", {}, "")
    kept = write_requests(folder / "kept.lua", [request])
    closing = ("GET", "/orders/17", {"Connection": "close"}, "")
    opened = write_requests(folder / "opened.lua", [closing])
    for side in sides:
        measure(side, kept, 2)  # warm-up, not counted
    for _ in range(rounds):
        for side in sides:
            side.kept.append(measure(side, kept, seconds))
            side.opened.append(measure(side, opened, seconds))


def measure_split(side: Side) -> list[float]:
    """Gives the larger share of 64 connections, in percent, trial by trial."""
    shares = []
    for _ in range(TRIALS):
        _wait_for_connections(side, 0)
        clients = [socket.create_connection(("127.0.0.1", side.port)) for _ in range(CONNECTIONS)]
        counts = _wait_for_connections(side, CONNECTIONS)
        shares.append(100 * max(counts) / CONNECTIONS)
        for client in clients:
            client.close()
    return shares


def _wait_for_connections(side: Side, count: int) -> list[int]:
    """Gives how many connections each worker has, as soon as they are so many together."""
    serving = side.serving
    deadline = time.monotonic() + 10
    while True:
        counts = [count_connections(pid, side.port) for pid in serving]
        if sum(counts) == count:
            return counts
        if time.monotonic() > deadline:
            raise MeasurementFailed(f"{counts} connections where {count} were expected")


def count_connections(pid: int, port: int) -> int:
    """Gives how many open connections to clients of a port a process has."""
    lines = Path(f"/proc/{pid}/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    fields = [line.split() for line in lines]
    # In /proc, 01 is ESTABLISHED.
    inodes = {
        f"socket:[{one[9]}]" for one in fields if one[1].endswith(f":{port:04X}") and one[3] == "01"
    }
    count = 0
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # it has been closed meanwhile
            count += str(descriptor.readlink()) in inodes
    return count


def goals_of(one: Side, two: Side, shares: list[float], idle_bytes: int) -> list[Goal]:
    """Gives the rows of the table."""

    def median(rounds: list[Round], what: str) -> float:
        return statistics.median(getattr(each, what) for each in rounds)

    kept = median(two.kept, "total") / median(one.kept, "total")
    opened = median(two.opened, "total") / median(one.opened, "total")
    return [
        Goal("two workers : one, CPU per request", round(kept, 3), 1.1, "x"),
        Goal("larger share of the work", round(max(r.larger_share for r in two.kept), 1), 55, "%"),
        Goal(
            f"larger share of {CONNECTIONS} connections, worst of {TRIALS} trials",
            round(max(shares), 1),
            55,
            "%",
        ),
        Goal("two : one, a connection for each request", round(opened, 3), None, "x"),
        Goal(
            "of that, the supervisor by connection",
            round(median(two.opened, "supervisor"), 1),
            None,
            "µs",
        ),
        Goal("the supervisor, idle", round(idle_bytes / MIB, 2), None, "MiB"),
    ]


def measure_all(folder: Path, rounds: int, seconds: int) -> tuple[list[Goal], list[Side]]:
    """Measures every row, and gives the sides with all their rounds, too."""
    folder.chmod(0o755)  # nginx as root gives its workers to another user
    with set_up(folder) as sides:
        one, two = sides
        idle_bytes = resident(two.pid)
        shares = measure_split(two)
        measure_load(sides, folder, rounds, seconds)
    return goals_of(one, two, shares, idle_bytes), sides


def as_facts(side: Side) -> dict[str, object]:
    """Gives the rounds of a side as they stand in the result file."""
    return {
        "workers": side.workers,
        "kept": [{**asdict(each), "total": each.total} for each in side.kept],
        "opened": [{**asdict(each), "total": each.total} for each in side.opened],
    }


def main() -> int:
    """Gives the exit status: 0 when every figure means what it says, reached or not."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=4, help="how long one row of a round takes")
    parser.add_argument("--results", type=Path, default=RESULTS, help="the folder of the results")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    try:
        with tempfile.TemporaryDirectory(prefix="gateway-bench-") as folder:
            goals, sides = measure_all(Path(folder), options.rounds, options.seconds)
    except (PartMissing, StartFailed, MeasurementFailed) as problem:
        print(f"bench: {problem}", file=sys.stderr)
        return 1
    write_result(
        options.results / "workers.json",
        goals,
        measured=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=machine(),
        load_before=round(load, 2),
        sides=[as_facts(side) for side in sides],
    )
    print(as_text(goals), end="\n\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
