"""What a client may send: malformed, slow and large requests never reach the service."""

import asyncio
import logging
from contextlib import suppress

import pytest
from aiohttp import web

import gateway.middleware.record
from tests.proxy.stage import OK, PATIENCE, Seen, Stage

GET = b"GET /public/a HTTP/1.1\r\nHost: h\r\n\r\n"
CHUNKED = b"POST /public/a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
HOST = b"Host: h"


def get(*fields: bytes, target: bytes = b"/public/a", version: bytes = b"HTTP/1.1") -> bytes:
    lines = b"".join(field + b"\r\n" for field in fields)
    return b"GET %b %b\r\n%b\r\n" % (target, version, lines)


HOST = b"Host: h"


async def test_refusal_of_a_malformed_request_repeats_nothing_of_it(stage: Stage) -> None:
    await stage.open()
    client = await stage.client(
        b"GET /public/<script> HTTP/1.1\r\nHost: h\r\nX[alert]: <b>\r\n\r\n"
    )
    answer = await client.rest()
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/problem+json")
    assert b"script" not in answer
    assert b"alert" not in answer
    entry = (await stage.log())[0]
    assert (entry["status"], entry["reason"], entry["outcome"]) == (
        400,
        "malformed_request",
        "refused",
    )
    assert "script" not in stage.log_file.read_text()
    assert "alert" not in stage.log_file.read_text()


async def test_malformed_chunk_amid_an_early_answer_breaks_it(stage: Stage) -> None:
    """It is the client's fault, and the log and the metrics say so."""
    await stage.open()
    client = await stage.client(CHUNKED)
    service = await stage.accept()
    await service.head()
    service.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")
    await client.until(b"ok\r\n")
    client.send(b"zz\r\n")
    with pytest.raises(ConnectionResetError):
        await client.rest()
    await service.rest_until_broken()
    await stage.settled_series(
        "gateway_refusals_total", {'reason="malformed_request",route="public"': 1}
    )


async def test_body_that_breaks_while_its_request_waits_in_line_is_a_400(stage: Stage) -> None:
    await stage.open()
    client = await stage.client(GET)
    service = await stage.accept()
    await service.head()
    client.send(CHUNKED)
    await asyncio.sleep(0.02)
    client.send(b"zz\r\n")
    await asyncio.sleep(0.02)
    service.send(OK)
    assert (await client.answer()).status == 200
    assert (await client.answer()).status == 400
    assert await client.rest_until_broken() == b""


# Slow and large heads.


@pytest.mark.parametrize("is_second", [False, True])
async def test_slow_head_is_refused_on_its_deadline(stage: Stage, is_second: bool) -> None:
    """Also when its first bytes come with the connection."""
    await stage.open(timeouts={"head": "100ms"})
    client = await stage.client()
    if is_second:
        client.send(b"GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n")
        await client.answer()

    async def drip() -> None:
        client.send(b"GET /public/a HTTP/1.1\r\n")
        while True:
            client.send(b"X: y\r\n")
            await asyncio.sleep(0.01)

    dripping = asyncio.create_task(drip())
    answer = await client.rest_until_broken()
    dripping.cancel()
    assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert answer.count(b"HTTP/1.1") == 1
    await stage.close()
    assert stage.service.is_untouched


async def test_head_whose_first_bytes_come_with_the_connection_has_a_deadline(
    stage: Stage,
) -> None:
    """Aiohttp is not waiting for a request yet; then silence."""
    await stage.open(timeouts={"head": "100ms", "idle": "30s"})
    client = await stage.client(b"GET /x HTT")
    assert (await client.rest_until_broken()).startswith(b"HTTP/1.1 408 ")
    await stage.settled_series("gateway_refusals_total", {'reason="request_timeout",route="-"': 1})


async def test_head_that_comes_behind_a_request_in_progress_is_bounded(stage: Stage) -> None:
    """Pieces of a huge head, while the connection's first request is being answered."""
    await stage.open(limits={"header_bytes": "2KiB", "headers": 1000})
    client = await stage.client(GET)
    service = await stage.accept()
    await service.head()
    client.send(b"GET /public/b HTTP/1.1\r\nHost: h\r\n")
    with suppress(ConnectionError):
        for number in range(1000):
            await client.flush(b"X-%d: %b\r\n" % (number, b"y" * 1000))
    await client.rest_until_broken()
    client.close()
    await service.rest_until_broken()
    await stage.close()
    assert stage.service.is_untouched


