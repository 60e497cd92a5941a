"""What a service may send, and what comes of it when it sends anything else."""

import pytest

from tests.proxy.stage import OK, Answer, Peer, Stage

GET = b"GET /public/a HTTP/1.1\r\nHost: h\r\n\r\n"
HEAD = GET.replace(b"GET", b"HEAD")


async def assert_fresh_connection_serves(stage: Stage, client: Peer, old: Peer) -> None:
    """The next request of the same client meets a connection without a past."""
    client.send(GET)
    fresh = await stage.accept()
    await fresh.head()
    fresh.send(OK)
    answer = await client.answer()
    assert (answer.status, answer.body) == (200, b"ok")
    assert await old.rest_until_broken() == b""


MALFORMED = {
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nokk",
    "one length twice": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
    "a list of lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
    "a signed length": b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
    "a negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
    "a word as length": b"HTTP/1.1 200 OK\r\nContent-Length: foo\r\n\r\nok",
    "an empty length": b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nok",
    "an endless length": b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nok",
    "length, then chunked": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"2\r\nok\r\n0\r\n\r\n"
    ),
    "chunked, then length": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n"
        b"2\r\nok\r\n0\r\n\r\n"
    ),
    "chunked twice": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"2\r\nok\r\n0\r\n\r\n"
    ),
    "chunked, chunked": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    ),
    "gzip, chunked": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    ),
    "an unknown coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\nok",
    "chunks of HTTP/1.0": (
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    ),
    "garbage": b"\x16\x03\x01\x02\x00\x01\x00",
    "no head": b"hello\r\n\r\n",
    "another protocol": b"ICY 200 OK\r\n\r\n",
    "status 099": b"HTTP/1.1 099 Odd\r\nContent-Length: 2\r\n\r\nok",
    "status 999": b"HTTP/1.1 999 Odd\r\nContent-Length: 2\r\n\r\nok",
    "status 600": b"HTTP/1.1 600 Odd\r\nContent-Length: 2\r\n\r\nok",
    "a word as status": b"HTTP/1.1 abc Odd\r\nContent-Length: 2\r\n\r\nok",
    "a long status": b"HTTP/1.1 2000 Odd\r\nContent-Length: 2\r\n\r\nok",
    "HTTP/2.0": b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "HTTP/0.9": b"HTTP/0.9 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "HTTP/1.2": b"HTTP/1.2 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "an unasked 101": (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nbytes"
    ),
    "an unadorned 101": b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    "NUL in a value": b"HTTP/1.1 200 OK\r\nX-A: a\x00b\r\nContent-Length: 2\r\n\r\nok",
    "bare CR in a value": b"HTTP/1.1 200 OK\r\nX-A: a\rb\r\nContent-Length: 2\r\n\r\nok",
    "bare LF line ends": b"HTTP/1.1 200 OK\nX-A: a\nContent-Length: 2\n\nok",
    "a bare LF in the head": b"HTTP/1.1 200 OK\r\nX-A: a\nX-B: b\r\nContent-Length: 2\r\n\r\nok",
    "a folded field": b"HTTP/1.1 200 OK\r\nX-A: a\r\n b\r\nContent-Length: 2\r\n\r\nok",
    "a bell in a value": b"HTTP/1.1 200 OK\r\nX-A: a\x07b\r\nContent-Length: 2\r\n\r\nok",
    "a DEL in a value": b"HTTP/1.1 200 OK\r\nX-A: a\x7fb\r\nContent-Length: 2\r\n\r\nok",
    "NUL in the reason": b"HTTP/1.1 200 O\x00K\r\nContent-Length: 2\r\n\r\nok",
    "an escape in the reason": b"HTTP/1.1 200 \x1b[31m\r\nContent-Length: 2\r\n\r\nok",
    "bare CR in the reason": b"HTTP/1.1 200 O\rK\r\nContent-Length: 2\r\n\r\nok",
    "a space before the colon": b"HTTP/1.1 200 OK\r\nX-A : a\r\nContent-Length: 2\r\n\r\nok",
    "no colon": b"HTTP/1.1 200 OK\r\nX-A\r\nContent-Length: 2\r\n\r\nok",
    "no name": b"HTTP/1.1 200 OK\r\n: a\r\nContent-Length: 2\r\n\r\nok",
    "a name that is none": b"HTTP/1.1 200 OK\r\nX[]: a\r\nContent-Length: 2\r\n\r\nok",
    "a malformed chunk size": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x2\r\nok\r\n0\r\n\r\n"
    ),
    "too many fields": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 600 + b"Content-Length: 0\r\n\r\n",
    "103 without end": b"HTTP/1.1 103 Early Hints\r\n\r\n" * 300 + OK,
}


@pytest.mark.parametrize("answer", MALFORMED.values(), ids=MALFORMED.keys())
async def test_malformed_answer_is_a_502_and_the_next_request_is_clean(
    stage: Stage, answer: bytes
) -> None:
    await stage.open()
    client = await stage.client(GET)
    service = await stage.accept()
    await service.head()
    service.send(answer)
    refusal = await client.answer()
    assert (refusal.status, refusal.reason) == (502, "upstream_invalid")
    await assert_fresh_connection_serves(stage, client, service)
    server = f'server="127.0.0.1:{stage.service.port}",upstream="orders"'
    assert stage.series("gateway_upstream_requests_total") == {
        f'result="invalid",{server}': 1,
        f'result="answered",{server}': 1,
    }


