"""The fault table: what an authorization server does wrong, and what comes of it here.

For each fault: what the client gets, that nothing is remembered, and what is counted. Never is it
`invalid_token`, and never does anything reach the service.
"""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta

import pytest

from gateway.policy.interfaces import FailureKind
from tests.proxy.stage import ISSUER, Stage
from tests.serving.certificates import Pair, server_context

REQUEST = b"GET /orders/1 HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %b\r\n\r\n"
ACTIVE = {"active": True, "scope": "orders:read", "client_id": "app"}
MIB = 1024 * 1024

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class AuthorizationServer:
    """One that says what the test tells it; `questions` counts them, `bytes_sent` what it said."""

    talk: Talk
    port: int = 0
    questions: int = 0
    bytes_sent: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
            await reader.readexactly(length)
            self.questions += 1
            await self.talk(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def authorization_server(
    talk: Talk, context: ssl.SSLContext | None = None
) -> AsyncIterator[AuthorizationServer]:
    server = AuthorizationServer(talk)
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=context)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()


def answers(body: object, status: int = 200, *fields: str) -> Talk:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(text)}", "Connection: close", *fields]
    return says("\r\n".join([*lines, "", ""]).encode() + text)


def says(data: bytes) -> Talk:
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()

    return talk


async def hangs(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()  # until the gateway has given up


async def drips(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A byte now and then: each in time, all of them never."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    with suppress(ConnectionError):
        while not reader.at_eof() and not writer.is_closing():
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.05)


@dataclass(frozen=True)
class Fault:
    """What it does; of which kind that is; after how long the client is to come back."""

    talk: Talk
    kind: FailureKind
    retry_after: int = 2
    is_slow: bool = False


FAULTS = {
    "closes the connection": Fault(says(b""), "unreachable"),
    "hangs": Fault(hangs, "timeout", is_slow=True),
    "drips": Fault(drips, "timeout", is_slow=True),
    "answers 401": Fault(answers({"error": "invalid_client"}, 401), "credentials_refused"),
    "answers 403": Fault(answers(ACTIVE, 403), "credentials_refused"),
    "answers 429": Fault(answers(ACTIVE, 429), "throttled"),
    "answers 429 and says when": Fault(answers({}, 429, "Retry-After: 7"), "throttled", 7),
    "answers 500": Fault(answers(ACTIVE, 500), "server_error"),
    "answers 503 and says when": Fault(answers({}, 503, "Retry-After: 9"), "server_error", 9),
    "answers a page": Fault(
        answers(b"<!doctype html><title>Sign in</title>", 200, "Content-Type: text/html"),
        "unexpected_answer",
    ),
    "answers broken JSON": Fault(answers(b'{"active": tru'), "unexpected_answer"),
    "says that active is a text": Fault(answers(ACTIVE | {"active": "true"}), "unexpected_answer"),
    "does not say active": Fault(answers({"scope": "orders:read"}), "unexpected_answer"),
    "redirects": Fault(answers(ACTIVE, 307, "Location: /elsewhere"), "unexpected_answer"),
}


def configuration(port: int, fault: Fault | None = None, **keys: object) -> dict[str, object]:
    is_slow = fault is not None and fault.is_slow
    scheme = "https" if "tls" in keys else "http"
    return {
        "corporate": {
            "introspection": {
                "issuer": ISSUER,
                "url": f"{scheme}://127.0.0.1:{port}/introspect",
                "client_id": "gateway",
                "client_secret": "hush",
                "timeouts": {"total": "300ms" if is_slow else "10s"},
                **keys,
            }
        }
    }


async def open_before(stage: Stage, port: int, fault: Fault | None = None, **keys: object) -> None:
    stage.introspectors = None
    await stage.open(authorization_servers=configuration(port, fault, **keys))


async def expect_outage(stage: Stage, kind: str, retry_after: int = 2) -> None:
    """One request is refused as for an outage; nothing is remembered; it is counted once."""
    answer = await stage.ask(REQUEST % b"some-token")
    assert (answer.status, answer.reason) == (503, "authorization_server_unavailable")
    assert answer.fields["retry-after"] == str(retry_after)
    assert "www-authenticate" not in answer.fields
    assert b"invalid_token" not in answer.head
    assert stage.service.is_untouched
    assert stage.series("gateway_introspection_cache_entries") == {}
    label = 'authorization_server="corporate"'
    assert stage.series("gateway_introspection_errors_total") == {f'{label},kind="{kind}"': 1.0}
    assert stage.series("gateway_introspections_total") == {f'{label},result="error"': 1.0}
    expected = {'reason="authorization_server_unavailable",route="orders"': 1.0}
    await stage.settled_series("gateway_token_rejections_total", expected)


@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_is_an_outage_by_its_name_and_nothing_is_remembered(
    stage: Stage, name: str
) -> None:
    fault = FAULTS[name]
    async with authorization_server(fault.talk) as server:
        await open_before(stage, server.port, fault)
        if fault.kind == "credentials_refused":
            status = name.rpartition(" ")[2]
            stage.expected_errors.append(
                "authorization server corporate is not asked for now: "
                f"http://127.0.0.1:{server.port}/introspect refuses the gateway's own credentials "
                f"({status})"
            )
        if name == "answers 429 and says when":
            stage.expected_errors.append(
                "authorization server corporate is not asked for now: "
                f"http://127.0.0.1:{server.port}/introspect has had too many questions (429)"
            )
        await expect_outage(stage, fault.kind, fault.retry_after)
        if stage.expected_errors:
            state = "open" if fault.kind == "throttled" else "credentials_refused"
            await stage.settled_series(
                "gateway_authorization_server_state",
                {f'authorization_server="corporate",state="{state}"': 1.0},
            )
            # Nobody waits for a server that has said no.
            questions = server.questions
            answer = await stage.ask(REQUEST % b"other-token")
            assert (answer.status, answer.reason) == (503, "authorization_server_unavailable")
            assert server.questions == questions


async def test_nobody_there_is_an_outage(stage: Stage, unused_tcp_port: int) -> None:
    await open_before(stage, unused_tcp_port)
    await expect_outage(stage, "unreachable")


async def test_an_answer_of_100_mib_is_cut_off_at_its_beginning(stage: Stage) -> None:
    server: AuthorizationServer

    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (100 * MIB))
        for _ in range(100):
            writer.write(b" " * MIB)
            await writer.drain()
            server.bytes_sent += MIB

    async with authorization_server(talk) as server:
        await open_before(stage, server.port)
        await expect_outage(stage, "unexpected_answer")
        assert server.bytes_sent < 32 * MIB


