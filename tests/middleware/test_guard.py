"""The guard, end to end: what it refuses and why, and that it fails closed."""

import asyncio
from types import ModuleType

import pytest

import gateway.middleware.guard
import gateway.middleware.outgoing
from tests.proxy.stage import OK, Seen, Stage

ALL_ROUTES = [
    {"name": "public", "match": {"path": "/public/**"}, "public": True},
    {"name": "read", "match": {"path": "/orders", "methods": ["GET"]}, "require": {}},
    {
        "name": "scopes",
        "match": {"path": "/scopes"},
        "require": {"scopes": ["orders:read", "orders:write"]},
    },
    {"name": "any", "match": {"path": "/any"}, "require": {"any_scope": ["a", "orders:write"]}},
    {"name": "audience", "match": {"path": "/audience"}, "require": {"audience": "https://other"}},
    {"name": "claims", "match": {"path": "/claims"}, "require": {"claims": {"tenant": "acme"}}},
    {"name": "host", "match": {"path": "/", "host": "api.example.com"}, "public": True},
]


def get(path: bytes, *fields: bytes, method: bytes = b"GET", host: bytes = b"h") -> bytes:
    lines = b"".join(field + b"\r\n" for field in fields)
    return b"%b %b HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (method, path, host, lines)


def bearer(token: bytes) -> bytes:
    return b"Authorization: Bearer " + token


REFUSED = {
    "no token": (get(b"/orders"), 401, "missing_token"),
    "another scheme": (get(b"/orders", b"Authorization: Basic eDp5"), 401, "missing_token"),
    "a token in the query": (get(b"/orders?access_token=reader"), 401, "missing_token"),
    "an empty token": (get(b"/orders", b"Authorization: Bearer"), 401, "malformed_token"),
    "a token of two words": (get(b"/orders", bearer(b"a b")), 401, "malformed_token"),
    "two tokens": (get(b"/orders", bearer(b"a"), bearer(b"a")), 400, "multiple_tokens"),
    "a stranger": (get(b"/orders", bearer(b"stranger")), 401, "inactive_token"),
    "outdated": (get(b"/orders", bearer(b"outdated")), 401, "inactive_token"),
    "one scope of two": (get(b"/scopes", bearer(b"reader")), 403, "insufficient_scope"),
    "none of the scopes": (get(b"/any", bearer(b"reader")), 403, "insufficient_scope"),
    "another audience": (get(b"/audience", bearer(b"reader")), 401, "wrong_audience"),
    "no such claim": (get(b"/claims", bearer(b"machine")), 403, "claim_mismatch"),
    "an outage": (get(b"/orders", bearer(b"outage")), 503, "authorization_server_unavailable"),
    "no route": (get(b"/nothing", bearer(b"machine")), 404, "no_route"),
    "another host": (get(b"/", host=b"other"), 404, "no_route"),
    "another method": (
        get(b"/orders", bearer(b"machine"), method=b"POST"),
        405,
        "method_not_allowed",
    ),
    "dot segments": (get(b"/public/../orders"), 400, "ambiguous_path"),
    "encoded dot segments": (get(b"/public/%2e%2E/orders"), 400, "ambiguous_path"),
    "an encoded slash": (get(b"/public/..%2forders"), 400, "ambiguous_path"),
    "a double slash": (get(b"//public/a"), 400, "ambiguous_path"),
    "a fragment": (get(b"/public/a#/../orders"), 400, "ambiguous_path"),
    "an odd expectation": (get(b"/public/a", b"Expect: foo"), 417, "expectation_failed"),
    "an odd one beside a known one": (
        get(b"/public/a", b"Expect: 100-continue", b"Expect: foo"),
        417,
        "expectation_failed",
    ),
}


@pytest.mark.parametrize(
    ("request_bytes", "status", "reason"), REFUSED.values(), ids=REFUSED.keys()
)
async def test_refused_request_reaches_nobody(
    stage: Stage, request_bytes: bytes, status: int, reason: str
) -> None:
    await stage.open(routes=ALL_ROUTES)
    refusal = await stage.ask(request_bytes)
    assert (refusal.status, refusal.reason) == (status, reason)
    await stage.close()
    assert stage.service.is_untouched


ALLOWED = {
    "any token": get(b"/orders", bearer(b"powerless")),
    "in odd letters": get(b"/orders", b"authorization: bEARER powerless"),
    "HEAD where GET is": get(b"/orders", bearer(b"powerless"), method=b"HEAD"),
    "all scopes": get(b"/scopes", bearer(b"machine")),
    "one of the scopes": get(b"/any", bearer(b"machine")),
    "the claim": get(b"/claims", bearer(b"reader")),
    "a trailing slash": get(b"/orders/", bearer(b"machine")),
    "the query of another path": get(b"/orders?/public/a", bearer(b"machine")),
    "Host with a dot": get(b"/", host=b"API.example.com."),
    "Host with a port": get(b"/", host=b"api.example.com:8443"),
}


