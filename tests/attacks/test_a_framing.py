"""Attacks by framing: where a request ends is never in doubt."""

import asyncio

import pytest

from tests.attacks.wire import CHUNKED, GET, HOST, get, post, refused
from tests.proxy.stage import OK, Seen, Stage

CL5 = b"Content-Length: 5"
LAST = b"2\r\nok\r\n0\r\n\r\n"


def coded(value: bytes) -> bytes:
    return post(b"Transfer-Encoding:" + value, body=LAST)


def sized(value: bytes, body: bytes = b"01234") -> bytes:
    return post(b"Content-Length:" + value, body=body)


MALFORMED = {
    "01 length, then chunked": post(CL5, CHUNKED, body=LAST),
    "01 chunked, then length": post(CHUNKED, CL5, body=LAST),
    "01 chunked, then length 0": post(CHUNKED, b"Content-Length: 0", body=LAST),
    "02 chunked on two lines": post(CHUNKED, CHUNKED, body=LAST),
    "02 chunked and identity": post(CHUNKED, b"Transfer-Encoding: identity", body=LAST),
    "02 identity and chunked": post(b"Transfer-Encoding: identity", CHUNKED, body=LAST),
    "02 chunked, chunked": coded(b" chunked, chunked"),
    "02 ,chunked": coded(b" ,chunked"),
    "02 chunked,": coded(b" chunked,"),
    "02 an empty coding": coded(b""),
    "02 xchunked": coded(b" xchunked"),
    "02 identity": coded(b" identity"),
    "02 quoted chunked": coded(b' "chunked"'),
    "02 chunked with a parameter": coded(b" chunked;p=1"),
    "02 chunked behind a vertical tab": coded(b" \x0bchunked"),
    "02 chunked before a vertical tab": coded(b" chunked\x0b"),
    "02 chunked behind a hard blank": coded(b" \xa0chunked"),
    "02 a coding nobody knows, chunked": coded(b" x, chunked"),
    "03 gzip": coded(b" gzip"),
    "03 gzip, chunked on two lines": post(b"Transfer-Encoding: gzip", CHUNKED, body=LAST),
    "03 gzip, chunked with a length": post(CL5, b"Transfer-Encoding: gzip, chunked", body=LAST),
    "03 gzip, chunked of HTTP/1.0": post(
        b"Transfer-Encoding: gzip, chunked", body=LAST, version=b"HTTP/1.0"
    ),
    "04 chunked of HTTP/1.0": post(CHUNKED, body=LAST, version=b"HTTP/1.0"),
    "06 the same length twice": post(CL5, CL5, body=b"01234"),
    "06 two lengths": post(CL5, b"Content-Length: 6", body=b"012345"),
    "06 a list of lengths": sized(b" 5, 5"),
    "06 a signed length": sized(b" +5"),
    "06 a negative zero": sized(b" -0", b""),
    "06 a hexadecimal length": sized(b" 0x5"),
    "06 an underscored length": sized(b" 1_0", b"0123456789"),
    "06 a length in two words": sized(b" 5 5"),
    "06 an empty length": sized(b""),
    "06 an Arabic length": sized(" \N{ARABIC-INDIC DIGIT FIVE}".encode()),
    "06 a length beyond 64 bits": sized(b" 18446744073709551621"),
    "13 bare LF lines": b"GET /public/a HTTP/1.1\nHost: h\n\n",
    "13 a bare LF in the head": get(HOST, b"X-A: a\nX-B: b"),
    "13 a bare LF behind the request line": b"GET /public/a HTTP/1.1\nHost: h\r\n\r\n",
    "13 a bare LF at the end of the head": b"GET /public/a HTTP/1.1\r\nHost: h\r\n\n",
    "13 a bare CR in a value": get(HOST, b"X-A: a\rb"),
    "13 a bare CR before the CRLF": get(HOST, b"X-A: a\r"),
    "13 a folded field": get(HOST, b"X-A: a\r\n b"),
    "13 a field folded with a tab": get(HOST, b"X-A: a\r\n\tb"),
    "13 a space before the colon": get(HOST, b"X-A : a"),
    "13 a tab before the colon": get(HOST, b"X-A\t: a"),
    "13 a space before the colon of framing": post(b"Content-Length : 5", body=b"01234"),
    "13 a first field with a space before": get(b" X-A: a", HOST),
    "13 a line without a colon": get(HOST, b"X-A"),
    "13 an empty name": get(HOST, b": a"),
    "13 a name with brackets": get(HOST, b"X[]: a"),
    "13 a name that is not ASCII": get(HOST, "X-Ä: a".encode()),
    "13 NUL in a name": get(HOST, b"X\x00A: a"),
    "13 NUL in a value": get(HOST, b"X-A: a\x00b"),
    "13 a bell in a value": get(HOST, b"X-A: a\x07b"),
    "13 DEL in a value": get(HOST, b"X-A: a\x7fb"),
    "13 a length's name with NEL": post(b"Content-Length\x85: 10", body=b"0123456789"),
}


