"""What crosses the gateway, byte by byte: heads and bodies, there and back."""

import asyncio

import pytest

from gateway.proxy.server import _REST_SECONDS
from tests.proxy.stage import BOUND, MUCH, OK, Answer, Seen, Stage

GET = b"GET /public/a HTTP/1.1\r\nHost: api.example.com\r\n\r\n"
HEAD = b"HEAD /public/a HTTP/1.1\r\nHost: api.example.com\r\n\r\n"
CHUNKED = b"POST /public/a HTTP/1.1\r\nHost: api.example.com\r\nTransfer-Encoding: chunked\r\n\r\n"


def sized(length: int, *fields: bytes) -> bytes:
    lines = b"".join(field + b"\r\n" for field in fields)
    return b"POST /public/a HTTP/1.1\r\nHost: api.example.com\r\n%bContent-Length: %d\r\n\r\n" % (
        lines,
        length,
    )


# The request, as the service sees it.


async def test_public_request_arrives_with_its_fields_and_where_it_came_from(stage: Stage) -> None:
    await stage.open()
    client = await stage.client(
        b"GET /public/a HTTP/1.1\r\nhost: api.example.com\r\nAccept: */*\r\nX-Empty:\r\n"
        b"X-Odd:  two  spaces \r\n\r\n"
    )
    service = await stage.accept()
    head = await service.head()
    service.send(OK)
    await client.answer()
    request_id = head.split(b"X-Request-Id: ")[1].removesuffix(b"\r\n\r\n")
    assert len(request_id) == 24
    assert head == (
        b"GET /public/a HTTP/1.1\r\nHost: api.example.com\r\nAccept: */*\r\nX-Empty: \r\n"
        b"X-Odd: two  spaces\r\nVia: %b\r\nX-Forwarded-For: 127.0.0.1\r\n"
        b"X-Forwarded-Proto: http\r\nX-Forwarded-Host: api.example.com\r\n"
        b"X-Request-Id: %b\r\n\r\n" % (stage.via, request_id)
    )


async def test_guarded_request_carries_who_it_is_and_no_token(stage: Stage) -> None:
    await stage.open()
    seen, _ = await stage.pass_through(
        b"GET /orders/1 HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer reader\r\n\r\n"
    )
    assert [pair for pair in seen.pairs if pair[0].startswith(b"X-Auth")] == [
        (b"X-Auth-Subject", b"5c1f"),
        (b"X-Auth-Username", b"sam"),
        (b"X-Auth-Client-Id", b"client-1"),
        (b"X-Auth-Scopes", b"orders:read"),
        (b"X-Auth-Issuer", b"https://login.example.com"),
    ]
    assert "authorization" not in seen.names


async def test_client_without_a_person_has_no_subject(stage: Stage) -> None:
    await stage.open()
    seen, _ = await stage.pass_through(
        b"GET /orders/1 HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer machine\r\n"
        b"X-Auth-Subject: admin\r\n\r\n"
    )
    assert "x-auth-subject" not in seen.names
    assert seen.values(b"X-Auth-Client-Id") == [b"client-1"]


@pytest.mark.parametrize("path", [b"/public/a", b"/orders/1"])
async def test_no_spelling_of_an_identity_header_of_the_client_survives(
    stage: Stage, path: bytes
) -> None:
    await stage.open()
    seen, _ = await stage.pass_through(
        b"GET %b HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer machine\r\n"
        b"X-Auth-Subject: evil\r\nx_auth_username: evil\r\nX.Auth.Roles: evil\r\n"
        b"X-AUTH_Groups: evil\r\nX-Auth-Subject: evil\r\n\r\n" % path
    )
    assert b"evil" not in b"".join(value for _, value in seen.pairs)


