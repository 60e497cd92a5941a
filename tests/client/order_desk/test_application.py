"""The Order desk's site over HTTP."""

import re
from html import unescape

import pytest

from gateway.client.order_desk.language import NAMES, WORDS
from gateway.client.order_desk.sessions import Session, Sessions
from gateway.client.order_desk.wire import Masker
from tests.client.order_desk.conftest import SECRET

HOSTILE = "<script>alert(1)</script>\"'&{{77777*77777}}`"


async def test_no_secret_is_in_any_page(browser, world, clock):
    """Not code, state, verifier, tokens, the client's secret or the cookie; after all flows."""
    question = await browser.begin()
    code = "gw_ac_a-code-of-some-length"
    answer = {"code": code, "state": question["state"], "iss": world.url}
    await browser.open("/callback", params=answer)
    # An old service may echo what it gets, and what it got once.
    echoed = {"echo": f"Bearer {world.minted[0]}", "nested": {"refresh_token": world.minted[1]}}
    world.guarded |= echoed
    await browser.press("/orders/show")
    await browser.press("/orders", {"item": "coffee"})
    clock.now += world.lifetime
    await browser.press("/orders/show")
    await browser.press("/refresh")
    world.take_back()
    await browser.press("/orders/show")
    await browser.connect(world)
    await browser.press("/sign-out")
    verifier = world.asked_for("/token")[0]["code_verifier"]
    cookies = [cookie.value for cookie in browser.http.cookie_jar if "language" not in cookie.key]
    basics = [value.split(" ")[1] for _, _, value in world.asked if value]
    secrets = [code, question["state"], verifier, SECRET, *world.minted, *cookies, *basics]
    pages = [visit.text for visit in browser.pages]
    assert any("gw_at_••••••••" in page for page in pages)
    assert any("nested" in page for page in pages)
    assert [secret for secret in secrets if any(secret in page for page in pages)] == []


async def test_every_answer_keeps_strangers_out(browser, world):
    """The policy allows no script and no frame; `form-action` lets forms lead to the issuer."""
    await browser.connect(world)
    for path in ("/", "/callback", "/nothing", "/language/ko"):
        await browser.open(path)
    await browser.press("/orders/show", origin="http://127.0.0.1:8080")
    for visit in browser.pages:
        policy = visit.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; style-src 'self'; img-src 'self'; ")
        assert "frame-ancestors 'none'" in policy
        assert f"form-action 'self' {world.url}" in policy
        assert visit.headers["X-Content-Type-Options"] == "nosniff"
        assert visit.headers["Cache-Control"] == "no-store"
        assert not re.search(r"<script|<style|\sstyle=|\son\w+=", visit.text)


async def test_the_cookie_is_for_the_server_alone(browser, world, desk):
    """HttpOnly, SameSite=Lax, and named by the port: a host's cookies are for all of its ports."""
    await browser.begin()
    (cookie,) = browser.pages[-1].cookies
    port = desk.rpartition(":")[2]
    assert cookie.startswith(f"order_desk_{port}=")
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Domain" not in cookie


async def test_the_session_changes_its_id_when_it_gets_tokens(browser, world):
    """Who knew the cookie before has nothing of what comes after."""
    await browser.begin()
    before = {cookie.key: cookie.value for cookie in browser.http.cookie_jar}
    await browser.connect(world)
    after = {cookie.key: cookie.value for cookie in browser.http.cookie_jar}
    assert before.keys() == after.keys()
    assert not set(before.values()) & set(after.values())
    browser.http.cookie_jar.clear()
    browser.http.cookie_jar.update_cookies(before)
    assert 'action="/sign-out"' not in (await browser.open()).text


@pytest.mark.parametrize("path", ["/connect", "/orders/show", "/orders", "/refresh", "/sign-out"])
@pytest.mark.parametrize("origin", ["http://127.0.0.1:8080", "null", "https://evil.example"])
async def test_a_form_from_elsewhere_does_nothing(browser, world, path, origin):
    """SameSite alone would let another port of this host through: a port makes no other site."""
    await browser.connect(world)
    asked = len(world.asked)
    visit = await browser.press(path, {"item": "coffee"}, origin=origin)
    assert (visit.status, visit.news) == (403, WORDS["en"]["news.not_from_here"])
    assert len(world.asked) == asked


async def test_another_name_for_this_host_leads_to_the_one_that_is_registered(browser, desk):
    """A stranger's name that was pointed here reads nothing (DNS rebinding)."""
    visit = await browser.open(headers={"Host": "evil.example"})
    assert (visit.status, visit.headers["Location"], visit.text) == (303, f"{desk}/", "")