@pytest.mark.parametrize("behind", [b"", GET], ids=["alone", "with a request behind"])
@pytest.mark.parametrize("request_bytes", MALFORMED.values(), ids=MALFORMED.keys())
async def test_a_malformed_framing_is_a_400_and_reaches_nobody(
    stage: Stage, request_bytes: bytes, behind: bytes
) -> None:
    """The connection ends, so that nothing behind it is taken for a request either."""
    refusal = await refused(stage, request_bytes, behind)
    assert (refusal.status, refusal.reason) == (400, "malformed_request")


@pytest.mark.parametrize("value", [b"gzip, chunked", b"GZIP,Chunked", b"deflate, gzip, chunked"])
async def test_a03_known_coding_before_chunked_is_a_501_and_reaches_nobody(
    stage: Stage, value: bytes
) -> None:
    refusal = await refused(stage, coded(b" " + value), GET)
    assert (refusal.status, refusal.reason) == (501, "unsupported_coding")


async def test_a05_misspelt_framing_is_dropped(stage: Stage) -> None:
    await stage.open()
    await stage.client(
        post(
            b"Transfer_Encoding: chunked",
            b"content_length: 9",
            b"Content-Length: 5",
            body=b"01234",
        )
    )
    service = await stage.accept()
    head = await service.head()
    assert head.endswith(b"\r\nContent-Length: 5\r\n\r\n")
    assert b"_" not in head
    assert b"chunked" not in head
    assert await service.exactly(5) == b"01234"


async def test_a06_length_with_leading_zeros_is_sent_on_without(stage: Stage) -> None:
    await stage.open()
    client = await stage.client(sized(b" 005") + GET)
    service = await stage.accept()
    assert Seen(await service.head()).values(b"Content-Length") == [b"5"]
    assert await service.exactly(5) == b"01234"
    service.send(OK)
    await client.answer()
    assert (await service.head()).startswith(b"GET /public/next ")


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
    "LF behind the last chunk's size": b"5\r\nhello\r\n0\n\r\n",
    "LF at the very end": b"5\r\nhello\r\n0\r\n\n",
    "data beyond its size": b"5\r\nhello, world\r\n0\r\n\r\n",
    "no size": b"\r\nhello\r\n0\r\n\r\n",
    "a trailer without a colon": b"5\r\nhello\r\n0\r\nX\r\n\r\n",
}


@pytest.mark.parametrize("together", [True, False], ids=["at once", "half-way"])
@pytest.mark.parametrize("body", CHUNKS.values(), ids=CHUNKS.keys())
async def test_a07_malformed_chunk_is_a_400_and_the_service_sees_no_complete_request(
    stage: Stage, body: bytes, together: bool
) -> None:
    """Case 9's trailer without a colon, too."""
    await stage.open()
    if together:
        client = await stage.client(post(CHUNKED, body=body))
    else:
        client = await stage.client(post(CHUNKED, body=b"2\r\nok\r\n"))
        service = await stage.accept()
        await service.until(b"2\r\nok\r\n")
        client.send(body)
    refusal = await client.answer()
    assert (refusal.status, refusal.reason) == (400, "malformed_request")
    assert refusal.fields["connection"] == "close"
    client.send(GET)
    assert await client.rest_until_broken() == b""
    await stage.close()
    assert stage.service.is_untouched
    for peer in stage.service.peers:
        await peer.rest_until_broken()
        assert b"0\r\n\r\n" not in peer.received
        assert b"GET" not in peer.received


