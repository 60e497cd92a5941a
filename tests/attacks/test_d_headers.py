"""Attacks by fields that services trust: who it is, whence it came, what is hop-by-hop."""

import pytest

from gateway.policy.interfaces import AuthorizationServerUnavailable
from gateway.policy.token import Token
from tests.attacks.wire import ask, bearer, refused
from tests.proxy.stage import ISSUER, OK, Seen, Stage, token

IDENTITY = [
    b"X-Auth-Subject",
    b"X-Auth-Username",
    b"X-Auth-Client-Id",
    b"X-Auth-Scopes",
    b"X-Auth-Issuer",
    b"X-Auth-Roles",
]


def spellings(name: bytes) -> list[bytes]:
    """How a name can be written so that some service takes it for the same."""
    return [
        *(name, name.lower(), name.upper()),
        *(name.replace(b"-", b"_"), name.replace(b"-", b"."), name.replace(b"-", b"_", 1)),
        name[::-1].replace(b"-", b"_", 1)[::-1].upper(),
    ]


ROUTES = [
    {"name": "public", "match": {"path": "/public/**"}, "public": True},
    {"name": "orders", "match": {"path": "/orders/**"}, "require": {}},
]


@pytest.mark.parametrize("name", IDENTITY, ids=bytes.decode)
@pytest.mark.parametrize("path", [b"/public/a", b"/orders/1"], ids=bytes.decode)
async def test_d31_no_spelling_of_an_identity_of_the_client_survives(
    stage: Stage, path: bytes, name: bytes
) -> None:
    """CVE-2026-30851: not on a public route, nor where the token has no such claim."""
    await stage.open(routes=ROUTES)
    fields = [spelling + b": evil" for spelling in spellings(name) for _ in range(2)]
    seen, _ = await stage.pass_through(ask(path, bearer(b"powerless"), *fields))
    assert b"evil" not in b"".join(value for _, value in seen.pairs)
    told = [pair for pair in seen.pairs if pair[0].lower().startswith(b"x-auth")]
    issued = [(b"X-Auth-Client-Id", b"client-1"), (b"X-Auth-Issuer", ISSUER.encode())]
    assert told == (issued if path.startswith(b"/orders") else [])


NAMED_AWAY = {
    "an identity": [b"Connection: close, X-Auth-Client-Id"],
    "an identity in other letters": [b"Connection: x_auth_client_id, X-AUTH-ISSUER"],
    "framing and authentication": [b"Connection: authorization, host, content-length"],
    "nothing": [b"Connection: ,"],
    "two lines": [b"Connection: keep-alive", b"Connection: X-Auth-Client-Id, X-Forwarded-For"],
    "all that the gateway adds": [
        b"Connection: x-auth-issuer, x-forwarded-for, x-forwarded-proto, x-forwarded-host",
        b"Connection: ,, x-auth-client-id, x-request-id, transfer-encoding, content-type, cookie",
    ],
}


@pytest.mark.parametrize("connection", NAMED_AWAY.values(), ids=NAMED_AWAY.keys())
async def test_d32_connection_names_nothing_away_that_the_gateway_relies_on_or_adds(
    stage: Stage, connection: list[bytes]
) -> None:
    """CVE-2024-45410."""
    await stage.open(routes=ROUTES)
    fields = [*connection, b"Content-Length: 2", b"Content-Type: a/b", b"Cookie: c=1"]
    client = await stage.client(
        ask(b"/orders/1", bearer(b"powerless"), *fields, method=b"POST") + b"hi"
    )
    service = await stage.accept()
    seen = Seen(await service.head())
    assert await service.exactly(2) == b"hi"
    for name, value in [
        (b"Host", b"h"),
        (b"Content-Length", b"2"),
        (b"Content-Type", b"a/b"),
        (b"Cookie", b"c=1"),
        (b"X-Auth-Client-Id", b"client-1"),
        (b"X-Auth-Issuer", ISSUER.encode()),
        (b"X-Forwarded-For", b"127.0.0.1"),
        (b"X-Forwarded-Proto", b"http"),
        (b"X-Forwarded-Host", b"h"),
    ]:
        assert seen.values(name) == [value]
    assert len(seen.values(b"X-Request-Id")) == 1
    assert "connection" not in seen.names
    service.send(OK)
    assert (await client.answer()).status == 200