@pytest.mark.parametrize("way", ["expired", "of somebody else"])
async def test_a_certificate_that_is_not_good_is_an_outage(
    stage: Stage, tmp_path_factory: pytest.TempPathFactory, way: str
) -> None:
    pair = Pair(tmp_path_factory.mktemp("tls"))
    names = ("127.0.0.1",) if way == "expired" else ("other.example",)
    until = -timedelta(hours=1) if way == "expired" else timedelta(days=1)
    pair.write(names, since=-timedelta(days=2), until=until)
    async with authorization_server(answers(ACTIVE), server_context(pair)) as server:
        await open_before(stage, server.port, tls={"ca": str(pair.certificate)})
        await expect_outage(stage, "unreachable")
        assert server.questions == 0


async def test_a_certificate_of_its_own_authority_is_good(
    stage: Stage, tmp_path_factory: pytest.TempPathFactory
) -> None:
    pair = Pair(tmp_path_factory.mktemp("tls")).write()
    async with authorization_server(answers(ACTIVE), server_context(pair)) as server:
        await open_before(stage, server.port, tls={"ca": str(pair.certificate)})
        seen, answer = await stage.pass_through(REQUEST % b"some-token")
        assert answer.status == 200
        assert seen.values(b"X-Auth-Client-Id") == [b"app"]


async def test_a_server_that_is_well_again_is_asked_again(stage: Stage) -> None:
    """The circuit opens for as long as its own questions fail, and not an answer longer."""
    async with authorization_server(answers({}, 500)) as server:
        await open_before(stage, server.port)
        stage.expected_errors.append(
            "authorization server corporate is not asked for now: "
            f"http://127.0.0.1:{server.port}/introspect failed (500)"
        )
        for number in range(5):
            assert (await stage.ask(REQUEST % b"token-%d" % number)).status == 503
        label = 'authorization_server="corporate"'
        await stage.settled_series(
            "gateway_authorization_server_state", {f'{label},state="open"': 1.0}
        )
        assert (await stage.ask(REQUEST % b"some-token")).status == 503
        errors = stage.series("gateway_introspection_errors_total")
        assert errors[f'{label},kind="circuit_open"'] == 1
        questions = stage.series("gateway_introspections_total")
        assert questions == {f'{label},result="error"': 5.0}, "who is not asked gives no answer"
        server.talk = answers(ACTIVE)
        await stage.settled_series(
            "gateway_authorization_server_state", {f'{label},state="closed"': 1.0}
        )
        assert (await stage.pass_through(REQUEST % b"some-token"))[1].status == 200
