"""What a refusal looks like from outside."""

import json
import re

import pytest

from gateway.policy.accept import prefers_html
from gateway.policy.rejection import Reason
from gateway.policy.token import Inactive
from tests.proxy.stage import Answer, Stage

METADATA = 'resource_metadata="https://api.example.com/.well-known/oauth-protected-resource"'


def get(path: bytes, *fields: bytes, method: bytes = b"GET", host: bytes = b"h") -> bytes:
    lines = b"".join(field + b"\r\n" for field in fields)
    return b"%b %b HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (method, path, host, lines)


def bearer(token: bytes) -> bytes:
    return b"Authorization: Bearer " + token


async def test_refusal_is_a_problem_with_the_id_of_its_request(stage: Stage) -> None:
    await stage.open()
    refusal = await stage.ask(get(b"/orders/1", b"X-Request-Id: mine"))
    request_id = refusal.fields["x-request-id"]
    assert re.fullmatch("[0-9a-f]{24}", request_id)
    assert refusal.fields["content-type"] == "application/problem+json"
    assert refusal.fields["cache-control"] == "no-store"
    assert refusal.fields["vary"] == "Accept"
    assert refusal.fields["x-content-type-options"] == "nosniff"
    assert "connection" not in refusal.fields
    assert refusal.problem == {
        "title": "An access token is required",
        "status": 401,
        "detail": "Send it as: Authorization: Bearer <token>.",
        "reason": "missing_token",
        "request_id": request_id,
    }
    assert (await stage.log())[0]["request_id"] == request_id


CHALLENGES = {
    "missing": (get(b"/orders/1"), f'Bearer realm="gateway", {METADATA}'),
    "malformed": (
        get(b"/orders/1", b"Authorization: Bearer"),
        (
            'Bearer realm="gateway", error="invalid_token", '
            f'error_description="The access token is malformed", {METADATA}'
        ),
    ),
    "inactive": (
        get(b"/orders/1", bearer(b"inactive")),
        (
            'Bearer realm="gateway", error="invalid_token", '
            f'error_description="The access token is not active", {METADATA}'
        ),
    ),
    "scope": (
        get(b"/orders/1", bearer(b"powerless")),
        'Bearer realm="gateway", error="insufficient_scope", '
        'error_description="The access token lacks a scope", scope="orders:read", ' + METADATA,
    ),
    "multiple": (
        get(b"/orders/1", bearer(b"a"), bearer(b"b")),
        (
            'Bearer realm="gateway", error="invalid_request", '
            f'error_description="More than one access token", {METADATA}'
        ),
    ),
}


@pytest.mark.parametrize(("request_bytes", "challenge"), CHALLENGES.values(), ids=CHALLENGES.keys())
async def test_challenge_says_what_is_wrong_with_the_token(
    stage: Stage, request_bytes: bytes, challenge: str
) -> None:
    await stage.open()
    assert (await stage.ask(request_bytes)).fields["www-authenticate"] == challenge


async def test_missing_scopes_are_named(stage: Stage) -> None:
    routes = [
        {
            "name": "both",
            "match": {"path": "/both"},
            "require": {"scopes": ["orders:read", "orders:write"]},
        }
    ]
    await stage.open(routes=routes)
    refusal = await stage.ask(get(b"/both", bearer(b"reader")))
    assert refusal.status == 403
    assert refusal.problem["required_scopes"] == ["orders:read", "orders:write"]
    assert refusal.problem["missing_scopes"] == ["orders:write"]
    assert 'scope="orders:read orders:write"' in refusal.fields["www-authenticate"]


async def test_mismatch_of_claims_is_a_challenge_without_an_error(stage: Stage) -> None:
    routes = [{"name": "c", "match": {"path": "/c"}, "require": {"claims": {"role": "admin"}}}]
    await stage.open(routes=routes)
    refusal = await stage.ask(get(b"/c", bearer(b"reader")))
    assert refusal.status == 403
    assert refusal.fields["www-authenticate"] == f'Bearer realm="gateway", {METADATA}'
    assert "role" not in refusal.body.decode()


async def test_outage_is_never_the_fault_of_the_token(stage: Stage) -> None:
    await stage.open()
    refusal = await stage.ask(get(b"/orders/1", bearer(b"outage")))
    assert refusal.status == 503
    assert refusal.fields["retry-after"] == "2"
    assert "www-authenticate" not in refusal.fields
    assert "fire" not in refusal.body.decode()
    assert (await stage.log())[0]["detail"] == "it is on fire"


