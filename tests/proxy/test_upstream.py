"""When the service is away, late or gone, and when the client is: deadlines, retries, the pool."""

import asyncio
import socket

import pytest

import gateway.proxy.server
from gateway.proxy.connection import UpstreamConnection
from tests.proxy.stage import MUCH, OK, Peer, Stage

GET = b"GET /public/a HTTP/1.1\r\nHost: h\r\n\r\n"
CHUNKED = b"POST /public/a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
SIZED = b"POST /public/a HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n"
STREAMED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def results(stage: Stage, **counts: float) -> dict[str, float]:
    server = f'server="127.0.0.1:{stage.service.port}",upstream="orders"'
    return {f'result="{result}",{server}': count for result, count in counts.items()}


async def assert_results(stage: Stage, **counts: float) -> None:
    await stage.settled_series("gateway_upstream_requests_total", results(stage, **counts))


async def used_connection(stage: Stage) -> tuple[Peer, Peer]:
    """A client, and a service's connection that waits for its second request."""
    client = await stage.client(GET)
    service = await stage.accept()
    await service.head()
    service.send(OK)
    await client.answer()
    return client, service


# The service cannot be reached, or says nothing.


async def test_service_that_refuses_connections_is_a_502(stage: Stage) -> None:
    await stage.open()
    stage.service.close()
    refusal = await stage.ask(GET)
    assert (refusal.status, refusal.reason) == (502, "upstream_unavailable")
    await assert_results(stage, unavailable=1)
    assert stage.series("gateway_upstream_up") == {}


async def test_service_that_comes_back_is_up_again(stage: Stage) -> None:
    await stage.open()
    stage.service.close()
    await stage.ask(GET)
    await stage.service.open()
    await stage.pass_through(GET)
    assert list(stage.series("gateway_upstream_up").values()) == [1.0]


async def test_service_that_never_accepts_is_a_504(stage: Stage) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        fillers = []
        # Its queue takes a connection or two; the one after that waits for ever.
        for _ in range(3):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
            fillers.append(filler)
        await stage.open(
            upstreams={
                "orders": {
                    "servers": [f"http://127.0.0.1:{full.getsockname()[1]}"],
                    "timeouts": {"connect": "50ms"},
                }
            }
        )
        refusal = await stage.ask(GET)
        assert (refusal.status, refusal.reason) == (504, "upstream_timeout")
        for filler in fillers:
            filler.close()


async def test_service_that_closes_a_new_connection_is_a_502_after_one_attempt(
    stage: Stage,
) -> None:
    await stage.open()
    client = await stage.client(GET)
    service = await stage.accept()
    await service.head()
    service.close()
    assert (await client.answer()).reason == "upstream_unavailable"
    assert stage.service.is_untouched
    await assert_results(stage, unavailable=1)


