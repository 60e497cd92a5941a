"""What holds for all pages: their headers, and that every failure is a page without a detail."""

import asyncio
import logging
import socket
from contextlib import AsyncExitStack
from urllib.parse import quote

import pytest

from gateway.authserver import form
from gateway.authserver.administration import NewSecret
from gateway.authserver.people import account_page
from gateway.authserver.records.users import User
from gateway.authserver.server import EmbeddedServer
from gateway.authserver.storage.database import Database, DatabaseUnavailable
from gateway.serving import serve
from tests.authserver.browser_fixtures import REQUEST, Browser, Page, authorize_url
from tests.authserver.conftest import Surroundings

PATHS = ["/account", "/oauth2/device", authorize_url()]
POSTS = [*PATHS, "/account/sign-out"]

pytestmark = pytest.mark.usefixtures("desk")


def is_page(page: Page) -> bool:
    return page.text.lower().startswith("<!doctype html>") and page.headers[
        "Content-Type"
    ].startswith("text/html")


def faults(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What we logged as an error; aiohttp's own server does so for what it cannot parse."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno >= logging.ERROR and record.name.startswith("gateway")
    ]


@pytest.mark.parametrize("path", [*PATHS, "/oauth2/authorize", "/nothing", "/account/sign-out"])
async def test_every_page_keeps_out_of_frames_caches_and_other_pages_reach(
    browser: Browser, path: str
) -> None:
    page = await browser.get(path)
    assert is_page(page)
    headers = page.headers
    policy = {part.strip() for part in headers["Content-Security-Policy"].split(";")}
    assert {
        "default-src 'none'",
        "style-src 'self'",
        "img-src 'self' data:",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    } <= policy
    assert any(part.startswith("form-action 'self'") for part in policy)
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Vary"] == "Accept-Language, Cookie"
    assert headers["Content-Language"] == "en"


async def test_a_redirect_is_kept_by_nobody(browser: Browser) -> None:
    page = await browser.get(authorize_url(scope="x"))
    assert page.status == 303
    assert page.headers["Cache-Control"] == "no-store"
    assert page.headers["Referrer-Policy"] == "same-origin"


async def test_pages_speak_the_persons_language(browser: Browser) -> None:
    page = await browser.get("/account", **{"Accept-Language": "ko-KR,ko;q=0.9,en;q=0.8"})
    assert page.headers["Content-Language"] == "ko"
    assert 'lang="ko"' in page.text


async def test_the_style_sheet_is_kept_under_the_name_that_the_pages_give_it(
    browser: Browser,
) -> None:
    page = await browser.get("/account")
    start = page.text.index("/assets/style.css")
    url = page.text[start : page.text.index('"', start)]
    style = await browser.get(url)
    assert style.status == 200
    assert style.headers["Content-Type"].startswith("text/css")
    assert "max-age=31536000" in style.headers["Cache-Control"]
    assert "immutable" not in (await browser.get("/assets/style.css?v=0")).headers["Cache-Control"]


@pytest.mark.parametrize("path", ["/nothing", "/oauth2/", "/account/", "/ACCOUNT"])
async def test_what_is_not_there_is_a_page_for_a_browser_and_json_for_a_program(
    browser: Browser, path: str
) -> None:
    page = await browser.get(path)
    assert (page.status, is_page(page)) == (404, True)
    page = await browser.get(path, Accept="application/json")
    assert page.headers["Content-Type"].startswith("application/json")


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_another_method_is_refused_with_a_page(
    browser: Browser, path: str, method: str
) -> None:
    page = await browser.request(method, path)
    assert (page.status, is_page(page)) == (405, True)
    assert "POST" in page.headers["Allow"]


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b'{"a": 1}', {"Content-Type": "application/json"}, 415),
        (b"a=1", {"Content-Type": "multipart/form-data; boundary=x"}, 415),
        (b"a=1", {"Content-Encoding": "gzip"}, 415),
        (b"a=1&a=1", {}, 400),
        (b"csrf=1&csrf=2", {}, 400),
        (b"a=%00", {}, 400),
        (b"a=%ff", {}, 400),
        (b"a=\xff", {}, 400),
        (b"a=" + b"x" * 70_000, {}, 413),
        (b"&".join(b"a%d=1" % number for number in range(200)), {}, 400),
    ],
)
async def test_what_is_no_clean_form_is_refused_with_a_page(
    browser: Browser, path: str, body: bytes, headers: dict[str, str], status: int
) -> None:
    page = await browser.post(path, body, headers)
    assert (page.status, is_page(page)) == (status, True)


async def test_a_form_that_does_not_arrive_in_time_is_given_up(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(form, "_BODY_TIMEOUT", 0.05)
    host, port = browser.base.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        b"POST /account HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nAccept: text/html\r\n"
        b"Content-Type: application/x-www-form-urlencoded\r\n\r\na=1"
    )
    assert b" 408 " in await reader.readline()
    writer.close()


