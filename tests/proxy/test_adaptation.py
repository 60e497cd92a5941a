"""What a route changes of its requests on their way to a service that stays as it is."""

import pytest

from tests.proxy.stage import Stage


def route(path: str, **keys: object) -> dict[str, object]:
    """A public route of one's own."""
    return {"name": "legacy", "match": {"path": path}, "public": True, **keys}


def get(path: bytes, *fields: bytes) -> bytes:
    lines = b"".join(field + b"\r\n" for field in fields)
    return b"GET %b HTTP/1.1\r\nHost: Api.Example.com:8080\r\n%b\r\n" % (path, lines)


# The Host


async def test_by_default_the_service_gets_the_host_of_the_client(stage: Stage) -> None:
    await stage.open(routes=[route("/**")])
    seen, _ = await stage.pass_through(get(b"/a"))
    assert seen.values(b"Host") == [b"Api.Example.com:8080"]


@pytest.mark.parametrize("host", ["app.internal", "app.internal:8443", "[::1]:90"])
async def test_the_service_gets_the_host_that_the_route_says(stage: Stage, host: str) -> None:
    await stage.open(routes=[route("/**", forward_host=host)])
    seen, _ = await stage.pass_through(get(b"/a"))
    assert seen.values(b"Host") == [host.encode()]


async def test_the_service_gets_its_own_authority_for_a_host(stage: Stage) -> None:
    await stage.open(routes=[route("/**", forward_host="upstream")])
    seen, _ = await stage.pass_through(get(b"/a"))
    assert seen.values(b"Host") == [b"127.0.0.1:%d" % stage.service.port]


async def test_whatever_the_host_becomes_the_service_learns_the_client_s(stage: Stage) -> None:
    await stage.open(routes=[route("/**", forward_host="app.internal")])
    seen, _ = await stage.pass_through(get(b"/a", b"X-Forwarded-Host: evil.example"))
    assert seen.values(b"X-Forwarded-Host") == [b"Api.Example.com:8080"]


# The path


@pytest.mark.parametrize(
    ("sent", "forwarded"),
    [
        (b"/shop/a/b", b"/a/b"),
        (b"/shop/a/?q=/x/../y%2f", b"/a/?q=/x/../y%2f"),
        (b"/shop", b"/"),
        (b"/shop?x", b"/?x"),
        (b"/%73hop/%7Ea/a%20b/%c3%a9", b"/~a/a%20b/%C3%A9"),
        (b"http://api.example.com/shop/a", b"/a"),
    ],
)
async def test_a_prefix_is_stripped_and_the_query_goes_on_as_it_came(
    stage: Stage, sent: bytes, forwarded: bytes
) -> None:
    await stage.open(routes=[route("/shop/**", forward_path="/**")])
    seen, _ = await stage.pass_through(get(sent))
    assert seen.line == b"GET %b HTTP/1.1" % forwarded


async def test_a_path_is_written_with_what_was_captured(stage: Stage) -> None:
    await stage.open(routes=[route("/t/{tenant}/**", forward_path="/legacy/{tenant}/app/**")])
    seen, _ = await stage.pass_through(get(b"/t/acme%20inc/x/?y"))
    assert seen.line == b"GET /legacy/acme%20inc/app/x/?y HTTP/1.1"


@pytest.mark.parametrize(
    ("sent", "status", "reason"),
    [
        (b"/api../admin", 404, "no_route"),
        (b"/api%2e/admin", 404, "no_route"),
        (b"/api%2E%2e/admin", 404, "no_route"),
        (b"/api/../admin", 400, "ambiguous_path"),
        (b"/api/%2e%2e/admin", 400, "ambiguous_path"),
        (b"/api//admin", 400, "ambiguous_path"),
        (b"/apiadmin", 404, "no_route"),
    ],
)
async def test_nothing_steps_out_of_a_stripped_prefix(
    stage: Stage, sent: bytes, status: int, reason: str
) -> None:
    """CVE-2026-48020 and CVE-2026-40912: the prefix is whole segments of the canonical path."""
    await stage.open(routes=[route("/api/**", forward_path="/**")])
    answer = await stage.ask(get(sent))
    assert (answer.status, answer.reason) == (status, reason)
    assert stage.service.is_untouched


async def test_the_log_has_the_path_that_the_client_asked_for(stage: Stage) -> None:
    await stage.open(routes=[route("/shop/**", forward_path="/**")])
    await stage.pass_through(get(b"/shop/a"))
    [entry] = await stage.log()
    assert entry["path"] == "/shop/a"


async def test_what_a_route_allows_in_its_paths_is_copied_as_it_stands(stage: Stage) -> None:
    """Opaque inside a captured segment, and empty segments inside `**`."""
    allowed = ["encoded_slash", "semicolon", "empty_segment"]
    legacy = route("/t/{tenant}/**", forward_path="/app/{tenant}/**", allow_in_path=allowed)
    await stage.open(routes=[legacy])
    seen, _ = await stage.pass_through(get(b"/t/a%2fb;v=1/x//y%5C/"))
    assert seen.line == b"GET /app/a%2Fb;v=1/x//y%5C/ HTTP/1.1"


async def test_a_stripped_prefix_leaves_no_host_where_empty_segments_are_allowed(
    stage: Stage,
) -> None:
    legacy = route("/shop/**", forward_path="/**", allow_in_path=["empty_segment"])
    await stage.open(routes=[legacy])
    answer = await stage.ask(get(b"/shop//evil.example/"))
    assert (answer.status, answer.reason) == (400, "ambiguous_path")
    seen, _ = await stage.pass_through(get(b"/shop/a//b"))
    assert seen.line == b"GET /a//b HTTP/1.1"
