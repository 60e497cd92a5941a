"""What the Order desk does as an OAuth client."""

import asyncio
import base64
import hashlib

import pytest

from gateway.client.order_desk.language import WORDS
from tests.client.order_desk.conftest import SECRET

NEWS = {key.removeprefix("news."): text for key, text in WORDS["en"].items()}


async def test_the_question_has_state_and_a_challenge_and_no_secret(browser, world, desk):
    """RFC 6749, section 4.1.1, and RFC 7636, section 4.3: S256, and a new state each time."""
    question = await browser.begin()
    assert question.keys() == {
        *("response_type", "client_id", "redirect_uri", "scope", "state"),
        *("code_challenge", "code_challenge_method"),
    }
    assert question["response_type"] == "code"
    assert question["redirect_uri"] == f"{desk}/callback"
    assert question["code_challenge_method"] == "S256"
    assert len(question["state"]) >= 43
    assert (await browser.begin())["state"] != question["state"]


async def test_the_code_is_traded_with_secret_and_verifier(browser, world, desk):
    """The client authenticates by client_secret_basic, and the verifier fits the challenge."""
    question = await browser.begin()
    answer = {"code": "gw_ac_a-code-of-some-length", "state": question["state"], "iss": world.url}
    await browser.open("/callback", params=answer)
    (path, form, authorization) = world.asked[-1]
    assert path == "/token"
    assert form["grant_type"] == "authorization_code"
    assert form["code"] == answer["code"]
    assert form["redirect_uri"] == f"{desk}/callback"
    assert "client_secret" not in form
    digest = hashlib.sha256(form["code_verifier"].encode()).digest()
    assert base64.urlsafe_b64encode(digest).decode().rstrip("=") == question["code_challenge"]
    credentials = base64.b64decode(authorization.removeprefix("Basic ")).decode()
    assert credentials == f"order-desk:{SECRET}"


@pytest.mark.parametrize("state", [None, "", "another", "\ud55c", "%ff"])
async def test_an_answer_with_another_state_is_refused(browser, world, state):
    """Nothing is taken from it, and the question stays open for its own answer."""
    question = await browser.begin()
    answer = {"code": "gw_ac_a-code-of-some-length", "iss": world.url}
    if state is not None:
        answer["state"] = state
    visit = await browser.open("/callback", params=answer)
    assert (visit.status, visit.news) == (400, NEWS["wrong_state"])
    assert world.asked_for("/token") == []
    answer["state"] = question["state"]
    assert (await browser.open("/callback", params=answer)).status == 303


async def test_an_answer_of_another_browser_is_refused(browser, open_browser, world):
    """A state is good in the browser that asked, and in no other."""
    question = await browser.begin()
    answer = {"code": "gw_ac_a-code-of-some-length", "state": question["state"], "iss": world.url}
    other = await open_browser()
    assert (await other.open("/callback", params=answer)).news == NEWS["no_session"]
    await other.begin()
    assert (await other.open("/callback", params=answer)).news == NEWS["wrong_state"]
    assert world.asked_for("/token") == []


@pytest.mark.parametrize("issuer", [None, "", "http://127.0.0.1:1", "{url}/"])
async def test_an_answer_of_another_issuer_is_refused(browser, world, issuer):
    """RFC 9207, section 2.4: letter by letter; where it was promised, it is not missing."""
    question = await browser.begin()
    answer = {"code": "gw_ac_a-code-of-some-length", "state": question["state"]}
    if issuer is not None:
        answer["iss"] = issuer.format(url=world.url)
    visit = await browser.open("/callback", params=answer)
    assert (visit.status, visit.news) == (400, NEWS["wrong_issuer"])
    assert world.asked_for("/token") == []


async def test_an_issuer_that_never_promised_to_name_itself_may_not_name_another(browser, world):
    world.metadata = {"authorization_response_iss_parameter_supported": False}
    question = await browser.begin()
    answer = {"code": "gw_ac_a-code-of-some-length", "state": question["state"]}
    other = {**answer, "iss": "http://127.0.0.1:1"}
    assert (await browser.open("/callback", params=other)).news == NEWS["wrong_issuer"]
    assert (await browser.open("/callback", params=answer)).status == 303


@pytest.mark.parametrize("extra", [{}, {"code": "a", "error": "access_denied"}])
async def test_a_callback_that_is_no_answer_is_refused(browser, world, extra):
    """It has a code or an error, not none and not both."""
    question = await browser.begin()
    answer = {"state": question["state"], "iss": world.url, **extra}
    visit = await browser.open("/callback", params=answer)
    assert (visit.status, visit.news) == (400, NEWS["wrong_callback"])
    assert world.asked_for("/token") == []


async def test_a_repeated_parameter_at_the_callback_is_refused(browser, world):
    question = await browser.begin()
    pairs = [("state", question["state"]), ("iss", world.url), ("code", "a"), ("code", "b")]
    visit = await browser.open("/callback", params=pairs)
    assert (visit.status, visit.news) == (400, NEWS["wrong_callback"])
    assert world.asked_for("/token") == []


async def test_an_answer_is_taken_once(browser, world):
    question = await browser.begin()
    answer = {"code": "gw_ac_a-code-of-some-length", "state": question["state"], "iss": world.url}
    assert (await browser.open("/callback", params=answer)).status == 303
    assert (await browser.open("/callback", params=answer)).news == NEWS["no_session"]
    assert len(world.asked_for("/token")) == 1