@pytest.mark.parametrize("path", [b"/account", b"/oauth2/token"])
@pytest.mark.parametrize(
    "body", [b"Content-Length: 9\r\n\r\na=1", b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\nzz\r\n"]
)
async def test_who_breaks_off_within_a_form_is_no_failure(
    server: EmbeddedServer,
    caplog: pytest.LogCaptureFixture,
    surroundings: Surroundings,
    path: bytes,
    body: bytes,
) -> None:
    async with AsyncExitStack() as stack:
        sock = socket.create_server(("127.0.0.1", 0))
        await serve(server.application(), sock, stack)  # as the gateway does
        reader, writer = await asyncio.open_connection(*sock.getsockname())
        writer.write(
            b"POST " + path + b" HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
            b"Content-Type: application/x-www-form-urlencoded\r\n"
        )
        head, _, rest = body.partition(b"\r\n\r\n")
        writer.write(head + b"\r\n\r\n")
        assert b" 100 " in await reader.readline()  # the form is being read
        writer.write(rest)
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        async with asyncio.timeout(5):
            while not surroundings.requests:  # noqa: ASYNC110 - for the server, which tells nobody
                await asyncio.sleep(0.001)
    assert surroundings.requests == [("POST", path.decode(), 400)]
    assert faults(caplog) == []


async def test_a_fragment_in_a_request_is_refused(browser: Browser) -> None:
    host, port = browser.base.removeprefix("http://").split(":")
    for fragment, status in (("", 200), ("#x", 400)):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"GET {authorize_url()}{fragment} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert int((await reader.readline()).split()[1]) == status
        writer.close()


@pytest.mark.parametrize("path", PATHS)
async def test_a_database_that_is_away_is_a_page_and_one_line_of_log(
    browser: Browser,
    anne: User,
    path: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(_: Database) -> None:
        raise DatabaseUnavailable("gateway.db was moved")

    monkeypatch.setattr(Database, "transaction", refuse)
    pages = [await browser.get(path), await browser.post(path, {"action": "sign-in"})]
    for page in pages:
        assert (page.status, is_page(page)) == (503, True)
        assert "Retry-After" in page.headers
        assert "gateway.db" not in page.text
    assert "gateway.db was moved" in caplog.text
    assert "Traceback" not in caplog.text


async def test_a_fault_of_ours_is_a_page_without_a_detail(
    browser: Browser, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a detail")

    monkeypatch.setattr(account_page, "find_session", fail)
    page = await browser.get("/account")
    assert (page.status, is_page(page)) == (500, True)
    assert "detail" not in page.text
    assert "a detail" in caplog.text


ODD = ['"', "\\", "\0", "\x7f", "\ufffe", "%s{}", "<script>", "a\r\nX: y", "한글", "'" * 2000]


@pytest.mark.parametrize("is_signed_in", [False, True])
async def test_no_parameter_makes_it_fail(
    browser: Browser,
    anne: User,
    app: NewSecret,
    is_signed_in: bool,
    surroundings: Surroundings,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Each parameter with each odd value, and with bytes that are no UTF-8."""
    values = [quote(text) for text in ODD] + ["%ff", "%c0%af", "%ed%a0%80", "%", "%zz"]
    fields = ("action", "username", "password", "csrf", "client_id", "user_code", "revoked")
    if is_signed_in:
        browser.be(anne)
    for value in values:
        for name in [*REQUEST, "resource", "request", "response_mode", "made_up", quote(value)]:
            page = await browser.get(authorize_url(**{name: None}) + f"&{name}={value}")
            assert page.status in (200, 303, 400)
            assert "<script>" not in page.text
            assert page.headers.get("Location", "https://desk.example").startswith("https://desk")
        for path in ("/account", "/oauth2/device"):
            for name in ("user_code", "revoked"):
                page = await browser.get(f"{path}?{name}={value}")
                assert page.status in (200, 400)
                assert "<script>" not in page.text
        for name in fields:
            token = (await browser.get("/account")).csrf
            for path in POSTS:
                others = f"&action=sign-in&csrf={token}"
                others = "".join(
                    part for part in others.split("&") if part and not part.startswith(name)
                )
                page = await browser.post(path, f"{name}={value}&{others}")
                assert page.status < 500
                assert "<script>" not in page.text
    assert faults(caplog) == []
    assert all(status < 500 for _, _, status in surroundings.requests)


RAW = [
    b"GET /oauth2/authorize?state=\xff HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /oauth2/authorize?state=a#b HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /account HTTP/1.1\r\nHost: x\r\nCookie: gateway=\xff\xfe\r\n\r\n",
    b'GET /account HTTP/1.1\r\nHost: x\r\nCookie: =;;="; gateway\r\n\r\n',
    b"GET /account HTTP/1.1\r\nHost: x\r\nAccept-Language: \xff;q=\xff\r\n\r\n",
    b"GET /account HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: \xff,,\r\n\r\n",
    b"POST /account HTTP/1.1\r\nHost: x\r\nOrigin: \xff\r\nContent-Length: 0\r\n\r\n",
    b"POST /account HTTP/1.1\r\nHost: x\r\nContent-Type: \xff\r\nContent-Length: 0\r\n\r\n",
]


@pytest.mark.parametrize("raw", RAW)
async def test_no_bytes_make_it_fail(
    browser: Browser, raw: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    host, port = browser.base.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(raw)
    status = int((await reader.readline()).split()[1])
    writer.close()
    assert status < 500
    assert faults(caplog) == []


async def test_requests_are_logged_by_path_alone(
    browser: Browser, anne: User, surroundings: Surroundings
) -> None:
    await browser.get(authorize_url())
    await browser.get("/oauth2/device?user_code=BCDF-GHJK")
    assert surroundings.requests == [
        ("GET", "/oauth2/authorize", 200),
        ("GET", "/oauth2/device", 200),
    ]