async def test_hop_by_hop_fields_stop_here(stage: Stage) -> None:
    await stage.open()
    seen, _ = await stage.pass_through(
        b"GET /public/a HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, X-Mine\r\nX-Mine: 1\r\n"
        b"Keep-Alive: timeout=5\r\nProxy-Connection: close\r\nProxy-Authorization: Basic eA==\r\n"
        b"Trailer: X-T\r\nX-Kept: 1\r\n\r\n"
    )
    assert seen.names == [
        "host",
        "x-kept",
        "via",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "x-request-id",
    ]


async def test_connection_cannot_name_away_what_the_gateway_adds(stage: Stage) -> None:
    await stage.open()
    client = await stage.client(
        b"POST /orders/1 HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer machine\r\n"
        b"Connection: x-auth-client-id, host, content-length\r\n"
        b"Connection: ,, x-forwarded-for, x-request-id\r\nContent-Length: 2\r\n\r\nhi"
    )
    service = await stage.accept()
    seen = Seen(await service.head())
    assert await service.exactly(2) == b"hi"
    assert seen.values(b"X-Auth-Client-Id") == [b"client-1"]
    assert seen.values(b"Host") == [b"h"]
    assert seen.values(b"Content-Length") == [b"2"]
    assert {"x-forwarded-for", "x-request-id"} <= set(seen.names)
    service.send(OK)
    assert (await client.answer()).status == 200


async def test_request_id_of_the_client_is_replaced(stage: Stage) -> None:
    await stage.open()
    seen, _ = await stage.pass_through(
        b"GET /public/a HTTP/1.1\r\nHost: h\r\nX-Request-Id: mine\r\nX_Request_Id: mine\r\n\r\n"
    )
    assert len(seen.values(b"X-Request-Id")) == 1
    assert (await stage.log())[0]["request_id"].encode() == seen.values(b"X-Request-Id")[0]


FORWARDED = (
    b"X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-For: 198.51.100.7\r\n"
    b"X-Forwarded-Proto: https\r\nX-Forwarded-Host: outer.example\r\nForwarded: for=203.0.113.9\r\n"
    b"X-Forwarded-Prefix: /outer\r\nX-Real-IP: 6.6.6.6\r\nX-Original-URL: /admin\r\n"
    b"X-Rewrite-URL: /admin\r\nX-HTTP-Method-Override: DELETE\r\n"
)


async def test_strangers_cannot_say_where_a_request_came_from(stage: Stage) -> None:
    await stage.open()
    seen, _ = await stage.pass_through(
        b"GET /public/a HTTP/1.1\r\nHost: h\r\n" + FORWARDED + b"\r\n"
    )
    assert seen.pairs[:-1] == [
        (b"Host", b"h"),
        (b"Via", stage.via),
        (b"X-Forwarded-For", b"127.0.0.1"),
        (b"X-Forwarded-Proto", b"http"),
        (b"X-Forwarded-Host", b"h"),
    ]


async def test_what_trusted_proxies_say_is_extended_over_all_lines(stage: Stage) -> None:
    await stage.open(trusted_proxies=["127.0.0.0/8"])
    seen, _ = await stage.pass_through(
        b"GET /public/a HTTP/1.1\r\nHost: h\r\n" + FORWARDED + b"\r\n"
    )
    assert seen.pairs[:-1] == [
        (b"Host", b"h"),
        (b"Via", stage.via),
        (b"X-Forwarded-For", b"203.0.113.9, 198.51.100.7, 127.0.0.1"),
        (b"X-Forwarded-Proto", b"https"),
        (b"X-Forwarded-Host", b"outer.example, h"),
        (b"X-Forwarded-Prefix", b"/outer"),
        (b"Forwarded", b"for=203.0.113.9, for=127.0.0.1;host=h;proto=http"),
    ]