async def test_head_that_is_whole_in_time_has_no_deadline_any_more(stage: Stage) -> None:
    await stage.open(timeouts={"head": "100ms"})
    client = await stage.client(GET[:10])
    await asyncio.sleep(0.03)
    client.send(GET[10:])
    service = await stage.accept()
    await service.head()
    await asyncio.sleep(0.2)
    service.send(OK)
    assert (await client.answer()).status == 200
    await asyncio.sleep(0.2)
    client.send(GET)
    await service.head()


@pytest.mark.parametrize("before", [b"", GET])
async def test_idle_connection_is_closed_in_time(stage: Stage, before: bytes) -> None:
    await stage.open(timeouts={"idle": "50ms"})
    client = await stage.client(before)
    if before:
        service = await stage.accept()
        await service.head()
        service.send(OK)
        await client.answer()
    assert await client.rest() == b""


LARGE = {
    "many fields": get(HOST, *[b"X-%d: y" % number for number in range(100)]),
    "a long field": get(HOST, b"X-Long: " + b"y" * 40_000),
    "a long name": get(HOST, b"X" * 40_000 + b": y"),
    "a long target": get(HOST, target=b"/public/" + b"y" * 40_000),
    "a long head in all": get(HOST, *[b"X-Long: " + b"y" * 10_000 for _ in range(4)]),
}


@pytest.mark.parametrize("request_bytes", LARGE.values(), ids=LARGE.keys())
async def test_head_over_the_limits_is_a_431(stage: Stage, request_bytes: bytes) -> None:
    await stage.open()
    client = await stage.client(request_bytes)
    refusal = await client.answer()
    assert (refusal.status, refusal.reason) == (431, "headers_too_large")
    await stage.close()
    assert stage.service.is_untouched


async def test_head_that_comes_in_pieces_is_measured_whole(stage: Stage) -> None:
    await stage.open()
    client = await stage.client(b"GET /public/a HTTP/1.1\r\nHost: h\r\n")
    for _ in range(4):
        await client.flush(b"X-Long: " + b"y" * 10_000 + b"\r\n")
        await asyncio.sleep(0.005)
    client.send(b"\r\n")
    assert (await client.answer()).reason == "headers_too_large"


async def test_large_head_that_waits_in_line_is_measured_too(stage: Stage) -> None:
    await stage.open()
    client = await stage.client(GET)
    service = await stage.accept()
    await service.head()
    client.send(LARGE["a long head in all"])
    await asyncio.sleep(0.02)
    client.send(GET)
    await asyncio.sleep(0.02)
    service.send(OK)
    assert (await client.answer()).status == 200
    assert (await client.answer()).status == 431


async def test_head_within_the_limits_passes(stage: Stage) -> None:
    await stage.open()
    seen, _ = await stage.pass_through(get(HOST, *[b"X-A: " + b"y" * 300 for _ in range(99)]))
    assert len(seen.values(b"X-A")) == 99


async def test_endless_head_is_cut_off(stage: Stage) -> None:
    """Also where each line is within the limits, and the deadline is far."""
    await stage.open(limits={"headers": 1000})
    client = await stage.client(b"GET /public/a HTTP/1.1\r\nHost: h\r\n")
    sent = 0
    try:
        while sent < 10_000_000 and not client.transport.is_closing():
            await client.flush(b"X-Long: " + b"y" * 10_000 + b"\r\n")
            await asyncio.sleep(0)
            sent += 10_000
    except ConnectionError:
        pass
    assert sent < 10_000_000


async def test_thousand_pipelined_requests_are_served_in_constant_memory(stage: Stage) -> None:
    """As many as wait in line stop the reading; none is lost."""
    await stage.open()
    client = await stage.client(b"GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n" * 1000)
    for _ in range(1000):
        assert (await client.answer()).status == 404


