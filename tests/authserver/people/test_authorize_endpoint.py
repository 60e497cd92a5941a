"""The authorization endpoint as a browser sees it: who is asked what, and who is sent where."""

import asyncio
import itertools
import re
from collections.abc import Callable
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from gateway.authserver.administration import Administration, NewSecret
from gateway.authserver.options import AuthorizationServerOptions, Opening
from gateway.authserver.people import authorize_page
from gateway.authserver.people.authorization import find_openings
from gateway.authserver.records.clients import disable_client, enable_client
from gateway.authserver.records.grants import allow, delete_grant, find_grant
from gateway.authserver.records.users import User, disable_user, revoke_user
from gateway.authserver.storage.database import Database
from gateway.policy.tokenformat import has_valid_checksum
from tests.authserver.browser_fixtures import COOKIE, REQUEST, Browser, add_user, authorize_url
from tests.authserver.conftest import ISSUER, Clock, Endpoints
from tests.authserver.people_fixtures import CALLBACK, redeem

pytestmark = pytest.mark.usefixtures("desk")

AUTHORIZE = "/oauth2/authorize"
# Every later error, by what brings it about; the client is told of each.
LATER_ERRORS: dict[str, dict[str, str | None]] = {
    "request_not_supported": {"request": "x"},
    "request_uri_not_supported": {"request_uri": "https://x.example/r"},
    "unsupported_response_type": {"response_type": "token"},
    "invalid_request": {"code_challenge": None},
    "invalid_scope": {"scope": "orders:delete"},
    "invalid_target": {"resource": "https://other.example/"},
}
# What makes a request one that no client can be told of.
HOPELESS: dict[str, dict[str, str | None]] = {
    "an unregistered redirect_uri": {"redirect_uri": "https://evil.example/callback"},
    "an unknown client": {"client_id": "nobody"},
    "no client": {"client_id": None},
    "a control character": {"state": "a\nb"},
}


async def test_a_person_signs_in_allows_and_the_client_gets_a_code(
    browser: Browser, anne: User
) -> None:
    url = authorize_url()
    redirect = await browser.sign_in(url)
    assert redirect.status == 303
    assert dict(parse_qsl(urlsplit(redirect.location).query)) == dict(REQUEST)
    page = await browser.get(redirect.location)
    for words in ("desk", "anne", "See your orders", "desk.example"):
        assert words in page.text
    assert "Change your orders" not in page.text

    answered = await browser.send(page, action="allow")

    assert answered.location.startswith(CALLBACK + "?")
    answer = answered.answer
    assert has_valid_checksum(answer.pop("code"), "ac")
    assert answer == {"state": REQUEST["state"], "iss": ISSUER}


async def test_the_code_is_good_for_what_was_allowed(
    browser: Browser, endpoints: Endpoints, anne: User, desk: NewSecret
) -> None:
    browser.be(anne)
    answer = (await browser.allow(authorize_url(resource="https://api.example"))).answer

    tokens = await redeem(endpoints, desk, answer["code"])

    assert tokens.status == 200
    assert tokens.json["scope"] == "orders:read"


async def test_the_code_can_be_redeemed_for_a_minute(
    browser: Browser, endpoints: Endpoints, anne: User, desk: NewSecret, clock: Clock
) -> None:
    browser.be(anne)
    in_time = (await browser.allow(authorize_url())).answer["code"]
    late = (await browser.get(authorize_url())).answer["code"]  # allowed already
    clock.now += 59
    assert (await redeem(endpoints, desk, in_time)).status == 200
    clock.now += 1
    assert (await redeem(endpoints, desk, late)).json["error"] == "invalid_grant"


