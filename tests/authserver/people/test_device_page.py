"""The device page: nothing is allowed by following a link, and codes cannot be tried."""

import asyncio
from collections.abc import Callable

import pytest

from gateway.authserver.administration import NewSecret
from gateway.authserver.people import device_page
from gateway.authserver.people.csrf import Purpose, make_csrf_token
from gateway.authserver.records.clients import disable_client, find_client, revoke_client
from gateway.authserver.records.devices import begin_device_request
from gateway.authserver.records.grants import allow, find_grant
from gateway.authserver.records.users import User, revoke_user
from gateway.authserver.storage.database import Database
from tests.authserver.browser_fixtures import COOKIE, Browser, Page, add_user
from tests.authserver.conftest import Clock, Endpoints
from tests.authserver.people_fixtures import DEVICE_GRANT, ask

DEVICE = "/oauth2/device"


@pytest.fixture
def user_code(database: Database, app: NewSecret, clock: Clock) -> str:
    """What a device shows."""
    with database.transaction() as connection:
        client = find_client(connection, "app")
        assert client is not None
        return begin_device_request(
            connection, client, scope="orders:read", audience="", now=int(clock.now)
        ).user_code


async def enter(browser: Browser, code: str) -> Page:
    return await browser.send(await browser.get(DEVICE), user_code=code)


async def test_a_person_lets_a_device_in(
    browser: Browser, endpoints: Endpoints, anne: User, app: NewSecret, clock: Clock
) -> None:
    started = await ask(endpoints, app, "/oauth2/device_authorization", scope="orders:read")
    uri = str(started.json["verification_uri_complete"])
    redirect = await browser.sign_in(uri[uri.index("/oauth2") :])
    page = await browser.get(redirect.location)
    assert page.field("user_code") == started.json["user_code"]
    confirm = await browser.send(page, user_code=page.field("user_code"))
    for words in ("app", "anne", "See your orders", str(started.json["user_code"])):
        assert words in confirm.text
    assert "Change your orders" not in confirm.text

    done = await browser.send(confirm, action="allow", user_code=confirm.field("user_code"))

    assert done.status == 200
    clock.now += 5
    device_code = str(started.json["device_code"])
    tokens = await ask(endpoints, app, grant_type=DEVICE_GRANT, device_code=device_code)
    assert (tokens.status, tokens.json["scope"]) == (200, "orders:read")


async def test_a_denial_lets_nothing_in(
    browser: Browser,
    anne: User,
    user_code: str,
    query: Callable[..., list[tuple[object, ...]]],
) -> None:
    browser.be(anne)
    confirm = await enter(browser, user_code)
    assert (await browser.send(confirm, action="deny", user_code=user_code)).status == 200
    assert query("SELECT count(*) FROM device_codes WHERE denied_at IS NOT NULL") == [(1,)]
    assert query("SELECT count(*) FROM families") == [(0,)]


async def test_no_get_decides_anything(
    browser: Browser,
    anne: User,
    user_code: str,
    query: Callable[..., list[tuple[object, ...]]],
) -> None:
    browser.be(anne)
    confirm = await enter(browser, user_code)
    query_string = f"user_code={user_code}&action=allow&csrf={confirm.csrf}"
    for method in ("GET", "HEAD"):
        assert (await browser.request(method, f"{DEVICE}?{query_string}")).status == 200
    assert query("SELECT family_id, denied_at FROM device_codes") == [(None, None)]


@pytest.mark.parametrize("spelling", ["{}", " {} ", "{}.", "lower", "bare", "spaced"])
async def test_a_code_is_taken_however_it_is_typed(
    browser: Browser, anne: User, user_code: str, spelling: str
) -> None:
    typed = {
        "lower": user_code.lower(),
        "bare": user_code.replace("-", ""),
        "spaced": " ".join(user_code),
    }.get(spelling, spelling.format(user_code))
    browser.be(anne)
    assert (await enter(browser, typed)).field("user_code") == user_code


