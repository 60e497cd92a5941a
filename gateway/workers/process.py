"""One worker, as the supervisor sees it: a process of its own, and two ways to it."""

import asyncio
import itertools
import logging
import os
import site
import socket
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import gateway
from gateway.serving import DRAIN_SECONDS, StartFailure
from gateway.workers.control import Control, Message
from gateway.workers.passage import Passage, open_passage

log = logging.getLogger(__name__)

START_SECONDS = 60.0
# Beyond the drain: a worker that takes longer hangs.
_PATIENCE = DRAIN_SECONDS + 5.0
_identities = itertools.count()


@dataclass(frozen=True, slots=True)
class Orders:
    """What a worker is told at its start; only what JSON can hold."""

    number: int
    count: int
    file: str
    content: str
    """The configuration as the supervisor read it, whatever the file holds by now; Latin-1."""
    addresses: Mapping[str, list[str]]
    listeners: tuple[tuple[str, int], ...]
    """Name and address family of each listener, in the order of their numbers."""


class WorkerProcess:
    """A worker, from its start to its end; made by `start`."""

    def __init__(self, number: int, process: Process, passage: Passage, control: Control) -> None:
        self.number = number
        self.passage = passage
        self.identity = next(_identities)
        self.is_ready = False
        # Set when it takes no more connections: it ends, or has ended.
        self.has_left = asyncio.Event()
        self._process = process
        self._control = control
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._questions: dict[int, asyncio.Future[Message]] = {}
        self._question_numbers = itertools.count()
        self._on_changes: Callable[[int, Mapping[str, Any]], None] | None = None
        self._listening: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @classmethod
    async def start(
        cls,
        orders: Orders,
        on_change: Callable[[], None],
        on_end: Callable[[Passage], None],
        on_changes: Callable[[int, Mapping[str, Any]], None],
    ) -> "WorkerProcess":
        """Start a fresh process and give it its orders; it is not ready yet.

        Args:
            orders: what it is to do.
            on_change: called when connections were taken by it, or are gone.
            on_end: called when it takes no more connections.
            on_changes: given its identity and what has changed in its metrics.

        Raises:
            StartFailure: the system cannot start it.
        """
        passage_here, passage_there = open_passage()
        control_here, control_there = socket.socketpair()
        try:
            process = await _spawn(orders.number, passage_there, control_there)
        except OSError as error:
            passage_here.close()
            control_here.close()
            raise StartFailure(f"a worker cannot be started: {error.strerror}") from error
        finally:
            passage_there.close()
            control_there.close()
        control = await Control.open(control_here)
        passage = Passage(orders.number, passage_here, on_change, on_end)
        worker = cls(orders.number, process, passage, control)
        worker._on_changes = on_changes
        worker._listening = asyncio.create_task(worker._listen())
        control.write(asdict(orders))
        return worker

    async def wait_until_ready(self) -> None:
        """Wait until it can serve. Raises StartFailure, in the worker's own words if it has any."""
        try:
            async with asyncio.timeout(START_SECONDS):
                await self._ready
        except TimeoutError:
            raise StartFailure(f"worker {self.number} does not get ready") from None
        self.is_ready = True

    async def ask(self, question: str, seconds: float) -> Message | None:
        """Ask it something; None when it does not answer in time."""
        number = next(self._question_numbers)
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._questions[number] = answer
        self._control.write({"question": question, "number": number})
        try:
            async with asyncio.timeout(seconds):
                return await answer
        except (TimeoutError, StartFailure):
            return None
        finally:
            self._questions.pop(number, None)

    async def wait(self) -> int:
        """Wait until it has ended, and all that it has told was read; give its exit status.

        A signal that ended it is a negative number. One that takes no more connections and does
        not end is killed.
        """
        await self.has_left.wait()
        try:
            async with asyncio.timeout(_PATIENCE):
                status = await self._process.wait()
        except TimeoutError:
            log.error("worker %d (process %d) does not end: killed", self.number, self.pid)
            self.kill()
            status = await self._process.wait()
        if self._listening is not None:
            await self._listening
        return status

    def kill(self) -> None:
        """End it at once."""
        if self._process.returncode is None:
            self._process.kill()

    async def _listen(self) -> None:
        while (message := await self._control.read()) is not None:
            if "changes" in message and self._on_changes is not None:
                self._on_changes(self.identity, message["changes"])
            if "ready" in message and not self._ready.done():
                self._ready.set_result(None)
            if "failed" in message and not self._ready.done():
                self._ready.set_exception(StartFailure(message["failed"]))
            answer = self._questions.get(message.get("to", -1))
            if answer is not None and not answer.done():
                answer.set_result(message)
        gone = StartFailure(f"worker {self.number} has ended before it was ready")
        if not self._ready.done():
            self._ready.set_exception(gone)
        # Nobody need ask: that is no fault of the program.
        self._ready.exception()
        for question in self._questions.values():
            if not question.done():
                question.set_exception(gone)
        await self._control.close()


async def _spawn(number: int, passage: socket.socket, control: socket.socket) -> Process:
    descriptors = (passage.fileno(), control.fileno())
    # `-P`: nothing from the working directory, which `-m` would add.
    command = [sys.executable, "-P", "-m", "gateway.workers.worker", *map(str, descriptors)]
    return await asyncio.create_subprocess_exec(
        *command,
        f"--worker={number}",  # for whoever lists the processes
        stdin=DEVNULL,
        pass_fds=descriptors,
        env=environment_of_workers(),
        # A terminal's Ctrl-C is for the supervisor, which then drains the workers.
        start_new_session=True,
    )


def environment_of_workers() -> dict[str, str]:
    """Give the environment in which a fresh process finds the same package as this one."""
    root = str(Path(gateway.__file__).parents[1])
    if root in site.getsitepackages():
        return dict(os.environ)
    return {**os.environ, "PYTHONPATH": root}


def decode_orders(message: Mapping[str, Any]) -> Orders:
    """Read what the supervisor wrote."""
    return Orders(**{name: message[name] for name in Orders.__dataclass_fields__})
