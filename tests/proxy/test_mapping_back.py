"""What the service says of itself in Location, Content-Location and Set-Cookie."""

import pytest

from tests.proxy.stage import Stage


def route(path: str = "/**", **keys: object) -> dict[str, object]:
    return {"name": "legacy", "match": {"path": path}, "public": True, **keys}


def get(path: bytes = b"/a", host: bytes = b"api.example.com", *fields: bytes) -> bytes:
    lines = b"".join(field + b"\r\n" for field in fields)
    return b"GET %b HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (path, host, lines)


def redirect(*fields: bytes) -> bytes:
    lines = b"".join(field + b"\r\n" for field in fields)
    return b"HTTP/1.1 302 Found\r\n%bContent-Length: 0\r\n\r\n" % lines


async def located(stage: Stage, said: bytes, request: bytes | None = None) -> str:
    """Let the service answer a request with this Location, and give the client's."""
    said = said.replace(b"PORT", b"%d" % stage.service.port)
    _, answer = await stage.pass_through(request or get(), redirect(b"Location: %b" % said))
    return answer.fields["location"]


@pytest.mark.parametrize(
    ("said", "read"),
    [
        (b"http://127.0.0.1:PORT/b?c", "https://api.example.com/b?c"),
        (b"http://api.example.com/b", "https://api.example.com/b"),
        (b"http://other.example/b", "http://other.example/b"),
        (b"/b", "/b"),
    ],
)
async def test_without_any_key_a_redirect_to_the_service_leads_to_the_gateway(
    stage: Stage, said: bytes, read: str
) -> None:
    await stage.open(routes=[route()])
    assert await located(stage, said) == read


@pytest.mark.parametrize(
    ("said", "read"),
    [
        (b"http://api.example.com/app/b?c", "https://api.example.com/shop/b?c"),
        (b"https://API.example.com:443/app/b", "https://api.example.com/shop/b"),
        (b"https://api.example.com/shop/b", "https://api.example.com/shop/b"),
        (b"https://api.example.com.evil.example/app/b", None),
    ],
)
async def test_a_service_may_know_itself_by_what_x_forwarded_host_says(
    stage: Stage, said: bytes, read: str | None
) -> None:
    """It has another Host, and writes the client's before a path of its own."""
    rewritten = route("/shop/**", forward_path="/app/**", forward_host="app.internal")
    await stage.open(routes=[rewritten])
    assert await located(stage, said, get(b"/shop/a")) == (read or said.decode())


async def test_without_any_key_cookies_pass_as_they_are(stage: Stage) -> None:
    await stage.open(routes=[route()])
    said = b"Set-Cookie: a=b; Domain=127.0.0.1; Path=/x"
    _, answer = await stage.pass_through(get(), redirect(said, b"Location: /b"))
    assert said in answer.head


async def test_what_the_service_knows_of_itself_becomes_what_the_client_knows(
    stage: Stage,
) -> None:
    await stage.open(
        routes=[route("/shop/**", forward_path="/app/**", forward_host="app.internal")]
    )
    _, answer = await stage.pass_through(
        get(b"/shop/cart"),
        redirect(
            b"Location: http://app.internal/app/login?to=/app/cart",
            b"Content-Location: /app/cart.ko",
            b"Refresh: 0; url=/app/cart",
            b"Set-Cookie: a=b; Domain=app.internal; Path=/app/",
            b"Set-Cookie: c=d; Path=/elsewhere",
        ),
    )
    assert answer.head == (
        b"HTTP/1.1 302 Found\r\n"
        b"Location: https://api.example.com/shop/login?to=/app/cart\r\n"
        b"Content-Location: /shop/cart.ko\r\n"
        b"Refresh: 0; url=/shop/cart\r\n"
        b"Set-Cookie: a=b; Path=/shop/\r\n"
        b"Set-Cookie: c=d; Path=/elsewhere\r\nContent-Length: 0\r\n\r\n"
    )


