"""Headers that a route sets, adds and removes, on the way there and back."""

from pathlib import Path

import pytest

from tests.proxy.stage import OK, Stage

SPELLINGS = b"".join(
    name + b": evil\r\n"
    for name in (b"X-Api-Key", b"x-api-key", b"X_API_KEY", b"x.api.key", b"X-API_KEY", b"X!Api!Key")
)


def route(**keys: object) -> dict[str, object]:
    return {"name": "orders", "match": {"path": "/orders/**"}, "require": {}, **keys}


def get(*fields: bytes, token: bytes = b"reader") -> bytes:
    lines = b"".join(field + b"\r\n" for field in fields)
    return (
        b"GET /orders/1 HTTP/1.1\r\nHost: api.example.com\r\nAuthorization: Bearer %b\r\n%b\r\n"
        % (token, lines)
    )


async def test_no_spelling_of_a_header_that_is_set_comes_from_the_client(stage: Stage) -> None:
    await stage.open(routes=[route(request_headers={"set": {"X-Api-Key": "ours"}})])
    seen, _ = await stage.pass_through(get(SPELLINGS.removesuffix(b"\r\n")))
    assert seen.values(b"X-Api-Key") == [b"ours"]
    assert b"evil" not in b"".join(value for _, value in seen.pairs)


async def test_connection_cannot_name_away_a_header_that_is_set(stage: Stage) -> None:
    await stage.open(routes=[route(request_headers={"set": {"X-Api-Key": "ours"}})])
    seen, _ = await stage.pass_through(get(b"Connection: close, x-api-key"))
    assert seen.values(b"X-Api-Key") == [b"ours"]


@pytest.mark.parametrize("sent", [b"Authorization: Basic ZXZpbA==", b"X-Nothing: 1"])
async def test_the_upstream_gets_credentials_of_its_own(stage: Stage, sent: bytes) -> None:
    """In place of the client's, on a public route too, where its own would pass."""
    (stage.folder / "secret").write_text("Basic b3VyczpvdXJz\n")
    value = {"file": str(stage.folder / "secret")}
    await stage.open(
        routes=[
            {
                "name": "orders",
                "match": {"path": "/orders/**"},
                "public": True,
                "request_headers": {"set": {"Authorization": value}},
            }
        ]
    )
    request = b"GET /orders/1 HTTP/1.1\r\nHost: h\r\n%b\r\n\r\n" % sent
    seen, _ = await stage.pass_through(request)
    assert seen.values(b"Authorization") == [b"Basic b3VyczpvdXJz"]


async def test_headers_are_added_and_removed(stage: Stage) -> None:
    edits = {"add": {"Accept": "text/plain"}, "remove": ["user-agent", "Cookie"]}
    await stage.open(routes=[route(request_headers=edits)])
    seen, _ = await stage.pass_through(
        get(b"Accept: */*", b"User-Agent: x", b"Cookie: a=b", b"COOKIE: c=d")
    )
    assert seen.values(b"Accept") == [b"*/*", b"text/plain"]
    assert not {"user-agent", "cookie"} & set(seen.names)
    assert seen.values(b"X-Auth-Subject") == [b"5c1f"]


async def test_another_route_keeps_what_this_one_changes(stage: Stage) -> None:
    edits = {"set": {"X-Api-Key": "ours"}, "remove": ["Cookie"]}
    other = {"name": "other", "match": {"path": "/other"}, "public": True}
    await stage.open(routes=[route(request_headers=edits), other])
    seen, _ = await stage.pass_through(b"GET /other HTTP/1.1\r\nHost: h\r\nCookie: a=b\r\n\r\n")
    assert seen.values(b"Cookie") == [b"a=b"]
    assert "x-api-key" not in seen.names


async def test_an_answer_is_changed_and_its_body_is_not(stage: Stage) -> None:
    edits = {
        "set": {"Cache-Control": "no-store", "X-Frame-Options": "DENY"},
        "add": {"Link": "</a>"},
        "remove": ["Server", "x-powered-by"],
    }
    await stage.open(routes=[route(response_headers=edits)])
    _, answer = await stage.pass_through(
        get(),
        b"HTTP/1.1 200 OK\r\nServer: old/1\r\nX-Powered-By: old\r\nX_Powered_By: old\r\n"
        b"cache-control: public\r\nCache-Control: max-age=9\r\nLink: </b>\r\n"
        b"Content-Length: 2\r\n\r\nok",
    )
    assert answer.head == (
        b"HTTP/1.1 200 OK\r\nLink: </b>\r\nCache-Control: no-store\r\nX-Frame-Options: DENY\r\n"
        b"Link: </a>\r\nContent-Length: 2\r\n\r\n"
    )
    assert answer.body == b"ok"


async def test_what_is_set_or_removed_does_not_come_as_a_trailer(stage: Stage) -> None:
    edits = {"set": {"X-Set": "ours"}, "remove": ["X-Secret"]}
    await stage.open(routes=[route(response_headers=edits)])
    client = await stage.client(get())
    service = await stage.accept()
    await service.head()
    service.send(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n"
        b"x-secret: evil\r\nX_Set: evil\r\nX-Kept: 1\r\n\r\n"
    )
    head = await client.head()
    assert b"\r\nX-Set: ours\r\n" in head
    assert await client.until(b"0\r\n") == b"2\r\nok\r\n0\r\n"
    assert await client.head() == b"X-Kept: 1\r\n\r\n"


@pytest.mark.parametrize("edits", [{"set": {"link": "</ours>"}}, {"remove": ["LINK"]}])
async def test_what_is_set_or_removed_does_not_come_ahead(
    stage: Stage, edits: dict[str, object]
) -> None:
    await stage.open(routes=[route(response_headers=edits)])
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"
    _, answer = await stage.pass_through(get(), hints + OK)
    assert answer.status == 200


async def test_a_refusal_keeps_its_own_headers(stage: Stage) -> None:
    edits = {"set": {"Cache-Control": "public", "X-Ours": "1"}, "remove": ["WWW-Authenticate"]}
    await stage.open(routes=[route(response_headers=edits)])
    answer = await stage.ask(b"GET /orders/1 HTTP/1.1\r\nHost: h\r\n\r\n")
    assert answer.status == 401
    assert answer.fields["cache-control"] == "no-store"
    assert "www-authenticate" in answer.fields
    assert "x-ours" not in answer.fields


async def test_a_secret_is_shown_to_the_upstream_alone(stage: Stage, tmp_path: Path) -> None:
    """Neither the log nor an answer of the gateway has it, whatever goes wrong."""
    (stage.folder / "secret").write_text("s3cret-of-the-upstream")
    edits = {"set": {"X-Api-Key": {"file": str(stage.folder / "secret")}}}
    await stage.open(routes=[route(request_headers=edits)])
    seen, received = await stage.pass_through(get(), OK)
    assert seen.values(b"X-Api-Key") == [b"s3cret-of-the-upstream"]
    client = await stage.client(get())
    service = stage.service.peers[0]
    await service.head()
    service.send(b"nonsense\r\n\r\n")
    refused = await client.answer()
    assert refused.status == 502
    told = received.head + received.body + refused.head + refused.body
    assert b"s3cret" not in told
    await stage.close()
    assert "s3cret" not in stage.log_file.read_text()