async def test_head_without_end_is_a_502(stage: Stage) -> None:
    await stage.open()
    client = await stage.client(GET)
    service = await stage.accept()
    await service.head()
    service.send(b"HTTP/1.1 200 OK\r\n" + b"X-Long: %b\r\n" % (b"y" * 60_000) * 8)
    assert (await client.answer()).reason == "upstream_invalid"
    await assert_fresh_connection_serves(stage, client, service)


async def test_head_may_come_byte_by_byte(stage: Stage) -> None:
    await stage.open()
    client = await stage.client(GET)
    service = await stage.accept()
    await service.head()
    answer = b"HTTP/1.1 200 Very Fine\r\nX-Empty:\r\nX-A: b\r\nContent-Length: 2\r\n\r\nok"
    for byte in answer:
        await service.flush(bytes((byte,)))
    assert await client.head() == (
        b"HTTP/1.1 200 Very Fine\r\nX-Empty: \r\nX-A: b\r\nContent-Length: 2\r\n\r\n"
    )
    assert await client.exactly(2) == b"ok"


async def test_length_may_have_blanks_around_it(stage: Stage) -> None:
    """They are no part of the value (RFC 9110, section 5.5)."""
    await stage.open()
    _, answer = await stage.pass_through(GET, b"HTTP/1.1 200 OK\r\nContent-Length:  2  \r\n\r\nok")
    assert answer.head == b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"


EXCESS = {
    "bytes after a length": (GET, OK + b"more", b"ok"),
    "a second answer": (GET, OK + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", b"ok"),
    "the beginning of one": (GET, OK + b"H", b"ok"),
    "bytes after the last chunk": (
        GET,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nevil",
        b"ok",
    ),
    "a body on HEAD": (HEAD, OK, b""),
    "a chunked body on HEAD": (
        HEAD,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"",
    ),
    "a second answer on HEAD": (
        HEAD,
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" + OK,
        b"",
    ),
    "a body on 204": (GET, b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok", b""),
    "a chunked body on 204": (
        GET,
        b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"",
    ),
    "a body on 304": (GET, b"HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\nok", b""),
}


@pytest.mark.parametrize(("request_bytes", "answer", "body"), EXCESS.values(), ids=EXCESS.keys())
async def test_bytes_after_the_end_are_dropped_with_their_connection(
    stage: Stage, request_bytes: bytes, answer: bytes, body: bytes
) -> None:
    await stage.open()
    client = await stage.client(request_bytes)
    service = await stage.accept()
    await service.head()
    service.send(answer)
    received = Answer(await client.head())
    assert received.status == int(answer[9:12])
    assert await client.exactly(len(body)) == body
    await assert_fresh_connection_serves(stage, client, service)


async def test_answer_that_nobody_asked_for_is_dropped_with_its_connection(stage: Stage) -> None:
    await stage.open()
    client = await stage.client(GET)
    service = await stage.accept()
    await service.head()
    service.send(OK)
    await client.answer()
    service.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
    assert await service.rest_until_broken() == b""
    await assert_fresh_connection_serves(stage, client, service)


CUT = {
    "a length": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234",
    "between chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n",
    "within a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n01234",
    "before the last empty line": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n0\r\n"
    ),
}


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("answer", CUT.values(), ids=CUT.keys())
async def test_answer_that_is_cut_off_never_looks_complete(
    stage: Stage, answer: bytes, how: str, version: bytes
) -> None:
    """Also for a client of HTTP/1.0, to whom a mere close would be the end of a chunked one."""
    await stage.open()
    client = await stage.client(GET.replace(b"HTTP/1.1", b"HTTP/%b" % version))
    service = await stage.accept()
    await service.head()
    service.send(answer)
    head = await client.head()
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    await client.until(b"01234")
    service.close() if how == "close" else service.reset()
    if b"Content-Length" not in head:
        with pytest.raises(ConnectionResetError):
            await client.rest()
    else:
        await client.rest_until_broken()
    assert not client.received.endswith(b"0\r\n\r\n")
    await stage.settled_series(
        "gateway_refusals_total", {'reason="upstream_invalid",route="public"': 1}
    )
    assert (await stage.log())[0]["outcome"] == "failed"


async def test_broken_chunk_amid_an_answer_never_looks_complete(stage: Stage) -> None:
    await stage.open()
    client = await stage.client(GET)
    service = await stage.accept()
    await service.head()
    service.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")
    await client.until(b"2\r\nok\r\n")
    service.send(b"-1\r\n0\r\n\r\n")
    with pytest.raises(ConnectionResetError):
        await client.rest()


async def test_reset_ends_no_answer_that_has_no_length(stage: Stage) -> None:
    """An answer that lasts until the connection closes is complete only after a proper close."""
    await stage.open()
    client = await stage.client(GET)
    service = await stage.accept()
    await service.head()
    service.send(b"HTTP/1.1 200 OK\r\n\r\nhello")
    await client.until(b"5\r\nhello\r\n")
    service.reset()
    with pytest.raises(ConnectionResetError):
        await client.rest()


async def test_broken_content_coding_passes_byte_by_byte(stage: Stage) -> None:
    await stage.open()
    body = b"\x1f\x8b\x00\xff!\x00"
    _, answer = await stage.pass_through(
        GET,
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 6\r\n\r\n" + body,
    )
    assert answer.body == body