async def test_only_so_many_requests_wait_in_line_as_parsed(stage: Stage) -> None:
    """The others wait as bytes, of which one piece is held."""
    await stage.open()
    client = await stage.client(GET)
    service = await stage.accept()
    await service.head()
    await client.flush(GET * 1000)
    (connection,) = stage.gateway._server.connections
    async with asyncio.timeout(PATIENCE):
        while not connection._unparsed:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.001)
    assert len(connection._messages) == connection._max_msg_queue_size
    client.reset()
    service.send(OK)


async def test_trailers_are_held_no_longer_than_their_requests(stage: Stage) -> None:
    """Also when nobody asks for them."""
    await stage.open()
    body = b"2\r\nok\r\n0\r\nX-A: b\r\n\r\n"
    for path in (b"/public/a", b"/nothing", b"/orders/1"):
        client = await stage.client((CHUNKED.replace(b"/public/a", path) + body) * 2)
        if path == b"/public/a":
            service = await stage.accept()
            for _ in range(2):
                await service.until(b"\r\n\r\n2\r\nok\r\n0\r\n")
                service.send(OK)
        await client.answer()
        await client.answer()
        (connection,) = stage.gateway._server.connections
        assert connection._trailers == {}
        client.reset()
        async with asyncio.timeout(PATIENCE):
            while stage.gateway._server.connections:  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.001)


async def test_pipelined_bodies_are_told_apart_however_many_wait_in_line(stage: Stage) -> None:
    """With a length, in chunks, with trailers and without: nothing is left over, nothing lost."""
    await stage.open()
    sized = b"POST /nothing HTTP/1.1\r\nHost: h\r\nContent-Length: 18\r\n\r\n" + GET[:18]
    chunked = CHUNKED.replace(b"/public/a", b"/nothing")
    ended = b"12\r\n" + GET[:18] + b"\r\n0\r\n"
    block = sized + chunked + ended + b"\r\n" + chunked + ended + b"X-A: b\r\n\r\n"
    client = await stage.client(block * 50)
    for _ in range(150):
        assert (await client.answer()).status == 404
    client.send(GET)
    service = await stage.accept()
    assert Seen(await service.head()).values(b"X-A") == []


async def test_parser_ends_a_head_at_no_other_place(stage: Stage) -> None:
    """A body is counted off from there: the parser must not have begun it by itself."""
    await stage.open()
    for end in (b"\n\n", b"\r\n\n", b"\n\r\n", b"\r\n\r", b"\r\r\n", b"\r\n \r\n", b"\r\n\x00\n"):
        client = await stage.client(CHUNKED[:-4] + end + b"0\r\nX-A: b\r\n\r\n" + GET)
        answer = await client.rest_until_broken()
        assert answer.startswith(b"HTTP/1.1 400 "), end
        assert answer.count(b"HTTP/1.1 ") == 1, end
    assert stage.service.is_untouched


# What goes wrong inside.


async def test_failure_of_the_books_themselves_breaks_the_connection(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer has been sent by then: no second one may follow it."""
    await stage.open()

    def fail(*_: object) -> None:
        raise RuntimeError("no ink")

    monkeypatch.setattr(gateway.middleware.record.Recorder, "_record", fail)
    client = await stage.client(GET)
    service = await stage.accept()
    await service.head()
    service.send(OK)
    data = await client.rest_until_broken()
    assert data.count(b"HTTP/1.1") == 1
    stage.expected_errors = ["a request failed beyond its refusal"]


async def test_failure_amid_a_refusal_of_the_malformed_breaks_the_connection(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not left open with nobody to read it."""

    def fail(*_: object, **__: object) -> bytes:
        raise RuntimeError("a bug")

    await stage.open()
    monkeypatch.setattr(gateway.middleware.record, "build_refusal", fail)
    client = await stage.client(b"this is no request\r\n\r\n")
    assert await client.rest_until_broken() == b""
    stage.expected_errors = ["a request failed beyond its refusal"]


async def test_other_complaints_of_aiohttp_are_still_logged(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    """Only a broken body, which has been answered and recorded, is nothing to report."""
    await stage.open()
    client = await stage.client(b"GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n")
    await client.answer()
    (connection,) = stage.gateway._server.connections
    connection.log_exception("mute", exc_info=web.RequestPayloadError())
    connection.log_exception("loud", exc_info=RuntimeError())
    assert [record.msg for record in caplog.records if record.levelno == logging.ERROR] == ["loud"]
    stage.expected_errors = ["loud"]
