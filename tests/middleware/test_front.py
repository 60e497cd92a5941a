"""What a client may send: malformed, slow and large requests never reach the service."""

import asyncio
import logging
from contextlib import suppress

import pytest
from aiohttp import web

import gateway.middleware.record
from tests.proxy.stage import OK, Answer, Stage

GET = b"GET /public/a HTTP/1.1\r\nHost: h\r\n\r\n"
CHUNKED = b"POST /public/a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
LAST = b"2\r\nok\r\n0\r\n\r\n"


def post(*fields: bytes, body: bytes = b"", version: bytes = b"1.1") -> bytes:
    lines = b"".join(field + b"\r\n" for field in fields)
    return b"POST /public/a HTTP/%b\r\nHost: h\r\n%b\r\n%b" % (version, lines, body)


def get(*fields: bytes, target: bytes = b"/public/a", version: bytes = b"HTTP/1.1") -> bytes:
    lines = b"".join(field + b"\r\n" for field in fields)
    return b"GET %b %b\r\n%b\r\n" % (target, version, lines)


CL5 = b"Content-Length: 5"
TE = b"Transfer-Encoding: chunked"
HOST = b"Host: h"

MALFORMED = {
    # Framing.
    "length, then chunked": post(CL5, TE, body=LAST),
    "chunked, then length": post(TE, CL5, body=LAST),
    "chunked on two lines": post(TE, TE, body=LAST),
    "chunked, chunked": post(b"Transfer-Encoding: chunked, chunked", body=LAST),
    ",chunked": post(b"Transfer-Encoding: ,chunked", body=LAST),
    "an empty coding": post(b"Transfer-Encoding:", body=LAST),
    "xchunked": post(b"Transfer-Encoding: xchunked", body=LAST),
    "identity": post(b"Transfer-Encoding: identity", body=LAST),
    "quoted chunked": post(b'Transfer-Encoding: "chunked"', body=LAST),
    "chunked with a parameter": post(b"Transfer-Encoding: chunked;p=1", body=LAST),
    "chunked behind a vertical tab": post(b"Transfer-Encoding: \x0bchunked", body=LAST),
    "chunked behind a hard blank": post(b"Transfer-Encoding: \xa0chunked", body=LAST),
    "a coding nobody knows, chunked": post(b"Transfer-Encoding: x, chunked", body=LAST),
    "gzip, chunked on two lines": post(b"Transfer-Encoding: gzip", TE, body=LAST),
    "gzip, chunked with a length": post(CL5, b"Transfer-Encoding: gzip, chunked", body=LAST),
    "gzip, chunked of HTTP/1.0": post(
        b"Transfer-Encoding: gzip, chunked", body=LAST, version=b"1.0"
    ),
    "gzip": post(b"Transfer-Encoding: gzip", body=LAST),
    "chunked of HTTP/1.0": post(TE, body=LAST, version=b"1.0"),
    "the same length twice": post(CL5, CL5, body=b"01234"),
    "two lengths": post(CL5, b"Content-Length: 6", body=b"012345"),
    "a list of lengths": post(b"Content-Length: 5, 5", body=b"01234"),
    "a signed length": post(b"Content-Length: +5", body=b"01234"),
    "a negative zero": post(b"Content-Length: -0"),
    "a hexadecimal length": post(b"Content-Length: 0x5", body=b"01234"),
    "an underscored length": post(b"Content-Length: 1_0", body=b"0123456789"),
    "a length in two words": post(b"Content-Length: 5 5", body=b"01234"),
    "an empty length": post(b"Content-Length:", body=b"01234"),
    "an Arabic length": post("Content-Length: \N{ARABIC-INDIC DIGIT FIVE}".encode(), body=b"01234"),
    "a length beyond 64 bits": post(b"Content-Length: 18446744073709551621", body=b"01234"),
    "a name with NEL": post(b"Content-Length\x85: 10", body=b"0123456789"),
    # Heads.
    "bare LF lines": b"GET /public/a HTTP/1.1\nHost: h\n\n",
    "a bare LF in the head": get(HOST, b"X-A: a\nX-B: b"),
    "a bare CR in a value": get(HOST, b"X-A: a\rb"),
    "a folded field": get(HOST, b"X-A: a\r\n b"),
    "a space before the colon": get(HOST, b"X-A : a"),
    "a first field with a space before": get(b" X-A: a", HOST),
    "a line without a colon": get(HOST, b"X-A"),
    "an empty name": get(HOST, b": a"),
    "a name with brackets": get(HOST, b"X[]: a"),
    "a name that is not ASCII": get(HOST, "X-Ä: a".encode()),
    "NUL in a value": get(HOST, b"X-A: a\x00b"),
    "a bell in a value": get(HOST, b"X-A: a\x07b"),
    "DEL in a value": get(HOST, b"X-A: a\x7fb"),
    # Request lines.
    "no version": b"GET /public/a\r\nHost: h\r\n\r\n",
    "HTTP/0.9": get(HOST, version=b"HTTP/0.9"),
    "HTTP/2.0": get(HOST, version=b"HTTP/2.0"),
    "HTTP/9.9": get(HOST, version=b"HTTP/9.9"),
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a handshake of TLS": b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n",
    "a method in lower case": get(HOST).replace(b"GET", b"get"),
    "an unknown method": get(HOST).replace(b"GET", b"FROBNICATE"),
    # Targets.
    "a star": get(HOST, target=b"*"),
    "a word": get(HOST, target=b"public"),
    "an authority": get(HOST, target=b"h:80"),
    "another scheme": get(HOST, target=b"ftp://h/public/a"),
    "one slash": get(HOST, target=b"http:/public/a"),
    "a user": get(HOST, target=b"http://u:p@h/public/a"),
    "another authority than Host": get(HOST, target=b"http://other/public/a"),
    "a fragment behind the query": get(HOST, target=b"/public/a?b#c"),
    "NUL in the target": get(HOST, target=b"/public/a\x00"),
    "a tab in the target": get(HOST, target=b"/public/a\tb"),
    "raw UTF-8 in the path": get(HOST, target="/public/가".encode()),
    "raw UTF-8 in the query": get(HOST, target="/public/a?q=가".encode()),
    "raw EUC-KR in the query": get(HOST, target=b"/public/a?q=\xb0\xa1"),
    # Hosts.
    "no Host": get(),
    "two Hosts": get(HOST, b"Host: other"),
    "Host twice": get(HOST, HOST),
    "an empty Host": get(b"Host:"),
    "a user in Host": get(b"Host: u@a"),
    "a path in Host": get(b"Host: a/b"),
    "a list in Host": get(b"Host: a, b"),
    "two words in Host": get(b"Host: a b"),
    "an open bracket in Host": get(b"Host: [::1"),
    "an empty label in Host": get(b"Host: a..b"),
    "a port beyond all": get(b"Host: a:65536"),
}