@pytest.mark.parametrize("request_bytes", ALLOWED.values(), ids=ALLOWED.keys())
async def test_allowed_request_is_forwarded_with_its_host(
    stage: Stage, request_bytes: bytes
) -> None:
    await stage.open(routes=ALL_ROUTES)
    client = await stage.client(request_bytes)
    service = await stage.accept()
    seen = Seen(await service.head())
    assert seen.line == request_bytes.split(b"\r\n")[0]
    assert b"Host: " + seen.values(b"Host")[0] == request_bytes.split(b"\r\n")[1]
    service.send(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert (await client.head()).startswith(b"HTTP/1.1 204 ")


async def test_bad_token_is_refused_before_the_body_is_asked_for(stage: Stage) -> None:
    await stage.open(routes=ALL_ROUTES)
    client = await stage.client(
        get(b"/scopes", b"Content-Length: 5", b"Expect: 100-continue", method=b"POST")
    )
    refusal = await client.answer()
    assert refusal.status == 401
    assert refusal.fields["connection"] == "close"
    client.close()
    await stage.close()
    assert stage.service.is_untouched


async def test_body_that_is_announced_too_long_is_refused_before_it_comes(stage: Stage) -> None:
    await stage.open(limits={"body": "1KiB"})
    client = await stage.client(
        get(b"/public/a", b"Content-Length: 1025", b"Expect: 100-continue", method=b"POST")
    )
    refusal = await client.answer()
    assert (refusal.status, refusal.reason) == (413, "body_too_large")
    client.close()
    await stage.close()
    assert stage.service.is_untouched


async def test_failure_inside_the_guard_is_a_500_and_nothing_is_forwarded(stage: Stage) -> None:
    await stage.open(routes=ALL_ROUTES)
    client = await stage.client(get(b"/orders", bearer(b"bug")))
    answer = await client.rest()
    assert answer.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert b'"reason": "internal_error"' in answer
    for detail in (b"secret-detail", b"Traceback", b"RuntimeError"):
        assert detail not in answer
    entry = (await stage.log())[0]
    assert (entry["status"], entry["reason"], entry["outcome"]) == (500, "internal_error", "failed")
    assert stage.service.is_untouched
    stage.expected_errors = [f"request {entry['request_id']} failed inside the gateway"]


@pytest.mark.parametrize(
    ("module", "stage_of_the_walk"),
    [
        (gateway.middleware.guard, "canonicalize_path"),
        (gateway.middleware.guard, "find_route"),
        (gateway.middleware.guard, "judge_token"),
        (gateway.middleware.outgoing, "forwarding_headers"),
    ],
)
async def test_failure_anywhere_on_the_walk_forwards_nothing(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, module: ModuleType, stage_of_the_walk: str
) -> None:
    await stage.open()

    def fail(*_: object, **__: object) -> None:
        raise KeyError("secret-detail")

    monkeypatch.setattr(module, stage_of_the_walk, fail)
    refusal = await stage.ask(get(b"/public/a"))
    assert (refusal.status, refusal.reason) == (500, "internal_error")
    entry = (await stage.log())[0]
    assert stage.service.is_untouched
    stage.expected_errors = [f"request {entry['request_id']} failed inside the gateway"]


async def test_client_that_goes_away_while_its_token_is_checked_is_not_forwarded(
    stage: Stage,
) -> None:
    await stage.open()
    stage.tokens.gate = asyncio.Event()
    client = await stage.client(get(b"/orders/1", bearer(b"reader")))
    await stage.settled_series("gateway_introspection_cache_lookups_total", {'result="miss"': 1})
    client.close()
    await stage.settled_series(
        "gateway_requests_total", {'method="GET",route="orders",status="499"': 1}
    )
    stage.tokens.gate.set()
    (entry,) = await stage.log()
    assert stage.service.is_untouched
    # Who it was is still known.
    assert entry["peer"] == "127.0.0.1"


async def test_each_route_demands_anew_what_a_cached_token_has(stage: Stage) -> None:
    await stage.open(routes=ALL_ROUTES)
    client = await stage.client(get(b"/orders", bearer(b"reader")))
    service = await stage.accept()
    await service.head()
    service.send(OK)
    assert (await client.answer()).status == 200
    client.send(get(b"/scopes", bearer(b"reader")))
    assert (await client.answer()).reason == "insufficient_scope"
    assert stage.tokens.asked == ["reader"]


async def test_proxy_that_is_trusted_by_its_network_only_is_believed(stage: Stage) -> None:
    await stage.open(trusted_proxies=["10.0.0.0/8", "::1/128"])
    seen, _ = await stage.pass_through(get(b"/public/a", b"X-Forwarded-For: 6.6.6.6"))
    assert seen.values(b"X-Forwarded-For") == [b"127.0.0.1"]