async def test_route_of_a_request_is_that_of_its_host_whatever_trusted_proxies_say(
    stage: Stage,
) -> None:
    routes = [
        {"name": name, "match": {"host": name, "path": "/public/**"}, "public": True}
        for name in ("inner.example", "outer.example")
    ]
    await stage.open(trusted_proxies=["127.0.0.0/8"], routes=routes)
    said = b"X-Forwarded-Host: outer.example\r\nForwarded: host=outer.example\r\n"
    await stage.pass_through(b"GET /public/a HTTP/1.1\r\nHost: inner.example\r\n" + said + b"\r\n")
    (entry,) = await stage.log()
    assert (entry["route"], entry["host"]) == ("inner.example", "inner.example")


@pytest.mark.parametrize(
    ("sent", "forwarded"),
    [
        (b"/public/a?x=%2e%2E/..;a&%zz&q=%E9//", b"/public/a?x=%2e%2E/..;a&%zz&q=%E9//"),
        (b"/public/a?", b"/public/a?"),
        (b"/public/a??/public#x".replace(b"#", b"%23"), b"/public/a??/public%23x"),
        (b"/public/%61%7eb%c3%a9/", b"/public/a~b%C3%A9/"),
        (b"/public/a%20b%40", b"/public/a%20b%40"),
        (b"http://h/public/a?b", b"/public/a?b"),
    ],
)
async def test_path_arrives_canonical_and_query_untouched(
    stage: Stage, sent: bytes, forwarded: bytes
) -> None:
    await stage.open()
    seen, _ = await stage.pass_through(b"GET %b HTTP/1.1\r\nHost: h\r\n\r\n" % sent)
    assert seen.line == b"GET %b HTTP/1.1" % forwarded


async def test_bytes_of_fields_arrive_exactly(stage: Stage) -> None:
    await stage.open()
    seen, answer = await stage.pass_through(
        b"GET /public/a HTTP/1.1\r\nHost: h\r\nX-Latin: caf\xe9 \xc3\xa9\r\n\r\n",
        b"HTTP/1.1 200 d\xe9j\xe0 vu\r\nX-Latin: caf\xe9 \xc3\xa9\r\nX-Empty:\r\nX-Next: 1\r\n"
        b"Content-Length: 0\r\n\r\n",
    )
    assert seen.values(b"X-Latin") == [b"caf\xe9 \xc3\xa9"]
    assert answer.head == (
        b"HTTP/1.1 200 d\xe9j\xe0 vu\r\nX-Latin: caf\xe9 \xc3\xa9\r\nX-Empty: \r\nX-Next: 1\r\n"
        b"Content-Length: 0\r\n\r\n"
    )


async def test_token_goes_on_only_where_the_route_says_so(stage: Stage) -> None:
    routes = [{"name": "a", "match": {"path": "/a"}, "require": {}, "forward_token": True}]
    await stage.open(routes=routes)
    seen, _ = await stage.pass_through(
        b"GET /a HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer machine\r\n\r\n"
    )
    assert seen.values(b"Authorization") == [b"Bearer machine"]
    assert seen.values(b"X-Auth-Client-Id") == [b"client-1"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"Basic dXNlcjpwYXNz", [b"Basic dXNlcjpwYXNz"]),  # the service's own affair
        (b"Bearer stranger", [b"Bearer stranger"]),  # no token of ours
        (b"Bearer machine", []),  # ours: not for the service to see
        (b"Bearer outage", []),  # perhaps ours
    ],
)
async def test_public_route_passes_all_but_our_tokens(
    stage: Stage, value: bytes, expected: list[bytes]
) -> None:
    routes = [
        {
            "name": "p",
            "match": {"path": "/p"},
            "public": True,
            "authorization_server": "corporate",
        }
    ]
    await stage.open(routes=routes)
    seen, _ = await stage.pass_through(
        b"GET /p HTTP/1.1\r\nHost: h\r\nAuthorization: %b\r\n\r\n" % value
    )
    assert seen.values(b"Authorization") == expected
    assert not [name for name in seen.names if name.startswith("x-auth-")]


