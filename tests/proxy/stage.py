"""A running gateway between a raw client and a raw service, all in one process and one event loop.

The test plays both sides itself, byte by byte: `stage.client()` connects to the gateway,
`await stage.accept()` takes the connection that the gateway opened to the service. So nothing
depends on time, and what each side received is known exactly.
"""

import asyncio
import json
import logging
import os
import re
import struct
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from socket import SO_LINGER, SOL_SOCKET
from typing import Any, cast

import pytest
import yaml

import gateway.app
import gateway.vouching
from gateway.app import RunningGateway, run_gateway
from gateway.policy.interfaces import AuthorizationServerUnavailable, Introspector
from gateway.policy.rejection import Reason
from gateway.policy.token import Inactive, Token
from gateway.settings import Address, GatewaySettings, load
from gateway.telemetry.metrics import Metrics

# Longer than anything here takes on a busy machine: reaching it is a failure.
PATIENCE = 10.0
# How much a fast side offers while the slow one reads nothing, and how much of it may be on its
# way: the buffers of the system, some MiB for each of two connections, and little of the gateway's.
MUCH = 48 * 1024 * 1024
BOUND = 24 * 1024 * 1024

ISSUER = "https://login.example.com"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def token(
    *scopes: str, subject: str | None = None, expires_at: float | None = None, **claims: object
) -> Token:
    """What the authorization server says of an active token."""
    return Token(
        issuer=ISSUER,
        client_id="client-1",
        subject=subject,
        username=None if subject is None else "sam",
        scopes=frozenset(scopes),
        audience=("orders",),
        expires_at=expires_at,
        claims=claims,
    )


class KnownTokens:
    """An authorization server that knows these tokens; it is an Introspector."""

    def __init__(self) -> None:
        self.answers: dict[str, Token | Inactive | Exception] = {
            "reader": token("orders:read", subject="5c1f", tenant="acme"),
            "machine": token("orders:read", "orders:write"),
            "powerless": token(),
            "inactive": Inactive(Reason.INACTIVE_TOKEN),
            "expired": Inactive(Reason.EXPIRED_TOKEN),
            "revoked": Inactive(Reason.REVOKED_TOKEN),
            "outdated": token("orders:read", expires_at=time.time() - 1),
            "outage": AuthorizationServerUnavailable("it is on fire"),
            "bug": RuntimeError("secret-detail-of-a-bug"),
        }
        self.asked: list[str] = []
        self.gate: asyncio.Event | None = None

    async def introspect(self, token: str) -> Token | Inactive:
        """Look it up."""
        self.asked.append(token)
        if self.gate is not None:
            await self.gate.wait()
        answer = self.answers.get(token, Inactive(Reason.INACTIVE_TOKEN))
        if isinstance(answer, Exception):
            raise answer
        return answer


# What the gateway adds to an answer without one: no two runs have the same.
DATE = re.compile(rb"Date: [^\r\n]+ GMT\r\n")


class Peer:
    """One end of a connection, played by the test. It may be blind to the Date of answers."""

    sees_dates = True

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.received = bytearray()

    @property
    def transport(self) -> asyncio.Transport:
        return cast(asyncio.Transport, self.writer.transport)

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def flush(self, data: bytes = b"") -> None:
        """Send, and wait until it has left this process."""
        self.transport.set_write_buffer_limits(0)
        self.writer.write(data)
        async with asyncio.timeout(PATIENCE):
            await self.writer.drain()

    async def head(self) -> bytes:
        """Read up to the empty line, and give it all."""
        return await self.until(b"\r\n\r\n")

    async def until(self, end: bytes) -> bytes:
        async with asyncio.timeout(PATIENCE):
            return self._note(await self.reader.readuntil(end))

    async def exactly(self, count: int) -> bytes:
        async with asyncio.timeout(PATIENCE):
            return self._note(await self.reader.readexactly(count))

    async def some(self) -> bytes:
        """Read what there is, waiting for a byte; b"" at the end."""
        async with asyncio.timeout(PATIENCE):
            return self._note(await self.reader.read(65536))

    async def rest(self) -> bytes:
        """Read until the other side closes in an orderly way."""
        async with asyncio.timeout(PATIENCE):
            return self._note(await self.reader.read())

    async def rest_until_broken(self) -> bytes:
        """Read until the connection is closed or reset, and give what came before."""
        data = b""
        try:
            while piece := await self.some():
                data += piece
        except ConnectionError:
            pass
        return data

    async def answer(self) -> "Answer":
        """Read one answer with a Content-Length (or without a body)."""
        head = await self.head()
        answer = Answer(head)
        length = int(answer.fields.get("content-length", "0"))
        answer.body = await self.exactly(length)
        return answer

    async def send_until_stuck(self, piece: bytes) -> int:
        """Send until the other side has taken nothing for half a second; how much it took."""
        transport = self.transport
        offered = left = idle = 0
        while offered < MUCH and idle < 50:
            if transport.get_write_buffer_size() == 0:
                transport.write(piece)
                offered += len(piece)
            before, left = left, transport.get_write_buffer_size()
            if left:
                idle = idle + 1 if left == before else 0
                await asyncio.sleep(0.01)
        return offered - left

    def close(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        """Break the connection: the other side sees a reset, not an end."""
        self.transport.get_extra_info("socket").setsockopt(
            SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0)
        )
        self.transport.abort()

    def _note(self, data: bytes) -> bytes:
        if not self.sees_dates:
            data = DATE.sub(b"", data)
        self.received += data
        return data


