"""Pages of other origins: preflights, and what browsers read on every answer of a route."""

from typing import Any

import pytest

from tests.proxy.stage import OK, Answer, Stage

APP = b"Origin: https://app.example.com"
CORS = {
    "origins": ["https://app.example.com"],
    "expose": ["ETag"],
    "credentials": True,
    "max_age": "10m",
}


def routes(cors: dict[str, Any] | None = None, **keys: object) -> list[dict[str, object]]:
    """Reading has CORS, writing to the same path has none."""
    path = {"path": "/orders/**"}
    return [
        {
            "name": "read",
            "match": {**path, "methods": ["GET"]},
            "require": {"scopes": ["orders:read"]},
            "cors": cors or CORS,
            **keys,
        },
        {"name": "write", "match": {**path, "methods": ["PUT", "OPTIONS"]}, "require": {}},
    ]


def ask(method: bytes, *fields: bytes, path: bytes = b"/orders/1") -> bytes:
    lines = b"".join(field + b"\r\n" for field in fields)
    return b"%b %b HTTP/1.1\r\nHost: api.example.com\r\n%b\r\n" % (method, path, lines)


def preflight(method: bytes, origin: bytes = APP) -> bytes:
    return ask(b"OPTIONS", origin, b"Access-Control-Request-Method: %b" % method)


def cors_fields(answer: Answer) -> dict[str, str]:
    return {name: answer.fields[name] for name in answer.fields if name.startswith("access-")}


async def test_a_preflight_is_answered_by_the_gateway_without_a_token(stage: Stage) -> None:
    await stage.open(routes=routes())
    answer = await stage.ask(preflight(b"GET"))
    assert answer.head == (
        b"HTTP/1.1 204 No Content\r\nVary: Origin\r\n"
        b"Access-Control-Allow-Origin: https://app.example.com\r\n"
        b"Access-Control-Allow-Credentials: true\r\n"
        b"Access-Control-Allow-Methods: GET, HEAD\r\n"
        b"Access-Control-Allow-Headers: Authorization, Content-Type\r\n"
        b"Access-Control-Max-Age: 600\r\n\r\n"
    )
    assert stage.tokens.asked == []
    assert stage.service.is_untouched
    [entry] = await stage.log()
    assert (entry["route"], entry["status"], entry["method"]) == ("read", 204, "OPTIONS")


async def test_a_preflight_counts_for_its_route(stage: Stage) -> None:
    await stage.open(routes=routes())
    await stage.ask(preflight(b"HEAD"))
    expected = {'method="OPTIONS",route="read",status="204"': 1.0}
    await stage.settled_series("gateway_requests_total", expected)


@pytest.mark.parametrize(
    "origin",
    [b"Origin: https://evil.example", b"Origin: null", b"Origin: https://app.example.com:443"],
)
async def test_a_preflight_of_another_origin_is_allowed_nothing(
    stage: Stage, origin: bytes
) -> None:
    await stage.open(routes=routes())
    answer = await stage.ask(preflight(b"GET", origin))
    assert answer.head == b"HTTP/1.1 204 No Content\r\nVary: Origin\r\n\r\n"
    assert stage.service.is_untouched


async def test_a_preflight_for_a_route_without_cors_is_an_ordinary_request(stage: Stage) -> None:
    await stage.open(routes=routes())
    answer = await stage.ask(preflight(b"PUT"))
    assert (answer.status, answer.reason) == (401, "missing_token")
    assert cors_fields(answer) == {}
    token = b"Authorization: Bearer machine"
    asked = b"Access-Control-Request-Method: PUT"
    seen, _ = await stage.pass_through(ask(b"OPTIONS", APP, asked, token))
    assert seen.line == b"OPTIONS /orders/1 HTTP/1.1"


async def test_a_preflight_for_a_method_that_the_path_lacks_is_refused(stage: Stage) -> None:
    await stage.open(routes=routes()[:1])
    answer = await stage.ask(preflight(b"PUT"))
    assert (answer.status, answer.reason) == (405, "method_not_allowed")
    # Which fails it in every browser, whatever a page may read of it.
    assert "access-control-allow-methods" not in answer.fields