async def test_a_redirect_of_the_upstream_s_own_host_is_mapped(stage: Stage) -> None:
    await stage.open(routes=[route("/shop/**", forward_path="/**", forward_host="upstream")])
    said = await located(stage, b"http://127.0.0.1:PORT/shop/", get(b"/shop/a"))
    assert said == "https://api.example.com/shop/shop/"


async def test_a_stripped_prefix_never_makes_a_redirect_to_another_host(stage: Stage) -> None:
    await stage.open(routes=[route("/**", forward_path="/app/**")])
    assert await located(stage, b"/app//evil.example/") == "/app//evil.example/"


# Where the client is.


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        (b"api.example.com", "https://api.example.com:8443"),
        (b"API.example.com:80", "https://api.example.com:8443"),
        (b"one.example.com", "https://one.example.com:8443"),
        (b"Other.example.com:81", "http://Other.example.com:81"),
    ],
)
async def test_the_client_s_origin_is_what_the_configuration_says_of_its_host(
    stage: Stage, host: bytes, origin: str
) -> None:
    await stage.open(
        public_url="https://api.example.com:8443",
        routes=[
            route(),
            {"name": "one", "match": {"host": "one.example.com", "path": "/**"}, "public": True},
        ],
    )
    assert await located(stage, b"http://127.0.0.1:PORT/b", get(b"/a", host)) == f"{origin}/b"


@pytest.mark.parametrize(
    ("trusted", "origin"),
    [(["127.0.0.1"], "https://shop.example"), ([], "http://shop.example")],
)
async def test_a_trusted_proxy_says_by_what_scheme_the_client_came(
    stage: Stage, trusted: list[str], origin: str
) -> None:
    await stage.open(trusted_proxies=trusted, routes=[route()])
    request = get(b"/a", b"shop.example", b"X-Forwarded-Proto: https")
    assert await located(stage, b"http://127.0.0.1:PORT/b", request) == f"{origin}/b"


async def test_a_trusted_proxy_knows_better_than_the_configuration(stage: Stage) -> None:
    await stage.open(trusted_proxies=["127.0.0.1"], routes=[route()])
    request = get(b"/a", b"api.example.com", b"X-Forwarded-Proto: http")
    said = await located(stage, b"http://127.0.0.1:PORT/b", request)
    assert said == "http://api.example.com/b"


async def test_a_client_without_a_host_is_led_to_the_public_url(stage: Stage) -> None:
    await stage.open(routes=[route()])
    said = await located(stage, b"http://127.0.0.1:PORT/b", b"GET /a HTTP/1.0\r\n\r\n")
    assert said == "https://api.example.com/b"


@pytest.mark.parametrize(
    ("proto", "expected"), [(b"https", "a=b; Secure"), (b"http", "a=b")], ids=str
)
async def test_cookies_are_made_secure_where_the_route_says_so(
    stage: Stage, proto: bytes, expected: str
) -> None:
    await stage.open(trusted_proxies=["127.0.0.1"], routes=[route(secure_cookies=True)])
    request = get(b"/a", b"shop.example", b"X-Forwarded-Proto: %b" % proto)
    _, answer = await stage.pass_through(request, redirect(b"Set-Cookie: a=b"))
    assert answer.fields["set-cookie"] == expected


async def test_no_mapping_lets_a_service_set_the_cookies_of_the_sign_in(stage: Stage) -> None:
    await stage.open(routes=[route("/shop/**", forward_path="/**", secure_cookies=True)])
    _, answer = await stage.pass_through(
        get(b"/shop/a"), redirect(b"Set-Cookie: gateway-session=x; Path=/", b"Location: /b")
    )
    assert "set-cookie" not in answer.fields
    assert answer.fields["location"] == "/shop/b"


async def test_without_any_key_a_refresh_is_enough_to_be_mapped(stage: Stage) -> None:
    await stage.open(routes=[route()])
    refresh = b"Refresh: 0; url=http://127.0.0.1:%d/b" % stage.service.port
    _, answer = await stage.pass_through(get(), redirect(refresh))
    assert answer.fields["refresh"] == "0; url=https://api.example.com/b"
