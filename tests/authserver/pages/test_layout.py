"""Every page in a real browser: nothing sticks out, all can be hit, the focus can be seen."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect
from playwright.sync_api import Page as Tab

from gateway.authserver.options import Brand
from gateway.authserver.pages import Pages
from gateway.policy.accept import LANGUAGES
from tests.authserver.pages.samples import PAGES
from tests.authserver.pages.window import ORIGIN, answer_with, running_browser

# The narrowest phone, a phone, a desktop at 200 %, a desktop.
WIDTHS = (320, 390, 640, 1280)

STICKING_OUT = """() => {
    const width = document.documentElement.clientWidth;
    return [...document.querySelectorAll("body *")]
        .filter(one => one.getBoundingClientRect().right > width + 0.5
            || one.scrollWidth > one.clientWidth + 1 && getComputedStyle(one).display !== "inline"
            && one.tagName !== "INPUT")
        .map(one => one.outerHTML.slice(0, 100));
}"""
HARD_TO_HIT = """() => [...document.querySelectorAll("button, a, summary, input")]
    .filter(one => one.type !== "hidden")
    .filter(one => one.getBoundingClientRect().height < 44)
    .map(one => one.outerHTML.slice(0, 100))"""
FOCUSED = """() => {
    const one = document.activeElement, style = getComputedStyle(one);
    return [one.innerText, style.outlineStyle, parseFloat(style.outlineWidth)];
}"""


@pytest.fixture(scope="module")
def browser(chromium: Path) -> Iterator[Browser]:
    with running_browser(chromium) as browser:
        yield browser


@pytest.fixture
def tab(browser: Browser) -> Iterator[Tab]:
    """A tab that knows all pages and complains of nothing."""
    context = browser.new_context(color_scheme="dark", reduced_motion="reduce")
    tab = context.new_page()
    complaints: list[str] = []
    tab.on("console", lambda said: complaints.append(said.text))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    answer_with(tab, Pages(Brand("Example Inc.")), dict(PAGES))
    yield tab
    context.close()
    assert complaints == []


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_sticks_out_and_everything_can_be_hit(tab: Tab, width: int, language: str) -> None:
    tab.set_viewport_size({"width": width, "height": 800})
    for name in PAGES:
        tab.goto(f"{ORIGIN}/{language}/{name}")
        for folded in tab.locator("summary").all():
            folded.click()
        assert tab.evaluate(STICKING_OUT) == [], name
        assert tab.evaluate(HARD_TO_HIT) == [], name


def test_the_tab_key_goes_through_a_decision_in_the_order_that_it_is_read(tab: Tab) -> None:
    tab.goto(f"{ORIGIN}/en/consent-long")
    order = []
    for _ in range(4):
        tab.keyboard.press("Tab")
        text, outline, width = tab.evaluate(FOCUSED)
        order.append(text.split("\n")[0])
        assert outline == "solid"
        assert width >= 2
    assert order == ["Use another account", "What this opens", "Allow", "Deny"]


def test_signing_in_needs_the_keyboard_alone(tab: Tab) -> None:
    tab.goto(f"{ORIGIN}/en/sign-in")
    expect(tab.locator("#username")).to_be_focused()
    tab.keyboard.type("alice")
    tab.keyboard.press("Tab")
    tab.keyboard.type("secret")
    sent = []
    tab.on("request", lambda request: sent.append(request.post_data))
    tab.unroute("**/*")
    tab.route("**/*", lambda route: route.fulfill(body=""))
    with tab.expect_navigation():
        tab.keyboard.press("Enter")
    assert sent[0] == "csrf=csrf&username=alice&password=secret&action=sign-in"