async def test_options_that_is_no_preflight_needs_a_token(stage: Stage) -> None:
    await stage.open(routes=routes())
    answer = await stage.ask(ask(b"OPTIONS", APP))
    assert (answer.status, answer.reason) == (401, "missing_token")


async def test_a_preflight_opens_nothing(stage: Stage) -> None:
    """The request that follows it is judged as if there had been none."""
    await stage.open(routes=routes())
    client = await stage.client(preflight(b"GET") + ask(b"GET", APP))
    assert (await client.answer()).status == 204
    assert (await client.answer()).reason == "missing_token"


ALLOWED = {
    "access-control-allow-origin": "https://app.example.com",
    "access-control-allow-credentials": "true",
    "access-control-expose-headers": "ETag",
}


@pytest.mark.parametrize(
    ("token", "status"),
    [(b"", 401), (b"Bearer powerless", 403), (b"Bearer outage", 503), (b"Bearer bug", 500)],
)
async def test_a_page_can_read_why_it_was_refused(stage: Stage, token: bytes, status: int) -> None:
    await stage.open(routes=routes())
    answer = await stage.ask(ask(b"GET", APP, b"Authorization: %b" % token if token else b"A: b"))
    assert answer.status == status
    assert cors_fields(answer) == ALLOWED
    assert b"\r\nVary: Accept\r\n" in answer.head
    assert b"\r\nVary: Origin\r\n" in answer.head
    if status == 500:
        request_id = answer.problem["request_id"]
        stage.expected_errors.append(f"request {request_id} failed inside the gateway")


async def test_a_page_can_read_that_the_service_is_gone(stage: Stage) -> None:
    await stage.open(routes=routes())
    stage.service.close()
    answer = await stage.ask(ask(b"GET", APP, b"Authorization: Bearer reader"))
    assert answer.status == 502
    assert cors_fields(answer) == ALLOWED


async def test_a_refusal_of_a_route_without_cors_says_nothing_of_origins(stage: Stage) -> None:
    await stage.open(routes=routes())
    answer = await stage.ask(ask(b"PUT", APP))
    assert answer.status == 401
    assert cors_fields(answer) == {}
    assert b"Vary: Origin" not in answer.head


async def test_what_the_service_says_of_origins_is_replaced(stage: Stage) -> None:
    await stage.open(routes=routes())
    said = OK.replace(
        b"\r\nContent",
        b"\r\nAccess-Control-Allow-Origin: *\r\nAccess-Control-Allow-Headers: *\r\n"
        b"Vary: Accept-Encoding\r\nConnection: close\r\nContent",
    )
    token = b"Authorization: Bearer reader"
    _, answer = await stage.pass_through(ask(b"GET", APP, token), said)
    assert cors_fields(answer) == ALLOWED
    assert b"\r\nVary: Accept-Encoding\r\n" in answer.head
    assert b"\r\nVary: Origin\r\n" in answer.head
    _, answer = await stage.pass_through(ask(b"GET", b"Origin: null", token), said)
    assert cors_fields(answer) == {}


async def test_what_the_service_says_of_origins_passes_where_a_route_says_nothing(
    stage: Stage,
) -> None:
    await stage.open(routes=routes())
    said = OK.replace(b"\r\nContent", b"\r\nAccess-Control-Allow-Origin: *\r\nContent")
    _, answer = await stage.pass_through(ask(b"PUT", APP, b"Authorization: Bearer machine"), said)
    assert cors_fields(answer) == {"access-control-allow-origin": "*"}


async def test_every_origin_may_be_allowed(stage: Stage) -> None:
    await stage.open(routes=routes({"origins": ["*"], "headers": ["X-A"], "methods": ["GET"]}))
    answer = await stage.ask(preflight(b"GET", b"Origin: null"))
    assert cors_fields(answer) == {
        "access-control-allow-origin": "*",
        "access-control-allow-methods": "GET",
        "access-control-allow-headers": "X-A",
        "access-control-max-age": "600",
    }


