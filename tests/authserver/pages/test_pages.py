"""Every page in both languages: sound HTML, whatever the names in it are."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from enum import Enum
from html.parser import HTMLParser
from typing import Any, get_args

import pytest

from gateway.authserver.options import Brand
from gateway.authserver.pages import Pages
from gateway.authserver.pages.models import (
    AccountPage,
    ConnectedApp,
    ConsentPage,
    DeviceCodePage,
    ErrorPage,
    Page,
    ScopeLine,
    SignInPage,
    SignInProblem,
)
from gateway.policy.accept import LANGUAGES
from tests.authserver.pages.samples import PAGES, SCOPES

VOID = {"meta", "link", "input", "br", "hr", "img", "path", "circle"}
HOSTILE = """<script>alert("1")</script>'"&lt;</bdi></p></title>{{7*7}}{client}%s\u202e"""

CASES = [(name, language) for name in PAGES for language in LANGUAGES]


@dataclass
class Element:
    tag: str
    attributes: dict[str, str | None]
    parent: "Element | None"
    text: str = ""

    def ancestors(self) -> Iterator["Element"]:
        element = self.parent
        while element is not None:
            yield element
            element = element.parent


class Document(HTMLParser):
    """Reads HTML that closes what it opens, and nothing else."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[Element] = []
        self._open: list[Element] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), f"twice the same in {tag}"
        element = Element(tag, dict(attrs), self._open[-1] if self._open else None)
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self._open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element.text += data

    def all(self, *tags: str, **attributes: str) -> list[Element]:
        return [
            one
            for one in self.elements
            if one.tag in tags
            and all(one.attributes.get(name) == value for name, value in attributes.items())
        ]

    def by_id(self, name: str) -> Element:
        [found] = [one for one in self.elements if one.attributes.get("id") == name]
        return found


@pytest.fixture(scope="module")
def pages() -> Pages:
    return Pages(Brand("Example Inc."))


@pytest.fixture(scope="module")
def show(pages: Pages) -> Callable[..., Document]:
    def render(page: Page, language: str = "en") -> Document:
        return Document(pages.render(page, language))

    return render


def _hostile(value: Any) -> Any:
    """Gives the value with every text in it hostile."""
    if isinstance(value, str):
        return HOSTILE if value else ""  # what is empty is another state of the page
    if isinstance(value, tuple | list):
        return type(value)(map(_hostile, value))
    if isinstance(value, dict):
        return dict.fromkeys(value, HOSTILE)
    if is_dataclass(value) and not isinstance(value, Enum | type):
        return replace(
            value, **{one.name: _hostile(getattr(value, one.name)) for one in fields(value)}
        )
    return value


def test_every_kind_of_page_is_among_the_samples() -> None:
    assert {type(page) for page in PAGES.values()} == set(get_args(Page))


@pytest.mark.parametrize(("name", "language"), CASES)
def test_a_page_says_its_language_and_has_one_heading_and_landmarks(
    show: Callable[..., Document], name: str, language: str
) -> None:
    document = show(PAGES[name], language)
    assert [one.attributes["lang"] for one in document.all("html")] == [language]
    assert len(document.all("h1")) == len(document.all("main")) == len(document.all("header")) == 1
    [title] = document.all("title")
    assert re.fullmatch(r"\S.* · Example Inc\.", title.text)
    [heading] = document.all("h1")
    assert heading.text.strip()
    assert "main" in [one.tag for one in heading.ancestors()]
    levels = [int(one.tag[1]) for one in document.all("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert set(levels) <= {1, 2}


@pytest.mark.parametrize(("name", "language"), CASES)
def test_every_field_is_labelled_and_every_reference_has_its_aim(
    show: Callable[..., Document], name: str, language: str
) -> None:
    document = show(PAGES[name], language)
    ids = [one.attributes["id"] for one in document.elements if "id" in one.attributes]
    assert len(ids) == len(set(ids))
    labelled = {one.attributes["for"] for one in document.all("label")}
    shown = [one for one in document.all("input") if one.attributes.get("type") != "hidden"]
    assert {one.attributes["id"] for one in shown} == labelled
    for field in shown:
        assert field.attributes["autocomplete"] in {"username", "current-password", "one-time-code"}
    for one in document.elements:
        for reference in ("for", "form", "aria-describedby", "aria-labelledby"):
            for aim in (one.attributes.get(reference) or "").split():
                assert document.by_id(aim)
    for one in document.all("button", "a", "summary"):
        assert one.text.strip()


@pytest.mark.parametrize(("name", "language"), CASES)
def test_every_form_is_a_post_with_the_csrf_value_to_where_the_page_says(
    show: Callable[..., Document], name: str, language: str
) -> None:
    page = PAGES[name]
    document = show(page, language)
    aims = {getattr(page, "form_action", ""), getattr(page, "sign_out_action", "")}
    for form in document.all("form"):
        assert form.attributes["method"] == "post"
        assert form.attributes["action"] in aims
        inside = [one for one in document.all("input") if form in one.ancestors()]
        csrf = [one for one in inside if one.attributes["name"] == "csrf"]
        assert [one.attributes["value"] for one in csrf] == ["csrf"]
    assert bool(document.all("form")) is hasattr(page, "csrf")


@pytest.mark.parametrize(("name", "language"), CASES)
def test_a_page_needs_nothing_that_its_policy_forbids(
    show: Callable[..., Document], pages: Pages, name: str, language: str
) -> None:
    document = show(PAGES[name], language)
    assert document.all("script", "style", "iframe", "object", "base", "img") == []
    for one in document.elements:
        assert not [name for name in one.attributes if name == "style" or name.startswith("on")]
        aim = one.attributes.get("href") or one.attributes.get("action") or "/"
        assert aim.startswith(("/", "data:image/svg+xml,"))
    assert [one.attributes["href"] for one in document.all("link", rel="stylesheet")] == [
        pages.style_url
    ]


@pytest.mark.parametrize(("name", "language"), CASES)
def test_no_placeholder_and_no_word_of_the_program_is_left(
    pages: Pages, name: str, language: str
) -> None:
    html = pages.render(PAGES[name], language)
    assert "{" not in html
    assert "None" not in html
    assert "&amp;lt;" not in html
    assert "&lt;" not in html


@pytest.mark.parametrize(("name", "language"), CASES)
def test_hostile_names_stay_text(show: Callable[..., Document], name: str, language: str) -> None:
    page = _hostile(PAGES[name])
    calm, document = show(PAGES[name], language), show(page, language)
    assert [one.tag for one in document.elements] == [one.tag for one in calm.elements]
    if page != PAGES[name]:
        values = [value for one in document.elements for value in one.attributes.values()]
        texts = [one.text for one in document.elements]
        assert any(HOSTILE in (text or "") for text in (*texts, *values))


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_hostile_brand_stays_text(language: str) -> None:
    document = Document(Pages(Brand(HOSTILE)).render(PAGES["consent"], language))
    assert document.all("script") == []
    [title] = document.all("title")
    assert title.text.endswith(HOSTILE)


def test_a_name_that_turns_the_direction_turns_nothing_around_it(
    show: Callable[..., Document],
) -> None:
    name = "\u202eksed redrO"
    document = show(replace(PAGES["consent"], client_name=name))
    assert [one.tag for one in document.elements if one.text == name] == ["bdi"]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("problem", SignInProblem)
def test_what_is_wrong_is_an_alert_that_the_fields_refer_to(
    show: Callable[..., Document], problem: SignInProblem, language: str
) -> None:
    document = show(SignInPage("/here", "csrf", username="alice", problem=problem), language)
    assert document.by_id("problem").attributes["role"] == "alert"
    for field in ("username", "password"):
        assert document.by_id(field).attributes["aria-describedby"] == "problem"
    is_wrong = document.by_id("password").attributes.get("aria-invalid") == "true"
    assert is_wrong is (problem is SignInProblem.WRONG)
    assert "value" not in document.by_id("password").attributes


@pytest.mark.parametrize(
    ("retry_after", "words"),
    [
        (0, "Wait a moment and try again."),
        (1, "Try again in a minute."),
        (60, "Try again in a minute."),
        (61, "Try again in 2 minutes."),
        (900, "Try again in 15 minutes."),
    ],
)
def test_who_must_wait_is_told_how_long(
    show: Callable[..., Document], retry_after: int, words: str
) -> None:
    page = SignInPage("/", "csrf", problem=SignInProblem.THROTTLED, retry_after=retry_after)
    assert show(page).by_id("problem").text.strip().endswith(words)


@pytest.mark.parametrize(("username", "focused"), [("", "username"), ("alice", "password")])
def test_the_first_empty_field_has_the_focus(
    show: Callable[..., Document], username: str, focused: str
) -> None:
    document = show(SignInPage("/", "csrf", username=username))
    with_focus = [one for one in document.elements if "autofocus" in one.attributes]
    assert [one.attributes["id"] for one in with_focus] == [focused]


def test_nothing_has_the_focus_where_a_decision_is_to_be_read_first(
    show: Callable[..., Document],
) -> None:
    for name in ("consent", "device-confirm", "account"):
        assert not [one for one in show(PAGES[name]).elements if "autofocus" in one.attributes]


def test_the_forms_send_what_the_server_reads(show: Callable[..., Document]) -> None:
    def sent(name: str) -> set[tuple[str | None, str | None]]:
        controls = show(PAGES[name]).all("input", "button")
        return {
            (one.attributes.get("name"), one.attributes.get("value"))
            for one in controls
            if "name" in one.attributes
        }

    csrf = ("csrf", "csrf")
    assert sent("sign-in") == {csrf, ("username", ""), ("password", None), ("action", "sign-in")}
    decisions = {("action", "allow"), ("action", "deny"), ("action", "switch-account")}
    assert sent("consent") == {csrf, *decisions}
    assert sent("device-confirm") == {csrf, *decisions, ("user_code", "WDJB-MJHT")}
    assert sent("device-code") == {csrf, ("user_code", "")}
    clients = {("client_id", "order-desk"), ("client_id", "cli"), ("client_id", "long")}
    assert sent("account") == {csrf, *clients, ("action", "revoke")}
    assert sent("account-empty") == {csrf}


def test_another_account_is_chosen_in_the_form_of_the_decision(
    show: Callable[..., Document],
) -> None:
    [button] = show(PAGES["consent"]).all("button", value="switch-account")
    assert button.attributes["form"] == "decision"


def test_each_button_that_takes_access_back_names_its_app(show: Callable[..., Document]) -> None:
    document = show(PAGES["account"])
    for button in document.all("button", value="revoke"):
        names = [document.by_id(one) for one in button.attributes["aria-labelledby"].split()]
        assert [one.tag for one in names] == ["button", "h2"]


@pytest.mark.parametrize(
    ("words", "language", "shown", "tag"),
    [
        ({"en": "See", "ko": "보기"}, "ko", "보기", None),
        ({"en": "See", "ko": "보기"}, "en", "See", None),
        ({"": "See"}, "ko", "See", None),
        ({"en": "See"}, "ko", "See", "en"),
        ({"ko": "보기"}, "en", "보기", "ko"),
        ({}, "en", "", None),
    ],
)
def test_a_scope_is_described_in_the_page_s_language_if_it_can_be(
    show: Callable[..., Document],
    words: dict[str, str],
    language: str,
    shown: str,
    tag: str | None,
) -> None:
    page = ConsentPage("/", "csrf", "alice", "Desk", "x.example", [ScopeLine("a:b", words)])
    document = show(page, language)
    [item] = document.all("li")
    assert item.text.split() == [*shown.split(), "a:b"]
    tags = [one.attributes["lang"] for one in document.all("span") if "lang" in one.attributes]
    assert tags == ([tag] if tag else [])


def test_a_long_list_of_addresses_is_folded_away(show: Callable[..., Document]) -> None:
    assert show(PAGES["consent"]).all("details") == []
    [folded] = show(PAGES["consent-long"]).all("details")
    assert "open" not in folded.attributes
    assert "12 addresses" in folded.text


@pytest.mark.parametrize(
    ("host", "is_local"),
    [
        ("127.0.0.1", True),
        ("127.0.0.1:5000", True),
        ("[::1]", True),
        ("[::1]:5000", True),
        ("localhost:80", True),
        ("com.example.app:", True),
        ("desk.example.com", False),
        ("desk.example.com:8443", False),
        ("127.0.0.1.example.com", False),
        ("localhost.example.com:80", False),
    ],
)
def test_a_destination_on_the_own_device_is_told_to_be_one(
    show: Callable[..., Document], host: str, is_local: bool
) -> None:
    page = ConsentPage("/", "csrf", "alice", "Desk", host, SCOPES)
    document = show(page)
    [text] = [one.text for one in document.all("p") if "you return to" in one.text]
    assert ("a program on this device" in text) is is_local
    assert host in text


@pytest.mark.parametrize(
    ("language", "words"), [("en", "since 4 March 2025"), ("ko", "2025년 3월 4일부터")]
)
def test_a_date_is_written_as_people_write_it(
    show: Callable[..., Document], language: str, words: str
) -> None:
    app = ConnectedApp("desk", "Desk", (), 1741132799)  # the day's last second
    document = show(AccountPage("/", "/out", "csrf", "alice", [app]), language)
    [moment] = document.all("time")
    assert moment.attributes["datetime"] == "2025-03-04"
    assert moment.parent is not None
    assert moment.parent.text == words


def test_an_error_without_details_has_no_line_for_developers(
    show: Callable[..., Document],
) -> None:
    bare, full = show(PAGES["error-bare"]), show(PAGES["error-stale"])
    assert not [one for one in bare.all("p") if one.attributes.get("class") == "technical"]
    [line] = [one for one in full.all("p") if one.attributes.get("class") == "technical"]
    assert line.text == "For developers: invalid_request What a developer wants to know."


def test_only_a_device_code_that_was_typed_is_shown_again(show: Callable[..., Document]) -> None:
    page = DeviceCodePage("/here", "csrf", "alice", user_code='"><b>')
    assert show(page).by_id("user_code").attributes["value"] == '"><b>'


def test_the_style_sheet_s_address_changes_with_its_content() -> None:
    one, other, same = Pages(Brand("A")), Pages(Brand("A", "#00aa77")), Pages(Brand("A"))
    assert one.style_url == same.style_url
    assert one.style_url != other.style_url
    assert re.fullmatch(r"/assets/style\.css\?v=[0-9a-f]{16}", one.style_url)
    assert b"#00aa77" in other.style()


def test_the_style_sheet_asks_for_nothing_and_names_only_colours_that_exist(pages: Pages) -> None:
    style = pages.style().decode()
    assert "url(" not in style
    assert "@import" not in style
    declared = set(re.findall(r"(--[a-z-]+):", style))
    used = set(re.findall(r"var\((--[a-z-]+)\)", style))
    assert used == declared
    assert style.count("{") == style.count("}")


def test_an_error_page_needs_nothing_but_its_kind(show: Callable[..., Document]) -> None:
    for page in PAGES.values():
        if isinstance(page, ErrorPage):
            assert show(ErrorPage(page.kind)).all("a") == []
