"""The process over the workers: starts them, replaces those that end, drains them.

Rule: it serves nothing but the operator's port, so that nothing which a request can do ends it.
"""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

from gateway.admin.application import Readiness, create_application
from gateway.serving import (
    DRAIN_SECONDS,
    Addresses,
    StartFailure,
    bind_all,
    find_addresses,
    open_entrances,
    serve,
)
from gateway.settings import GatewaySettings
from gateway.telemetry.merging import ChangeReader, MergedMetrics
from gateway.telemetry.metrics import Metrics
from gateway.vouching import make_state_dir
from gateway.workers.doorman import Doorman, Listener
from gateway.workers.passage import Passage
from gateway.workers.process import Orders, WorkerProcess

log = logging.getLogger(__name__)

_SHORTEST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0
# Who has served so long did not crash right away.
_STEADY_SECONDS = 10.0
_ANSWER_SECONDS = 1.0
# A worker that has not answered for so long hangs, and never will.
_WATCH_SECONDS = 5.0
_HANG_SECONDS = 30.0
# Beyond what workers take to drain; then they are killed.
_DRAIN_PATIENCE = DRAIN_SECONDS + 5.0
# Who signs in, and how often somebody tried, is known in one process alone.
_AUTHORIZATION_SERVER = "authorization_server"
_FIRST = 0
_OWN = -1


