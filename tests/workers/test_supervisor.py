"""The supervisor over workers that are real processes."""

import asyncio
import logging
import os
import signal
import site
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import gateway
from gateway.app import Share, open_gateway
from gateway.serving import Addresses, StartFailure
from gateway.settings import Address, examine
from gateway.workers import supervisor as supervisor_module
from gateway.workers.process import Orders, WorkerProcess, environment_of_workers
from gateway.workers.supervisor import Supervisor, supervise
from tests.workers.stand import until

CONFIGURATION = """
listen: 127.0.0.1:0
admin_listen: 127.0.0.1:0
upstreams: {nobody: {servers: ["http://127.0.0.1:9"]}}
routes: [{name: all, match: {path: /orders}, public: true}]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "gateway.yaml"
    path.write_text(CONFIGURATION)
    return path


@asynccontextmanager
async def running(file: Path, count: int = 2) -> AsyncIterator[Supervisor]:
    examination = examine(file)
    assert examination.settings is not None
    async with supervise(examination.settings, count, file, examination.content) as supervisor:
        yield supervisor


def serving(supervisor: Supervisor) -> dict[int, int]:
    """Gives the process ids of the workers by their numbers."""
    return {worker.number: worker.pid for worker in supervisor._serving()}


async def test_a_worker_that_hangs_is_killed_and_replaced(
    file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(supervisor_module, "_WATCH_SECONDS", 0.1)
    monkeypatch.setattr(supervisor_module, "_HANG_SECONDS", 1.0)
    async with running(file) as supervisor:
        before = serving(supervisor)
        os.kill(before[1], signal.SIGSTOP)
        await until(lambda: serving(supervisor).get(1, before[1]) != before[1])
        assert serving(supervisor)[0] == before[0]
    assert f"worker 1 (process {before[1]}) hangs: killed" in caplog.text


async def test_a_worker_that_ends_at_once_is_replaced_ever_more_slowly(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And quickly again when one has lasted."""
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def note(seconds: float) -> None:
        if seconds >= 0.1:
            pauses.append(seconds)
        await sleep(min(seconds, 0.01))

    monkeypatch.setattr("gateway.workers.supervisor.asyncio.sleep", note)
    async with running(file) as supervisor:
        for time in range(3):
            pid = serving(supervisor)[1]
            if time == 2:
                monkeypatch.setattr(supervisor_module, "_STEADY_SECONDS", 0.0)
            os.kill(pid, signal.SIGKILL)
            await until(lambda pid=pid: serving(supervisor).get(1, pid) != pid)
    assert pauses == [0.1, 0.2, 0.1]


async def test_a_worker_that_does_not_drain_in_time_is_killed(
    file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(supervisor_module, "_DRAIN_PATIENCE", 0.5)
    async with running(file) as supervisor:
        pids = serving(supervisor)
        os.kill(pids[0], signal.SIGSTOP)
    assert f"worker 0 (process {pids[0]}) does not end: killed" in caplog.text
    assert not Path(f"/proc/{pids[0]}").exists()
    assert not Path(f"/proc/{pids[1]}").exists()


async def test_a_worker_that_never_gets_ready_fails_the_start_and_none_is_left(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[int] = []
    start = WorkerProcess.start

    async def note(orders: Orders, *rest: object) -> WorkerProcess:
        worker = await start(orders, *rest)  # type: ignore[arg-type]
        started.append(worker.pid)
        os.kill(worker.pid, signal.SIGSTOP)
        return worker

    monkeypatch.setattr("gateway.workers.process.START_SECONDS", 0.5)
    monkeypatch.setattr(WorkerProcess, "start", note)
    with pytest.raises(StartFailure, match="does not get ready"):
        async with running(file):
            pass
    assert len(started) == 2
    assert not any(Path(f"/proc/{pid}").exists() for pid in started)


async def test_a_worker_that_ends_before_it_is_ready_fails_the_start(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = WorkerProcess.start

    async def kill(orders: Orders, *rest: object) -> WorkerProcess:
        worker = await start(orders, *rest)  # type: ignore[arg-type]
        if orders.number == 1:
            worker.kill()
        return worker

    monkeypatch.setattr(WorkerProcess, "start", kill)
    with pytest.raises(StartFailure, match="worker 1 has ended before it was ready"):
        async with running(file):
            pass


async def test_what_a_worker_told_before_its_death_stays_though_nobody_asked(file: Path) -> None:
    """It tells by itself, every second."""
    async with running(file) as supervisor:
        [address] = supervisor.addresses.guard
        assert isinstance(address, Address)
        reader, writer = await asyncio.open_connection(address.host, address.port)
        writer.write(b"GET /nothing HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 404")
        writer.close()
        labels = ("-", "GET", "404")
        before = set(supervisor._merged._state[1])
        await until(
            lambda: any(
                labels in one.get("gateway_requests_total", {})
                for one in supervisor._merged._state[1].values()
            )
        )
        for pid in serving(supervisor).values():
            os.kill(pid, signal.SIGKILL)
        await until(lambda: not before & set(supervisor._merged._state[1]))
        line = b'gateway_requests_total{method="GET",route="-",status="404"} 1.0\n'
        assert line in await supervisor.read()


def test_workers_find_the_package_where_the_supervisor_has_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Beside installed packages nothing goes before the standard library."""
    root = str(Path(gateway.__file__).parents[1])
    assert environment_of_workers()["PYTHONPATH"] == root
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.setattr(site, "getsitepackages", lambda: [root])
    assert "PYTHONPATH" not in environment_of_workers()


async def test_the_log_of_several_workers_is_written_so_that_lines_do_not_mix(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What goes to a pipe is never longer than the system writes whole."""
    caplog.set_level(logging.WARNING)
    settings = examine(file).settings
    assert settings is not None
    anywhere = Address("127.0.0.1", 1)
    read, write = os.pipe()
    request = b"GET /%b HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n" % (b"x" * 6000)
    for count in (1, 2):
        addresses = Addresses((anywhere,), anywhere, None)
        async with open_gateway(settings, addresses, write, Share(0, count)) as opened:
            loop = asyncio.get_running_loop()
            server = await loop.create_server(opened.front, "127.0.0.1", 0)
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(request)
            await reader.read()
            writer.close()
            server.close()
            await opened.drain()
        line = os.read(read, 100_000)
        assert line.count(b"\n") == 1
        assert (len(line) > 4096) == (count == 1)
    os.close(read)
    os.close(write)