@pytest.mark.parametrize(
    "body", [post(CHUNKED, body=b"5\r\nxyz"), sized(b" 5", b"xyz")], ids=["chunked", "sized"]
)
async def test_a08_end_of_the_stream_amid_a_body_completes_no_request(
    stage: Stage, body: bytes
) -> None:
    """A client that only ends its sending side has not said that its body is whole."""
    await stage.open()
    client = await stage.client(body)
    service = await stage.accept()
    await service.until(b"xyz")
    client.writer.write_eof()
    assert await service.rest_until_broken() in (b"", b"\r\n")
    await client.rest_until_broken()
    await stage.close()
    assert stage.service.is_untouched


DISCARDED = {
    "Host": b"Host: admin.example\r\n",
    "Authorization": b"Authorization: Bearer machine\r\n",
    "an identity": b"X-Auth-Subject: evil\r\n",
    "many": b"Cookie: a=b\r\nConnection: close\r\nX-Forwarded-For: 1.2.3.4\r\n",
}


@pytest.mark.parametrize("together", [True, False], ids=["at once", "half-way"])
@pytest.mark.parametrize("trailers", DISCARDED.values(), ids=DISCARDED.keys())
async def test_a09_trailer_of_a_request_that_means_something_reaches_nobody(
    stage: Stage, trailers: bytes, together: bool
) -> None:
    """Neither the service sees it, nor does it become a field of the request that follows."""
    await stage.open()
    rest = b"0\r\n" + trailers + b"\r\n"
    begun = post(CHUNKED, body=b"1\r\na\r\n")
    client = await stage.client(begun + (rest + GET if together else b""))
    service = await stage.accept()
    await service.head()
    if not together:
        await service.exactly(6)
        client.send(rest + GET)
    assert (await service.until(b"0\r\n\r\n")).endswith(b"0\r\n\r\n")
    assert service.received.endswith(b"\r\n\r\n1\r\na\r\n0\r\n\r\n")
    service.send(OK)
    assert (await client.answer()).status == 200
    behind = Seen(await service.head())
    assert behind.line == b"GET /public/next HTTP/1.1"
    assert behind.values(b"Host") == [b"h"]
    assert not {"authorization", "cookie", "x-auth-subject"}.intersection(behind.names)
    assert behind.values(b"X-Forwarded-For") == [b"127.0.0.1"]
    service.send(OK)
    assert (await client.answer()).status == 200


REFUSED = {
    "Content-Length": b"Content-Length: 40\r\n\r\n",
    "Transfer-Encoding": b"Transfer-Encoding: identity\r\n\r\n",
}


@pytest.mark.parametrize("trailers", REFUSED.values(), ids=REFUSED.keys())
async def test_a09_trailer_that_means_framing_is_a_400(stage: Stage, trailers: bytes) -> None:
    refusal = await refused(stage, post(CHUNKED, body=b"1\r\na\r\n0\r\n" + trailers))
    assert (refusal.status, refusal.reason) == (400, "malformed_request")


async def test_a09_trailers_without_end_are_a_431(stage: Stage) -> None:
    """They are gathered as far as a head would be."""
    await stage.open(limits={"header_bytes": "2KiB"})
    refusal = await refused(stage, post(CHUNKED, body=b"0\r\n" + b"X-A: b\r\n" * 300))
    assert (refusal.status, refusal.reason) == (431, "headers_too_large")


async def test_a09_trailer_does_not_open_the_request_behind(stage: Stage) -> None:
    """Nor does one of a request that was refused itself."""
    await stage.open()
    trailer = b"Authorization: Bearer machine\r\n\r\n"
    request = post(CHUNKED, body=b"1\r\na\r\n0\r\n" + trailer).replace(b"/public/a", b"/orders/1")
    client = await stage.client(request + request)
    assert (await client.answer()).status == 401
    assert (await client.answer()).status == 401
    client.close()
    await stage.close()
    assert stage.service.is_untouched