async def test_connection_that_is_gone_at_once_is_a_502_and_not_kept(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be lost before the one who asked for it runs again, and then nobody tells."""

    class Lost(UpstreamConnection):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            self.close()

    monkeypatch.setattr(gateway.proxy.server, "UpstreamConnection", Lost)
    await stage.open()
    assert (await stage.ask(GET)).reason == "upstream_unavailable"
    assert stage.series("gateway_upstream_connections") == {}


async def test_service_that_never_answers_is_a_504_and_its_connection_is_closed(
    stage: Stage,
) -> None:
    await stage.open_with({"response": "50ms"})
    client = await stage.client(GET)
    service = await stage.accept()
    refusal = await client.answer()
    assert (refusal.status, refusal.reason) == (504, "upstream_timeout")
    assert (await service.rest_until_broken()).endswith(b"\r\n\r\n")
    await assert_results(stage, timeout=1)


async def test_reused_connection_that_never_answers_is_a_504_too(stage: Stage) -> None:
    await stage.open_with({"response": "50ms"})
    client, service = await used_connection(stage)
    client.send(GET)
    await service.head()
    assert (await client.answer()).reason == "upstream_timeout"
    assert stage.service.is_untouched
    await assert_results(stage, answered=1, timeout=1)


async def test_drip_of_informational_answers_is_no_answer(stage: Stage) -> None:
    await stage.open_with({"response": "100ms"})
    client = await stage.client(GET)
    service = await stage.accept()
    await service.head()

    async def drip() -> None:
        while True:
            service.send(b"HTTP/1.1 102 Processing\r\n\r\n")
            await asyncio.sleep(0.03)

    dripping = asyncio.create_task(drip())
    assert (await client.answer()).reason == "upstream_timeout"
    dripping.cancel()


async def test_service_that_stalls_amid_its_answer_breaks_it(stage: Stage) -> None:
    await stage.open_with({"idle": "50ms"})
    client = await stage.client(GET)
    service = await stage.accept()
    await service.head()
    service.send(STREAMED + b"2\r\nok\r\n")
    with pytest.raises(ConnectionResetError):
        await client.rest()
    await assert_results(stage, timeout=1)
    assert stage.series("gateway_refusals_total") == {'reason="upstream_timeout",route="public"': 1}


async def test_answer_that_never_pauses_too_long_may_take_its_time(stage: Stage) -> None:
    await stage.open_with({"idle": "300ms", "response": "300ms"})
    client = await stage.client(GET)
    service = await stage.accept()
    await service.head()
    service.send(STREAMED)
    for _ in range(8):
        await asyncio.sleep(0.06)
        service.send(b"2\r\nok\r\n")
    service.send(b"0\r\n\r\n")
    assert (await client.until(b"\r\n0\r\n\r\n")).count(b"ok") == 8


# Uploads and the deadlines.


async def test_upload_may_take_longer_than_an_answer(stage: Stage) -> None:
    await stage.open_with({"response": "300ms"})
    client = await stage.client(SIZED)
    service = await stage.accept()
    await service.head()
    for _ in range(10):
        await asyncio.sleep(0.06)
        client.send(b"x")
    assert await service.exactly(10) == b"x" * 10
    service.send(OK)
    assert (await client.answer()).status == 200


async def test_answer_is_due_once_the_upload_is_through(stage: Stage) -> None:
    await stage.open_with({"response": "50ms"})
    client = await stage.client(SIZED)
    service = await stage.accept()
    await service.head()
    client.send(b"x" * 10)
    assert (await client.answer()).reason == "upstream_timeout"


async def test_service_that_does_not_take_the_body_is_a_504(stage: Stage) -> None:
    await stage.open_with({"response": "100ms"})
    client = await stage.client(
        b"POST /public/a HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % MUCH
    )
    await stage.accept()
    await client.send_until_stuck(b"x" * 65536)
    assert (await client.answer()).reason == "upstream_timeout"
    assert "does not take" in (await stage.log())[0]["detail"]


async def test_early_answer_is_not_due_while_the_upload_goes_on(stage: Stage) -> None:
    await stage.open_with({"idle": "300ms", "response": "300ms"})
    client = await stage.client(CHUNKED)
    service = await stage.accept()
    await service.head()
    service.send(STREAMED)
    await client.head()
    for _ in range(8):
        await asyncio.sleep(0.06)
        client.send(b"1\r\nx\r\n")
    client.send(b"0\r\n\r\n")
    await service.until(b"\r\n0\r\n\r\n")
    service.send(b"2\r\nok\r\n0\r\n\r\n")
    assert await client.rest() == b"2\r\nok\r\n0\r\n\r\n"


async def test_early_answer_is_due_again_when_the_upload_is_through(stage: Stage) -> None:
    await stage.open_with({"idle": "50ms"})
    client = await stage.client(CHUNKED)
    service = await stage.accept()
    await service.head()
    service.send(STREAMED)
    await client.head()
    client.send(b"0\r\n\r\n")
    with pytest.raises(ConnectionResetError):
        await client.rest()
    await assert_results(stage, timeout=1)


@pytest.mark.parametrize("uploads", [False, True])
async def test_client_that_reads_slowly_is_no_fault_of_the_service(
    stage: Stage, uploads: bool
) -> None:
    """Neither while the gateway waits for it, nor when an upload ends meanwhile."""
    await stage.open_with({"idle": "300ms"})
    client = await stage.client(CHUNKED if uploads else GET)
    service = await stage.accept()
    await service.head()
    service.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % MUCH)
    piece = b"x" * 65536
    await service.send_until_stuck(piece)
    if uploads:
        client.send(b"0\r\n\r\n")
        await service.until(b"0\r\n\r\n")
        await asyncio.sleep(0.5)
    await client.head()

    async def send_the_rest() -> None:
        for _ in range(MUCH // len(piece)):
            await service.flush(piece)

    sending = asyncio.create_task(send_the_rest())
    received = 0
    while received < MUCH:
        data = await client.some()
        assert data
        received += len(data)
    sending.cancel()


# Connections that were used before.


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"OPTIONS"])
async def test_safe_request_is_sent_again_when_a_used_connection_closes(
    stage: Stage, method: bytes
) -> None:
    await stage.open()
    client, used = await used_connection(stage)
    client.send(GET.replace(b"GET", method))
    first = await used.head()
    used.close()
    fresh = await stage.accept()
    assert await fresh.head() == first
    fresh.send(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert (await client.head()).startswith(b"HTTP/1.1 204 ")
    await assert_results(stage, answered=2, unavailable=1)


async def test_a_body_of_no_bytes_is_none(stage: Stage) -> None:
    await stage.open()
    client, used = await used_connection(stage)
    client.send(GET.replace(b"\r\n\r\n", b"\r\nContent-Length: 0\r\n\r\n"))
    await used.head()
    used.close()
    fresh = await stage.accept()
    await fresh.head()
    fresh.send(OK)
    assert (await client.answer()).status == 200


async def test_answer_that_begins_while_the_gateway_drains_says_that_it_is_the_last(
    stage: Stage,
) -> None:
    """So that no client sends a next request into a connection that ends."""
    await stage.open()
    client = await stage.client(GET)
    service = await stage.accept()
    await service.head()
    draining = asyncio.create_task(stage.stop())
    while not stage.gateway.is_draining:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    await asyncio.sleep(0)
    service.send(OK)
    assert (await client.answer()).fields["connection"] == "close"
    assert await client.rest() == b""
    await draining


async def test_it_is_sent_again_only_once(stage: Stage) -> None:
    await stage.open()
    client, used = await used_connection(stage)
    client.send(GET)
    await used.head()
    used.reset()
    fresh = await stage.accept()
    await fresh.head()
    fresh.close()
    assert (await client.answer()).reason == "upstream_unavailable"
    assert stage.service.is_untouched


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"POST /public/a HTTP/1.1\r\nHost: h\r\n\r\n",
        b"POST /public/a HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi",
        b"DELETE /public/a HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET /public/a HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi",
    ],
)
async def test_what_might_have_been_done_is_never_sent_again(
    stage: Stage, request_bytes: bytes
) -> None:
    await stage.open()
    client, used = await used_connection(stage)
    client.send(request_bytes)
    await used.head()
    used.reset()
    assert (await client.answer()).reason == "upstream_unavailable"
    assert stage.service.is_untouched


async def test_answer_that_has_begun_is_never_asked_for_again(stage: Stage) -> None:
    await stage.open()
    client, used = await used_connection(stage)
    client.send(GET)
    await used.head()
    await used.flush(b"H")
    used.close()
    assert (await client.answer()).status == 502
    assert stage.service.is_untouched


async def test_connection_that_closed_while_idle_is_not_used(stage: Stage) -> None:
    await stage.open()
    client, used = await used_connection(stage)
    used.close()
    await stage.settled_series("gateway_upstream_connections", {})
    client.send(b"POST /public/a HTTP/1.1\r\nHost: h\r\n\r\n")
    fresh = await stage.accept()
    await fresh.head()
    fresh.send(OK)
    assert (await client.answer()).status == 200


async def test_connection_is_closed_when_the_service_says_so(stage: Stage) -> None:
    await stage.open()
    client = await stage.client(GET)
    service = await stage.accept()
    await service.head()
    service.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
    assert (await client.answer()).head == b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
    assert await service.rest_until_broken() == b""
    client.send(GET)
    await (await stage.accept()).head()


async def test_service_of_http_1_0_is_asked_once_per_connection(stage: Stage) -> None:
    await stage.open()
    client = await stage.client(GET)
    for _ in range(2):
        service = await stage.accept()
        await service.head()
        service.send(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok")
        assert (await client.answer()).body == b"ok"
        assert await service.rest_until_broken() == b""
        client.send(GET)
    await (await stage.accept()).head()


async def test_requests_at_a_time_have_connections_of_their_own(stage: Stage) -> None:
    await stage.open()
    clients = [await stage.client(GET) for _ in range(3)]
    services = [await stage.accept() for _ in range(3)]
    label = f'server="127.0.0.1:{stage.service.port}",state="%s",upstream="orders"'
    assert stage.series("gateway_upstream_connections") == {label % "active": 3}
    for service in services:
        await service.head()
        service.send(OK)
    for client in clients:
        assert (await client.answer()).body == b"ok"
    await stage.settled_series("gateway_upstream_connections", {label % "idle": 3})


# The client goes away.


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("is_reused", [False, True])
async def test_client_that_goes_away_cancels_the_request(
    stage: Stage, how: str, is_reused: bool
) -> None:
    await stage.open()
    if is_reused:
        client, service = await used_connection(stage)
        client.send(GET)
    else:
        client = await stage.client(GET)
        service = await stage.accept()
    await service.head()
    client.close() if how == "close" else client.reset()
    assert await service.rest_until_broken() == b""
    await stage.settled_series("gateway_upstream_connections", {})
    await assert_results(stage, **({"answered": 1} if is_reused else {}), aborted=1)
    assert stage.series("gateway_requests_total")['method="GET",route="public",status="499"'] == 1
    entry = (await stage.log())[-1]
    assert (entry["status"], entry["outcome"]) == (499, "gone")


@pytest.mark.parametrize("is_amid", [False, True])
async def test_client_that_sends_no_more_is_gone_and_reads_no_end_of_an_answer(
    stage: Stage, is_amid: bool
) -> None:
    """To HTTP/1.0 the end of the connection is the end of the answer: it must not look like one."""
    await stage.open()
    client = await stage.client(GET.replace(b"HTTP/1.1", b"HTTP/1.0"))
    service = await stage.accept()
    await service.head()
    if is_amid:
        service.send(STREAMED + b"2\r\nok\r\n")
        await client.until(b"ok")
    client.transport.write_eof()
    with pytest.raises(ConnectionResetError):
        await client.rest()
    assert await service.rest_until_broken() == b""
    await assert_results(stage, aborted=1)


async def test_client_that_sends_no_more_still_reads_why_its_upload_was_refused(
    stage: Stage,
) -> None:
    await stage.open(limits={"body": "1KiB"})
    head = GET.replace(b"GET", b"POST").replace(b"\r\n\r\n", b"\r\nContent-Length: 2000\r\n\r\n")
    client = await stage.client(head + b"part of it")
    answer = await client.answer()
    client.transport.write_eof()
    assert (answer.status, await client.rest()) == (413, b"")


async def test_client_that_goes_away_amid_an_answer_cancels_it(stage: Stage) -> None:
    await stage.open()
    client = await stage.client(GET)
    service = await stage.accept()
    await service.head()
    service.send(STREAMED + b"2\r\nok\r\n")
    await client.until(b"ok\r\n")
    client.close()
    assert await service.rest_until_broken() == b""
    await assert_results(stage, aborted=1)
    assert stage.series("gateway_requests_total") == {'method="GET",route="public",status="499"': 1}


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("request_bytes", [SIZED + b"01234", CHUNKED + b"5\r\n01234\r\n"])
async def test_upload_that_breaks_off_never_looks_complete(
    stage: Stage, request_bytes: bytes, how: str
) -> None:
    await stage.open()
    client = await stage.client(request_bytes)
    service = await stage.accept()
    await service.until(b"01234")
    client.close() if how == "close" else client.reset()
    assert await service.rest_until_broken() in (b"", b"\r\n")
    await assert_results(stage, aborted=1)
    assert (await stage.log())[0]["status"] == 499


async def test_client_that_goes_away_while_connecting_leaves_nothing(stage: Stage) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        server = f"127.0.0.1:{full.getsockname()[1]}"
        await stage.open(upstreams={"orders": {"servers": [f"http://{server}"]}})
        client = await stage.client(GET)
        client.close()
        await stage.settled_series(
            "gateway_requests_total", {'method="GET",route="public",status="499"': 1}
        )
        for filler in fillers:
            filler.close()