async def test_the_redirect_keeps_the_registered_query(
    browser: Browser, administration: Administration, anne: User
) -> None:
    """RFC 6749, section 4.1.2."""
    uri = "https://tenant.example/cb?tenant=a%20b"
    administration.add_client(
        "tenant", grant_types=["authorization_code"], scopes=["orders:read"], redirect_uris=[uri]
    )
    browser.be(anne)
    answered = await browser.allow(authorize_url(client_id="tenant", redirect_uri=uri))
    assert answered.location.startswith(uri + "&code=gw_ac_")


async def test_state_is_returned_only_when_there_was_one(browser: Browser, anne: User) -> None:
    browser.be(anne)
    for url in (authorize_url(state=None), authorize_url(state="")):
        page = await browser.get(url)
        assert page.is_consent or page.status == 303
        answered = await browser.send(page, action="deny")
        assert "state" not in answered.answer


@pytest.mark.parametrize("error", LATER_ERRORS)
async def test_the_client_is_told_of_an_error_with_state_and_issuer(
    browser: Browser, error: str
) -> None:
    """RFC 9207: on errors, too; and nobody has to sign in for it."""
    answered = await browser.get(authorize_url(**LATER_ERRORS[error]))
    answer = answered.answer
    assert answered.location.startswith(CALLBACK + "?")
    del answer["error_description"]
    assert answer == {"error": error, "state": REQUEST["state"], "iss": ISSUER}


async def test_a_denial_is_told_with_state_and_issuer(browser: Browser, anne: User) -> None:
    browser.be(anne)
    page = await browser.get(authorize_url())
    answer = (await browser.send(page, action="deny")).answer
    del answer["error_description"]
    assert answer == {"error": "access_denied", "state": REQUEST["state"], "iss": ISSUER}


@pytest.mark.parametrize("hopeless", HOPELESS)
async def test_an_unregistered_redirect_uri_never_gets_a_redirect_on_any_error(
    browser: Browser, anne: User, hopeless: str
) -> None:
    browser.be(anne)
    actions = ("GET", "HEAD", "sign-in", "allow", "deny", "switch-account")
    for error, action in itertools.product([{}, *LATER_ERRORS.values()], actions):
        url = authorize_url(**{**error, **HOPELESS[hopeless]})
        if action in ("GET", "HEAD"):
            page = await browser.request(action, url)
        else:
            page = await browser.post(url, {"action": action, "csrf": "x"})
        assert page.status == 400, (error, action)
        assert "Location" not in page.headers
        assert "evil" not in page.text


@pytest.mark.parametrize("name", [*REQUEST, "resource", "made_up"])
async def test_a_repeated_parameter_is_an_error_page(browser: Browser, name: str) -> None:
    """RFC 6749, section 3.1; a redirect would believe one of the two."""
    value = REQUEST.get(name, "https://api.example")
    url = authorize_url(**{name: value}) + "&" + urlencode({name: value})
    for page in (await browser.get(url), await browser.post(url, {"action": "allow"})):
        assert page.status == 400
        assert "Location" not in page.headers


async def test_head_shows_what_get_shows_and_gives_no_code(
    browser: Browser, database: Database, anne: User, query: Callable[..., list[tuple[object, ...]]]
) -> None:
    browser.be(anne)
    with database.transaction() as connection:
        allow(connection, anne.id, "desk", "orders:read", 0)
    page = await browser.request("HEAD", authorize_url())
    assert (page.status, page.text) == (200, "")
    assert query("SELECT count(*) FROM authorization_codes") == [(0,)]
    assert (await browser.get(authorize_url())).status == 303


async def test_who_is_not_signed_in_is_asked_to_at_the_same_url(browser: Browser) -> None:
    page = await browser.get(authorize_url())
    assert (page.status, page.is_sign_in) == (200, True)
    assert dict(parse_qsl(urlsplit(page.form_action).query)) == dict(REQUEST)
    assert urlsplit(page.form_action).path == AUTHORIZE
    assert "desk" in page.text