INNER = b"GET /admin HTTP/1.1\r\nX: y\r\n"


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"OPTIONS"])
async def test_a10_body_of_a_get_is_forwarded_and_what_follows_is_a_request(
    stage: Stage, method: bytes
) -> None:
    """Exactly two requests arrive: the body is none, and what stands behind it is one."""
    await stage.open()
    client = await stage.client(
        method + b" /public/1 HTTP/1.1\r\nHost: h\r\nContent-Length: 27\r\n\r\n" + INNER + GET
    )
    service = await stage.accept()
    seen = Seen(await service.head())
    assert seen.line.startswith(method + b" /public/1 ")
    assert b"close" in seen.values(b"Connection")
    assert await service.exactly(27) == INNER
    service.send(b"HTTP/1.1 204 No Content\r\n\r\n")
    await client.head()
    # A service that reads no body of such a request would take it for the next one.
    assert await service.rest_until_broken() == b""
    service = await stage.accept()
    assert (await service.head()).startswith(b"GET /public/next ")
    service.send(OK)
    assert (await client.answer()).body == b"ok"
    client.close()
    await stage.close()
    assert await service.rest_until_broken() == b""
    assert stage.service.is_untouched


def chunked_request(method: bytes) -> bytes:
    head = b" /public/1 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    return method + head + b"1b;x=y\r\n" + INNER + b"\r\n0\r\nX-Auth-Subject: evil\r\n\r\n"


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"OPTIONS"])
async def test_a10_chunked_body_of_a_get_is_forwarded_and_what_follows_is_a_request(
    stage: Stage, method: bytes
) -> None:
    await stage.open()
    client = await stage.client(chunked_request(method) + GET)
    service = await stage.accept()
    seen = Seen(await service.head())
    assert seen.line.startswith(method + b" /public/1 ")
    assert b"close" in seen.values(b"Connection")
    assert await service.until(b"0\r\n\r\n") == b"1b\r\n" + INNER + b"\r\n0\r\n\r\n"
    service.send(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert b"Connection: close" not in await client.head()
    # A service that reads no body of such a request would take it for the next one.
    assert await service.rest_until_broken() == b""
    service = await stage.accept()
    assert (await service.head()).startswith(b"GET /public/next ")
    service.send(OK)
    assert (await client.answer()).body == b"ok"
    client.close()
    await stage.close()
    assert await service.rest_until_broken() == b""
    assert stage.service.is_untouched


async def test_a10_wherever_the_segments_part_two_requests_are_two(stage: Stage) -> None:
    """One with a body in chunks, which is refused without being forwarded, and one behind it."""
    await stage.open()
    first = chunked_request(b"GET").replace(b"/public/1", b"/nothing")
    last = get(HOST, b"Connection: close", target=b"/nothing/else")
    data = first + last + GET
    for cut in range(len(data)):
        client = await stage.client(data[:cut])
        for _ in range(5):
            await asyncio.sleep(0)  # in which the gateway receives the first part by itself
        client.send(data[cut:])
        answers = await client.rest_until_broken()
        assert answers.count(b" 404 Not Found\r\n") in (1, 2), cut
        assert answers.count(b"HTTP/1.1 ") == answers.count(b" 404 Not Found\r\n"), cut
        # A refusal that is sent before the body is there ends the connection.
        closes = answers.partition(b"\r\n\r\n")[0].count(b"Connection: close")
        assert answers.count(b"HTTP/1.1 ") == 2 - closes, cut
    assert stage.service.is_untouched


SMUGGLED = b"GET /public/admin HTTP/1.1\r\nHost: h\r\n\r\n"


@pytest.mark.parametrize(
    "framing", [b"Content-Length: %d" % (2 * len(SMUGGLED)), CHUNKED], ids=["sized", "chunked"]
)
async def test_a11_unread_body_of_a_refused_request_is_never_a_request(
    stage: Stage, framing: bytes
) -> None:
    refusal = await refused(
        stage, post(framing).replace(b"/public/a", b"/orders/1"), after=3 * SMUGGLED
    )
    assert refusal.status == 401


async def test_a11_body_of_a_refused_request_that_is_there_is_skipped(stage: Stage) -> None:
    await stage.open()
    client = await stage.client(
        b"POST /orders/1 HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%b"
        % (len(SMUGGLED), SMUGGLED)
        + GET
    )
    assert (await client.answer()).status == 401
    service = await stage.accept()
    assert (await service.head()).startswith(b"GET /public/next ")
    service.send(OK)
    assert (await client.answer()).status == 200


async def test_a12_nothing_behind_a_close_is_served(stage: Stage) -> None:
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


LAST_REQUESTS = {
    "GET": get(HOST, b"Connection: close"),
    "in other letters": get(HOST, b"connection: foo, Close "),
    "HTTP/1.0": get(HOST, version=b"HTTP/1.0"),
    "a sized body": post(CL5, b"Connection: close", body=b"01234"),
    "a chunked body": post(CHUNKED, b"Connection: close", body=LAST),
    "an empty body": post(b"Connection: close", b"Content-Length: 0"),
}


@pytest.mark.parametrize(
    "behind",
    [GET, b"\0\x01 no request", b"GET /orders/1 HTTP/1.1\r\nHos"],
    ids=["a request", "garbage", "half a request"],
)
@pytest.mark.parametrize("request_bytes", LAST_REQUESTS.values(), ids=LAST_REQUESTS.keys())
async def test_a12_nothing_behind_a_close_in_the_same_segment_is_served(
    stage: Stage, request_bytes: bytes, behind: bytes
) -> None:
    """And what stands before it is, as if it had come alone."""
    await stage.open()
    client = await stage.client(get(HOST) + request_bytes + behind)
    service = await stage.accept()
    assert (await service.head()).startswith(b"GET /public/a ")
    service.send(OK)
    assert (await client.answer()).status == 200
    seen = Seen(await service.head())
    if b"01234" in request_bytes:
        assert await service.exactly(5) == b"01234"
    elif CHUNKED in request_bytes:
        assert await service.exactly(len(LAST)) == LAST
    assert seen.line.endswith(b" /public/a HTTP/1.1")
    service.send(OK)
    answer = await client.answer()
    assert (answer.status, answer.fields["connection"]) == (200, "close")
    assert await client.rest_until_broken() == b""
    await stage.close()
    assert await service.rest_until_broken() == b""
    assert stage.service.is_untouched


@pytest.mark.parametrize(
    "last",
    [
        get(HOST, b"Connection: CLOSE", target=b"/nothing"),
        get(HOST, target=b"/nothing", version=b"HTTP/1.0"),
    ],
    ids=["CLOSE", "HTTP/1.0"],
)
async def test_a12_wherever_the_segments_part_the_last_request_is_answered(
    stage: Stage, last: bytes
) -> None:
    await stage.open()
    for cut in range(len(last)):
        client = await stage.client(last[:cut])
        for _ in range(5):
            await asyncio.sleep(0)  # in which the gateway receives the first part by itself
        client.send(last[cut:] + GET)
        answers = await client.rest_until_broken()
        assert answers.count(b" 404 Not Found\r\n") == 1, cut
        assert answers.count(b"HTTP/1.1 ") == 1, cut
    assert stage.service.is_untouched


async def test_a12_nothing_behind_a_close_is_served_however_many_come_before_it(
    stage: Stage,
) -> None:
    """More than may wait in line: each of them is answered, and no other."""
    await stage.open()
    nothing = get(HOST, target=b"/nothing")
    last = get(HOST, b"Connection: close", target=b"/nothing")
    client = await stage.client(nothing * 60 + last + GET)
    answers = await client.rest_until_broken()
    assert answers.count(b"HTTP/1.1 404 ") == answers.count(b"HTTP/1.1 ") == 61
    await stage.close()
    assert stage.service.is_untouched
