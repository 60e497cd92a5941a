"""The introspection client, against servers that answer, and servers that do anything else.

Whatever comes back is a Token, Inactive or AuthorizationServerUnavailable: no other exception.
"""

import asyncio
import base64
import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from gateway.introspection.calls import CallLimits, ServerCalls
from gateway.introspection.client_authentication import client_secret_basic
from gateway.introspection.rfc7662 import HttpIntrospector, read_answer
from gateway.policy.interfaces import AuthorizationServerUnavailable
from gateway.policy.rejection import Reason
from gateway.policy.token import Inactive, Token

ISSUER = "https://issuer.example"
NOW = 1_000_000.0

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def introspector(url: str, **options) -> AsyncIterator[HttpIntrospector]:
    limits = CallLimits(options.pop("connect", 5.0), options.pop("timeout", 5.0), 64)
    credentials = {"client_id": "guard", "client_secret": "secret"} | options

    async def find_url() -> str:
        return url

    client = HttpIntrospector(
        ServerCalls(limits),
        issuer=ISSUER,
        find_url=find_url,
        authenticate=client_secret_basic(**credentials),
    )
    try:
        yield client
    finally:
        await client.close()


@asynccontextmanager
async def http_server(handler: Handler) -> AsyncIterator[str]:
    """Runs a real HTTP server; gives the URL of its introspection endpoint."""
    runner = web.ServerRunner(web.Server(handler), shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/introspect"
    finally:
        await runner.cleanup()


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def raw_server(talk: Talk) -> AsyncIterator[str]:
    """Runs a server that says to each connection what it likes, once a request has come."""

    async def serve(reader, writer):
        try:
            await reader.readuntil(b"\r\n\r\n")
            await talk(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/introspect"
    finally:
        server.close()


def says(answer: bytes) -> Talk:
    async def talk(_, writer):
        writer.write(answer)
        await writer.drain()

    return talk


def answers(body: object, status: int = 200, **headers: str) -> bytes:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(text)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + text


async def ask(url: str, **options) -> Token | Inactive:
    async with introspector(url, **options) as client:
        return await client.introspect("gw_at_token")


# --- The question ---


async def test_the_question_is_a_form_with_the_gateways_credentials():
    """RFC 7662, section 2.1; credentials form-urlencoded in Basic (RFC 6749, section 2.3.1)."""
    seen = {}

    async def handler(request):
        seen["credentials"] = base64.b64decode(request.headers["Authorization"].split()[1])
        seen["body"] = await request.read()
        seen["type"] = request.content_type
        seen["accept"] = request.headers["Accept"]
        seen["method"] = request.method
        return web.json_response({"active": False})

    credentials = {"client_id": "ü:b", "client_secret": "a %+:/é"}
    async with http_server(handler) as url, introspector(url, **credentials) as client:
        await client.introspect("a+b/c=&token=x")
    assert seen == {
        "credentials": b"%C3%BC%3Ab:a+%25%2B%3A%2F%C3%A9",
        "body": b"token=a%2Bb%2Fc%3D%26token%3Dx&token_type_hint=access_token",
        "type": "application/x-www-form-urlencoded",
        "accept": "application/json",
        "method": "POST",
    }


async def test_a_connection_is_used_again():
    """Three questions one after another over one connection."""
    peers = set()

    async def handler(request):
        peers.add(request.transport.get_extra_info("peername"))
        return web.json_response({"active": False})

    async with http_server(handler) as url, introspector(url) as client:
        for _ in range(3):
            assert await client.introspect("t") == Inactive()
    assert len(peers) == 1


async def test_a_kept_connection_that_was_closed_meanwhile_is_no_outage():
    """The server closes it just when the second question comes: that is asked once more."""
    questions = 0

    async def talk(reader, writer):
        nonlocal questions
        questions += 1
        await reader.readexactly(len(b"token=t&token_type_hint=access_token"))
        writer.write(answers({"active": False}))
        await writer.drain()
        await reader.readuntil(b"\r\n\r\n")  # and without an answer the connection closes

    async with raw_server(talk) as url, introspector(url) as client:
        assert await client.introspect("t") == Inactive()
        assert await client.introspect("t") == Inactive()
    assert questions == 2


async def test_no_cookie_of_the_server_comes_back():
    seen = []

    async def handler(request):
        seen.append(request.headers.get("Cookie"))
        return web.json_response({"active": False}, headers={"Set-Cookie": "session=1; Path=/"})

    async with http_server(handler) as url, introspector(url) as client:
        await client.introspect("t")
        await client.introspect("t")
    assert seen == [None, None]


# --- Faults of the server ---


async def silence(*_):
    await asyncio.Event().wait()  # for ever: the test ends before, and takes this with it


async def drip(_, writer):
    for byte in answers({"active": True}):
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.05)


async def drip_body(_, writer):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.05)