async def test_d32_connection_does_not_name_the_token_away(stage: Stage) -> None:
    """Nor a credential of the service's own."""
    await stage.open(routes=ROUTES)
    fields = [b"Connection: authorization", b"Authorization: Basic dXNlcjpwYXNz"]
    seen, _ = await stage.pass_through(ask(b"/public/a", *fields))
    assert seen.values(b"Authorization") == [b"Basic dXNlcjpwYXNz"]
    refusal = await stage.ask(ask(b"/orders/1", *fields))
    assert (refusal.status, refusal.reason) == (401, "missing_token")


HOP_BY_HOP = [
    b"Keep-Alive: timeout=5",
    b"Proxy-Connection: close",
    b"Proxy-Authorization: Basic eA==",
    b"Proxy-Authenticate: Basic",
    b"TE: gzip",
    b"Trailer: X-T",
    b"Upgrade: h2c",
    b"HTTP2-Settings: AAMAAABk",
    b"Connection: X-Hop, HTTP2-Settings",
    b"X-Hop: 1",
]


async def test_d33_hop_by_hop_fields_of_a_request_stop_here(stage: Stage) -> None:
    await stage.open(routes=ROUTES)
    seen, _ = await stage.pass_through(ask(b"/public/a", *HOP_BY_HOP, b"X-Kept: 1"))
    assert seen.names == [
        *("host", "x-kept", "via"),
        *("x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-request-id"),
    ]


async def test_d33_hop_by_hop_fields_of_an_answer_stop_here(stage: Stage) -> None:
    await stage.open(routes=ROUTES)
    fields = b"\r\n".join(field for field in HOP_BY_HOP if not field.startswith(b"HTTP2"))
    _, answer = await stage.pass_through(
        ask(b"/public/a"),
        b"HTTP/1.1 200 OK\r\n" + fields + b"\r\nServer: s\r\nContent-Length: 2\r\n\r\nok",
    )
    assert answer.head == b"HTTP/1.1 200 OK\r\nServer: s\r\nContent-Length: 2\r\n\r\n"


@pytest.mark.parametrize(
    ("fields", "crosses"),
    [
        ([b"TE: trailers, gzip"], [b"trailers"]),
        ([b"TE: trailers", b"Connection: TE"], [b"trailers"]),
        ([b"te: gzip;q=0.5", b"TE: Trailers"], [b"trailers"]),
        ([b"TE: gzip, deflate"], []),
    ],
)
async def test_d33_of_te_only_trailers_crosses(
    stage: Stage, fields: list[bytes], crosses: list[bytes]
) -> None:
    await stage.open(routes=ROUTES)
    seen, _ = await stage.pass_through(ask(b"/public/a", *fields))
    assert seen.values(b"TE") == crosses
    # RFC 9110, section 10.1.4: it is for the next one alone.
    assert seen.values(b"Connection") == [b"TE"] * len(crosses)


TWO_TOKENS = {
    "the same": [bearer(b"machine"), bearer(b"machine")],
    "a good one last": [bearer(b"inactive"), bearer(b"machine")],
    "a good one first": [bearer(b"machine"), bearer(b"inactive")],
    "in other letters": [bearer(b"machine"), b"AUTHORIZATION: bearer machine"],
    "two schemes": [b"Authorization: Basic eDp5", bearer(b"machine")],
    "an empty one": [b"Authorization:", bearer(b"machine")],
}