async def test_what_the_legacy_service_says_is_text(browser, world):
    """Values from outside are escaped wherever they stand."""
    world.guarded = {
        "orders": [{"id": HOSTILE, "item": HOSTILE, "quantity": HOSTILE}],
        "asked_by": HOSTILE,
        "on_behalf_of": HOSTILE,
        HOSTILE: HOSTILE,
    }
    await browser.connect(world)
    page = await browser.press("/orders/show")
    assert "<script" not in page.text
    assert str(77777 * 77777) not in page.step("call")
    assert page.text.count("&lt;script&gt;") >= 6


async def test_what_the_authorization_server_says_is_text(browser, world):
    question = await browser.begin()
    answer = {"error": HOSTILE, "error_description": HOSTILE, "error_uri": "javascript:alert(1)"}
    await browser.open("/callback", params={**answer, "state": question["state"], "iss": world.url})
    page = await browser.open()
    assert page.news == WORDS["en"]["news.refused"]
    assert "<script" not in page.text
    assert 'href="javascript' not in page.text


@pytest.mark.parametrize(
    "query", ["code=%FF&state=%00", "code=%ED%A0%80", "%", "a" * 3000, "state=%00&iss=%22%5C"]
)
async def test_no_callback_makes_the_desk_fail(browser, world, query):
    await browser.begin()
    assert (await browser.open(f"/callback?{query}")).status in (303, 400)


@pytest.mark.parametrize("code", ["%FF", "%ED%A0%80", "%00", "%22%5C%0D%0A", "%F0%9F%8D%B5"])
async def test_no_code_makes_the_desk_fail(browser, world, code):
    question = await browser.begin()
    query = f"code={code}&state={question['state']}&iss={world.url}"
    assert (await browser.open(f"/callback?{query}")).status in (303, 400)
    assert (await browser.open()).status == 200


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"item=%FF\xff\x00", "application/x-www-form-urlencoded"),
        (b"item=tea", "application/x-www-form-urlencoded; charset=nothing"),
        (b"--x\r\nnonsense", "multipart/form-data; boundary=x"),
        (b"&".join([b"item=a"] * 50), "application/x-www-form-urlencoded"),
        (b"x" * 100_000, "text/plain"),
    ],
)
async def test_no_body_makes_the_desk_fail(browser, world, desk, body, content_type):
    await browser.connect(world)
    headers = {"Origin": desk, "Content-Type": content_type}
    visit = await browser.ask("POST", "/orders", data=body, headers=headers)
    assert visit.status in (303, 413)


async def test_what_is_not_here_is_said_on_a_page(browser):
    for method, path, status in (("GET", "/nothing", 404), ("GET", "/refresh", 405)):
        visit = await browser.ask(method, path)
        assert (visit.status, visit.news) == (status, WORDS["en"]["news.not_found"])


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("ko-KR,ko;q=0.9,en;q=0.8", "ko"),
        ("en;q=0.5, ko;q=0.7", "ko"),
        ("de, en;q=0.1", "en"),
        ("ko;q=0", "en"),
        ("ko;q=many", "en"),
        ("", "en"),
    ],
)
async def test_the_browser_s_language_is_spoken(open_browser, accepted, language):
    page = await (await open_browser(accepted)).open()
    assert f'<html lang="{language}">' in page.text
    assert WORDS[language]["start.title"] in page.text


async def test_the_link_changes_the_language_and_it_stays(browser):
    page = await browser.open()
    assert 'href="/language/ko"' in page.text
    assert 'href="/language/en"' not in page.text
    visit = await browser.open("/language/ko")
    assert (visit.status, visit.headers["Location"]) == (303, "/")
    assert '<html lang="ko">' in (await browser.open()).text
    assert (await browser.open("/language/tlh")).status == 404


async def test_all_words_of_a_language_are_on_its_pages(open_browser, world):
    """No page of the walk in Korean has an English sentence of ours, nor the other way round."""
    for language in NAMES:
        browser = await open_browser(language)
        await browser.open()
        await browser.connect(world)
        await browser.press("/orders/show")
        await browser.press("/refresh")
        world.take_back()
        page = await browser.press("/orders/show")
        (other,) = set(NAMES) - {language}
        for key, text in WORDS[other].items():
            if len(text) > 20 and text != WORDS[language][key]:
                assert not any(text in unescape(visit.text) for visit in browser.pages), key
        assert WORDS[language]["step.call"] in page.step("call")


async def test_styles_and_icon_are_kept_by_their_content(browser):
    page = await browser.open()
    for url in re.findall(r'(?:href|src)="(/assets/[^"]+)"', page.text):
        visit = await browser.open(url)
        assert visit.status == 200
        assert "immutable" in visit.headers["Cache-Control"]


def test_sessions_are_bounded_and_the_oldest_goes():
    sessions = Sessions()
    cookies = [sessions.put(Session(Masker())) for _ in range(1500)]
    kept = [cookie for cookie in cookies if sessions.find(cookie) is not None]
    assert kept == cookies[-1000:]
    assert sessions.find(None) is None
    assert sessions.find("") is None
