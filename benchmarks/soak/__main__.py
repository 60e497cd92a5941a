"""`make soak`: half of the top rate for half an hour, before servers that break and die.

One connection in a hundred of the three servers is broken, and every minute one of them is killed
and started again. No request may fail but those that cannot be helped (see verdict.py), each a
counted 502; memory and descriptors stay flat. Prints the figures, writes them to
benchmarks/results/soak.json, and ends with 1 when something did not hold.
"""

import argparse
import asyncio
import json
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from benchmarks.footprint import resident
from benchmarks.processes import free_ports, running
from benchmarks.soak.load import Load
from benchmarks.soak.verdict import Evidence, growth
from benchmarks.stage import GATEWAY, OTHER_CORE, PROXY_CORE

MIB = 1024 * 1024
SERVERS = 3
CONNECTIONS = 32
WARM_UP_SECONDS = 3.0
TOP_RATE_SECONDS = 5.0
# For how long a server that was killed stays away, as a part of the time between two kills.
SHARE_OF_ABSENCE = 1 / 4
ALLOWED_GROWTH_MIB = 8.0
ALLOWED_DESCRIPTORS = 16
RESULT = Path(__file__).parents[1] / "results" / "soak.json"


class Servers:
    """The servers behind the gateway, and when each was killed."""

    def __init__(self, folder: Path) -> None:
        self.ports = free_ports(SERVERS)
        self.logs = {f"127.0.0.1:{port}": folder / f"server-{port}.log" for port in self.ports}
        self.kills: dict[str, list[float]] = {label: [] for label in self.logs}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, label: str) -> None:
        """Start a server."""
        port = label.rpartition(":")[2]
        self.logs[label].touch()
        command = ["taskset", "-c", str(OTHER_CORE), sys.executable]
        command += ["-m", "benchmarks.soak.service", port, str(self.logs[label])]
        self._processes[label] = subprocess.Popen(command)

    def kill(self, label: str) -> None:
        """Kill a server, which can do nothing about it."""
        self.kills[label].append(time.time())
        self._processes[label].send_signal(signal.SIGKILL)
        self._processes[label].wait()

    def stop(self) -> None:
        """End them all."""
        for process in self._processes.values():
            process.kill()
            process.wait()


def count_descriptors(pid: int) -> int:
    """Give the number of files and sockets that a process has open."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


@dataclass
class Samples:
    """What the gateway's process held, second by second."""

    memory: list[float] = field(default_factory=list)
    descriptors: list[float] = field(default_factory=list)

    async def gather(self, pid: int) -> None:
        """Look once a second, until cancelled."""
        while True:
            self.memory.append(resident(pid) / MIB)
            self.descriptors.append(count_descriptors(pid))
            await asyncio.sleep(1.0)  # the rate at which it samples


async def kill_in_turn(servers: Servers, every: float) -> None:
    """Kill one server in each interval, and start it again before the next."""
    turn = 0
    while True:
        await asyncio.sleep(every * (1 - SHARE_OF_ABSENCE))
        label = list(servers.logs)[turn % SERVERS]
        servers.kill(label)
        await asyncio.sleep(every * SHARE_OF_ABSENCE)
        servers.start(label)
        turn += 1