async def refused(stage: Stage, request_bytes: bytes) -> Answer:
    """The answer to a request that ends its connection and, with all behind it, reaches nobody."""
    await stage.open()
    client = await stage.client(request_bytes + GET)
    refusal = await client.answer()
    assert refusal.fields["connection"] == "close"
    assert await client.rest_until_broken() == b""
    await stage.close()
    assert stage.service.is_untouched
    return refusal


@pytest.mark.parametrize("request_bytes", MALFORMED.values(), ids=MALFORMED.keys())
async def test_malformed_request_is_a_400_and_reaches_nobody(
    stage: Stage, request_bytes: bytes
) -> None:
    """The connection ends, so that nothing behind it is taken for a request either."""
    await stage.open()
    client = await stage.client(request_bytes)
    refusal = await client.answer()
    assert (refusal.status, refusal.reason) == (400, "malformed_request")
    assert refusal.fields["connection"] == "close"
    client.send(GET)
    assert await client.rest_until_broken() == b""
    await stage.close()
    assert stage.service.is_untouched


@pytest.mark.parametrize("value", [b"gzip, chunked", b"GZIP,Chunked", b"deflate, gzip, chunked"])
async def test_a03_known_coding_before_chunked_is_a_501_and_reaches_nobody(
    stage: Stage, value: bytes
) -> None:
    refusal = await refused(stage, post(b"Transfer-Encoding: " + value, body=LAST))
    assert (refusal.status, refusal.reason) == (501, "unsupported_coding")


