"""`make bench`, third part: what does not depend on how fast requests follow each other.

Memory of an idle worker and of idle connections, a large body each way, and what a long list of
routes adds to a look-up. Prints a table and writes benchmarks/results/footprint.json.
"""

import argparse
import gc
import json
import re
import resource
import secrets
import socket
import statistics
import subprocess
import sys
import tempfile
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from hashlib import sha1
from pathlib import Path
from threading import Thread

from benchmarks.goals import RESULTS, Goal, as_text, write_result
from benchmarks.load import MeasurementFailed
from benchmarks.processes import START_SECONDS, StartFailed, cpu_seconds, free_ports, running
from benchmarks.run import machine
from benchmarks.stage import GATEWAY, OTHER_CORE, PROXY_CORE, running_nginx
from tests.parts.get import PartMissing, locate

KIB, GIB = 1024, 1024**3
IDLE_CONNECTIONS = 2000
FEW_ROUTES, MANY_ROUTES = 10, 10_000


def resident(pid: int, field: str = "VmRSS") -> int:
    """Gives a figure of a process's memory in bytes; VmHWM is the most since `forget_peak`."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(re.findall(rf"{field}:\s+(\d+) kB", status)[0]) * KIB


def forget_peak(pid: int) -> None:
    """Has the kernel begin anew with the most memory that a process has used (proc(5))."""
    Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")


@contextmanager
def gateway(folder: Path, backend: int, *, is_embedded: bool = False) -> Iterator[tuple[int, int]]:
    """Runs a gateway with one public route to a port, and gives its process id and its port."""
    folder.mkdir()
    port, admin, embedded = free_ports(3)
    settings: dict[str, object] = {
        "listen": f"127.0.0.1:{port}",
        "admin_listen": f"127.0.0.1:{admin}",
        "limits": {"body": "2GiB"},
        "upstreams": {"files": {"servers": [f"http://127.0.0.1:{backend}"]}},
        "routes": [
            {"name": "files", "match": {"path": "/**"}, "public": True, "upgrade": ["websocket"]}
        ],
    }
    if is_embedded:
        settings["authorization_servers"] = {
            "local": {"embedded": {"listen": f"127.0.0.1:{embedded}"}}
        }
    (folder / "gateway.yaml").write_text(json.dumps(settings), encoding="utf-8")
    command = [GATEWAY, "run", "-c", folder / "gateway.yaml"]
    with running(command, PROXY_CORE, folder / "output", [port]) as process:
        # It binds its ports before it has loaded the rest: an answer says that it is all there.
        answered_connection(port).close()
        yield process.pid, port


def measure_memory(folder: Path, backend: int) -> list[Goal]:
    """Measures idle workers, and connections that wait for their next request."""
    lines = []
    with gateway(folder / "guard", backend) as (pid, port):
        lines.append(Goal("one idle worker, guard only", resident(pid) / KIB**2, 70, "MiB"))
        each = memory_of_each(pid, partial(answered_connection, port))
        lines.append(Goal("idle keep-alive connection", each / KIB, 10, "KiB"))
    with gateway(folder / "embedded", backend, is_embedded=True) as (pid, _):
        name = "one idle worker, with the embedded server"
        lines.append(Goal(name, resident(pid) / KIB**2, 130, "MiB"))
    return lines


def measure_tunnels(folder: Path) -> list[Goal]:
    """Measures WebSockets that are open and say nothing, both of their connections together."""
    with switching_service() as backend, gateway(folder / "tunnels", backend) as (pid, port):
        each = memory_of_each(pid, partial(open_tunnel, port))
    return [Goal("WebSocket tunnel, open and idle", each / KIB, 20, "KiB")]


@contextmanager
def switching_service() -> Iterator[int]:
    """Runs a service that agrees to every WebSocket, answers all else, and gives its port."""
    taken: list[socket.socket] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return  # it has been closed: the measurement is over
            taken.append(connection)
            head = connection.recv(65536)
            key = re.search(rb"(?i)sec-websocket-key: (\S+)", head)
            if key is None:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                connection.close()
                continue
            # RFC 6455, section 4.2.2.
            accept = b64encode(sha1(key[1] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
            connection.sendall(
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n"
                b"Upgrade: websocket\r\nSec-WebSocket-Accept: %b\r\n\r\n" % accept
            )

    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    thread = Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
        for connection in taken:
            connection.close()


def open_tunnel(port: int) -> socket.socket:
    """Opens a WebSocket through the gateway. Raises MeasurementFailed."""
    key = b64encode(secrets.token_bytes(16)).decode()
    return connect_and_ask(
        port,
        f"GET /socket HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n",
        101,
    )


def memory_of_each(pid: int, connect: Callable[[], socket.socket]) -> float:
    """Gives what each of many idle connections adds to a process's memory, in bytes."""
    # Some more before, for what a process takes once and not for each.
    opened = [connect() for _ in range(IDLE_CONNECTIONS // 10)]
    before = resident(pid)
    opened += [connect() for _ in range(IDLE_CONNECTIONS)]
    each = (resident(pid) - before) / IDLE_CONNECTIONS
    for connection in opened:
        connection.close()
    return each


def answered_connection(port: int) -> socket.socket:
    """Opens a connection and has one request answered. Raises MeasurementFailed."""
    return connect_and_ask(port, "GET /small HTTP/1.1\r\nHost: h\r\n\r\n", 200)


def connect_and_ask(port: int, request: str, status: int) -> socket.socket:
    """Opens a connection, sends a request and reads its answer. Raises MeasurementFailed."""
    connection = socket.create_connection(("127.0.0.1", port), 10)
    connection.settimeout(START_SECONDS)
    connection.sendall(request.encode("ascii"))
    answer = connection.recv(65536)
    if not answer.startswith(b"HTTP/1.1 %d " % status):
        raise MeasurementFailed(f"a request was not answered with {status}: {answer[:100]!r}")
    return connection


def measure_through(folder: Path, backend: int, large: Path, rounds: int) -> list[Goal]:
    """Sends one GiB each way through the gateway and through nginx in turn."""
    with ExitStack() as stack:
        proxies = {
            "gateway": stack.enter_context(gateway(folder / "through", backend)),
            "nginx": stack.enter_context(
                running_nginx(
                    folder / "peer", PROXY_CORE, f"proxy_pass http://127.0.0.1:{backend};"
                )
            ),
        }
        used: dict[tuple[str, str], list[float]] = {}
        growth = 0
        for _ in range(rounds):
            for way in ("download", "upload"):
                for name, (pid, port) in proxies.items():
                    if name == "gateway":
                        transfer(port, way, large)  # what grows once has grown
                        forget_peak(pid)
                    before, memory = cpu_seconds(pid), resident(pid)
                    transfer(port, way, large)
                    used.setdefault((way, name), []).append(cpu_seconds(pid) - before)
                    if name == "gateway":
                        growth = max(growth, resident(pid, "VmHWM") - memory)
    lines = []
    for way in ("download", "upload"):
        ours, theirs = (statistics.median(used[way, name]) for name in ("gateway", "nginx"))
        print(f"1 GiB {way}: gateway {ours:.2f} s, nginx {theirs:.2f} s", file=sys.stderr)
        lines.append(Goal(f"1 GiB {way}, CPU time", ours / theirs, 1.0, "x nginx"))
    lines.append(Goal("1 GiB each way, memory above what it was", growth / KIB**2, 8, "MiB"))
    return lines


def transfer(port: int, way: str, large: Path) -> None:
    """Sends one large file through a proxy. Raises MeasurementFailed."""
    command = ["taskset", "-c", str(OTHER_CORE), str(locate("curl")), "--silent", "--fail"]
    command += ["--output", "/dev/null", "--write-out", "%{size_download} %{size_upload}"]
    url = f"http://127.0.0.1:{port}/large"
    if way == "upload":
        command += ["--upload-file", str(large)]
        url = f"http://127.0.0.1:{port}/uploads/large"
    done = subprocess.run([*command, url], capture_output=True, text=True, check=False)
    if done.returncode or str(large.stat().st_size) not in done.stdout.split():
        raise MeasurementFailed(f"{way}: curl ended with {done.returncode}: {done.stdout}")


def measure_routes() -> list[Goal]:
    """Counts the machine's instructions for finding a route among few and among many."""
    costs = [instructions_per_look_up(count) for count in (FEW_ROUTES, MANY_ROUTES)]
    print(f"a look-up: {costs[0]:,.0f} and {costs[1]:,.0f} instructions", file=sys.stderr)
    ratio = costs[1] / costs[0]
    return [Goal(f"{MANY_ROUTES:,} routes against {FEW_ROUTES}, instructions", ratio, 1.05, "x")]


def instructions_per_look_up(routes: int) -> float:
    """Runs look-ups under callgrind, twice as many the second time: the rest cancels out."""
    rounds = (200, 1200)
    counted = [count_instructions(routes, number) for number in rounds]
    return (counted[1] - counted[0]) / ((rounds[1] - rounds[0]) * len(ASKED))


def count_instructions(routes: int, rounds: int) -> int:
    """Gives the instructions of a process of its own that looks routes up."""
    command = ["env", "PYTHONHASHSEED=0", locate("valgrind"), "--tool=callgrind"]
    command += ["--callgrind-out-file=/dev/null", sys.executable, "-m", "benchmarks.footprint"]
    command += ["--look-up", str(routes), str(rounds)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(re.findall(r"Collected : (\d+)", done.stderr)[0])


# What both tables have: a literal path, one with a name, one behind `**`; and what neither has.
ASKED = ("/service0/orders", "/service1/orders/17", "/service2/files/a/b/c", "/elsewhere")


def look_up(routes: int, rounds: int) -> None:
    """Finds each of some paths in a table of so many routes, again and again."""
    from gateway.policy.path import canonicalize_path
    from gateway.policy.routes import Route
    from gateway.policy.table import RouteTable

    patterns = ("/service{}/orders", "/service{}/orders/{{id}}", "/service{}/files/**")
    table = RouteTable(
        [
            Route(str(index), None, patterns[index % 3].format(index), frozenset({"GET"}), "u")
            for index in range(routes)
        ]
    )
    # A collection would fall into one run and not into the other.
    gc.collect()
    gc.disable()
    for _ in range(rounds):
        for path in ASKED:
            table.match(None, canonicalize_path(path), "GET")


def measure_all(folder: Path, rounds: int) -> list[Goal]:
    """Measures every row."""
    files = folder / "files"
    (files / "uploads").mkdir(parents=True)
    (files / "small").write_bytes(b"ok")
    large = files / "large"
    with large.open("wb") as file:
        file.truncate(GIB)
    for path in (folder, files, files / "uploads"):
        path.chmod(0o777)  # nginx as root gives its workers to another user
    with running_nginx(folder / "backend", OTHER_CORE, f"root {files}; dav_methods PUT;") as (
        _,
        backend,
    ):
        lines = measure_memory(folder, backend) + measure_tunnels(folder)
        lines += measure_through(folder, backend, large, rounds)
    return lines + measure_routes()


def main() -> int:
    """Gives the exit status: 0 when every figure means what it says, reached or not."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=0, help="not used here")
    parser.add_argument("--results", type=Path, default=RESULTS, help="the folder of the results")
    parser.add_argument("--look-up", type=int, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.look_up:
        look_up(*options.look_up)
        return 0
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    try:
        with tempfile.TemporaryDirectory(prefix="gateway-bench-") as folder:
            lines = measure_all(Path(folder), options.rounds)
    except (PartMissing, StartFailed, MeasurementFailed) as problem:
        print(f"bench: {problem}", file=sys.stderr)
        return 1
    write_result(
        options.results / "footprint.json",
        lines,
        measured=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=machine(),
    )
    print(as_text(lines), end="\n\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