async def test_http_1_0_without_a_host_gets_the_name_of_the_service(stage: Stage) -> None:
    await stage.open()
    client = await stage.client(b"GET /public/a HTTP/1.0\r\n\r\n")
    service = await stage.accept()
    seen = Seen(await service.head())
    assert seen.line == b"GET /public/a HTTP/1.1"
    assert seen.values(b"Host") == [b"127.0.0.1:%d" % stage.service.port]
    service.send(OK)
    assert await client.rest() == (
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
    )


# Bodies of requests.


async def test_sized_body_arrives_as_it_came(stage: Stage) -> None:
    await stage.open()
    client = await stage.client(sized(10) + b"01234")
    service = await stage.accept()
    assert Seen(await service.head()).values(b"Content-Length") == [b"10"]
    assert await service.exactly(5) == b"01234"
    client.send(b"56789")
    assert await service.exactly(5) == b"56789"
    service.send(OK)
    assert (await client.answer()).body == b"ok"


async def test_empty_body_keeps_its_length(stage: Stage) -> None:
    await stage.open()
    client = await stage.client(sized(0))
    service = await stage.accept()
    assert (await service.head()).endswith(b"\r\nContent-Length: 0\r\n\r\n")
    service.send(OK)
    await client.answer()


async def test_bodyless_request_gets_no_framing(stage: Stage) -> None:
    await stage.open()
    seen, _ = await stage.pass_through(b"POST /public/a HTTP/1.1\r\nHost: h\r\n\r\n")
    assert not {"content-length", "transfer-encoding"} & set(seen.names)