async def test_a_person_who_does_not_allow_it_is_not_a_failure(browser, world):
    question = await browser.begin()
    answer = {"error": "access_denied", "state": question["state"], "iss": world.url}
    assert (await browser.open("/callback", params=answer)).status == 303
    page = await browser.open()
    assert page.news == NEWS["denied"]
    assert WORDS["en"]["result.access_denied"] in page.text
    assert 'class="step refused" id="step-consent"' in page.text
    assert 'class="step next"' not in page.text, "without a code there is nothing to trade"


async def test_metadata_of_another_issuer_is_not_believed(browser, world):
    """RFC 8414, section 3.3: no browser is sent anywhere."""
    world.metadata = {"issuer": "https://elsewhere.example"}
    visit = await browser.press("/connect")
    assert (visit.status, visit.news) == (200, NEWS["unavailable"])


async def test_orders_are_asked_for_with_the_access_token(browser, world):
    await browser.connect(world)
    page = await browser.press("/orders/show")
    assert page.news == NEWS["loaded"]
    assert world.asked[-1] == ("/orders", {}, f"Bearer {world.minted[0]}")
    assert "<td>tea</td>" in page.text


async def test_an_expired_token_is_refreshed_once_before_the_call(browser, world, clock):
    await browser.connect(world)
    clock.now += world.lifetime + 1
    page = await browser.press("/orders/show")
    assert page.news == NEWS["renewed"]
    assert [path for path, _, _ in world.asked] == ["/token", "/token", "/orders"]
    assert world.asked[1][1] == {"grant_type": "refresh_token", "refresh_token": world.minted[1]}
    assert world.asked[2][2] == f"Bearer {world.minted[2]}"


async def test_a_token_that_is_refused_is_refreshed_once_and_the_call_repeated(browser, world):
    await browser.connect(world)
    world.alive.clear()
    page = await browser.press("/orders/show")
    assert page.news == NEWS["renewed"]
    assert [path for path, _, _ in world.asked] == ["/token", "/orders", "/token", "/orders"]


async def test_a_guard_that_refuses_every_token_is_not_asked_for_ever(browser, world):
    await browser.connect(world)
    world.refused = (401, "invalid_token")
    page = await browser.press("/orders/show")
    assert page.news == NEWS["refused"]
    assert [path for path, _, _ in world.asked] == ["/token", "/orders", "/token", "/orders"]


async def test_two_requests_at_once_use_a_refresh_token_once(browser, world, clock):
    """Used twice, it would read as stolen, and everything of it would be revoked."""
    await browser.connect(world)
    clock.now += world.lifetime + 1
    await asyncio.gather(*(browser.press("/orders/show") for _ in range(5)))
    sent = [form["refresh_token"] for form in world.asked_for("/token")[1:]]
    assert sent == [world.minted[1]]


async def test_after_the_permission_is_taken_back_both_refusals_are_shown(browser, world):
    """401 invalid_token and 400 invalid_grant, explained; the tokens are forgotten."""
    await browser.connect(world)
    world.take_back()
    page = await browser.press("/orders/show")
    assert page.news == NEWS["access_ended"]
    assert WORDS["en"]["result.invalid_token"] in page.step("call")
    assert WORDS["en"]["result.refresh.invalid_grant"] in page.step("refresh")
    assert 'action="/connect"' in page.text
    assert (await browser.press("/orders/show")).news == NEWS["no_session"]
    assert [path for path, _, _ in world.asked] == ["/token", "/orders", "/token"]


async def test_a_missing_scope_is_no_reason_to_refresh(browser, world):
    await browser.connect(world)
    world.refused = (403, "insufficient_scope")
    page = await browser.press("/orders", {"item": "coffee"})
    assert page.news == NEWS["scope_missing"]
    assert [path for path, _, _ in world.asked] == ["/token", "/orders"]
    assert WORDS["en"]["result.insufficient_scope"] in page.step("call")


async def test_an_outage_costs_no_tokens(browser, world, clock):
    """A server that does not answer is asked again later, with the same refresh token."""
    await browser.connect(world)
    world.is_down = True
    assert (await browser.press("/refresh")).news == NEWS["unavailable"]
    assert (await browser.press("/orders/show")).news == NEWS["unavailable"]
    world.is_down = False
    assert (await browser.press("/refresh")).news == NEWS["refreshed"]
    assert (await browser.press("/orders/show")).news == NEWS["loaded"]


async def test_signing_out_revokes_both_tokens(browser, world):
    await browser.connect(world)
    page = await browser.press("/sign-out")
    assert page.news == NEWS["signed_out"]
    assert {form["token"] for form in world.asked_for("/revoke")} == set(world.minted)
    assert (await browser.press("/orders/show")).news == NEWS["no_session"]


async def test_a_revocation_that_is_not_confirmed_is_said(browser, world):
    await browser.connect(world)
    world.revokes = False
    assert (await browser.press("/sign-out")).news == NEWS["not_revoked"]
    assert (await browser.press("/orders/show")).news == NEWS["no_session"]


async def test_an_empty_order_is_not_sent(browser, world):
    await browser.connect(world)
    assert (await browser.press("/orders", {"item": "  "})).news == NEWS["empty_order"]
    assert world.asked_for("/orders") == []


async def test_an_answer_that_is_no_list_of_orders_is_survived(browser, world):
    await browser.connect(world)
    for guarded in ([1], {"orders": 7}, {"orders": [None, [], {"id": [], "item": {"a": 1}}]}):
        world.guarded = guarded
        assert (await browser.press("/orders/show")).status == 200
