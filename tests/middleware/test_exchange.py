"""Bodies of clients: bounded in length and in their pauses."""

import asyncio

import pytest

from tests.proxy.stage import OK, Stage

CHUNKED = b"POST /public/a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
SIZED = b"POST /public/a HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n"


async def test_chunked_body_that_grows_too_long_is_a_413_on_the_way(stage: Stage) -> None:
    """The service sees no complete request, and what is still to come is not parsed."""
    await stage.open(limits={"body": "1KiB"})
    client = await stage.client(CHUNKED + b"400\r\n%b\r\n" % (b"x" * 1024))
    service = await stage.accept()
    await service.until(b"x\r\n")
    client.send(b"1\r\nx\r\n")
    refusal = await client.answer()
    assert (refusal.status, refusal.reason) == (413, "body_too_large")
    assert refusal.fields["connection"] == "close"
    client.send(b"0\r\n\r\nGET /public/evil HTTP/1.1\r\nHost: h\r\n\r\n")
    assert await client.rest_until_broken() == b""
    await service.rest_until_broken()
    assert b"0\r\n\r\n" not in service.received
    await stage.close()
    assert stage.service.is_untouched


async def test_chunked_body_that_is_too_long_at_once_reaches_nobody(stage: Stage) -> None:
    await stage.open(limits={"body": "1KiB"})
    refusal = await stage.ask(CHUNKED + b"401\r\n%b\r\n0\r\n\r\n" % (b"x" * 1025))
    assert refusal.reason == "body_too_large"
    await stage.close()
    assert stage.service.is_untouched
    assert stage.series("gateway_upstream_requests_total") == {}


async def test_body_of_exactly_the_limit_passes(stage: Stage) -> None:
    await stage.open(limits={"body": "1KiB"})
    client = await stage.client(CHUNKED + b"400\r\n%b\r\n0\r\n\r\n" % (b"x" * 1024))
    service = await stage.accept()
    await service.until(b"0\r\n\r\n")
    service.send(OK)
    assert (await client.answer()).status == 200


@pytest.mark.parametrize("request_bytes", [SIZED + b"01234", CHUNKED + b"5\r\n01234\r\n"])
async def test_body_that_stalls_is_a_408(stage: Stage, request_bytes: bytes) -> None:
    await stage.open(timeouts={"body": "50ms"})
    client = await stage.client(request_bytes)
    service = await stage.accept()
    refusal = await client.answer()
    assert (refusal.status, refusal.reason) == (408, "request_timeout")
    assert refusal.fields["connection"] == "close"
    await service.rest_until_broken()
    assert service.received.endswith((b"01234", b"01234\r\n"))


async def test_body_without_long_pauses_may_take_its_time(stage: Stage) -> None:
    await stage.open(timeouts={"body": "300ms"})
    client = await stage.client(SIZED.replace(b"10", b"1000"))
    service = await stage.accept()
    await service.head()
    for _ in range(10):
        await asyncio.sleep(0.05)
        client.send(b"x" * 100)
    assert await service.exactly(1000) == b"x" * 1000
    service.send(OK)
    assert (await client.answer()).status == 200


async def test_body_that_drips_is_refused_although_it_never_pauses(stage: Stage) -> None:
    """It has to keep 500 bytes a second beyond the longest pause."""
    await stage.open(timeouts={"body": "300ms"})
    client = await stage.client(SIZED.replace(b"10", b"1000"))
    service = await stage.accept()
    await service.head()

    async def drip() -> None:
        while True:
            client.send(b"x")
            await asyncio.sleep(0.02)

    dripping = asyncio.create_task(drip())
    answer = await client.answer()
    dripping.cancel()
    assert (answer.status, answer.reason) == (408, "request_timeout")
    assert len(await service.rest_until_broken()) < 1000


async def test_client_that_does_not_take_its_answer_loses_its_connection(stage: Stage) -> None:
    """Nor does it hold the upstream's: what it leaves unread is bounded in time, too."""
    await stage.open(timeouts={"body": "200ms"})
    client = await stage.client(b"GET /public/a HTTP/1.1\r\nHost: h\r\n\r\n")
    client.transport.pause_reading()
    service = await stage.accept()
    await service.head()
    service.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n" + b"x" * 50_000_000)
    assert await service.rest_until_broken() == b""


async def test_slow_service_is_no_pause_of_the_client(stage: Stage) -> None:
    await stage.open(timeouts={"body": "50ms"})
    client = await stage.client(SIZED + b"0123456789")
    service = await stage.accept()
    await service.exactly(len(SIZED))
    await asyncio.sleep(0.2)
    service.send(OK)
    assert (await client.answer()).status == 200
