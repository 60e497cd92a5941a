"""Fields behind a body, both ways."""

import pytest

from tests.proxy.stage import OK, Seen, Stage

HEAD = b"POST /public/a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n"
GET = b"GET /public/a HTTP/1.1\r\nHost: h\r\n\r\n"
CHUNKED_OK = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"


def route(**adaptation: object) -> dict[str, object]:
    return {"name": "public", "match": {"path": "/public/**"}, "public": True, **adaptation}


@pytest.mark.parametrize("together", [True, False], ids=["at once", "half-way"])
async def test_trailers_of_a_request_arrive_as_trailers(stage: Stage, together: bool) -> None:
    """As they came, but for those that mean something in a head; and the connection goes on."""
    await stage.open()
    rest = (
        b"0\r\nX-Sum: \xe4 \r\nX-Auth-Subject: evil\r\nx_sum: 2\r\nAuthorization: Bearer x\r\n"
        b"X-Sum: 2\r\nDestination: /orders/1\r\n\r\n"
    )
    client = await stage.client(HEAD + b"\r\n2\r\nok\r\n" + (rest if together else b""))
    service = await stage.accept()
    await service.head()
    if not together:
        await service.until(b"ok\r\n")
        client.send(rest)
    await service.until(b"0\r\n")
    assert await service.head() == b"X-Sum: \xe4\r\nX-Sum: 2\r\n\r\n"
    service.send(OK)
    assert (await client.answer()).status == 200
    client.send(GET)
    seen = Seen(await service.head())
    assert "x-sum" not in seen.names
    service.send(OK)
    assert (await client.answer()).status == 200


async def test_trailers_of_a_request_are_its_own(stage: Stage) -> None:
    """Not those of another that waits in line."""
    await stage.open()
    client = await stage.client(
        b"".join(
            HEAD + b"\r\n2\r\nok\r\n0\r\n" + trailer + b"\r\n"
            for trailer in (b"X-A: 1\r\n", b"", b"X-B: 1\r\n")
        )
    )
    service = await stage.accept()
    for trailers in (b"X-A: 1\r\n\r\n", b"\r\n", b"X-B: 1\r\n\r\n"):
        await service.until(b"\r\n0\r\n")
        assert await service.until(b"\r\n" if trailers == b"\r\n" else b"\r\n\r\n") == trailers
        service.send(OK)
        assert (await client.answer()).status == 200


async def test_connection_and_the_route_hold_back_trailers_of_a_request(stage: Stage) -> None:
    edits = {"set": {"X-Set": "ours"}, "remove": ["X-Removed"]}
    await stage.open(routes=[route(request_headers=edits)])
    await stage.client(
        HEAD
        + b"Connection: X-Hop\r\nTrailer: X-Hop, X-Kept, X-Set\r\n\r\n0\r\nX-Hop: 1\r\n"
        + b"X-Kept: 1\r\nx-set: evil\r\nX-Removed: evil\r\n\r\n"
    )
    service = await stage.accept()
    seen = Seen(await service.head())
    assert seen.values(b"X-Set") == [b"ours"]
    assert seen.values(b"Trailer") == [b"X-Kept"]
    assert await service.until(b"\r\n\r\n") == b"0\r\nX-Kept: 1\r\n\r\n"


@pytest.mark.parametrize(
    ("announced", "crosses"),
    [
        (
            b"Trailer: X-Sum, Host , x-other\r\nTrailer: Authorization,X-Last\r\n",
            b"X-Sum, x-other, X-Last",
        ),
        (b"trailer: Content-Length, X_Sum\r\n", None),
        (b"Trailer:\r\n", None),
    ],
)
async def test_announcement_of_a_request_names_what_may_come(
    stage: Stage, announced: bytes, crosses: bytes | None
) -> None:
    await stage.open()
    await stage.client(HEAD + announced + b"\r\n")
    service = await stage.accept()
    seen = Seen(await service.head())
    assert seen.values(b"Trailer") == ([] if crosses is None else [crosses])


async def test_nothing_is_announced_behind_a_body_with_a_length(stage: Stage) -> None:
    await stage.open()
    seen, _ = await stage.pass_through(
        b"POST /public/a HTTP/1.1\r\nHost: h\r\nTrailer: X-Sum\r\nContent-Length: 0\r\n\r\n"
    )
    assert seen.values(b"Trailer") == []


async def test_announcement_of_an_answer_names_what_is_passed_on(stage: Stage) -> None:
    await stage.open(routes=[route(response_headers={"remove": ["X-Removed"]})])
    client = await stage.client(GET)
    service = await stage.accept()
    await service.head()
    service.send(
        CHUNKED_OK + b"Trailer: X-Sum, Set-Cookie\r\ntrailer: X-Removed, Host, Digest\r\n\r\n"
        b"2\r\nok\r\n0\r\nX-Sum: 1\r\nDigest: 2\r\n\r\n"
    )
    assert await client.head() == CHUNKED_OK + b"Trailer: X-Sum, Digest\r\n\r\n"
    assert await client.until(b"\r\n\r\n") == b"2\r\nok\r\n0\r\nX-Sum: 1\r\nDigest: 2\r\n\r\n"


UNANNOUNCED = {
    "an answer with a length": (
        GET,
        b"HTTP/1.1 200 OK\r\nTrailer: X-A\r\nContent-Length: 2\r\n\r\nok",
    ),
    "a small one without trailers": (GET, CHUNKED_OK + b"Trailer: X-A\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
    "one without a body": (GET, b"HTTP/1.1 204 No Content\r\nTrailer: X-A\r\n\r\n"),
    "one to HEAD": (GET.replace(b"GET", b"HEAD"), CHUNKED_OK + b"Trailer: X-A\r\n\r\n"),
    "one to HTTP/1.0": (
        GET.replace(b"/1.1", b"/1.0"),
        CHUNKED_OK + b"Trailer: X-A\r\n\r\n2\r\nok\r\n0\r\nX-A: 1\r\n\r\n",
    ),
    "one whose trailers do not cross": (
        GET,
        CHUNKED_OK + b"Trailer: Set-Cookie\r\n\r\n2\r\nok\r\n0\r\nSet-Cookie: 1\r\n\r\n",
    ),
}


@pytest.mark.parametrize(("request_bytes", "answer"), UNANNOUNCED.values(), ids=UNANNOUNCED.keys())
async def test_nothing_is_announced_that_is_not_passed_on(
    stage: Stage, request_bytes: bytes, answer: bytes
) -> None:
    await stage.open()
    client = await stage.client(request_bytes)
    service = await stage.accept()
    await service.head()
    service.send(answer)
    assert b"railer" not in await client.head()


@pytest.mark.parametrize(
    ("fields", "version"),
    [(b"", b"HTTP/1.0"), (b"Connection: upgrade\r\nUpgrade: h2c\r\n", b"HTTP/1.1")],
    ids=["HTTP/1.0", "an upgrade"],
)
async def test_trailers_are_asked_for_only_where_they_can_be_passed_on(
    stage: Stage, fields: bytes, version: bytes
) -> None:
    """What switches protocols has its own Connection."""
    await stage.open()
    seen, _ = await stage.pass_through(
        b"GET /public/a %b\r\nHost: h\r\nTE: trailers\r\n%b\r\n" % (version, fields)
    )
    assert seen.values(b"TE") == seen.values(b"Connection") == []
