"""Attacks by what is slow or large: time and memory are bounded, whoever sends it."""

import asyncio
import gzip
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from tests.attacks.wire import CHUNKED, GET, HOST, get, post
from tests.proxy.stage import BOUND, OK, Stage

MIB = 1024 * 1024


@contextmanager
def memory_below(limit: int) -> Iterator[None]:
    """Hold what gateway, client and service take of memory meanwhile to a limit."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        yield
        assert tracemalloc.get_traced_memory()[1] - before < limit
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("same_name", [True, False])
async def test_g48_ten_thousand_headers_are_a_431_and_reach_nobody(
    stage: Stage, same_name: bool
) -> None:
    await stage.open()
    lines = [b"X-%d: y" % (0 if same_name else number) for number in range(10_000)]
    client = await stage.client(get(HOST, *lines))
    assert (await client.some()).startswith(b"HTTP/1.1 431 ")
    client.send(GET)
    await client.rest_until_broken()
    await stage.close()
    assert stage.service.is_untouched


@pytest.mark.parametrize(
    "piece", [b"X-%d: y\r\n", b"X-%d", b"%d" * 100], ids=["lines", "a name", "a number"]
)
async def test_g48_headers_without_end_are_cut_off(stage: Stage, piece: bytes) -> None:
    """Short lines, a name or a word that never ends: none is gathered for long."""
    await stage.open(limits={"headers": 1000})
    client = await stage.client(b"GET /public/a HTTP/1.1\r\nHost: h\r\n")
    sent = 0
    with memory_below(8 * MIB), suppress(ConnectionError):
        while sent < 10 * MIB and not client.transport.is_closing():
            lines = b"".join(
                piece % ((number,) * piece.count(b"%d")) for number in range(10_000, 10_100)
            )
            await client.flush(lines)
            sent += len(lines)
            await asyncio.sleep(0)
    assert sent < 10 * MIB
    await stage.close()
    assert stage.service.is_untouched


async def test_g48_extension_of_a_chunk_is_dropped(stage: Stage) -> None:
    await stage.open()
    extension = b";x=" + b"y" * 8000
    client = await stage.client(post(CHUNKED, body=b"5" + extension + b"\r\nhello\r\n"))
    service = await stage.accept()
    await service.head()
    client.send(b"0" + extension + b"\r\n\r\n")
    assert await service.until(b"0\r\n\r\n") == b"5\r\nhello\r\n0\r\n\r\n"
    service.send(OK)
    assert (await client.answer()).status == 200


async def test_g48_extension_without_end_is_a_400_and_holds_no_memory(stage: Stage) -> None:
    """It is no piece of the body, and nobody waits for more of it."""
    await stage.open()
    client = await stage.client(post(CHUNKED, body=b"5\r\nhello\r\n5;x="))
    service = await stage.accept()
    await service.until(b"hello\r\n")

    async def send_on() -> None:
        with suppress(ConnectionError):
            while True:
                await client.flush(b"y" * 65536)
                await asyncio.sleep(0)

    sending = asyncio.create_task(send_on())
    with memory_below(8 * MIB):
        refusal = await client.answer()
    assert (refusal.status, refusal.reason) == (400, "malformed_request")
    client.transport.abort()
    await sending
    assert b"0\r\n\r\n" not in await service.rest_until_broken()


async def test_g48_a_million_chunks_of_one_byte_arrive(stage: Stage) -> None:
    await stage.open()
    client = await stage.client(post(CHUNKED))
    service = await stage.accept()
    await service.head()
    count = 1_000_000

    async def send() -> None:
        piece = b"1\r\nx\r\n" * 1000
        for _ in range(count // 1000):
            await client.flush(piece)
        client.send(b"0\r\n\r\n")

    sending = asyncio.create_task(send())
    arrived, end = 0, b""
    while not end.endswith(b"\r\n0\r\n\r\n"):
        piece = await service.some()
        assert piece
        arrived += piece.count(b"x")
        end = (end + piece)[-7:]
        service.received.clear()
    assert arrived == count
    await sending
    service.send(OK)
    assert (await client.answer()).status == 200


async def test_g48_pipelined_requests_that_nobody_answers_stop_the_client(stage: Stage) -> None:
    """However many come: only a few wait in line, and one is with the service."""
    await stage.open()
    client = await stage.client(GET)
    service = await stage.accept()
    await service.head()
    with memory_below(16 * MIB):
        taken = await client.send_until_stuck(GET * 1000)
    assert taken < BOUND
    service.send(OK)
    assert (await client.answer()).status == 200
    # The line moves up.
    assert (await service.head()).startswith(b"GET /public/next ")
    client.reset()
    service.send(OK)


def bomb() -> bytes:
    """A body of 64 KiB that inflates to 64 MiB."""
    return gzip.compress(b"\0" * 64 * MIB, compresslevel=9)


async def test_g49_gzip_bomb_of_a_client_is_never_inflated(stage: Stage) -> None:
    """Nor counted by what it would be: it arrives byte by byte, below a limit of its own size."""
    body = bomb()
    await stage.open(limits={"body": "128KiB"})
    with memory_below(4 * MIB):
        fields = [b"Content-Encoding: gzip", b"Content-Length: %d" % len(body)]
        client = await stage.client(post(*fields, body=body))
        service = await stage.accept()
        head = await service.head()
        assert b"\r\nContent-Encoding: gzip\r\n" in head
        assert await service.exactly(len(body)) == body
        service.send(OK)
        assert (await client.answer()).status == 200


async def test_g49_gzip_bomb_of_a_service_is_never_inflated(stage: Stage) -> None:
    body = bomb()
    await stage.open()
    with memory_below(4 * MIB):
        head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
        _, answer = await stage.pass_through(
            get(HOST, b"Accept-Encoding: gzip"), head % len(body) + body
        )
    assert answer.fields["content-encoding"] == "gzip"
    assert answer.body == body


@pytest.mark.parametrize("path", [b"/public/a", b"/orders/1"])
async def test_g49_announced_length_allocates_nothing(stage: Stage, path: bytes) -> None:
    await stage.open(limits={"body": "1GiB"})
    with memory_below(2 * MIB):
        client = await stage.client(post(b"Content-Length: 999999999").replace(b"/public/a", path))
        if path == b"/orders/1":
            assert (await client.answer()).status == 401
        else:
            service = await stage.accept()
            assert b"\r\nContent-Length: 999999999\r\n" in await service.head()
            client.send(b"x" * 1000)
            assert await service.exactly(1000) == b"x" * 1000
    client.close()