@pytest.mark.parametrize("fields", TWO_TOKENS.values(), ids=TWO_TOKENS.keys())
async def test_d34_two_authorizations_are_a_400_and_reach_nobody(
    stage: Stage, fields: list[bytes]
) -> None:
    await stage.open(routes=ROUTES)
    refusal = await stage.ask(ask(b"/orders/1", *fields))
    assert (refusal.status, refusal.reason) == (400, "multiple_tokens")
    await stage.close()
    assert stage.service.is_untouched
    assert stage.tokens.asked == []


BREAKING = ["\r\nX-Evil: 1", "\n", "\r", "\0", "\x7f", "\x1b[2J", "\x85", "\r\n\r\nGET / HTTP/1.1"]


@pytest.mark.parametrize("breaking", BREAKING, ids=ascii)
async def test_d36_claim_that_could_break_a_header_is_not_told(stage: Stage, breaking: str) -> None:
    """CVE-2023-27493: the field is left out, whole, and the others stand."""
    text = f"a{breaking}b"
    stage.tokens.answers["evil"] = Token(
        issuer=ISSUER,
        client_id="client-1",
        subject=text,
        username=text,
        scopes=frozenset({"read", text}),
        audience=(),
        expires_at=None,
        claims={},
    )
    await stage.open(routes=ROUTES)
    seen, _ = await stage.pass_through(ask(b"/orders/1", bearer(b"evil")))
    assert [pair for pair in seen.pairs if pair[0].startswith(b"X-Auth")] == [
        (b"X-Auth-Client-Id", b"client-1"),
        (b"X-Auth-Issuer", ISSUER.encode()),
    ]
    assert len(seen.names) == 8


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (b"/nothing/%b", 404),
        (b"/orders/%b", 401),
        (b"/public/..;%b", 400),
        (b"/unavailable/%b", 503),
    ],
)
@pytest.mark.parametrize("accept", [b"*/*", b"text/html"])
async def test_d36_text_of_an_error_never_comes_from_the_request(
    stage: Stage, path: bytes, status: int, accept: bytes
) -> None:
    secret = b"quoted"
    stage.tokens.answers["gone-quoted"] = AuthorizationServerUnavailable("quoted too")
    stage.tokens.answers["low"] = token("other")
    await stage.open(
        routes=[*ROUTES, {"name": "gone", "match": {"path": "/unavailable/**"}, "require": {}}]
    )
    authorization = bearer(b"gone-quoted" if status == 503 else b"no-such-quoted")
    client = await stage.client(
        ask(path % secret, authorization, b"Accept: " + accept, b"X-A: quoted", host=b"quoted")
    )
    answer = await client.answer()
    assert answer.status == status
    assert secret not in answer.body
    # The metadata's address has the host only where a route names it.
    assert secret not in answer.head
    assert answer.fields["content-type"].startswith(
        "text/html" if accept == b"text/html" else "application/problem+json"
    )


async def test_d36_two_cookies_stay_two_and_latin_1_passes_exactly(stage: Stage) -> None:
    await stage.open(routes=ROUTES)
    seen, answer = await stage.pass_through(
        ask(b"/public/a", b"X-Latin: caf\xe9\xa0", b"Cookie: a=\xff"),
        b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1, b\r\nSet-Cookie: a=\xe9\r\nX-Latin: \xfc\xdf\r\n"
        b"Content-Length: 2\r\n\r\nok",
    )
    assert seen.values(b"X-Latin") == [b"caf\xe9\xa0"]
    assert seen.values(b"Cookie") == [b"a=\xff"]
    assert answer.head.startswith(
        b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1, b\r\nSet-Cookie: a=\xe9\r\nX-Latin: \xfc\xdf\r\n"
    )


async def test_d36_malformed_request_is_not_quoted(stage: Stage) -> None:
    request = b"GET /public/<quoted> HTTP/1.1\r\nHost: h\r\nX[quoted]: quoted\r\n\r\n"
    refusal = await refused(stage, request)
    assert b"quoted" not in refusal.head + refusal.body
    assert "quoted" not in stage.log_file.read_text()