class Answer:
    """An answer's head, taken apart."""

    def __init__(self, head: bytes) -> None:
        self.head = head
        lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
        self.status = int(lines[0].split(" ")[1])
        pairs = [line.split(": ", 1) for line in lines[1:]]
        self.fields = {name.lower(): value for name, value in pairs}
        self.body = b""

    @property
    def problem(self) -> dict[str, Any]:
        """The members of the problem that a refusal describes."""
        assert self.fields["content-type"] == "application/problem+json"
        return cast(dict[str, Any], json.loads(self.body))

    @property
    def reason(self) -> str:
        return str(self.problem["reason"])


class Seen:
    """A request's head as the service saw it, taken apart; names keep their spelling."""

    def __init__(self, head: bytes) -> None:
        self.line, *lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
        self.pairs = [tuple(line.split(b": ", 1)) for line in lines]
        self.names = [name.decode("latin-1").lower() for name, _ in self.pairs]

    def values(self, name: bytes) -> list[bytes]:
        """The values of all the fields of a name."""
        return [value for found, value in self.pairs if found.lower() == name.lower()]


class Service:
    """The service behind the gateway: its connections wait for the test to take them."""

    def __init__(self) -> None:
        self.peers: list[Peer] = []
        self._new: asyncio.Queue[Peer] = asyncio.Queue()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def open(self) -> None:
        """Listen, if it does not: at first on any port, later on the same."""
        if self._server is not None:
            return
        self._server = await asyncio.start_server(self._take, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for peer in self.peers:
            peer.transport.abort()

    async def accept(self) -> Peer:
        async with asyncio.timeout(PATIENCE):
            return await self._new.get()

    @property
    def is_untouched(self) -> bool:
        """Whether no connection waits that the test has not taken."""
        return self._new.empty()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer)
        self.peers.append(peer)
        self._new.put_nowait(peer)


