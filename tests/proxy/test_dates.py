"""Every answer that a client gets has a Date (RFC 9110, section 6.6.1)."""

import time

import pytest

import gateway.middleware.refuse
import gateway.middleware.respond
import gateway.proxy.answer
from tests.proxy.stage import Answer, Stage

GET = b"GET /public/a HTTP/1.1\r\nHost: h\r\n\r\n"
HEAD = GET.replace(b"GET", b"HEAD")
THEIRS = b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"


class Clock:
    """The system's clock, set by the test."""

    perf_counter = staticmethod(time.perf_counter)

    def __init__(self) -> None:
        self.now = 1_767_225_599.9

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (gateway.proxy.answer, gateway.middleware.refuse, gateway.middleware.respond):
        monkeypatch.setattr(module, "time", clock)
    return clock


async def heads(stage: Stage, request: bytes, answer: bytes | None, count: int = 1) -> list[bytes]:
    """The heads of the answers to a request that is sent so often on one connection."""
    client = await stage.client()
    client.sees_dates = True
    service = None
    found = []
    for _ in range(count):
        client.send(request)
        if answer is not None:
            service = service or await stage.accept()
            await service.head()
            service.send(answer)
        found.append(await client.head())
    client.close()
    return found


WITHOUT = {
    "a length": (GET, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    "chunks": (GET, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "no body": (HEAD, b"HTTP/1.1 404 Not Found\r\n\r\n"),
    "a 304": (GET, b"HTTP/1.1 304 Not Modified\r\n\r\n"),
    "a 500": (GET, b"HTTP/1.1 500 Oh\r\nX-Date: 1\r\nContent-Length: 0\r\n\r\n"),
}


@pytest.mark.parametrize(("request_bytes", "answer"), WITHOUT.values(), ids=WITHOUT.keys())
async def test_answer_without_a_date_gets_the_time_it_came(
    stage: Stage, clock: Clock, request_bytes: bytes, answer: bytes
) -> None:
    await stage.open()
    [head] = await heads(stage, request_bytes, answer)
    assert head.count(b"\r\nDate: Wed, 31 Dec 2025 23:59:59 GMT\r\n") == 1
    assert head.lower().count(b"\r\ndate:") == 1


async def test_date_goes_on_with_the_clock(stage: Stage, clock: Clock) -> None:
    await stage.open()
    first = await heads(stage, *WITHOUT["a length"])
    clock.now += 0.1
    second = await heads(stage, GET.replace(b"/public/a", b"/nothing"), None)
    assert Answer(first[0]).fields["date"] == "Wed, 31 Dec 2025 23:59:59 GMT"
    assert Answer(second[0]).fields["date"] == "Thu, 01 Jan 2026 00:00:00 GMT"


@pytest.mark.parametrize("name", [b"Date", b"date", b"DATE"])
async def test_date_of_the_service_stays(stage: Stage, clock: Clock, name: bytes) -> None:
    """On the second answer of a connection, too."""
    await stage.open()
    theirs = THEIRS.replace(b"Date", name)
    answer = b"HTTP/1.1 200 OK\r\n" + theirs + b"Content-Length: 0\r\n\r\n"
    for head in await heads(stage, GET, answer, count=2):
        assert head == b"HTTP/1.1 200 OK\r\n" + theirs + b"Content-Length: 0\r\n\r\n"


async def test_interim_answers_have_none_and_count_for_none(stage: Stage, clock: Clock) -> None:
    await stage.open()
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n" + THEIRS + b"\r\n"
    client = await stage.client(GET)
    client.sees_dates = True
    service = await stage.accept()
    await service.head()
    service.send(hints + b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    assert b"Date" not in await client.head()
    assert Answer(await client.head()).fields["date"] == "Wed, 31 Dec 2025 23:59:59 GMT"


async def test_route_that_removes_it_removes_ours(stage: Stage) -> None:
    routes = [
        {
            "name": "public",
            "match": {"path": "/public/**"},
            "public": True,
            "response_headers": {"remove": ["Date"]},
        }
    ]
    await stage.open(routes=routes)
    [head] = await heads(stage, *WITHOUT["a length"])
    assert b"Date" not in head


OWN = {
    "a refusal": GET.replace(b"/public/a", b"/nothing"),
    "a malformed request": b"GET /public/a HTTP/1.1\r\nHost : h\r\n\r\n",
    "the metadata": b"GET /.well-known/oauth-protected-resource HTTP/1.1\r\nHost: h\r\n\r\n",
    "the options": b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",
}


@pytest.mark.parametrize("request_bytes", OWN.values(), ids=OWN.keys())
async def test_answers_of_the_gateway_itself_have_one(
    stage: Stage, clock: Clock, request_bytes: bytes
) -> None:
    await stage.open()
    [head] = await heads(stage, request_bytes, None)
    assert Answer(head).fields["date"] == "Wed, 31 Dec 2025 23:59:59 GMT"
