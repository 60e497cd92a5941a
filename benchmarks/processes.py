"""Programs started for a measurement, each on the core it is told, and the CPU time they used."""

import select
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.parts.ports import free_port

START_SECONDS = 30.0


class StartFailed(Exception):  # noqa: N818 - says what happened
    """A program did not come up; the message has what it said."""


def free_ports(count: int) -> list[int]:
    """Gives different ports on which nobody else will listen."""
    return [free_port() for _ in range(count)]


@contextmanager
def running(
    command: Sequence[str | Path], core: int, output: Path, ready: Sequence[int]
) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a program on one core until the block ends.

    Args:
        command: the program and its arguments.
        core: the only core that it and its children may use.
        output: where its standard output and error go.
        ready: the ports on which it must accept connections before the block starts.

    Raises:
        StartFailed: it ended, or a port does not answer within START_SECONDS.
    """
    with output.open("wb") as stream:
        process = subprocess.Popen(
            ["taskset", "-c", str(core), *map(str, command)],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    try:
        for port in ready:
            _wait_for(port, process, output)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes], output: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            select.select([], [], [], 0.05)
        else:
            return
    said = output.read_text(encoding="utf-8", errors="replace")[-2000:]
    raise StartFailed(f"{process.args!r} does not answer on port {port}; it said:\n{said}")


def family(pid: int) -> list[int]:
    """Gives a process and all its descendants that live now."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name, in parentheses, may hold anything; the parent's number is the second after.
            after_name = entry.read_text(encoding="utf-8", errors="replace").rpartition(")")[2]
        except OSError:
            continue  # it ended meanwhile
        children.setdefault(int(after_name.split()[1]), []).append(int(entry.parent.name))
    found, waiting = [], [pid]
    while waiting:
        current = waiting.pop()
        found.append(current)
        waiting += children.get(current, [])
    return found


def cpu_seconds(pid: int) -> float:
    """Gives the CPU time, user and system, that a process and its descendants have used.

    From each process's own CPU clock, in nanoseconds and over all its threads, ended ones too.
    """
    total = 0.0
    for member in family(pid):
        try:
            total += own_cpu_seconds(member)
        except OSError:
            continue  # it ended meanwhile: nginx's cache loader does, once, after a minute
    return total


def own_cpu_seconds(pid: int) -> float:
    """Gives the CPU time that one process alone has used. Raises OSError when there is none."""
    # How Linux numbers the clock of another process: clock_getcpuclockid(3).
    return time.clock_gettime((~pid << 3) | 2)
