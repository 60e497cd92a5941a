"""The worker: a fresh process that serves the connections which the supervisor hands it.

`python -m gateway.workers.worker PASSAGE CONTROL`, the descriptors of its ends of the two ways. It
stops when nothing will come any more: because the supervisor says so, or is gone.
"""

import asyncio
import logging
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path

from gateway.app import RunningGateway, Share, open_gateway
from gateway.middleware.bounded import BoundedProtocol
from gateway.serving import Addresses, StartFailure, start
from gateway.settings import GatewaySettings, SettingsError, load
from gateway.settings.addresses import parse_listen, read_address
from gateway.telemetry.merging import ChangeReader
from gateway.telemetry.metrics import Metrics
from gateway.tls import Handshake
from gateway.workers.beginning import configure_logging, freeze_memory, run_event_loop
from gateway.workers.control import Control, encode
from gateway.workers.passage import Leave
from gateway.workers.process import Orders, decode_orders
from gateway.workers.reception import Reception, Serve

log = logging.getLogger(__name__)

_REPORT_SECONDS = 1.0
# Reports of a great many series take no more than this share of the time.
_REPORT_SHARE = 0.01
# How long the supervisor has to confirm that it hands over nothing any more.
_LEAVE_SECONDS = 1.0


def main() -> None:
    """Serve until nothing comes any more."""
    passage, control = (socket.socket(fileno=int(word)) for word in sys.argv[1:3])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    run_event_loop(_work(passage, control))


async def _work(passage: socket.socket, control_sock: socket.socket) -> None:
    control = await Control.open(control_sock)
    message = await control.read()
    if message is None:
        return
    orders = decode_orders(message)
    configure_logging(f"worker {orders.number}")
    try:
        settings = load(Path(orders.file), content=orders.content.encode("latin-1"))
        await _serve(settings, orders, passage, control)
    except (StartFailure, SettingsError) as failure:
        control.write({"failed": str(failure)})
        await control.close()
        raise SystemExit(1) from None


async def _serve(
    settings: GatewaySettings, orders: Orders, passage: socket.socket, control: Control
) -> None:
    loop = asyncio.get_running_loop()
    is_over, is_asked_to_leave = asyncio.Event(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, is_asked_to_leave.set)
    addresses = _read_addresses(orders)
    share = Share(orders.number, orders.count)
    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(open_gateway(settings, addresses, share=share))
        reporter = Reporter(gateway.metrics, control)
        servers = await _open_listeners(gateway, share, stack)
        reception = Reception(
            passage,
            {
                number: (family, servers[name])
                for number, (name, family) in enumerate(orders.listeners)
                if name in servers
            },
            is_over.set,
        )
        stack.callback(reception.close)
        stack.push_async_callback(gateway.drain)
        freeze_memory()
        await reporter.tell(ready=True)
        reception.begin()
        answering = asyncio.create_task(_answer(gateway, reporter, control))
        reporting = asyncio.create_task(reporter.tell_again_and_again())
        over, asked = (asyncio.create_task(event.wait()) for event in (is_over, is_asked_to_leave))
        await asyncio.wait((over, asked, answering), return_when=asyncio.FIRST_COMPLETED)
        if not is_over.is_set():
            reception.leave()
            await asyncio.wait((over,), timeout=_LEAVE_SECONDS)
        await reception.settle()
    for task in (reporting, answering):
        task.cancel()
    await reporter.tell()
    await control.close()


def _read_addresses(orders: Orders) -> Addresses:
    found = orders.addresses
    [admin], server = found["admin"], found["authorization_server"]
    return Addresses(
        tuple(map(read_address, found["guard"])),
        parse_listen(admin),
        parse_listen(server[0]) if server else None,
    )


async def _open_listeners(
    gateway: RunningGateway, share: Share, stack: AsyncExitStack
) -> dict[str, Serve]:
    """Give what begins to serve a connection, by the listeners that this worker serves."""
    makers: dict[str, Callable[..., BoundedProtocol]] = {"guard": gateway.front}
    if gateway.embedded is not None and share.is_first:
        name = "authorization_server"
        application = gateway.embedded.application()
        makers[name] = await start(application, stack, gateway.entrances[name])
    return {name: _server(maker, gateway.handshakes.get(name)) for name, maker in makers.items()}


def _server(make_protocol: Callable[..., BoundedProtocol], handshake: Handshake | None) -> Serve:
    async def serve(sock: socket.socket, leave: Leave) -> None:
        if handshake is not None:
            await handshake.shake(sock, make_protocol, leave)
            return
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(partial(make_protocol, leave=leave), sock)
        except OSError:
            # The client is gone already.
            sock.close()
            leave()

    return serve


async def _answer(gateway: RunningGateway, reporter: "Reporter", control: Control) -> None:
    """Answer the supervisor's questions until it is gone."""
    while (message := await control.read()) is not None:
        if message["question"] == "report":
            await reporter.tell(to=message["number"])
        else:
            readiness = await gateway.readiness()
            control.write({"to": message["number"], **asdict(readiness)})


class Reporter:
    """Tells the supervisor what has changed in the metrics: when it asks, and every second.

    What was read is sent, or it would never be: whoever is cancelled meanwhile leaves it to a task.
    """

    def __init__(self, metrics: Metrics, control: Control) -> None:
        self._metrics = metrics
        self._control = control
        self._changes = ChangeReader(metrics)
        self._is_telling = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    async def tell(self, *, must: bool = True, **members: object) -> None:
        """Send what has changed; without `must` only if something has."""
        telling = asyncio.create_task(self._tell(members, must=must))
        self._tasks.add(telling)
        telling.add_done_callback(self._tasks.discard)
        await asyncio.shield(telling)

    async def _tell(self, members: dict[str, object], *, must: bool) -> None:
        async with self._is_telling:
            self._metrics.settle()
            # In a thread: many series take a while, and requests go on meanwhile.
            data = await asyncio.to_thread(self._encode, members, must=must)
            if data:
                self._control.write_encoded(data)

    async def tell_again_and_again(self) -> None:
        """Tell every second what has changed: so much at most is lost when this process is."""
        pause = _REPORT_SECONDS
        while True:
            await asyncio.sleep(pause)
            started = time.perf_counter()
            await self.tell(must=False)
            pause = max(_REPORT_SECONDS, (time.perf_counter() - started) / _REPORT_SHARE)

    def _encode(self, members: dict[str, object], *, must: bool) -> bytes:
        changes = self._changes.take()
        if not must and not changes["series"]:
            return b""
        return encode({**members, "changes": changes})


if __name__ == "__main__":
    main()
