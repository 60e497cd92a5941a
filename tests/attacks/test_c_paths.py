"""Attacks by path: what is authorised is what is forwarded."""

import json

import pytest

from tests.attacks.wire import GET, ask, bearer, refused
from tests.proxy.stage import OK, Stage

ROUTES = [
    {"name": "admin", "match": {"path": "/admin"}, "require": {"scopes": ["orders:write"]}},
    {"name": "internal", "match": {"path": "/internal/**"}, "require": {}},
    {"name": "api", "match": {"path": "/api/**"}, "public": True},
    {"name": "public", "match": {"path": "/public/**"}, "public": True},
    {"name": "john", "match": {"path": "/john/**"}, "public": True},
    {"name": "p", "match": {"path": "/p"}, "public": True},
]

AMBIGUOUS = [
    "20 /public/../admin",
    "20 /public/%2e%2e/admin",
    "20 /public/%2E%2E/admin",
    "20 /public/.%2e/admin",
    "20 /public/%2e./admin",
    "20 /public/./../admin",
    "20 /public/%2e/%2e%2e/admin",
    "20 /public/..",
    "20 /public/.",
    "20 /public/..%2fadmin",
    "20 /public/..%2Fadmin",
    "20 /public%2Fa",
    "20 /public/a%2F..%2F..%2Fadmin",
    "20 /public/..%5Cadmin",
    "20 /public/..%5cadmin",
    "20 /public/a%5C..",
    r"20 /public/..\admin",
    r"20 /public\..\admin",
    r"20 \admin",
    "22 //admin",
    "22 //internal/",
    "22 /public//admin",
    "22 ///admin",
    "22 /public/a//",
    "23 /public/..;/admin",
    "23 /public/..;x=1/admin",
    "23 /public/.;/admin",
    "23 /admin;x=1",
    "23 /admin;",
    "23 /;/admin",
    "23 /%252e%252e%252fadmin",
    "23 /public/%252e%252e%252fadmin",
    "23 /public/%25252e%25252e/admin",
    "23 /public/%25%32%65%25%32%65/admin",
    "23 /admin%3Fx",
    "23 /public/%3F/../admin",
    "23 /admin%23",
    "23 /admin%3B",
    "23 /public/..%3B/admin",
    "24 /public#/../admin",
    "24 /public/a#",
    "24 /#/admin",
    "24 /admin%00.css",
    "24 /public/a%00",
    "24 /admin%0d%0aX-Evil:%201",
    "24 /public/a%0d%0aX-Evil:%201%0d%0a%0d%0a",
    "24 /admin%0a",
    "24 /public/%0A/admin",
    "24 /public/a%09",
    "24 /public/a%7F",
    "25 /public/..%c0%afadmin",
    "25 /public/%c0%ae%c0%ae/admin",
    "25 /public/%e0%80%af",
    "25 /public/%B0%A1",
    "25 /public/..%ef%bc%8fadmin",
    "25 /public/%EF%BC%8E%EF%BC%8E/admin",
    "25 /public/%E2%80%A5/admin",
    "25 /public/%",
    "25 /public/%2",
    "25 /public/%zz",
    "25 /public/%u0061",
    "25 /public/%u002e%u002e/admin",
    "25 /public/%25u0061",
]


@pytest.mark.parametrize("case", AMBIGUOUS)
async def test_c_ambiguous_path_is_a_400_and_reaches_nobody(stage: Stage, case: str) -> None:
    """Whatever token comes with it; and no line of the log is made by it."""
    await stage.open(routes=ROUTES)
    target = case.partition(" ")[2].encode()
    refusal = await refused(stage, ask(target, bearer(b"machine")), GET)
    # Without its slash it is no path at all.
    reason = "ambiguous_path" if target.startswith(b"/") else "malformed_request"
    assert (refusal.status, refusal.reason) == (400, reason)
    entries = [json.loads(line) for line in stage.log_file.read_text().splitlines()]
    assert len(entries) == 1
    assert stage.tokens.asked == []


@pytest.mark.parametrize("segment", ["\u00e9", "..\uff0fadmin", "\uff0e\uff0e"])
async def test_c25_raw_utf_8_in_a_path_is_a_400_and_reaches_nobody(
    stage: Stage, segment: str
) -> None:
    await stage.open(routes=ROUTES)
    assert (await refused(stage, ask(b"/public/" + segment.encode()), GET)).status == 400


@pytest.mark.parametrize(
    "target",
    [b"/api../admin", b"/api%2e/admin", b"/api%2E%2E/admin", b"/api./admin", b"/apiadmin"],
)
async def test_c21_prefix_of_a_route_ends_with_its_segment(stage: Stage, target: bytes) -> None:
    """CVE-2026-48020, CVE-2026-40912: `api..` is another segment than `api`."""
    await stage.open(routes=ROUTES)
    refusal = await stage.ask(ask(target))
    assert (refusal.status, refusal.reason) == (404, "no_route")
    await stage.close()
    assert stage.service.is_untouched