async def test_a_preflight_s_path_is_found_like_any_other(stage: Stage) -> None:
    legacy = routes(allow_in_path=["semicolon"])[:1]
    await stage.open(routes=legacy)
    asked = b"Access-Control-Request-Method: GET"
    assert (await stage.ask(ask(b"OPTIONS", APP, asked, path=b"/orders/a;b"))).status == 204
    assert (await stage.ask(ask(b"OPTIONS", APP, asked, path=b"/orders//b"))).status == 204
    assert (await stage.ask(ask(b"OPTIONS", APP, asked, path=b"/other"))).status == 404
    assert (await stage.ask(ask(b"OPTIONS", APP, asked, path=b"/orders/../b"))).status == 400


async def test_a_preflight_with_a_body_ends_its_connection(stage: Stage) -> None:
    """None of the body is taken for a request."""
    await stage.open(routes=routes())
    asked = b"Access-Control-Request-Method: GET"
    client = await stage.client(ask(b"OPTIONS", APP, asked, b"Content-Length: 900"))
    answer = await client.answer()
    assert (answer.status, answer.fields["connection"]) == (204, "close")


async def test_a_page_may_read_that_a_path_takes_other_methods(stage: Stage) -> None:
    """No route is chosen, yet the path's own say who may read."""
    await stage.open(routes=routes())
    answer = await stage.ask(ask(b"DELETE", APP))
    assert (answer.status, answer.reason) == (405, "method_not_allowed")
    assert cors_fields(answer) == {
        "access-control-allow-origin": "https://app.example.com",
        "access-control-allow-credentials": "true",
        "access-control-expose-headers": "ETag",
    }
    answer = await stage.ask(ask(b"DELETE", b"Origin: https://evil.example"))
    assert (answer.status, cors_fields(answer)) == (405, {})
    answer = await stage.ask(ask(b"DELETE"))
    assert (answer.status, cors_fields(answer)) == (405, {})


async def test_of_a_path_s_routes_those_count_that_allow_the_page(stage: Stage) -> None:
    other = {**CORS, "origins": ["https://other.example.com"]}
    [read, write] = routes()
    write["match"] = {"path": "/orders/**", "methods": ["PUT"]}
    await stage.open(routes=[read, {**write, "cors": {**other, "expose": ["Location"]}}])
    answer = await stage.ask(ask(b"DELETE", b"Origin: https://other.example.com"))
    assert cors_fields(answer)["access-control-allow-origin"] == "https://other.example.com"


@pytest.mark.parametrize("path", [b"/orders/a;b", b"/orders//a", b"/orders/a%2Fb", b"/orders/%FF"])
async def test_a_page_may_read_that_its_path_is_ambiguous(stage: Stage, path: bytes) -> None:
    """Of a route that would take it but for what is in it; and may ask, by a preflight."""
    await stage.open(routes=routes())
    answer = await stage.ask(preflight(b"GET").replace(b"/orders/1", path))
    assert (answer.status, cors_fields(answer)["access-control-allow-methods"]) == (
        204,
        "GET, HEAD",
    )
    answer = await stage.ask(ask(b"GET", APP, path=path))
    assert (answer.status, answer.reason) == (400, "ambiguous_path")
    assert answer.fields["connection"] == "close"
    assert cors_fields(answer) == {
        "access-control-allow-origin": "https://app.example.com",
        "access-control-allow-credentials": "true",
        "access-control-expose-headers": "ETag",
    }
    answer = await stage.ask(ask(b"GET", b"Origin: https://evil.example", path=path))
    assert (answer.status, cors_fields(answer)) == (400, {})
    answer = await stage.ask(ask(b"GET", path=path))
    assert (answer.status, cors_fields(answer)) == (400, {})
    await stage.close()
    assert stage.service.is_untouched


@pytest.mark.parametrize(
    "path", [b"/orders/../orders/1", b"/orders/%2e%2e/1", b"/orders/%252e", b"/nothing/a;b"]
)
async def test_nobody_may_read_what_has_no_route(stage: Stage, path: bytes) -> None:
    """Whose rules would count, nobody can tell."""
    await stage.open(routes=routes())
    answer = await stage.ask(ask(b"GET", APP, path=path))
    assert (answer.status, answer.reason) == (400, "ambiguous_path")
    assert cors_fields(answer) == {}
    answer = await stage.ask(preflight(b"GET").replace(b"/orders/1", path))
    assert (answer.status, cors_fields(answer)) == (400, {})