@contextmanager
def running_gateway(folder: Path, servers: Servers) -> Iterator[tuple[int, int, int, str]]:
    """Run a gateway before the servers; give its process, its two ports and a token."""
    port, admin, issuer = free_ports(3)
    settings = {
        "listen": f"127.0.0.1:{port}",
        "admin_listen": f"127.0.0.1:{admin}",
        "access_log": "refusals",
        "log_format": "json",
        "authorization_servers": {
            "local": {
                "embedded": {
                    "listen": f"127.0.0.1:{issuer}",
                    "access_token_lifetime": "24h",
                    "scopes": {"items": "See and change items"},
                }
            }
        },
        "upstreams": {
            "items": {
                "servers": [f"http://{label}" for label in servers.logs],
                "health_check": {"path": "/healthz", "interval": "1s"},
            }
        },
        "routes": [
            {"name": "items", "match": {"path": "/items/{id}"}, "require": {"scopes": ["items"]}}
        ],
    }
    file = folder / "gateway.yaml"
    file.write_text(json.dumps(settings), encoding="utf-8")
    words = "client add soak --grant client_credentials --scope items --json -c"
    added = subprocess.run([GATEWAY, *words.split(), file], check=True, capture_output=True)
    secret = json.loads(added.stdout)["client_secret"]
    command = [GATEWAY, "run", "-c", file]
    with running(command, PROXY_CORE, folder / "access.log", [port, issuer]) as process:
        request = urllib.request.Request(
            f"http://127.0.0.1:{issuer}/oauth2/token",
            data=b"grant_type=client_credentials&scope=items",
            headers={"Authorization": f"Basic {b64encode(f'soak:{secret}'.encode()).decode()}"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            token = json.load(answer)["access_token"]
        yield process.pid, port, admin, token


async def put_under_load(
    load: Load, pid: int, servers: Servers, seconds: float, every: float
) -> tuple[float, float, Samples]:
    """Send half of the top rate for so many seconds, while servers die; give both rates."""
    await load.run(WARM_UP_SECONDS, None)
    top_rate = await load.run(TOP_RATE_SECONDS, None)
    samples = Samples()
    others = [
        asyncio.create_task(samples.gather(pid)),
        asyncio.create_task(kill_in_turn(servers, every)),
    ]
    rate = await load.run(seconds, top_rate / 2)
    for task in others:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    return top_rate, rate, samples


def count_of(metrics: str, name: str, label: str) -> int:
    """Give the sum of the series of a metric that have a label."""
    lines = (line for line in metrics.splitlines() if line.startswith(f"{name}{{"))
    return int(sum(float(line.rpartition(" ")[2]) for line in lines if label in line))


def judge(
    folder: Path, servers: Servers, load: Load, metrics: str, samples: Samples
) -> tuple[dict[str, object], list[str]]:
    """Give the figures, and what did not hold."""
    tally = load.tally
    # What the gateway says to its operator stands there, too.
    lines = (folder / "access.log").read_text().splitlines()
    entries = [json.loads(line) for line in lines if line.startswith("{")]
    told = {one["path"]: (one.get("server", "-"), one.get("detail", "")) for one in entries}
    evidence = Evidence(servers.logs, servers.kills, {str(one.item) for one in tally.failures})
    excuses: Counter[str] = Counter()
    wrong = []
    for failure in tally.failures:
        excuse = evidence.excuse(failure, *told.get(f"/items/{failure.item}", ("-", "")))
        if excuse is None:
            wrong.append(f"no excuse for {failure}")
        else:
            excuses[excuse] += 1
    counted = count_of(metrics, "gateway_requests_total", 'status="502"')
    refused = count_of(metrics, "gateway_refusals_total", 'reason="upstream_unavailable"')
    if not counted == refused == tally.statuses[502]:
        wrong.append(f"{tally.statuses[502]} answers were 502, {counted} and {refused} counted")
    memory, descriptors = growth(samples.memory), growth(samples.descriptors)
    if memory > ALLOWED_GROWTH_MIB:
        wrong.append(f"memory grew by {memory:.1f} MiB")
    if descriptors > ALLOWED_DESCRIPTORS:
        wrong.append(f"{descriptors:.0f} descriptors more are open")
    repeated = count_of(metrics, "gateway_upstream_requests_total", 'result="unavailable"')
    figures: dict[str, object] = {
        "requests": tally.answered + len(tally.failures),
        "answered": tally.answered,
        "failed": len(tally.failures),
        "excuses": dict(excuses),
        "attempts that failed": repeated,
        "connections broken": evidence.broken_connections,
        "servers killed": sum(map(len, servers.kills.values())),
        "slowest answer, ms": round(tally.slowest * 1000),
        "memory, MiB": [round(samples.memory[0], 1), round(max(samples.memory), 1)],
        "memory, growth in the last third, MiB": round(memory, 1),
        "descriptors, most": int(max(samples.descriptors)),
        "descriptors, growth in the last third": int(descriptors),
    }
    return figures, wrong


def soak(seconds: float, every: float) -> tuple[dict[str, object], list[str]]:
    """Run it all for so many seconds; one server is killed in each `every` of them."""
    with tempfile.TemporaryDirectory(prefix="gateway-soak-") as name:
        folder = Path(name)
        servers = Servers(folder)
        try:
            for label in servers.logs:
                servers.start(label)
            with running_gateway(folder, servers) as (pid, port, admin, token):
                load = Load(port, token, CONNECTIONS)
                top_rate, rate, samples = uvloop.run(
                    put_under_load(load, pid, servers, seconds, every)
                )
                with urllib.request.urlopen(f"http://127.0.0.1:{admin}/metrics") as answer:
                    metrics = answer.read().decode()
        finally:
            servers.stop()
        figures, wrong = judge(folder, servers, load, metrics, samples)
    rates: dict[str, object] = {
        "minutes": round(seconds / 60, 1),
        "top rate, requests/s": round(top_rate),
        "rate, requests/s": round(rate),
    }
    return rates | figures, wrong


def main() -> int:
    """Run it and print what was seen."""
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--kill-every", type=float, default=60.0, metavar="SECONDS")
    arguments = parser.parse_args()
    figures, wrong = soak(arguments.minutes * 60, arguments.kill_every)
    for name, figure in figures.items():
        print(f"{name:40} {figure}")
    for one in wrong[:20]:
        print(f"DOES NOT HOLD: {one}", file=sys.stderr)
    RESULT.write_text(json.dumps({**figures, "holds": not wrong}, indent=2) + "\n")
    print("it holds" if not wrong else f"{len(wrong)} things do not hold")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