SPELLINGS = [b"/admin", b"/%61dmin", b"/%61%64%6d%69%6e", b"/%61%64%6D%69%6E", b"http://h/%61dmin"]


@pytest.mark.parametrize("target", SPELLINGS)
async def test_c26_escaped_letters_have_the_policy_of_the_plain_ones(
    stage: Stage, target: bytes
) -> None:
    """And arrive plain: the service is not asked for another spelling than the one judged."""
    await stage.open(routes=ROUTES)
    assert (await stage.ask(ask(target))).status == 401
    assert (await stage.ask(ask(target, bearer(b"reader")))).status == 403
    assert stage.service.is_untouched
    seen, answer = await stage.pass_through(ask(target, bearer(b"machine")))
    assert (seen.line, answer.status) == (b"GET /admin HTTP/1.1", 200)


@pytest.mark.parametrize(
    "target",
    [b"/admin?/public", b"/admin?/../public/a", b"/admin?", b"/admin??x=/public/a", b"/admin?;/p"],
)
async def test_c27_query_takes_no_part_in_matching(stage: Stage, target: bytes) -> None:
    await stage.open(routes=ROUTES)
    assert (await stage.ask(ask(target))).status == 401
    assert stage.service.is_untouched
    seen, _ = await stage.pass_through(ask(target, bearer(b"machine")))
    assert seen.line == b"GET %b HTTP/1.1" % target


@pytest.mark.parametrize(
    "target",
    [
        b"/p?x=1",
        b"/p?x=1;y=2",
        b"/p?;",
        b"/p?x=%3F%23%3b",
        b"/p?../admin//%2e%2e",
        b"/p??",
        b"/p/?x",
    ],
)
async def test_c27_query_arrives_as_it_came(stage: Stage, target: bytes) -> None:
    """CVE-2026-32811: its mark never becomes a part of the path."""
    await stage.open(routes=ROUTES)
    seen, _ = await stage.pass_through(ask(target))
    assert seen.line == b"GET %b HTTP/1.1" % target


async def test_c28_trailing_slash_has_the_policy_of_the_path_without(stage: Stage) -> None:
    await stage.open(routes=ROUTES)
    assert (await stage.ask(ask(b"/admin/"))).status == 401
    assert stage.service.is_untouched
    seen, _ = await stage.pass_through(ask(b"/admin/", bearer(b"machine")))
    assert seen.line == b"GET /admin/ HTTP/1.1"


@pytest.mark.parametrize("target", [b"/admin.", b"/admin%20", b"/ADMIN", b"/Admin", b"/admin~"])
async def test_c28_neighbour_of_a_path_is_another_path(stage: Stage, target: bytes) -> None:
    """It has no route here; a weaker one that takes it is a lint finding."""
    await stage.open(routes=ROUTES)
    refusal = await stage.ask(ask(target, bearer(b"machine")))
    assert (refusal.status, refusal.reason) == (404, "no_route")
    await stage.close()
    assert stage.service.is_untouched


@pytest.mark.parametrize("target", [b"/johnathan", b"/johnathan/a", b"/joh", b"/john%20/a"])
async def test_c29_prefix_of_a_name_is_another_name(stage: Stage, target: bytes) -> None:
    """CVE-2026-32716."""
    await stage.open(routes=ROUTES)
    assert (await stage.ask(ask(target))).status == 404
    assert stage.service.is_untouched
    seen, _ = await stage.pass_through(ask(b"/john/a"))
    assert seen.line == b"GET /john/a HTTP/1.1"


OVERRIDES = [
    b"X-Forwarded-Uri: /public/a",
    b"X-Forwarded-Path: /public/a",
    b"X-Forwarded-Method: POST",
    b"X-Original-URL: /public/a",
    b"X-Original-URI: /public/a",
    b"X-Original-Method: POST",
    b"X-Rewrite-URL: /public/a",
    b"X-HTTP-Method-Override: POST",
    b"X-HTTP-Method: POST",
    b"X-Method-Override: POST",
]


@pytest.mark.parametrize("override", OVERRIDES)
async def test_c30_no_field_of_a_client_overrides_path_or_method(
    stage: Stage, override: bytes
) -> None:
    """CVE-2026-40575: neither for the guard, nor, in any spelling, for the service."""
    await stage.open(routes=ROUTES)
    spellings = [override, override.upper(), override.replace(b"-", b"_")]
    assert (await stage.ask(ask(b"/admin", *spellings))).status == 401
    assert stage.service.is_untouched
    client = await stage.client(ask(b"/public/x", *spellings))
    service = await stage.accept()
    head = await service.head()
    assert head.startswith(b"GET /public/x HTTP/1.1\r\n")
    for word in (b"/public/a", b"override", b"rewrite", b"original", b"uri", b"post"):
        assert word not in head.lower()
    service.send(OK)
    assert (await client.answer()).status == 200