async def test_why_a_token_is_inactive_is_seen_by_the_operator_alone(stage: Stage) -> None:
    """From outside, all of them read alike but for the request id."""
    await stage.open()
    tokens = [b"inactive", b"expired", b"revoked", b"outdated", b"never-seen"]
    answers = [await stage.ask(get(b"/orders/1", bearer(token))) for token in tokens]
    alike = {
        (answer.head + answer.body).replace(answer.fields["x-request-id"].encode(), b"")
        for answer in answers
    }
    assert len(alike) == 1
    assert [entry["reason"] for entry in await stage.log()] == [
        "inactive_token",
        "expired_token",
        "revoked_token",
        "expired_token",
        "inactive_token",
    ]


@pytest.mark.parametrize(
    ("route", "allow"),
    [
        ({"methods": ["PUT", "GET"]}, "GET, HEAD, PUT"),
        ({}, "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"),
    ],
)
async def test_allow_lists_the_methods_of_the_path(
    stage: Stage, route: dict[str, object], allow: str
) -> None:
    routes = [{"name": "a", "match": {"path": "/a", **route}, "public": True}]
    await stage.open(routes=routes)
    refusal = await stage.ask(get(b"/a", method=b"TRACE"))
    assert (refusal.status, refusal.fields["allow"]) == (405, allow)


async def test_head_is_refused_without_a_body(stage: Stage) -> None:
    await stage.open()
    client = await stage.client(get(b"/orders/1", method=b"HEAD") + get(b"/nothing"))
    refusal = Answer(await client.head())
    assert refusal.status == 401
    assert int(refusal.fields["content-length"]) > 0
    assert (await client.answer()).reason == "no_route"


async def test_browser_gets_a_page(stage: Stage) -> None:
    await stage.open()
    accept = b"Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"
    refusal = await stage.ask(get(b"/orders/%3Cb%3E", accept))
    assert refusal.status == 401
    assert refusal.fields["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in refusal.fields["content-security-policy"]
    assert "www-authenticate" in refusal.fields
    page = refusal.body.decode()
    assert page.startswith("<!doctype html>")
    assert "Bearer &lt;token&gt;" in page
    assert refusal.fields["x-request-id"] in page
    assert "%3Cb%3E" not in page


@pytest.mark.parametrize(
    ("accept", "wants_html"),
    [
        ("", False),
        ("*/*", False),
        ("application/json", False),
        ("application/json, text/html", False),
        ("text/html", True),
        ("TEXT/HTML, application/json", True),
    ],
)
def test_page_is_for_those_who_ask_for_html_first(accept: str, wants_html: bool) -> None:
    assert prefers_html(accept) is wants_html


async def test_challenge_on_a_host_of_a_route_points_to_its_own_metadata(stage: Stage) -> None:
    routes = [
        {"name": "a", "match": {"path": "/a", "host": "orders.example.com"}, "require": {}},
    ]
    await stage.open(routes=routes)
    refusal = await stage.ask(get(b"/a", host=b"Orders.Example.com:443"))
    assert (
        'resource_metadata="https://orders.example.com/.well-known/oauth-protected-resource"'
        in refusal.fields["www-authenticate"]
    )


async def test_host_that_no_route_names_appears_in_no_answer(stage: Stage) -> None:
    await stage.open()
    refusal = await stage.ask(get(b"/orders/1", host=b"evil.example"))
    assert b"evil" not in refusal.head + refusal.body


async def test_text_of_an_authorization_server_appears_in_no_answer(stage: Stage) -> None:
    await stage.open()
    stage.tokens.answers["odd"] = Inactive(Reason.INACTIVE_TOKEN)
    refusal = await stage.ask(get(b"/orders/1", bearer(b"odd")))
    assert b"odd" not in refusal.head + refusal.body


async def test_no_token_is_ever_in_the_log(stage: Stage) -> None:
    await stage.open()
    await stage.ask(get(b"/orders/1?access_token=sekret", bearer(b"sekret")))
    await stage.ask(get(b"/orders/1", b"Authorization: Bearer sekret sekret"))
    await stage.ask(get(b"/orders/1", b"Authorization: Basic sekret"))
    await stage.ask(get(b"/nothing?sekret"))
    entries = await stage.log()
    assert len(entries) == 4
    assert "sekret" not in json.dumps(entries)