class Supervisor:
    """Keeps so many workers running; made by `supervise`."""

    def __init__(
        self,
        orders: Orders,
        listeners: Sequence[Listener],
        addresses: Addresses,
        metrics: Metrics,
    ) -> None:
        self.addresses = addresses
        self.is_draining = False
        self.metrics = metrics
        self._own_changes = ChangeReader(self.metrics)
        self._merged = MergedMetrics()
        self._orders = orders
        self._has_authorization_server = addresses.authorization_server is not None
        self._doorman = Doorman(listeners)
        self._workers: dict[Passage, WorkerProcess] = {}
        self._keepers: list[asyncio.Task[None]] = []
        self._ends: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Start all workers, and accept connections as soon as all are ready.

        Raises StartFailure, with no worker left.
        """
        try:
            numbers = range(self._orders.count)
            started = []
            if self._has_authorization_server:
                # Alone: where a database has to be migrated, it does.
                started = [await self._start(_FIRST)]
            started += await asyncio.gather(*map(self._start, numbers[len(started) :]))
        except StartFailure:
            await self._end_all(0)
            raise
        self._keepers = [asyncio.create_task(self._keep(one)) for one in started]
        self._doorman.open()

    async def read(self) -> bytes:
        """Write the metrics of all workers, and those that are gone, as one exposition."""
        await asyncio.gather(*(one.ask("report", _ANSWER_SECONDS) for one in self._serving()))
        self._merged.update(_OWN, self._own_changes.take())
        return await self._merged.read()

    async def readiness(self) -> Readiness:
        """Say whether the gateway can serve, and what one of its workers does without.

        One worker that serves is enough: what another one lacks it gets back within a second.
        """
        if self.is_draining:
            return Readiness("draining")
        serving = self._serving()
        if not serving:
            return Readiness("no worker serves")
        if self._has_authorization_server and all(one.number != _FIRST for one in serving):
            return Readiness("the worker that serves the authorization server is being replaced")
        answers = await asyncio.gather(*(one.ask("readiness", _ANSWER_SECONDS) for one in serving))
        found = [
            Readiness("no worker answers")
            if answer is None
            else Readiness(answer["reason"], answer["lack"])
            for answer in answers
        ]
        ready = [one for one in found if one.reason is None]
        return next((one for one in ready if one.lack is not None), (ready or found)[0])

    async def drain(self) -> None:
        """Accept nothing any more, let the workers finish what is under way, end who hangs."""
        self.is_draining = True
        for keeper in self._keepers:
            keeper.cancel()
        self._doorman.close()
        await self._end_all(_DRAIN_PATIENCE)

    def _serving(self) -> list[WorkerProcess]:
        return [one for one in self._workers.values() if one.is_ready and not one.has_left.is_set()]

    async def _start(self, number: int) -> WorkerProcess:
        """Start a worker and hand it connections from when it is ready. Raises StartFailure."""
        worker = await WorkerProcess.start(
            replace(self._orders, number=number),
            self._doorman.settle,
            self._lose,
            self._merged.update,
        )
        self._workers[worker.passage] = worker
        end = asyncio.create_task(self._await_end(worker))
        self._ends.add(end)
        end.add_done_callback(self._ends.discard)
        try:
            await worker.wait_until_ready()
        except StartFailure:
            worker.kill()
            raise
        self._doorman.add(worker.passage)
        return worker

    def _lose(self, passage: Passage) -> None:
        self._workers[passage].has_left.set()
        self._doorman.remove(passage)

    async def _keep(self, worker: WorkerProcess) -> None:
        """Replace a worker whenever it ends, after a pause that grows while it does so at once."""
        loop = asyncio.get_running_loop()
        pause = _SHORTEST_PAUSE
        while True:
            started = loop.time()
            await self._watch(worker)
            self.metrics.worker_restarts.count()
            if loop.time() - started > _STEADY_SECONDS:
                pause = _SHORTEST_PAUSE
            number, is_started = worker.number, False
            while not is_started:
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
                try:
                    worker = await self._start(number)
                    is_started = True
                except StartFailure as failure:
                    log.error("worker %d does not start: %s", number, failure)
            log.warning("worker %d serves again, as process %d", number, worker.pid)

    async def _watch(self, worker: WorkerProcess) -> None:
        """Wait until a worker takes no more connections; one that hangs is killed."""
        while not worker.has_left.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(_WATCH_SECONDS):
                    await worker.has_left.wait()
                    return
            answer = await worker.ask("report", _HANG_SECONDS)
            if answer is None and not worker.has_left.is_set():
                log.error("worker %d (process %d) hangs: killed", worker.number, worker.pid)
                worker.kill()
                await worker.has_left.wait()

    async def _await_end(self, worker: WorkerProcess) -> None:
        status = await worker.wait()
        self._merged.retire(worker.identity)
        del self._workers[worker.passage]
        if not self.is_draining and worker.is_ready:
            how = f"by signal {-status}" if status < 0 else f"with status {status}"
            log.warning("worker %d (process %d) ended %s", worker.number, worker.pid, how)

    async def _end_all(self, seconds: float) -> None:
        for worker in self._workers.values():
            if not worker.is_ready:
                worker.kill()
        if self._ends:
            await asyncio.wait(self._ends, timeout=seconds)
        for worker in self._workers.values():
            if seconds:
                log.error("worker %d (process %d) does not end: killed", worker.number, worker.pid)
            worker.kill()
        if self._ends:
            await asyncio.wait(self._ends)


@asynccontextmanager
async def supervise(
    settings: GatewaySettings, count: int, file: Path, content: bytes
) -> AsyncIterator[Supervisor]:
    """Run a gateway of several workers until the context is left; then it drains.

    Args:
        settings: the configuration.
        count: how many workers there are to be.
        file: the configuration file, from whose folder relative paths count.
        content: what it held when `settings` were read from it.

    Raises:
        StartFailure: it cannot start.
    """
    make_state_dir(settings)
    async with AsyncExitStack() as stack:
        sockets = bind_all(settings, stack)
        addresses = find_addresses(sockets)
        metrics = Metrics()
        entrances = open_entrances(settings, metrics)
        serving: list[tuple[str, socket.socket, int | None]] = [
            ("guard", sock, None) for sock in sockets.guard
        ]
        if sockets.authorization_server is not None:
            serving.append((_AUTHORIZATION_SERVER, sockets.authorization_server, _FIRST))
        listeners = [Listener(sock, entrances[name], worker) for name, sock, worker in serving]
        orders = Orders(
            number=_FIRST,
            count=count,
            file=str(file),
            content=content.decode("latin-1"),
            addresses=_spell(addresses),
            listeners=tuple((name, sock.family) for name, sock, _ in serving),
        )
        supervisor = Supervisor(orders, listeners, addresses, metrics)
        await supervisor.start()
        admin = create_application(supervisor, supervisor.readiness, settings.admin_listen.host)
        await serve(admin, sockets.admin, stack, entrances["admin"])
        stack.push_async_callback(supervisor.drain)
        yield supervisor


def _spell(addresses: Addresses) -> dict[str, list[str]]:
    server = addresses.authorization_server
    return {
        "guard": [str(one) for one in addresses.guard],
        "admin": [str(addresses.admin)],
        _AUTHORIZATION_SERVER: [] if server is None else [str(server)],
    }