async def test_several_resources_stay_in_the_request(browser: Browser, anne: User) -> None:
    browser.be(anne)
    resources = [("resource", "https://api.example"), ("resource", "https://shop.example/a")]
    page = await browser.get(authorize_url() + "&" + urlencode(resources))
    assert [
        pair for pair in parse_qsl(urlsplit(page.form_action).query) if pair[0] == "resource"
    ] == resources


# What is remembered.


async def test_a_remembered_consent_is_not_asked_for_again(browser: Browser, anne: User) -> None:
    browser.be(anne)
    await browser.allow(authorize_url(scope="orders:read orders:write"))
    assert "code" in (await browser.get(authorize_url(scope="orders:write"))).answer


async def test_more_scopes_than_remembered_are_asked_for(browser: Browser, anne: User) -> None:
    browser.be(anne)
    await browser.allow(authorize_url())
    assert (await browser.get(authorize_url(scope="orders:read orders:write"))).is_consent


async def test_a_consent_taken_back_is_asked_for_again(
    browser: Browser, database: Database, anne: User
) -> None:
    browser.be(anne)
    await browser.allow(authorize_url())
    with database.transaction() as connection:
        delete_grant(connection, anne.id, "desk")
    assert (await browser.get(authorize_url())).is_consent


@pytest.mark.parametrize(
    ("redirect_uri", "is_asked"),
    [
        ("https://desk.example/callback", False),
        ("com.example.app:/callback", True),
        ("http://127.0.0.1/callback", True),
        ("http://localhost:8000/callback", True),
    ],
)
async def test_a_public_client_that_anybody_could_pose_as_is_asked_for_each_time(
    browser: Browser, administration: Administration, anne: User, redirect_uri: str, is_asked: bool
) -> None:
    """RFC 8252, section 8.6."""
    administration.add_client(
        "phone",
        grant_types=["authorization_code"],
        scopes=["orders:read"],
        redirect_uris=[redirect_uri],
        is_public=True,
    )
    browser.be(anne)
    url = authorize_url(client_id="phone", redirect_uri=redirect_uri)
    await browser.allow(url)
    assert (await browser.get(url)).is_consent is is_asked


# What was shown is what is allowed.


async def test_another_persons_form_is_refused(
    browser: Browser, database: Database, anne: User, query: Callable[..., list[tuple[object, ...]]]
) -> None:
    other = browser.another()
    other.be(add_user(database, "bert"))
    browser.be(anne)
    page = await browser.get(authorize_url())
    assert (await other.send(page, action="allow")).status == 403
    assert query("SELECT count(*) FROM grants") == [(0,)]


async def test_a_form_of_another_session_of_the_same_person_is_refused(
    browser: Browser, anne: User
) -> None:
    other = browser.another()
    other.be(anne)
    browser.be(anne)
    page = await browser.get(authorize_url())
    assert (await other.send(page, action="allow")).status == 403


@pytest.mark.parametrize("action", ["allow", "deny", "switch-account"])
@pytest.mark.parametrize(
    "changes",
    [
        {"scope": "orders:read orders:write"},
        {"state": "other"},
        {"client_id": "app"},
        {"code_challenge": "x" * 43},
        {"resource": "https://api.example"},
        {"made_up": "1"},
    ],
    ids=str,
)
async def test_the_form_of_another_request_is_refused(
    browser: Browser, anne: User, app: NewSecret, changes: dict[str, str], action: str
) -> None:
    browser.be(anne)
    page = await browser.get(authorize_url())
    refused = await browser.send(page, authorize_url(**changes), action=action)
    assert refused.status == 403
    assert "Location" not in refused.headers
    assert browser.is_signed_in


async def test_a_form_without_its_token_is_refused(browser: Browser, anne: User) -> None:
    browser.be(anne)
    for form in ({"action": "allow"}, {"action": "allow", "csrf": "ü" * 43}):
        assert (await browser.post(authorize_url(), form)).status == 403