@pytest.mark.parametrize("target", [b"h:80", b"[::1]:443", b"/public/a"])
async def test_b18_connect_is_a_405_that_closes_and_reaches_nobody(
    stage: Stage, target: bytes
) -> None:
    """Whatever stands behind it is neither tunnelled nor taken for a request."""
    refusal = await refused(stage, b"CONNECT %b HTTP/1.1\r\nHost: h:80\r\n\r\n" % target)
    assert (refusal.status, refusal.reason) == (405, "method_not_allowed")
    assert "GET" in refusal.fields["allow"]


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


CHUNKS = {
    "0x5": b"0x5\r\nhello\r\n0\r\n\r\n",
    "+5": b"+5\r\nhello\r\n0\r\n\r\n",
    "1_0": b"1_0\r\nhellohellohelloh\r\n0\r\n\r\n",
    "a blank before": b" 5\r\nhello\r\n0\r\n\r\n",
    "a blank behind": b"5 \r\nhello\r\n0\r\n\r\n",
    "an overflow": b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    "LF in an extension": b"5;a\nb\r\nhello\r\n0\r\n\r\n",
    "LF behind the size": b"5\nhello\r\n0\r\n\r\n",
    "LF behind the data": b"5\r\nhello\n0\r\n\r\n",
    "LF behind the last chunk": b"5\r\nhello\r\n0\n\n",
    "data beyond its size": b"5\r\nhello, world\r\n0\r\n\r\n",
    "no size": b"\r\nhello\r\n0\r\n\r\n",
    "a trailer without a colon": b"5\r\nhello\r\n0\r\nX\r\n\r\n",
}


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("body", CHUNKS.values(), ids=CHUNKS.keys())
async def test_malformed_chunk_is_a_400_and_the_service_sees_no_complete_request(
    stage: Stage, body: bytes, together: bool
) -> None:
    await stage.open()
    if together:
        client = await stage.client(CHUNKED + body)
    else:
        client = await stage.client(CHUNKED + b"2\r\nok\r\n")
        service = await stage.accept()
        await service.until(b"2\r\nok\r\n")
        client.send(body)
    refusal = await client.answer()
    assert (refusal.status, refusal.reason) == (400, "malformed_request")
    assert refusal.fields["connection"] == "close"
    client.send(GET)
    assert await client.rest_until_broken() == b""
    for peer in stage.service.peers:
        await peer.rest_until_broken()
        assert b"0\r\n\r\n" not in peer.received
        assert b"GET" not in peer.received


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


async def test_misspelt_framing_is_dropped(stage: Stage) -> None:
    await stage.open()
    await stage.client(
        post(
            b"Transfer_Encoding: chunked",
            b"content_length: 9",
            b"Content-Length: 005",
            body=b"01234",
        )
    )
    service = await stage.accept()
    head = await service.head()
    assert head.endswith(b"\r\nContent-Length: 5\r\n\r\n")
    assert b"_" not in head
    assert await service.exactly(5) == b"01234"


async def test_unread_body_of_a_refused_request_is_never_a_request(stage: Stage) -> None:
    await stage.open()
    inner = b"GET /public/admin HTTP/1.1\r\nHost: h\r\n\r\n"
    client = await stage.client(
        b"POST /orders/1 HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % (2 * len(inner))
    )
    assert (await client.answer()).fields["connection"] == "close"
    client.send(inner + inner + inner)
    assert await client.rest_until_broken() == b""
    await stage.close()
    assert stage.service.is_untouched


async def test_body_of_a_refused_request_that_is_there_is_skipped(stage: Stage) -> None:
    await stage.open()
    inner = b"GET /public/admin HTTP/1.1\r\nHost: h\r\n\r\n"
    client = await stage.client(
        b"POST /orders/1 HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%b" % (len(inner), inner)
        + GET
    )
    refusal = await client.answer()
    assert refusal.status == 401
    service = await stage.accept()
    assert (await service.head()).startswith(b"GET /public/a ")
    service.send(OK)
    assert (await client.answer()).status == 200


async def test_nothing_behind_a_close_is_served(stage: Stage) -> None:
    await stage.open()
    client = await stage.client(get(HOST, b"Connection: close"))
    service = await stage.accept()
    await service.head()
    client.send(GET)
    service.send(OK)
    assert (await client.rest_until_broken()).count(b"HTTP/1.1") == 1
    await stage.close()
    assert await service.rest_until_broken() == b""
    assert stage.service.is_untouched


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
