"""Signing in: the same for everybody who may not, another cookie for who may."""

import asyncio
import logging
import re
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from aiohttp import ClientSession, DummyCookieJar
from aiohttp.test_utils import TestClient, TestServer
from argon2 import PasswordHasher, extract_parameters

from gateway.authserver.options import AuthorizationServerOptions
from gateway.authserver.people.browsers import Cookies, add_mark, find_mark
from gateway.authserver.people.passwords import Passwords, hash_password
from gateway.authserver.records.users import User, disable_user, find_user, set_password
from gateway.authserver.server import EmbeddedServer
from gateway.authserver.storage.database import Database
from tests.authserver.browser_fixtures import (
    COOKIE,
    HASH,
    PASSWORD,
    Browser,
    Page,
    add_user,
    authorize_url,
)
from tests.authserver.conftest import Clock, Surroundings

MARKS = "gateway-browser"


def shown(page: Page) -> str:
    """What of a page does not differ by chance."""
    return re.sub(r'name="csrf" value="[^"]*"', "", page.text)


@pytest.fixture
def verified(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every hash that a password was verified against."""
    verified: list[str] = []
    verify = PasswordHasher.verify

    def watch(self: PasswordHasher, known: str | bytes, password: str | bytes) -> bool:
        verified.append(str(known))
        return verify(self, known, password)

    monkeypatch.setattr(PasswordHasher, "verify", watch)
    return verified


async def test_the_right_password_signs_in(
    browser: Browser, anne: User, surroundings: Surroundings
) -> None:
    page = await browser.sign_in(username=" Anne ")
    assert (page.status, page.location) == (303, "/account")
    assert browser.is_signed_in
    assert "anne" in (await browser.get("/account")).text
    assert surroundings.sign_ins == ["succeeded"]


async def test_all_who_may_not_read_the_same_and_cost_the_same(
    browser: Browser,
    database: Database,
    anne: User,
    surroundings: Surroundings,
    verified: list[str],
) -> None:
    """A wrong password, an unknown user, a disabled one, a name that nobody can have."""
    disabled = add_user(database, "dora")
    with database.transaction() as connection:
        disable_user(connection, disabled.id, 1)
    pages = [
        await browser.sign_in(username=name, password=password)
        for name, password in (
            ("anne", "wrong password"),
            ("nobo", "wrong password"),
            ("dora", PASSWORD),
            ("an/e", "wrong password"),
            ("안안안안", "x" * 2000),
        )
    ]
    assert len(verified) == len(pages)
    assert len({str(extract_parameters(known)) for known in verified}) == 1
    names = ("anne", "nobo", "dora", "an/e", "안안안안")
    texts = {shown(page).replace(name, "*") for page, name in zip(pages, names, strict=True)}
    assert len(texts) == 1
    assert {page.status for page in pages} == {403}
    assert all(page.set_cookies == {} for page in pages[1:])
    assert not browser.is_signed_in
    assert surroundings.sign_ins == ["failed"] * 5


async def test_the_cookie_changes_at_sign_in_and_at_sign_out(
    browser: Browser, anne: User, query: Callable[..., list[tuple[object, ...]]]
) -> None:
    await browser.get("/account")
    anonymous = browser.cookies[COOKIE]
    assert query("SELECT count(*) FROM sessions") == [(0,)]
    await browser.sign_in()
    signed_in = browser.cookies[COOKIE]
    await browser.send(await browser.get("/account"), "/account/sign-out")
    assert COOKIE not in browser.cookies
    assert query("SELECT count(*) FROM sessions") == [(0,)]
    await browser.get("/account")
    assert len({anonymous, signed_in, browser.cookies[COOKIE]}) == 3


async def test_a_planted_cookie_is_never_anybodys_session(browser: Browser, anne: User) -> None:
    """Fixation: whoever planted it knows it."""
    browser.cookies[COOKIE] = planted = "A" * 43
    await browser.sign_in()
    assert browser.cookies[COOKIE] != planted
    other = browser.another()
    other.cookies[COOKIE] = planted
    assert (await other.get("/account")).is_sign_in


@pytest.mark.parametrize("value", ["", "x", '"', "A" * 44, "a b", "\\", "%00", "é", "A" * 5000])
async def test_a_cookie_that_is_none_of_ours_is_replaced(browser: Browser, value: str) -> None:
    browser.cookies[COOKIE] = value
    page = await browser.get("/account")
    assert page.is_sign_in
    assert COOKIE in page.set_cookies


async def test_cookies_on_http_are_http_only_and_lax(browser: Browser, anne: User) -> None:
    page = await browser.sign_in()
    assert set(page.set_cookies) == {COOKIE, MARKS}
    for line in page.set_cookies.values():
        attributes = {part.strip() for part in line.split(";")[1:]}
        assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= attributes
        assert "Secure" not in attributes
        assert not any(part.startswith("Domain") for part in attributes)
    assert "Max-Age" not in page.set_cookies[COOKIE]


def test_cookies_on_https_are_of_this_host_alone() -> None:
    from aiohttp import web

    response = web.Response()
    cookies = Cookies("https://login.example")
    cookies.set_session(response, "value")
    cookies.set_marks(response, "marks")
    assert set(response.cookies) == {"__Host-gateway-session", "__Host-gateway-browser"}
    for morsel in response.cookies.values():
        assert (morsel["path"], morsel["domain"]) == ("/", "")
        assert morsel["secure"]
        assert morsel["httponly"]
        assert morsel["samesite"] == "Lax"


async def test_forms_are_bound_to_a_cookie_before_anybody_is_signed_in(
    browser: Browser, anne: User, verified: list[str]
) -> None:
    page = await browser.get("/account")
    form = {"action": "sign-in", "username": "anne", "password": PASSWORD}
    for csrf in ({}, {"csrf": (await browser.another().get("/account")).csrf}):
        refused = await browser.post("/account", {**form, **csrf})
        assert (refused.status, refused.is_sign_in) == (403, True)
    # A form of another page of ours, too.
    assert (await browser.post(authorize_url(), {**form, "csrf": page.csrf})).status == 400
    assert (await browser.post("/oauth2/device", {**form, "csrf": page.csrf})).status == 403
    assert verified == []


@pytest.mark.parametrize("path", ["/account", "/oauth2/device"])
async def test_a_sign_in_form_of_another_tab_is_stale_when_signed_in(
    browser: Browser, anne: User, path: str
) -> None:
    page = await browser.get(path)
    form = {"action": "sign-in", "username": "anne", "password": PASSWORD, "csrf": page.csrf}
    browser.be(anne)
    assert (await browser.post(path, form)).status == 403


async def test_sign_in_comes_back_to_where_it_began(
    browser: Browser, anne: User, desk: object
) -> None:
    for path in ("/oauth2/device?user_code=bcdfghjk", authorize_url(), "/account"):
        page = await browser.another().sign_in(path)
        assert page.status == 303
        assert urlsplit(page.location).path == urlsplit(path).path
        assert not page.location.startswith("//")


# Throttling.


async def test_guesses_are_throttled_without_hashing_for_known_and_unknown_alike(
    browser: Browser, anne: User, surroundings: Surroundings, verified: list[str]
) -> None:
    for name in ("anne", "nobo"):
        await asyncio.gather(*(browser.sign_in(username=name, password="x") for _ in range(10)))
    hashed = len(verified)
    assert hashed == 20
    pages = [await browser.sign_in(username=name) for name in ("anne", "nobo")]
    for page in pages:
        assert page.status == 429
        assert 0 < int(page.headers["Retry-After"]) <= 600
    assert len(verified) == hashed
    assert shown(pages[0]).replace("anne", "nobo") == shown(pages[1])
    assert surroundings.sign_ins[-2:] == ["throttled", "throttled"]
    assert not browser.is_signed_in


async def test_parallel_guesses_are_bounded_as_well(
    browser: Browser, anne: User, verified: list[str]
) -> None:
    pages = await asyncio.gather(*(browser.sign_in(password="x") for _ in range(30)))
    assert sorted(page.status for page in pages) == [403] * 10 + [429] * 20
    assert len(verified) == 10


async def test_success_is_no_guess(browser: Browser, anne: User) -> None:
    for _ in range(11):
        assert (await browser.another().sign_in()).status == 303


async def test_a_browser_that_knows_the_person_gets_in_during_an_attack_from_elsewhere(
    browser: Browser, server: EmbeddedServer, anne: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    await browser.sign_in()
    throttle = server._endpoints._throttle
    for number in range(50):
        throttle.begin_sign_in(f"address{number}", "anne", None)

    stranger = browser.another()
    assert (await stranger.sign_in()).status == 429
    del browser.cookies[COOKIE]
    assert (await browser.sign_in()).status == 303


def test_a_mark_is_one_persons_and_ends_with_the_password(database: Database, anne: User) -> None:
    bert = add_user(database, "bert")
    marks = add_mark("", anne)
    name = find_mark(marks, anne)
    assert name is not None
    assert find_mark(marks, bert) is None
    assert find_mark(marks, None) is None
    assert add_mark(marks, anne) == marks
    both = add_mark(marks, bert)
    assert find_mark(both, anne) == name
    assert find_mark(both, bert) is not None
    assert find_mark(marks[:-1] + ("A" if marks[-1] != "A" else "B"), anne) is None
    with database.transaction() as connection:
        set_password(connection, anne.id, "other")
        changed = find_user(connection, anne.id)
    assert find_mark(both, changed) is None


@pytest.mark.parametrize(
    "marks", ["", ".", "x" * 65, "é" * 65, ("A" * 65 + ".") * 1000, "a" * 9999]
)
def test_marks_that_are_none_of_ours_are_dropped(anne: User, marks: str) -> None:
    assert find_mark(marks, anne) is None
    assert len(add_mark(marks, anne)) <= 5 * 66


async def test_too_many_at_once_is_said_and_not_counted(
    browser: Browser, server: EmbeddedServer, anne: User, surroundings: Surroundings
) -> None:
    places = server._endpoints._browser._passwords._places
    taken = 0
    while places.acquire(blocking=False):
        taken += 1
    assert taken == 66
    for _ in range(20):
        page = await browser.sign_in()
        assert (page.status, page.is_sign_in) == (503, True)
        assert "Retry-After" in page.headers
    places.release(taken)
    assert (await browser.sign_in()).status == 303
    assert surroundings.sign_ins == ["succeeded"]


# What changes while a password is checked, and what is never written down.


async def test_a_password_changed_during_a_sign_in_ends_it(
    browser: Browser, database: Database, anne: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    verify = Passwords.verify

    async def change(self: Passwords, *arguments: str) -> object:
        verdict = await verify(self, *arguments)
        with database.transaction() as connection:
            set_password(connection, anne.id, "other")
        return verdict

    monkeypatch.setattr(Passwords, "verify", change)
    await browser.sign_in()
    assert not browser.is_signed_in


async def test_an_older_hash_is_replaced_at_sign_in_and_the_session_stays(
    browser: Browser, database: Database
) -> None:
    weak = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    user = add_user(database, "anne", hash_password(PASSWORD, weak))
    await browser.sign_in()
    with database.transaction() as connection:
        current = find_user(connection, user.id)
    assert current is not None
    assert extract_parameters(current.password_hash) == extract_parameters(HASH)
    assert browser.is_signed_in
    assert find_mark(browser.cookies[MARKS], current) is not None


async def test_no_password_cookie_or_code_is_in_any_log(
    browser: Browser, anne: User, desk: object, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in list(logging.root.manager.loggerDict):
        caplog.set_level(logging.DEBUG, logger=name)
    await browser.sign_in(password="wrong pa55word")
    await browser.sign_in(authorize_url())
    code = (await browser.allow(authorize_url())).answer["code"]
    await browser.get("/account")
    written = caplog.text + "".join(str(record.__dict__) for record in caplog.records)
    for secret in (PASSWORD, "pa55word", code, browser.cookies[COOKIE], browser.cookies[MARKS]):
        assert secret not in written


async def test_a_trusted_proxys_word_tells_browsers_apart(
    options: AuthorizationServerOptions,
    database: Database,
    clock: Clock,
    surroundings: Surroundings,
    anne: User,
    cheap_passwords: None,
) -> None:
    from dataclasses import replace
    from ipaddress import ip_network

    server = EmbeddedServer(
        replace(options, trusted_proxies=[ip_network("127.0.0.0/8")]),
        surroundings.publish,
        surroundings.count_issued,
        clock=clock,
    )
    async with TestClient(TestServer(server.application())) as client:
        base = str(client.make_url("/")).rstrip("/")
        async with ClientSession(cookie_jar=DummyCookieJar()) as session:
            browser = Browser(session, base, database, clock)
            here = {"X-Forwarded-For": "6.6.6.6, 198.51.100.1"}
            for _ in range(10):
                await browser.sign_in(password="x", headers=here)
            assert (await browser.sign_in(headers=here)).status == 429
            there = {"X-Forwarded-For": "198.51.100.1, 198.51.100.2"}
            assert (await browser.sign_in(headers=there)).status == 303
    await server.close()
