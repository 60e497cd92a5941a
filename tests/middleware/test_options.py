"""`OPTIONS *`: the gateway answers for itself."""

import pytest

from tests.proxy.stage import OK, Stage

STAR = b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n"
ROUTES = [{"name": "all", "match": {"path": "/**"}, "public": True}]


async def test_b17_options_of_the_server_is_answered_by_the_gateway_alone(stage: Stage) -> None:
    """No route matches it, not even one for everything; the next request is served."""
    await stage.open(routes=ROUTES)
    client = await stage.client(STAR + b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n")
    answer = await client.answer()
    assert answer.status == 204
    assert {"GET", "OPTIONS"} <= set(answer.fields["allow"].split(", "))
    service = await stage.accept()
    assert (await service.head()).startswith(b"GET /a HTTP/1.1\r\n")
    service.send(OK)
    assert (await client.answer()).body == b"ok"
    entry = (await stage.log())[0]
    assert (entry["status"], entry["path"], entry["route"]) == (204, "*", "-")


async def test_a_body_of_options_of_the_server_is_never_a_request(stage: Stage) -> None:
    await stage.open(routes=ROUTES)
    smuggled = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
    client = await stage.client(
        b"OPTIONS * HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n" + smuggled
    )
    answer = await client.answer()
    assert (answer.status, answer.fields["connection"]) == (204, "close")
    await stage.close()
    assert stage.service.is_untouched


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"OPTIONS * HTTP/1.1\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: a/b\r\n\r\n",
        b"OPTIONS *?a HTTP/1.1\r\nHost: h\r\n\r\n",
        b"OPTIONS */a HTTP/1.1\r\nHost: h\r\n\r\n",
        b"OPTIONS * HTTP/2.0\r\nHost: h\r\n\r\n",
        b"OPTIONS ftp://h/a HTTP/1.1\r\nHost: h\r\n\r\n",
        b"OPTIONS http://other/a HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET * HTTP/1.1\r\nHost: h\r\n\r\n",
        b"DELETE * HTTP/1.1\r\nHost: h\r\n\r\n",
    ],
)
async def test_b17_a_star_is_malformed_otherwise(stage: Stage, request_bytes: bytes) -> None:
    await stage.open(routes=ROUTES)
    refusal = await stage.ask(request_bytes)
    assert (refusal.status, refusal.reason) == (400, "malformed_request")
    await stage.close()
    assert stage.service.is_untouched


async def test_b17_the_framing_of_options_of_the_server_is_judged_first(stage: Stage) -> None:
    """What the gateway answers itself is no way round the rules of framing."""
    await stage.open(routes=ROUTES)
    client = await stage.client(
        b"OPTIONS * HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"
        b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
    )
    refusal = await client.answer()
    assert (refusal.status, refusal.reason) == (501, "unsupported_coding")
    assert await client.rest_until_broken() == b""
    await stage.close()
    assert stage.service.is_untouched


async def test_a_path_of_a_star_is_a_path(stage: Stage) -> None:
    """`/*` is forwarded like any other; only the bare star means the server."""
    await stage.open(routes=ROUTES)
    client = await stage.client(b"OPTIONS /* HTTP/1.1\r\nHost: h\r\n\r\n")
    service = await stage.accept()
    assert (await service.head()).startswith(b"OPTIONS /* HTTP/1.1\r\n")
    service.send(OK)
    assert (await client.answer()).status == 200