@pytest.mark.parametrize("action", ["allow", "deny", "switch-account"])
async def test_the_form_is_bound_to_person_and_code(
    browser: Browser,
    database: Database,
    anne: User,
    user_code: str,
    action: str,
    query: Callable[..., list[tuple[object, ...]]],
) -> None:
    browser.be(anne)
    page = await browser.get(DEVICE)
    confirm = await enter(browser, user_code)
    other = browser.another()
    other.be(add_user(database, "bert"))
    for who, form in (
        (other, {"csrf": confirm.csrf, "user_code": user_code}),
        (browser, {"csrf": page.csrf, "user_code": user_code}),
        (browser, {"csrf": confirm.csrf, "user_code": "BBBB-BBBB"}),
        (browser, {"user_code": user_code}),
        (browser, {"csrf": confirm.csrf}),
    ):
        assert (await who.post(DEVICE, {"action": action, **form})).status == 403
    assert query("SELECT family_id, denied_at FROM device_codes") == [(None, None)]
    assert browser.is_signed_in


async def test_a_form_from_another_origin_is_refused(
    browser: Browser, anne: User, user_code: str
) -> None:
    browser.be(anne)
    confirm = await enter(browser, user_code)
    form = {"action": "allow", "csrf": confirm.csrf, "user_code": user_code}
    assert (await browser.post(DEVICE, form, {"Origin": "null"})).status == 403


async def test_a_code_form_without_its_token_looks_nothing_up(
    browser: Browser, anne: User, user_code: str
) -> None:
    browser.be(anne)
    page = await browser.post(DEVICE, {"user_code": user_code})
    assert page.status == 403
    assert "See your orders" not in page.text


async def test_guesses_are_throttled_and_right_codes_are_not(
    browser: Browser, anne: User, user_code: str
) -> None:
    browser.be(anne)
    for _ in range(15):
        assert (await enter(browser, user_code)).status == 200
    for _ in range(10):
        assert (await enter(browser, "BBBB-BBBB")).status == 400
    page = await enter(browser, user_code)
    assert page.status == 429
    assert 0 < int(page.headers["Retry-After"]) <= 600


@pytest.mark.parametrize("action", ["allow", "deny"])
async def test_guesses_by_the_form_that_decides_are_throttled_like_those_by_the_other(
    browser: Browser,
    anne: User,
    user_code: str,
    action: str,
    query: Callable[..., list[tuple[object, ...]]],
) -> None:
    """Who is signed in has the key of that form's token, and can make it for any code."""

    async def guess(code: str) -> Page:
        csrf = make_csrf_token(browser.cookies[COOKIE], Purpose.DEVICE_CONSENT, code)
        return await browser.post(DEVICE, {"action": action, "csrf": csrf, "user_code": code})

    browser.be(anne)
    for _ in range(5):
        assert (await enter(browser, "BBBB-BBBB")).status == 400
        assert (await guess("BBBB-BBBB")).status == 400

    page = await guess(user_code)

    assert page.status == 429
    assert 0 < int(page.headers["Retry-After"]) <= 600
    assert query("SELECT family_id, denied_at FROM device_codes") == [(None, None)]


async def test_who_decides_is_not_counted_as_guessing(
    browser: Browser, database: Database, anne: User, app: NewSecret, clock: Clock
) -> None:
    browser.be(anne)
    for _ in range(11):
        with database.transaction() as connection:
            client = find_client(connection, "app")
            assert client is not None
            code = begin_device_request(
                connection, client, scope="orders:read", audience="", now=int(clock.now)
            ).user_code
        confirm = await enter(browser, code)
        assert (await browser.send(confirm, action="allow", user_code=code)).status == 200