@pytest.mark.parametrize(
    "origin", ["null", "https://evil.example", "http://127.0.0.1:9", ISSUER.upper()]
)
@pytest.mark.parametrize("action", ["allow", "sign-in"])
async def test_a_form_from_another_origin_is_refused(
    browser: Browser, anne: User, origin: str, action: str
) -> None:
    browser.be(anne)
    page = await browser.get(authorize_url())
    form = {"action": action, "csrf": page.csrf}
    assert (await browser.post(page.form_action, form, {"Origin": origin})).status == 403


async def test_a_form_without_an_origin_is_taken(browser: Browser, anne: User) -> None:
    """Old browsers, and some with extensions, send none; the token is what counts."""
    browser.be(anne)
    page = await browser.get(authorize_url())
    body = urlencode({"action": "allow", "csrf": page.csrf})
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answered = await browser.request("POST", page.form_action, body, headers)
    assert answered.status == 303


async def test_scopes_that_a_request_leaves_to_the_server_are_those_of_the_page(
    browser: Browser, anne: User, query: Callable[..., list[tuple[object, ...]]]
) -> None:
    query("UPDATE clients SET scopes = 'orders:read' WHERE id = 'desk'")
    browser.be(anne)
    page = await browser.get(authorize_url(scope=None))
    query("UPDATE clients SET scopes = 'orders:read orders:write' WHERE id = 'desk'")
    assert (await browser.send(page, action="allow")).status == 403


async def test_a_client_disabled_between_page_and_form_gets_nothing(
    browser: Browser, database: Database, anne: User
) -> None:
    browser.be(anne)
    page = await browser.get(authorize_url())
    with database.transaction() as connection:
        disable_client(connection, "desk", 1)
    refused = await browser.send(page, action="allow")
    assert (refused.status, refused.headers.get("Location")) == (400, None)
    with database.transaction() as connection:
        enable_client(connection, "desk")
    assert (await browser.get(authorize_url())).is_consent


async def test_scopes_taken_from_the_client_between_page_and_form_are_not_given(
    browser: Browser, anne: User, query: Callable[..., list[tuple[object, ...]]]
) -> None:
    browser.be(anne)
    page = await browser.get(authorize_url())
    query("UPDATE clients SET scopes = 'orders:write' WHERE id = 'desk'")
    assert (await browser.send(page, action="allow")).answer["error"] == "invalid_scope"


@pytest.mark.parametrize("end", ["lifetime", "epoch", "disabled", "signed out"])
async def test_a_session_that_ended_between_page_and_form_has_to_sign_in_again(
    browser: Browser, database: Database, clock: Clock, anne: User, end: str
) -> None:
    browser.be(anne)
    page = await browser.get(authorize_url())
    with database.transaction() as connection:
        if end == "epoch":
            revoke_user(connection, anne.id)
        elif end == "disabled":
            disable_user(connection, anne.id, 1)
    if end == "lifetime":
        clock.now += 3600
    elif end == "signed out":
        await browser.send(await browser.get("/account"), "/account/sign-out")
    refused = await browser.send(page, action="allow")
    assert (refused.status, refused.is_sign_in) == (403, True)
    with database.transaction() as connection:
        assert find_grant(connection, anne.id, "desk") is None


async def test_a_grant_of_a_person_who_goes_in_this_moment_is_no_failure(
    browser: Browser,
    anne: User,
    monkeypatch: pytest.MonkeyPatch,
    query: Callable[..., list[tuple[object, ...]]],
) -> None:
    def go(*arguments: object) -> object:
        query("DELETE FROM users")
        return allow(*arguments)

    browser.be(anne)
    page = await browser.get(authorize_url())
    monkeypatch.setattr(authorize_page, "allow", go)
    assert (await browser.send(page, action="allow")).status == 400