class Stage:
    """The gateway, with a service behind it and clients in front. Made by the fixture `stage`."""

    def __init__(self, folder: Path, log: Path) -> None:
        self.folder = folder
        self.service = Service()
        self.tokens = KnownTokens()
        # Who vouches, by name; None for those that the configuration has.
        self.introspectors: dict[str, Introspector] | None = {"corporate": self.tokens}
        self.log_file = log
        self.clients: list[Peer] = []
        self.expected_errors: list[str] = []
        self._gateway: RunningGateway | None = None
        self._exit = AsyncExitStack()
        self._log_descriptor = -1

    @property
    def gateway(self) -> RunningGateway:
        assert self._gateway is not None
        return self._gateway

    @property
    def is_open(self) -> bool:
        return self._gateway is not None

    @property
    def address(self) -> Address:
        return cast(Address, self.gateway.addresses.guard[0])

    async def open(self, **changes: object) -> "Stage":
        """Start the gateway; `changes` replace members of the usual configuration."""
        await self.service.open()
        self._log_descriptor = os.open(self.log_file, os.O_WRONLY | os.O_CREAT, 0o600)
        settings = load(self.write_configuration(**changes))
        self._gateway = await self._exit.enter_async_context(
            run_gateway(settings, self._log_descriptor)
        )
        return self

    def write_configuration(self, **changes: object) -> Path:
        configuration: dict[str, object] = {
            "listen": "127.0.0.1:0",
            "admin_listen": "127.0.0.1:0",
            "public_url": "https://api.example.com",
            "state_dir": str(self.folder / "state"),
            "authorization_servers": {
                "corporate": {
                    "introspection": {
                        "issuer": ISSUER,
                        "url": f"{ISSUER}/introspect",
                        "client_id": "gateway",
                        "client_secret": "not-asked-for",
                    }
                }
            },
            "upstreams": {"orders": self.upstream()},
            "routes": [
                {"name": "public", "match": {"path": "/public/**"}, "public": True},
                {
                    "name": "orders",
                    "match": {"path": "/orders/**"},
                    "require": {"scopes": ["orders:read"]},
                },
            ],
        }
        path = self.folder / "gateway.yaml"
        path.write_text(yaml.safe_dump({**configuration, **changes}))
        return path

    def upstream(self, **timeouts: str) -> dict[str, object]:
        """The configuration of the upstream, with timeouts of one's own."""
        return {
            "servers": [f"http://127.0.0.1:{self.service.port}"],
            "timeouts": timeouts,
            # What a request leaves behind is seen best on a connection that is used again.
            "reuse_after_body": True,
        }

    async def open_with(self, timeouts: Mapping[str, str], **changes: object) -> "Stage":
        """Start the gateway with these timeouts for the service."""
        await self.service.open()
        return await self.open(upstreams={"orders": self.upstream(**timeouts)}, **changes)

    async def client(self, data: bytes = b"") -> Peer:
        """Connect to the gateway, and send something."""
        reader, writer = await asyncio.open_connection(self.address.host, self.address.port)
        client = Peer(reader, writer)
        client.sees_dates = False
        self.clients.append(client)
        if data:
            client.send(data)
        return client

    async def accept(self) -> Peer:
        """Take the next connection that the gateway opens to the service."""
        return await self.service.accept()

    async def ask(self, request: bytes) -> Answer:
        """Send a request on a connection of its own, and give the answer (a refusal, mostly)."""
        client = await self.client(request)
        answer = await client.answer()
        client.close()
        return answer

    async def pass_through(self, request: bytes, answer: bytes = OK) -> tuple["Seen", Answer]:
        """Send a request without a body, let the service answer; what each side saw."""
        client = await self.client(request)
        service = await self.accept()
        seen = Seen(await service.head())
        service.send(answer)
        received = await client.answer()
        client.close()
        return seen, received

    def series(self, name: str) -> dict[str, float]:
        """The series of one metric that are not 0, by their labels as written."""
        self.gateway.metrics.settle()
        text = self.gateway.metrics.expose().decode()
        found = re.findall(rf"^{name}(?:{{(.*)}})? (\S+)$", text, re.MULTILINE)
        return {labels: float(value) for labels, value in found if float(value)}

    async def settled_series(self, name: str, expected: Mapping[str, float]) -> None:
        """Wait until a metric shows exactly these series."""
        try:
            async with asyncio.timeout(PATIENCE):
                while self.series(name) != expected:  # noqa: ASYNC110 - a scrape has no event
                    await asyncio.sleep(0.005)
        except TimeoutError:
            assert self.series(name) == expected

    async def log(self) -> list[dict[str, Any]]:
        """The entries of the access log. Closes the gateway: its last lines are written then."""
        await self.close()
        return [json.loads(line) for line in self.log_file.read_text().splitlines()]

    @property
    def via(self) -> bytes:
        """What the gateway adds to Via."""
        instance = (self.folder / "state" / "instance").read_bytes().strip()
        return b"1.1 gateway-" + instance

    async def stop(self) -> None:
        """Let the gateway drain and stop."""
        await self._exit.aclose()

    async def close(self) -> None:
        """End it all, the clients first: they would be waited for."""
        for client in self.clients:
            client.transport.abort()
        try:
            if self._gateway is not None:
                await self.settled_series(
                    "gateway_upstream_connections",
                    {
                        labels: value
                        for labels, value in self.series("gateway_upstream_connections").items()
                        if 'state="idle"' in labels
                    },
                )
        finally:
            await self.stop()
            self.service.close()
        if self._log_descriptor >= 0:
            os.close(self._log_descriptor)
            self._log_descriptor = -1


@pytest.fixture
async def stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> AsyncIterator[Stage]:
    """A gateway to be opened by the test, between a client and a service that the test plays."""
    async with open_stage(tmp_path, monkeypatch, caplog) as stage:
        yield stage


@asynccontextmanager
async def open_stage(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> AsyncIterator[Stage]:
    """Make a stage, and see to it that nothing is left behind and nothing was complained of."""
    complaints: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    stage = Stage(folder, folder / "access.log")

    @asynccontextmanager
    async def open_introspectors(
        settings: GatewaySettings, metrics: Metrics, *_: object
    ) -> AsyncIterator[dict[str, Introspector]]:
        if stage.introspectors is not None:
            yield stage.introspectors
        else:
            async with gateway.vouching.open_introspectors(settings, metrics) as introspectors:
                yield introspectors

    monkeypatch.setattr(gateway.app, "open_introspectors", open_introspectors)
    before = asyncio.all_tasks()
    yield stage
    await stage.close()
    async with asyncio.timeout(PATIENCE):
        while asyncio.all_tasks() - before - {asyncio.current_task()}:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    assert not complaints, complaints
    errors = [record for record in caplog.get_records("call") if record.levelno >= logging.ERROR]
    assert [record.getMessage() for record in errors] == stage.expected_errors
