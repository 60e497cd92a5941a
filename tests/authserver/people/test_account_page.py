"""The account page: who has access, taking it back, signing out."""

import logging
from collections.abc import Callable

import pytest

from gateway.authserver.administration import NewSecret
from gateway.authserver.records.grants import allow, find_grant
from gateway.authserver.records.users import User, revoke_user
from gateway.authserver.storage.database import Database
from gateway.policy.interfaces import Revocation, RevocationNotAcknowledged
from tests.authserver.browser_fixtures import Browser, add_user
from tests.authserver.conftest import ISSUER, Surroundings

ACCOUNT = "/account"
SIGN_OUT = "/account/sign-out"


@pytest.fixture
async def signed_in(
    browser: Browser, database: Database, anne: User, desk: NewSecret, app: NewSecret
) -> Browser:
    """Anne's browser; she allows desk to read."""
    browser.be(anne)
    with database.transaction() as connection:
        allow(connection, anne.id, "desk", "orders:read", 1_800_000_000)
    return browser


async def test_the_root_leads_to_the_account(browser: Browser) -> None:
    page = await browser.get("/")
    assert (page.status, page.location) == (303, ACCOUNT)


async def test_it_shows_who_has_access_and_nothing_of_others(
    signed_in: Browser, database: Database
) -> None:
    bert = add_user(database, "bert")
    with database.transaction() as connection:
        allow(connection, bert.id, "app", "orders:write", 1)
    text = (await signed_in.get(ACCOUNT)).text
    assert "desk" in text
    assert "See your orders" in text
    assert "Change your orders" not in text


async def test_access_is_taken_back_committed_and_published_before_the_answer(
    signed_in: Browser,
    database: Database,
    anne: User,
    surroundings: Surroundings,
) -> None:
    def look(_: Revocation) -> None:
        with database.transaction() as connection:
            assert find_grant(connection, anne.id, "desk") is None

    surroundings.on_publish = look
    page = await signed_in.get(ACCOUNT)
    redirect = await signed_in.send(page, ACCOUNT, action="revoke", client_id="desk")
    assert (redirect.status, redirect.location) == (303, "/account?revoked=desk")
    assert surroundings.published == [Revocation(ISSUER, "grant", f"{anne.id} desk")]
    assert surroundings.sources == ["page"]
    assert "desk" in (await signed_in.get(redirect.location)).text
    assert "See your orders" not in (await signed_in.get(redirect.location)).text


async def test_a_silent_worker_makes_it_503_and_sending_it_again_tells_again(
    signed_in: Browser,
    anne: User,
    surroundings: Surroundings,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(_: Revocation) -> None:
        raise RevocationNotAcknowledged((7,))

    surroundings.on_publish = refuse
    page = await signed_in.get(ACCOUNT)
    with caplog.at_level(logging.ERROR):
        refused = await signed_in.send(page, ACCOUNT, action="revoke", client_id="desk")
    assert refused.status == 503
    assert "Retry-After" in refused.headers
    assert "worker 7" in caplog.text
    assert "7" not in refused.headers.get("Location", "")
    surroundings.on_publish = None
    again = await signed_in.send(page, ACCOUNT, action="revoke", client_id="desk")
    assert again.status == 303
    assert surroundings.published == [Revocation(ISSUER, "grant", f"{anne.id} desk")] * 2


@pytest.mark.parametrize("client_id", ["", "nobody", "no body", '"', "\\", "ü" * 200])
async def test_of_an_unknown_client_nothing_is_published(
    signed_in: Browser, surroundings: Surroundings, client_id: str
) -> None:
    page = await signed_in.get(ACCOUNT)
    answer = await signed_in.send(page, ACCOUNT, action="revoke", client_id=client_id)
    assert (answer.status, answer.location) == (303, ACCOUNT)
    assert surroundings.published == []


async def test_another_persons_form_takes_nothing_back(
    signed_in: Browser, database: Database, anne: User, surroundings: Surroundings
) -> None:
    page = await signed_in.get(ACCOUNT)
    other = signed_in.another()
    other.be(add_user(database, "bert"))
    assert (await other.send(page, ACCOUNT, action="revoke", client_id="desk")).status == 403
    form = {"action": "revoke", "client_id": "desk"}
    assert (await signed_in.post(ACCOUNT, form)).status == 403
    headers = {"Origin": "https://evil.example"}
    assert (await signed_in.post(ACCOUNT, {**form, "csrf": page.csrf}, headers)).status == 403
    with database.transaction() as connection:
        assert find_grant(connection, anne.id, "desk") is not None
    assert surroundings.published == []


async def test_one_person_cannot_take_back_anothers_access(
    signed_in: Browser, database: Database, anne: User
) -> None:
    other = signed_in.another()
    other.be(add_user(database, "bert"))
    page = await other.get(ACCOUNT)
    await other.send(page, ACCOUNT, action="revoke", client_id="desk")
    with database.transaction() as connection:
        assert find_grant(connection, anne.id, "desk") is not None


async def test_what_was_taken_back_is_said_only_when_it_is_so(signed_in: Browser) -> None:
    plain = (await signed_in.get(ACCOUNT)).text
    for value in ("desk", "nobody", "%3Cscript%3E", ""):
        assert (await signed_in.get(f"{ACCOUNT}?revoked={value}")).text == plain


async def test_sign_out_ends_the_session_at_once(
    signed_in: Browser, query: Callable[..., list[tuple[object, ...]]]
) -> None:
    before = dict(signed_in.cookies)
    page = await signed_in.send(await signed_in.get(ACCOUNT), SIGN_OUT)
    assert page.status == 200
    assert "Max-Age=0" in page.set_cookies["gateway-session"]
    assert query("SELECT count(*) FROM sessions") == [(0,)]
    signed_in.cookies = before
    assert (await signed_in.get(ACCOUNT)).is_sign_in
    assert (await signed_in.post(SIGN_OUT, {})).status == 200


async def test_nobody_else_can_sign_a_person_out(signed_in: Browser) -> None:
    page = await signed_in.get(ACCOUNT)
    assert (await signed_in.post(SIGN_OUT, {})).status == 403
    headers = {"Origin": "null"}
    assert (await signed_in.post(SIGN_OUT, {"csrf": page.csrf}, headers)).status == 403
    assert (await signed_in.get(SIGN_OUT)).status == 405
    assert signed_in.is_signed_in


async def test_a_session_that_ended_has_to_sign_in_again(
    signed_in: Browser, database: Database, anne: User, surroundings: Surroundings
) -> None:
    page = await signed_in.get(ACCOUNT)
    with database.transaction() as connection:
        revoke_user(connection, anne.id)
    refused = await signed_in.send(page, ACCOUNT, action="revoke", client_id="desk")
    assert (refused.status, refused.is_sign_in) == (403, True)
    assert surroundings.published == []


async def test_a_form_that_means_nothing_is_refused(signed_in: Browser) -> None:
    page = await signed_in.get(ACCOUNT)
    for action in ("", "jump"):
        assert (await signed_in.send(page, ACCOUNT, action=action)).status == 400