@pytest.mark.parametrize("confirmed", [False, True])
@pytest.mark.parametrize("end", ["expired", "disabled", "revoked", "scopes", "grant", "decided"])
async def test_what_no_longer_waits_is_not_known(
    browser: Browser,
    database: Database,
    anne: User,
    user_code: str,
    clock: Clock,
    query: Callable[..., list[tuple[object, ...]]],
    end: str,
    confirmed: bool,
) -> None:
    browser.be(anne)
    confirm = await enter(browser, user_code) if confirmed else None
    with database.transaction() as connection:
        if end == "disabled":
            disable_client(connection, "app", 1)
        elif end == "revoked":
            revoke_client(connection, "app")
    match end:
        case "expired":
            clock.now += 600
        case "scopes":
            query("UPDATE clients SET scopes = 'orders:write' WHERE id = 'app'")
        case "grant":
            query("UPDATE clients SET grant_types = 'authorization_code' WHERE id = 'app'")
        case "decided":
            query("UPDATE device_codes SET denied_at = 1")
    if confirm is None:
        page = await enter(browser, user_code)
    else:
        page = await browser.send(confirm, action="allow", user_code=user_code)
    assert page.status == 400
    with database.transaction() as connection:
        assert find_grant(connection, anne.id, "app") is None


async def test_of_ten_answers_at_once_one_counts(
    browser: Browser,
    anne: User,
    user_code: str,
    query: Callable[..., list[tuple[object, ...]]],
) -> None:
    browser.be(anne)
    confirm = await enter(browser, user_code)
    answers = await asyncio.gather(
        *(
            browser.send(confirm, action="deny" if number % 2 else "allow", user_code=user_code)
            for number in range(10)  # as many as are not throttled
        )
    )
    assert sorted(answer.status for answer in answers) == [200] + [400] * 9
    ((family, denied),) = query("SELECT family_id, denied_at FROM device_codes")
    assert (family is None) is (denied is not None)
    assert query("SELECT count(*) FROM families") == [(0 if family is None else 1,)]


async def test_of_two_answers_in_one_moment_the_later_leaves_nothing(
    browser: Browser,
    anne: User,
    user_code: str,
    monkeypatch: pytest.MonkeyPatch,
    query: Callable[..., list[tuple[object, ...]]],
) -> None:
    def overtake(*arguments: object) -> object:
        query("UPDATE device_codes SET denied_at = 1")
        return allow(*arguments)

    browser.be(anne)
    confirm = await enter(browser, user_code)
    monkeypatch.setattr(device_page, "allow", overtake)
    assert (await browser.send(confirm, action="allow", user_code=user_code)).status == 400
    assert query("SELECT family_id FROM device_codes") == [(None,)]
    assert query("SELECT count(*) FROM families") == [(0,)]
    assert query("SELECT count(*) FROM grants") == [(0,)]


async def test_a_person_who_goes_in_this_moment_is_no_failure(
    browser: Browser,
    anne: User,
    user_code: str,
    monkeypatch: pytest.MonkeyPatch,
    query: Callable[..., list[tuple[object, ...]]],
) -> None:
    def go(*arguments: object) -> object:
        query("DELETE FROM users")
        return allow(*arguments)

    browser.be(anne)
    confirm = await enter(browser, user_code)
    monkeypatch.setattr(device_page, "allow", go)
    assert (await browser.send(confirm, action="allow", user_code=user_code)).status == 400


async def test_a_session_that_ended_has_to_sign_in_again(
    browser: Browser, database: Database, anne: User, user_code: str
) -> None:
    browser.be(anne)
    confirm = await enter(browser, user_code)
    with database.transaction() as connection:
        revoke_user(connection, anne.id)
    for action in ("allow", "deny", "switch-account"):
        page = await browser.send(confirm, action=action, user_code=user_code)
        assert (page.status, page.is_sign_in) == (403, True)


async def test_switching_the_account_comes_back_to_the_code(
    browser: Browser, anne: User, user_code: str
) -> None:
    browser.be(anne)
    confirm = await enter(browser, user_code)
    redirect = await browser.send(confirm, action="switch-account", user_code=user_code)
    assert (redirect.status, redirect.location) == (303, f"{DEVICE}?user_code={user_code}")
    assert COOKIE not in browser.cookies
    assert (await browser.get(redirect.location)).is_sign_in


@pytest.mark.parametrize("action", ["jump", "ALLOW", "revoke"])
async def test_a_form_that_means_nothing_is_refused(
    browser: Browser, anne: User, user_code: str, action: str
) -> None:
    browser.be(anne)
    confirm = await enter(browser, user_code)
    assert (await browser.send(confirm, action=action, user_code=user_code)).status == 400