async def test_switching_the_account_signs_out_and_returns(browser: Browser, anne: User) -> None:
    browser.be(anne)
    before = browser.cookies[COOKIE]
    page = await browser.get(authorize_url())
    redirect = await browser.send(page, action="switch-account")
    assert (redirect.status, redirect.location) == (303, page.form_action)
    assert COOKIE not in browser.cookies
    back = await browser.get(redirect.location)
    assert back.is_sign_in
    browser.cookies[COOKIE] = before
    assert not browser.is_signed_in


@pytest.mark.parametrize("form", [{}, {"action": "jump"}, {"action": "ALLOW"}])
async def test_a_form_that_means_nothing_is_refused(
    browser: Browser, anne: User, form: dict[str, str]
) -> None:
    browser.be(anne)
    page = await browser.get(authorize_url())
    assert (await browser.send(page, **form)).status == 400


async def test_twenty_forms_at_once_leave_one_grant(
    browser: Browser, anne: User, query: Callable[..., list[tuple[object, ...]]]
) -> None:
    browser.be(anne)
    page = await browser.get(authorize_url())
    answers = await asyncio.gather(*(browser.send(page, action="allow") for _ in range(20)))
    assert len({answer.answer["code"] for answer in answers}) == 20
    assert query("SELECT count(*) FROM grants") == [(1,)]


# What the pages allow the browser.


@pytest.mark.parametrize(
    ("redirect_uri", "asked", "source"),
    [
        ("https://desk.example/cb", None, "https:"),
        ("http://127.0.0.1/cb", "http://127.0.0.1:5123/cb", "http://127.0.0.1:5123"),
        ("http://[::1]/cb", "http://[::1]:5123/cb", "http:"),
        ("http://localhost:8000/cb", None, "http://localhost:8000"),
        ("com.example.app:/cb", None, "com.example.app:"),
    ],
)
async def test_the_policy_lets_the_answer_go_on_to_the_client(
    browser: Browser,
    administration: Administration,
    anne: User,
    redirect_uri: str,
    asked: str | None,
    source: str,
) -> None:
    """Chromium holds form-action against the redirects that follow a form."""
    administration.add_client(
        "any",
        grant_types=["authorization_code"],
        scopes=["orders:read"],
        redirect_uris=[redirect_uri],
        is_public=True,
    )
    url = authorize_url(client_id="any", redirect_uri=asked or redirect_uri)
    for _ in ("sign-in", "consent"):
        policy = (await browser.get(url)).headers["Content-Security-Policy"]
        assert re.search(r"form-action ([^;]*)", policy)[1].split() == ["'self'", source]
        browser.be(anne)


def test_only_routes_that_the_scopes_open_are_named() -> None:
    def opening(address: str, scopes: set[str], any_scope: set[str] | None = None) -> Opening:
        return Opening(("GET",), address, frozenset(scopes), frozenset(any_scope or ()))

    openings = [
        opening("/read", {"orders:read"}),
        opening("/both", {"orders:read", "orders:write"}),
        opening("/either", set(), {"orders:read", "admin"}),
        opening("/read-and-admin", {"orders:read"}, {"admin"}),
        opening("/any-token", set()),
        opening("/other", {"other"}),
    ]
    options = AuthorizationServerOptions("x", ISSUER, "", 1, {}, openings=openings)
    found = [one.address for one in find_openings("orders:read", options)]
    assert found == ["/read", "/either"]


def test_a_scope_with_a_wildcard_opens_the_routes_that_take_it() -> None:
    read = frozenset({"orders:read"})
    openings = [
        Opening((), "/exact", read, frozenset()),
        Opening((), "/all", read, frozenset(), has_wildcards=True),
        Opening((), "/one", frozenset(), read | {"admin"}, has_wildcards=True),
        Opening((), "/other", frozenset({"stock:read"}), frozenset(), has_wildcards=True),
        Opening((), "/any-token", frozenset(), frozenset(), has_wildcards=True),
    ]
    options = AuthorizationServerOptions("x", ISSUER, "", 1, {}, openings=openings)
    assert [one.address for one in find_openings("orders:*", options)] == ["/all", "/one"]