async def endless(_, writer):
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
        await writer.drain()


ACTIVE = {"active": True}
FAULTS = {
    "closes without an answer": says(b""),
    "is silent": silence,
    "drips its answer": drip,
    "drips its body": drip_body,
    "never ends": endless,
    "speaks no HTTP": says(b"SSH-2.0-OpenSSH\r\n"),
    "has a broken status line": says(b"HTTP/1.1 two hundred\r\n\r\n"),
    "has a broken header": says(b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n"),
    "has an endless header": says(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n"),
    "has contradictory lengths": says(
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef"
    ),
    "has broken chunks": says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
    "stops half-way": says(b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"active": true'),
    "claims to be gzip": says(answers(b"\x1f\x8b", Content_Encoding="gzip")),
    "claims to be gzip and is not": says(answers(ACTIVE, Content_Encoding="br, gzip")[:-3]),
    "switches protocols": says(b"HTTP/1.1 101 X\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
    "sets a broken cookie": says(answers(b"", Set_Cookie="\x01=;;;=")),
    "refuses credentials": says(answers({"error": "invalid_client"}, 401)),
    "forbids": says(answers(ACTIVE, 403)),
    "has had enough": says(answers(ACTIVE, 429, Retry_After="100")),
    "has failed": says(answers(ACTIVE, 500)),
    "is busy": says(answers(ACTIVE, 503)),
    "has nothing there": says(answers(ACTIVE, 404)),
    "has created something": says(answers(ACTIVE, 201)),
    "has no content": says(b"HTTP/1.1 204 X\r\n\r\n"),
    "redirects": says(answers(ACTIVE, 302, Location="/elsewhere")),
    "redirects for good": says(answers(ACTIVE, 308, Location="http://127.0.0.1:1/")),
    "answers with a page": says(answers(b"<html>sign in</html>", Content_Type="text/html")),
    "answers with nothing": says(answers(b"")),
    "answers with broken JSON": says(answers(b'{"active": tru')),
    "answers with more than JSON": says(answers(b'{"active": true} {"active": true}')),
    "answers in Latin-1": says(answers('{"active": true, "sub": "é"}'.encode("latin-1"))),
    "answers with a list": says(answers([ACTIVE])),
    "answers with true": says(answers(True)),
    "answers with null": says(answers(None)),
    "does not say": says(answers({"sub": "alice"})),
    "says true in words": says(answers({"active": "true"})),
    "says true in numbers": says(answers({"active": 1})),
    "says null": says(answers({"active": None})),
    "says true in a list": says(answers({"active": [True]})),
    "nests without end": says(answers(b'{"active": true, "x": ' + b"[" * 100_000)),
    "nests deeply": says(answers(b"[" * 100_000 + b"]" * 100_000)),
    "answers too much": says(answers(b'{"active": true, "x": "' + b"x" * 300_000 + b'"}')),
    "announces too much": says(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n{"),
    "has an endless number": says(answers(b'{"active": true, "x": ' + b"9" * 10_000 + b"}")),
}
WRONG_MEMBERS = [
    {"exp": "1000100"}, {"exp": True}, {"exp": math.nan}, {"exp": math.inf}, {"exp": -math.inf},
    {"exp": 10**30}, {"exp": 2**53}, {"exp": []}, {"exp": {}}, {"nbf": "soon"}, {"nbf": math.nan},
    {"scope": 1}, {"scope": {"a": 1}}, {"scope": ["a", 1]}, {"scope": [["a"]]}, {"aud": 1},
    {"aud": ["x", None]}, {"aud": {"x": 1}}, {"iss": 1}, {"iss": [ISSUER]}, {"client_id": 7},
    {"client_id": ["app"]}, {"sub": 7}, {"sub": {}}, {"sub": False}, {"username": []},
]  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
async def test_whatever_is_no_clear_answer_is_an_outage(fault):
    """Never a token that is invalid, and never an exception that nobody expects."""
    slow = FAULTS[fault] in (silence, drip, drip_body)
    async with raw_server(FAULTS[fault]) as url:
        async with asyncio.timeout(3):
            with pytest.raises(AuthorizationServerUnavailable) as caught:
                await ask(url, timeout=0.2 if slow else 2.5)
    assert ("did not answer within 0.2s" in str(caught.value)) is slow


@pytest.mark.parametrize("members", WRONG_MEMBERS, ids=repr)
def test_a_member_of_the_wrong_type_is_an_outage(members):
    with pytest.raises(AuthorizationServerUnavailable):
        read({"active": True} | members)


async def test_nobody_there_is_an_outage(unused_tcp_port):
    with pytest.raises(AuthorizationServerUnavailable):
        await ask(f"http://127.0.0.1:{unused_tcp_port}/introspect")


@pytest.mark.parametrize("url", ["http://no-such-host.invalid/", "http://[::ffff/", "nonsense"])
async def test_a_url_that_leads_nowhere_is_an_outage(url):
    with pytest.raises(AuthorizationServerUnavailable):
        await ask(url)


async def test_a_redirect_is_not_followed():
    """The token would be told to whom nobody configured."""
    elsewhere = []

    async def handler(request):
        if request.path == "/elsewhere":
            elsewhere.append(await request.read())
            return web.json_response(ACTIVE)
        raise web.HTTPTemporaryRedirect("/elsewhere")

    async with http_server(handler) as url:
        with pytest.raises(AuthorizationServerUnavailable, match="answered 307"):
            await ask(url)
    assert elsewhere == []


KINDS = {
    "closes without an answer": "unreachable",
    "stops half-way": "unreachable",
    "is silent": "timeout",
    "refuses credentials": "credentials_refused",
    "forbids": "credentials_refused",
    "has had enough": "throttled",
    "has failed": "server_error",
    "is busy": "server_error",
    "redirects": "unexpected_answer",
    "has nothing there": "unexpected_answer",
    "answers with a page": "unexpected_answer",
    "answers too much": "unexpected_answer",
    "says true in words": "unexpected_answer",
}


@pytest.mark.parametrize("fault", KINDS)
async def test_an_outage_says_of_which_kind_it_is(fault):
    async with raw_server(FAULTS[fault]) as url:
        with pytest.raises(AuthorizationServerUnavailable) as caught:
            await ask(url, timeout=0.2 if fault == "is silent" else 2.5)
    assert caught.value.kind == KINDS[fault]
    assert caught.value.retry_after == (100 if fault == "has had enough" else None)


async def test_no_outage_tells_the_token():
    """Its text goes into the log."""
    for fault in FAULTS.values():
        if fault in (silence, drip, drip_body, endless):
            continue
        async with raw_server(fault) as url:
            with pytest.raises(AuthorizationServerUnavailable) as caught:
                await ask(url, client_secret="hush")
        assert "gw_at_token" not in str(caught.value)
        assert "hush" not in str(caught.value)


async def test_a_closed_client_is_an_outage_too():
    async with introspector("http://127.0.0.1:1/") as client:
        with pytest.raises(AuthorizationServerUnavailable):
            await client.introspect("t")
    await client.close()


# --- Answers ---


def read(answer: object) -> Token | Inactive:
    return read_answer(json.dumps(answer).encode(), ISSUER, lambda: NOW)


def test_a_full_answer_is_read_whole():
    answer = {
        "active": True,
        "scope": "a  b c",
        "client_id": "app",
        "username": "Åsa",
        "sub": "5e1f",
        "iss": ISSUER,
        "aud": ["x", "y"],
        "exp": NOW + 10,
        "tenant": "acme",
    }
    assert read(answer) == Token(
        issuer=ISSUER,
        client_id="app",
        subject="5e1f",
        username="Åsa",
        scopes=frozenset({"a", "b", "c"}),
        audience=("x", "y"),
        expires_at=NOW + 10,
        claims=answer,
    )


def test_the_least_answer_is_enough():
    assert read(ACTIVE) == Token(ISSUER, None, None, None, frozenset(), (), None, ACTIVE)


@pytest.mark.parametrize(
    "answer",
    [{"active": False}, {"active": False, "exp": "nonsense"}, {"active": False, "scope": 7}],
)
def test_no_means_no_whatever_else_it_says(answer):
    assert read(answer) == Inactive(Reason.INACTIVE_TOKEN)


@pytest.mark.parametrize("exp", [NOW, NOW - 1, 0, -1, NOW - 0.001])
def test_an_expiry_that_has_passed_is_no_longer_active(exp):
    """Also when the server says that it is."""
    assert read(ACTIVE | {"exp": exp}) == Inactive(Reason.EXPIRED_TOKEN)


@pytest.mark.parametrize("exp", [NOW + 1, NOW + 0.5, 2**53 - 1])
def test_an_expiry_to_come_is_kept(exp):
    assert read(ACTIVE | {"exp": exp}).expires_at == exp


def test_a_token_of_the_future_is_not_active_yet():
    assert read(ACTIVE | {"nbf": NOW + 1}) == Inactive()
    assert isinstance(read(ACTIVE | {"nbf": NOW}), Token)


@pytest.mark.parametrize("issuer", ["https://elsewhere.example", "", ISSUER + "/"])
def test_another_issuer_is_told_as_it_is(issuer):
    """The decision refuses it; an empty one is another one, too."""
    assert read(ACTIVE | {"iss": issuer}).issuer == issuer


@pytest.mark.parametrize(
    ("scope", "scopes"),
    [
        ("a b", {"a", "b"}),
        ("", set()),
        (None, set()),
        (["a", "b"], {"a", "b"}),
        (["a b", "c"], {"a", "b", "c"}),
        ([], set()),
        ("a\tb", {"a\tb"}),
        ("a\u00a0b", {"a\u00a0b"}),
    ],
)
def test_scopes_are_words_between_spaces(scope, scopes):
    """RFC 6749, section 3.3: nothing else parts them; a list is read as well."""
    assert read(ACTIVE | {"scope": scope}).scopes == scopes


@pytest.mark.parametrize(
    ("aud", "audience"), [("x", ("x",)), (["x", "y"], ("x", "y")), ([], ()), (None, ())]
)
def test_an_audience_is_one_or_a_list(aud, audience):
    assert read(ACTIVE | {"aud": aud}).audience == audience


def test_a_client_is_no_person():
    """Servers that name the client as the subject of its own token (RFC 9700, section 4.15)."""
    assert read(ACTIVE | {"client_id": "alice", "sub": "alice"}).subject is None
    assert read(ACTIVE | {"client_id": "app", "sub": "alice"}).subject == "alice"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)
MEMBERS = ["scope", "client_id", "username", "sub", "iss", "aud", "exp", "nbf"]


def check(body: bytes) -> None:
    try:
        found = read_answer(body, ISSUER, lambda: NOW)
    except AuthorizationServerUnavailable:
        return
    assert isinstance(found, Token | Inactive)
    if isinstance(found, Token) and found.expires_at is not None:
        assert found.expires_at > NOW


@given(
    active=st.just(True) | json_values,
    members=st.dictionaries(st.sampled_from(MEMBERS), json_values),
)
def test_any_json_is_a_token_or_no_or_an_outage(active, members):
    check(json.dumps({"active": active} | members).encode())


@given(st.binary(max_size=40) | st.text(max_size=20).map(str.encode))
def test_any_bytes_are_a_token_or_no_or_an_outage(body):
    check(body)
