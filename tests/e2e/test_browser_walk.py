"""A person walks all five steps in a real browser, at a running `gateway demo`."""

import os
import re

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from gateway.client.order_desk.language import WORDS
from tests.e2e.demo import running_demo

# Without these it looks up its maker's hosts, which no test needs.
FLAGS = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
LANGUAGES = {"en": "en-US", "ko": "ko-KR"}
SCOPE = {"en": "See your orders", "ko": "주문 내역 보기"}
TOKEN = re.compile(r"gw_(at|rt|ac|cs)_[0-9A-Za-z]")
# What the browser says of an answer 4xx, which a wrong password is.
WRONG_PASSWORD = "Failed to load resource: the server responded with a status of 4"


@pytest.fixture
def demo(tmp_path):
    """A demo of one's own: what a person allows is remembered."""
    with running_demo(tmp_path) as demo:
        yield demo


@pytest.fixture(scope="module")
def browser(chromium):
    flags = [*FLAGS, "--no-sandbox"] if os.geteuid() == 0 else FLAGS
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        yield browser
        browser.close()


class Person:
    """Somebody at a browser, and what the browser complains of."""

    def __init__(self, browser, demo, language):
        self.demo = demo
        self.language = language
        self.words = WORDS[language]
        context = browser.new_context(locale=LANGUAGES[language])
        self.page: Page = context.new_page()
        self.complaints = []
        self.told_desk = []
        self.page.on("console", lambda said: self.complaints.append(said.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", self._note)

    def _note(self, request):
        if request.url.startswith(self.demo.desk):
            self.told_desk.append(f"{request.url} {request.headers} {request.post_data or ''}")

    def press(self, words):
        self.page.get_by_role("button", name=self.words[words], exact=True).click()

    def is_at_desk(self):
        """At the desk's one page, in the right language, without a secret on it."""
        expect(self.page).to_have_url(f"{self.demo.desk}/")
        expect(self.page.locator("html")).to_have_attribute("lang", self.language)
        assert not TOKEN.search(self.page.content())
        assert self.demo.password not in self.page.content()

    def is_at_server(self):
        expect(self.page).to_have_url(re.compile(re.escape(self.demo.issuer)))
        expect(self.page.locator("html")).to_have_attribute("lang", self.language)

    def reads(self, news):
        expect(self.page.locator(".news")).to_have_text(self.words[f"news.{news}"].replace("`", ""))

    def sign_in(self, password):
        self.page.locator("input[name=username]").fill(self.demo.user)
        self.page.locator("input[name=password]").fill(password)
        self.page.locator("button[value=sign-in]").click()

    def step(self, name):
        return self.page.locator(f"#step-{name}")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_person_walks_the_five_steps(browser, demo, language):
    """Sign-in, wrong password, consent, code, token, guarded call, refresh, revoked, refused."""
    person = Person(browser, demo, language)
    person.page.goto(demo.desk)
    person.is_at_desk()
    expect(person.page.locator(".step.next")).to_have_count(1)
    expect(person.page.locator(".step.done")).to_have_count(0)

    give_permission(person)
    use_permission(person)
    take_permission_back(person)

    # Whoever took it back is asked again, and may say no.
    person.press("start.button")
    person.is_at_server()
    person.page.locator("button[value=deny]").click()
    person.is_at_desk()
    person.reads("denied")
    assert person.complaints == [], "the browser complains of nothing, least of all of the policy"
    assert not [told for told in person.told_desk if demo.password in told]


def give_permission(person):
    """Steps 1 to 3, with a wrong password on the way."""
    page = person.page
    person.press("start.button")
    person.is_at_server()
    person.sign_in("not the password")
    person.is_at_server()
    expect(page.get_by_role("alert")).to_be_visible()
    assert len(person.complaints) == 1, person.complaints
    assert person.complaints.pop().startswith(WRONG_PASSWORD)
    person.sign_in(person.demo.password)
    person.is_at_server()
    expect(page.locator("main")).to_contain_text("Order desk")
    expect(page.locator("main")).to_contain_text(SCOPE[person.language])
    page.locator("button[value=allow]").click()
    person.is_at_desk()
    person.reads("connected")
    for link in (page.locator(".brand a"), page.get_by_role("link", name=person.words["try.link"])):
        assert link.bounding_box()["height"] >= 24, "WCAG 2.2, 2.5.8: it stands alone"
    for name in ("ask", "consent", "trade"):
        expect(person.step(name)).to_have_class("step done")
    expect(person.step("trade").locator(".wire")).to_contain_text("gw_at_••••••••")


def use_permission(person):
    """Steps 4 and 5: reads and adds orders, before and after a refresh."""
    page = person.page
    person.press("do.load")
    person.reads("loaded")
    expect(page.get_by_role("cell", name="rice cakes")).to_be_visible()
    expect(person.step("call")).to_contain_text("alice")
    expect(person.step("call")).to_have_class("step done")
    page.get_by_label(person.words["orders.new"]).fill("<b>coffee</b>")
    person.press("orders.add")
    person.reads("added")
    expect(page.get_by_role("cell", name="<b>coffee</b>")).to_be_visible()
    person.press("do.refresh")
    person.reads("refreshed")
    expect(person.step("refresh")).to_have_class("step done")
    person.press("do.load")
    person.reads("loaded")
    person.is_at_desk()


def take_permission_back(person):
    """Revokes it in "apps with access to your account"; then token and refresh are refused."""
    page = person.page
    page.get_by_role("link", name=person.words["try.link"]).click()
    person.is_at_server()
    expect(page.locator("main")).to_contain_text("Order desk")
    page.locator("button[value=revoke]").click()
    person.is_at_server()
    expect(page.locator("button[value=revoke]")).to_have_count(0)
    page.goto(person.demo.desk)
    person.press("do.load")
    person.reads("access_ended")
    expect(person.step("call").locator(".answer")).to_contain_text(["401"])
    expect(person.step("call")).to_contain_text("invalid_token")
    expect(person.step("refresh").locator(".answer").first).to_contain_text("400")
    expect(person.step("refresh")).to_contain_text("invalid_grant")
    person.is_at_desk()


def test_signing_out_gives_the_tokens_back(browser, demo):
    """Signed out of the desk, a remembered consent brings the person back without a question."""
    person = Person(browser, demo, "en")
    person.page.goto(demo.desk)
    person.press("start.button")
    person.sign_in(demo.password)
    person.page.locator("button[value=allow]").click()
    person.reads("connected")
    person.press("do.sign_out")
    person.reads("signed_out")
    expect(person.step("end").locator(".answer")).to_have_count(2)
    expect(person.step("end")).to_have_class("step done")
    # From the form through both servers and back: `form-action` must let the whole way pass.
    person.press("start.button")
    person.reads("connected")
    assert person.complaints == []


def test_sign_in_and_consent_by_keyboard_alone(browser, demo):
    """Everything on the way has its place in the order of focus, and shows it."""
    person = Person(browser, demo, "en")
    page = person.page
    page.goto(demo.desk)
    tab_to(page, f"button:has-text('{person.words['start.button']}')")
    page.keyboard.press("Enter")
    person.is_at_server()
    tab_to(page, "input[name=username]")
    page.keyboard.type(demo.user)
    tab_to(page, "input[name=password]")
    page.keyboard.type(demo.password)
    page.keyboard.press("Enter")
    expect(page.locator("button[value=allow]")).to_be_visible()
    tab_to(page, "button[value=allow]")
    page.keyboard.press("Enter")
    person.is_at_desk()
    person.reads("connected")
    tab_to(page, "#step-trade summary")
    page.keyboard.press("Enter")
    expect(page.locator("#step-trade .wire").first).to_be_hidden()


def tab_to(page, selector):
    """Presses Tab until the focus is there, at most so often; the focus must be seen."""
    wanted = page.locator(selector).first
    for _ in range(40):
        if wanted.evaluate("element => element === document.activeElement"):
            outline = wanted.evaluate(
                "element => { const style = getComputedStyle(element);"
                " return [style.outlineStyle, style.boxShadow] }"
            )
            assert outline != ["none", "none"], f"the focus of {selector} is not seen"
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"{selector} is not reached by Tab")
