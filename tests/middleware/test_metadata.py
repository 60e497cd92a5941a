"""The protected resource's metadata (RFC 9728), the only page that the guard itself has."""

import json

import pytest

from tests.proxy.stage import Answer, Stage

PATH = b"/.well-known/oauth-protected-resource"
ROUTES = [
    {"name": "public", "match": {"path": "/public/**"}, "public": True},
    {
        "name": "read",
        "match": {"path": "/orders", "methods": ["GET"]},
        "require": {"scopes": ["r"]},
    },
    {
        "name": "write",
        "match": {"path": "/orders", "methods": ["PUT"]},
        "require": {"scopes": ["w"], "any_scope": ["x", "y"]},
    },
    {
        "name": "hosted",
        "match": {"path": "/other", "host": "other.example.com"},
        "require": {"scopes": ["o"]},
    },
]


def get(path: bytes, host: bytes = b"h", method: bytes = b"GET") -> bytes:
    return b"%b %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (method, path, host)


def described(resource: str, *scopes: str) -> dict[str, object]:
    return {
        "resource": resource,
        "authorization_servers": ["https://login.example.com"],
        "scopes_supported": list(scopes),
        "bearer_methods_supported": ["header"],
    }


@pytest.mark.parametrize(
    ("path", "host", "expected"),
    [
        (b"", b"h", described("https://api.example.com", "r", "w", "x", "y")),
        (b"/", b"h", described("https://api.example.com", "r", "w", "x", "y")),
        (b"/orders", b"h", described("https://api.example.com/orders", "r", "w", "x", "y")),
        (b"", b"evil", described("https://api.example.com", "r", "w", "x", "y")),
        (
            b"",
            b"other.example.com",
            described("https://other.example.com", "o", "r", "w", "x", "y"),
        ),
        (b"/other", b"other.example.com", described("https://other.example.com/other", "o")),
    ],
)
async def test_metadata_describe_what_stands_behind_the_path(
    stage: Stage, path: bytes, host: bytes, expected: dict[str, object]
) -> None:
    await stage.open(routes=ROUTES)
    answer = await stage.ask(get(PATH + path, host))
    assert answer.status == 200
    assert answer.fields["content-type"] == "application/json"
    assert json.loads(answer.body) == expected
    assert stage.service.is_untouched


@pytest.mark.parametrize(
    ("path", "host"), [(b"/public/a", b"h"), (b"/nothing", b"h"), (b"/other", b"h")]
)
async def test_there_are_none_for_what_no_token_opens(
    stage: Stage, path: bytes, host: bytes
) -> None:
    await stage.open(routes=ROUTES)
    assert (await stage.ask(get(PATH + path, host))).reason == "no_route"


async def test_metadata_are_read_only(stage: Stage) -> None:
    await stage.open(routes=ROUTES)
    refusal = await stage.ask(get(PATH, method=b"POST"))
    assert (refusal.status, refusal.fields["allow"]) == (405, "GET, HEAD")


async def test_head_of_the_metadata_has_no_body_and_the_connection_goes_on(stage: Stage) -> None:
    await stage.open(routes=ROUTES)
    client = await stage.client(get(PATH, method=b"HEAD") + get(PATH))
    head = Answer(await client.head())
    answer = await client.answer()
    assert head.head == answer.head
    assert len(answer.body) == int(head.fields["content-length"])


async def test_unread_body_behind_a_question_for_metadata_is_never_a_request(
    stage: Stage,
) -> None:
    await stage.open(routes=ROUTES)
    inner = get(b"/public/evil")
    client = await stage.client(
        b"GET %b HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % (PATH, len(inner))
    )
    answer = await client.answer()
    assert answer.status == 200
    assert answer.fields["connection"] == "close"
    client.send(inner + inner)
    assert await client.rest_until_broken() == b""
    assert stage.service.is_untouched


async def test_neighbour_of_the_well_known_path_is_an_ordinary_path(stage: Stage) -> None:
    await stage.open(routes=ROUTES)
    assert (await stage.ask(get(PATH + b"-too"))).reason == "no_route"


async def test_metadata_count_as_no_route(stage: Stage) -> None:
    await stage.open(routes=ROUTES)
    await stage.ask(get(PATH))
    await stage.settled_series("gateway_requests_total", {'method="GET",route="-",status="200"': 1})