async def test_chunked_body_arrives_in_chunks_as_they_come(stage: Stage) -> None:
    await stage.open()
    client = await stage.client(CHUNKED + b"5;ext=1\r\nhello\r\n")
    service = await stage.accept()
    head = await service.head()
    assert head.endswith(b"\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert await service.exactly(10) == b"5\r\nhello\r\n"
    client.send(b"3\r\n")
    client.send(b"you\r\n")
    assert await service.exactly(8) == b"3\r\nyou\r\n"
    client.send(b"0\r\n\r\n")
    assert await service.exactly(5) == b"0\r\n\r\n"
    service.send(OK)
    assert (await client.answer()).body == b"ok"


async def test_whole_chunked_body_arrives_whole(stage: Stage) -> None:
    await stage.open()
    client = await stage.client(CHUNKED + b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n")
    service = await stage.accept()
    await service.head()
    assert await service.until(b"0\r\n\r\n") == b"3\r\nabc\r\n0\r\n\r\n"
    service.send(OK)
    await client.answer()


async def test_empty_chunked_body_is_only_a_last_chunk(stage: Stage) -> None:
    await stage.open()
    client = await stage.client(CHUNKED + b"0\r\n\r\n")
    service = await stage.accept()
    await service.head()
    assert await service.exactly(5) == b"0\r\n\r\n"
    service.send(OK)
    await client.answer()


# Expect: 100-continue.

EXPECTING = sized(2, b"Expect: 100-continue")


async def test_body_is_asked_for_once_the_request_is_allowed(stage: Stage) -> None:
    await stage.open()
    client = await stage.client(EXPECTING)
    assert await client.head() == b"HTTP/1.1 100 Continue\r\n\r\n"
    service = await stage.accept()
    assert "expect" not in Seen(await service.head()).names
    client.send(b"hi")
    assert await service.exactly(2) == b"hi"
    service.send(OK)
    assert (await client.answer()).status == 200


async def test_http_1_0_is_not_told_to_continue(stage: Stage) -> None:
    await stage.open()
    client = await stage.client(EXPECTING.replace(b"HTTP/1.1", b"HTTP/1.0") + b"hi")
    service = await stage.accept()
    await service.head()
    service.send(OK)
    assert (await client.rest()).startswith(b"HTTP/1.1 200 OK")


async def test_continue_of_the_service_is_swallowed(stage: Stage) -> None:
    """The client gets one 100, the gateway's, and none that it did not ask for."""
    await stage.open()
    client = await stage.client(sized(2) + b"hi")
    service = await stage.accept()
    await service.head()
    service.send(b"HTTP/1.1 100 Continue\r\n\r\n" + OK)
    assert (await client.answer()).status == 200


# The answer, as the client sees it.


async def test_hop_by_hop_fields_of_an_answer_stop_here(stage: Stage) -> None:
    await stage.open()
    _, answer = await stage.pass_through(
        GET,
        b"HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=9\r\n"
        b"Upgrade: h2c\r\nProxy-Authenticate: Basic\r\nServer: s\r\nContent-Length: 2\r\n\r\nok",
    )
    assert answer.head == b"HTTP/1.1 200 OK\r\nServer: s\r\nContent-Length: 2\r\n\r\n"


async def test_two_cookies_stay_two(stage: Stage) -> None:
    await stage.open()
    _, answer = await stage.pass_through(
        GET,
        b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\nContent-Length: 2\r\n\r\nok",
    )
    assert answer.head.startswith(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\n")


async def test_chunk_reaches_the_client_before_the_next_is_sent(stage: Stage) -> None:
    await stage.open()
    client = await stage.client(GET)
    service = await stage.accept()
    await service.head()
    service.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert await client.head() == b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    for piece in (b"one", b"three", b"x" * 5000):
        chunk = b"%x\r\n%b\r\n" % (len(piece), piece)
        service.send(chunk)
        assert await client.exactly(len(chunk)) == chunk
    service.send(b"0\r\n\r\n")
    assert await client.exactly(5) == b"0\r\n\r\n"
    client.send(GET)
    await service.head()


async def test_trailers_of_an_answer_are_delivered_but_for_those_that_mean_framing(
    stage: Stage,
) -> None:
    await stage.open()
    client = await stage.client(GET)
    service = await stage.accept()
    await service.head()
    service.send(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\n"
        b"Host: evil\r\nSet-Cookie: a=1\r\nConnection: x\r\n\r\n"
    )
    assert await client.head() == b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert await client.until(b"\r\n\r\n") == b"2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n"


async def test_http_1_0_client_gets_no_chunks_but_a_close(stage: Stage) -> None:
    await stage.open()
    client = await stage.client(
        b"GET /public/a HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n"
    )
    service = await stage.accept()
    await service.head()
    service.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")
    assert await client.head() == b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
    service.send(b"1\r\n!\r\n0\r\nX-Sum: 1\r\n\r\n")
    assert await client.rest() == b"ok!"


async def test_http_1_0_client_may_keep_its_connection(stage: Stage) -> None:
    await stage.open()
    client = await stage.client(
        b"GET /public/a HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n"
    )
    service = await stage.accept()
    await service.head()
    service.send(OK)
    assert (await client.answer()).fields["connection"] == "keep-alive"
    client.send(GET)
    await service.head()
    service.send(OK)
    assert (await client.answer()).body == b"ok"


async def test_small_chunked_answer_that_has_arrived_gets_a_length(stage: Stage) -> None:
    await stage.open()
    _, answer = await stage.pass_through(
        GET, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    )
    assert answer.head == b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
    assert answer.body == b"ok"


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
async def test_answer_that_ends_with_the_connection_is_complete(
    stage: Stage, version: bytes
) -> None:
    await stage.open()
    client = await stage.client(GET)
    service = await stage.accept()
    await service.head()
    service.send(b"HTTP/%b 200 OK\r\nX-A: 1\r\n\r\n" % version)
    assert await client.head() == (
        b"HTTP/1.1 200 OK\r\nX-A: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    service.send(b"hello")
    assert await client.exactly(10) == b"5\r\nhello\r\n"
    service.close()
    assert await client.exactly(5) == b"0\r\n\r\n"
    # The client's connection goes on, with another one behind it.
    client.send(GET)
    another = await stage.accept()
    await another.head()
    another.send(OK)
    assert (await client.answer()).body == b"ok"


@pytest.mark.parametrize(
    ("request_bytes", "head"),
    [
        (HEAD, b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"),
        (HEAD, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        (GET, b"HTTP/1.1 204 No Content\r\n\r\n"),
        (GET, b"HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\n\r\n"),
        (GET, b"HTTP/1.1 304 Not Modified\r\n\r\n"),
    ],
)
async def test_answer_without_a_body_ends_with_its_head(
    stage: Stage, request_bytes: bytes, head: bytes
) -> None:
    await stage.open()
    client = await stage.client(request_bytes)
    service = await stage.accept()
    await service.head()
    service.send(head)
    assert await client.head() == head.replace(b"Transfer-Encoding: chunked\r\n", b"")
    # Both connections go on; the service's, when nothing more has come for a while.
    await asyncio.sleep(_REST_SECONDS + 0.02)
    client.send(GET)
    await service.head()
    service.send(OK)
    assert (await client.answer()).body == b"ok"


async def test_length_of_a_204_is_dropped(stage: Stage) -> None:
    await stage.open()
    client = await stage.client(GET)
    service = await stage.accept()
    await service.head()
    service.send(b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n")
    assert await client.head() == b"HTTP/1.1 204 No Content\r\n\r\n"


@pytest.mark.parametrize(
    "informational",
    [
        b"HTTP/1.1 103 Early Hints\r\nX-Odd: 1\r\n\r\n",
        b"HTTP/1.1 102 Processing\r\n\r\n" * 200,
    ],
)
async def test_final_answer_follows_informational_ones(stage: Stage, informational: bytes) -> None:
    await stage.open()
    client = await stage.client(GET)
    service = await stage.accept()
    await service.head()
    await service.flush(informational)
    service.send(b"HTTP/1.1 200 Fine\r\nX-A: 1\r\nContent-Length: 2\r\n\r\nok")
    assert (await client.answer()).head == (
        b"HTTP/1.1 200 Fine\r\nX-A: 1\r\nContent-Length: 2\r\n\r\n"
    )


HINTS = (
    b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nSet-Cookie: a=1\r\n"
    b"link: </b.js>; rel=preload\r\n\r\n"
)


async def test_early_hints_arrive_before_the_answer(stage: Stage) -> None:
    """Only what they are for crosses: what is said of the answer waits for its head."""
    await stage.open()
    client = await stage.client(GET)
    service = await stage.accept()
    await service.head()
    for _ in range(2):
        service.send(HINTS)
        assert await client.head() == (
            b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n"
            b"link: </b.js>; rel=preload\r\n\r\n"
        )
    service.send(OK)
    assert (await client.answer()).status == 200
    # The next request of the connection hears nothing of them.
    client.send(GET)
    await service.head()
    service.send(OK)
    assert (await client.answer()).head == OK[: -len(b"ok")]


async def test_http_1_0_gets_no_early_hints(stage: Stage) -> None:
    await stage.open()
    client = await stage.client(b"GET /public/a HTTP/1.0\r\n\r\n")
    service = await stage.accept()
    await service.head()
    service.send(HINTS + OK)
    assert (await client.answer()).status == 200


async def test_refusal_may_follow_early_hints(stage: Stage) -> None:
    await stage.open()
    client = await stage.client(GET)
    service = await stage.accept()
    await service.head()
    service.send(HINTS)
    await client.head()
    service.close()
    assert (await client.answer()).reason == "upstream_unavailable"
    assert stage.service.is_untouched


# Early answers.


async def test_early_answer_during_an_upload_is_delivered(stage: Stage) -> None:
    await stage.open()
    client = await stage.client(sized(1_000_000) + b"begin")
    service = await stage.accept()
    await service.head()
    assert await service.exactly(5) == b"begin"
    service.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
    answer = await client.answer()
    assert answer.status == 413
    assert answer.fields["connection"] == "close"
    assert answer.body == b"big"
    # The rest is read and dropped: it reaches no service, and no reset eats the answer.
    client.send(b"x" * 999_995)
    assert await client.rest() == b""
    assert await service.rest_until_broken() == b""
    await stage.settled_series(
        "gateway_upstream_requests_total",
        {f'result="answered",server="127.0.0.1:{stage.service.port}",upstream="orders"': 1},
    )


async def test_answer_streams_back_while_the_upload_goes_on(stage: Stage) -> None:
    await stage.open()
    client = await stage.client(CHUNKED)
    service = await stage.accept()
    await service.head()
    service.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert b"Connection: close" in await client.head()
    for _ in range(3):
        client.send(b"4\r\nping\r\n")
        assert await service.exactly(9) == b"4\r\nping\r\n"
        service.send(b"4\r\npong\r\n")
        assert await client.exactly(9) == b"4\r\npong\r\n"
    client.send(b"0\r\n\r\n")
    assert await service.exactly(5) == b"0\r\n\r\n"
    service.send(b"0\r\n\r\n")
    assert await client.rest() == b"0\r\n\r\n"


# Back-pressure.
async def test_slow_service_stops_a_fast_upload(stage: Stage) -> None:
    await stage.open()
    client = await stage.client(CHUNKED)
    service = await stage.accept()
    await service.head()
    piece = b"x" * 65536
    taken = await client.send_until_stuck(b"10000\r\n%b\r\n" % piece)
    assert taken < BOUND
    # And it goes on when the service does.
    assert (await service.exactly(2 * taken // 3)).count(b"x") > taken // 2


async def test_slow_client_stops_a_fast_answer(stage: Stage) -> None:
    await stage.open()
    client = await stage.client(GET)
    service = await stage.accept()
    await service.head()
    service.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % MUCH)
    taken = await service.send_until_stuck(b"x" * 65536)
    assert taken < BOUND
    await client.head()
    assert len(await client.exactly(taken // 2)) == taken // 2


# Connections that serve more than one request.


async def test_connections_are_reused_on_both_sides(stage: Stage) -> None:
    await stage.open()
    client = await stage.client()
    client.send(GET)
    service = await stage.accept()
    for _ in range(3):
        await service.head()
        service.send(OK)
        assert (await client.answer()).body == b"ok"
        client.send(GET)
    await service.head()
    assert stage.service.is_untouched


async def test_pipelined_requests_are_answered_in_order(stage: Stage) -> None:
    await stage.open()
    requests = [b"GET /public/%d HTTP/1.1\r\nHost: h\r\n\r\n" % number for number in range(100)]
    client = await stage.client(b"".join(requests))
    service = await stage.accept()
    for number in range(100):
        assert (await service.head()).startswith(b"GET /public/%d " % number)
        service.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n%03d" % number)
    for number in range(100):
        assert (await client.answer()).body == b"%03d" % number


@pytest.mark.parametrize("upgrade", [b"h2c", b"websocket"])
async def test_upgrade_is_not_offered_and_ends_the_connection(stage: Stage, upgrade: bytes) -> None:
    """What follows an Upgrade in the same segment is lost to the parser, so nothing may."""
    await stage.open()
    client = await stage.client(
        b"GET /public/a HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\n"
        b"Upgrade: %b\r\nHTTP2-Settings: AAMAAABk\r\n\r\n" % upgrade + GET
    )
    service = await stage.accept()
    assert not {"upgrade", "connection", "http2-settings"} & set(Seen(await service.head()).names)
    service.send(b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: h2c\r\nContent-Length: 0\r\n\r\n")
    assert Answer(await client.head()).fields == {"content-length": "0", "connection": "close"}
    assert await client.rest() == b""


async def test_client_that_says_close_gets_a_close(stage: Stage) -> None:
    await stage.open()
    client = await stage.client(GET[:-2] + b"Connection: close\r\n\r\n")
    service = await stage.accept()
    await service.head()
    service.send(OK)
    assert await client.rest() == (
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
    )
