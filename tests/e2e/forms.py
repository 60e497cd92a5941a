"""A browser without script or eyes: follows redirects, and sends the forms that pages have."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

import requests

_STEPS = 12


@dataclass
class Form:
    action: str = ""
    method: str = "get"
    fields: dict[str, str] = field(default_factory=dict)
    buttons: list[tuple[str, str]] = field(default_factory=list)


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []

    def handle_starttag(self, tag, attributes):
        given = {name: value or "" for name, value in attributes}
        if tag == "form":
            action, method = given.get("action", ""), given.get("method", "get").lower()
            self.forms.append(Form(action, method))
        elif self.forms and "name" in given:
            if tag == "input" and given.get("type") not in ("submit", "checkbox"):
                self.forms[-1].fields[given["name"]] = given.get("value", "")
            elif tag == "button" or given.get("type") == "submit":
                self.forms[-1].buttons.append((given["name"], given.get("value", "")))


def read_forms(page: str) -> list[Form]:
    """Gives the forms of a page."""
    parser = _Forms()
    parser.feed(page)
    return parser.forms


class Browser:
    """A person at pages with forms, who fills in what they know of and presses what they want."""

    def __init__(self, language: str = "en") -> None:
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers["Accept-Language"] = language
        self.visited: list[str] = []

    def open(self, url: str) -> requests.Response:
        """Opens an address, following redirects."""
        return self._note(self.session.get(url, timeout=30))

    def send(
        self, page: requests.Response, answers: Mapping[str, str], press: str | None = None
    ) -> requests.Response:
        """Sends a page's form, with answers for the fields it has.

        `press` is the value of the button to press, which chooses the form, too; without it the
        first form is sent.
        """
        forms = read_forms(page.text)
        assert forms, f"{page.url} has no form:\n{page.text}"
        if press is None:
            form, data = forms[0], dict(forms[0].fields)
        else:
            form, name = next(
                ((form, name) for form in forms for name, value in form.buttons if value == press),
                (None, None),
            )
            assert form is not None, f"{page.url} has no button {press!r}:\n{page.text}"
            data = {**form.fields, name: press}
        data |= {name: value for name, value in answers.items() if name in form.fields}
        url = urljoin(page.url, form.action)
        origin = urlsplit(page.url)
        headers = {"Origin": f"{origin.scheme}://{origin.netloc}", "Referer": page.url}
        if form.method == "post":
            return self._note(self.session.post(url, data=data, headers=headers, timeout=30))
        return self._note(self.session.get(url, params=data, timeout=30))

    def follow_forms(
        self, page: requests.Response, answers: Mapping[str, str], until: str
    ) -> requests.Response:
        """Sends the first form of each page until an address or a page has `until` in it."""
        for _ in range(_STEPS):
            if until in page.url or until in page.text:
                return page
            page = self.send(page, answers)
        raise AssertionError(f"no {until!r} after {_STEPS} forms:\n{page.text}")

    def _note(self, response: requests.Response) -> requests.Response:
        self.visited += [step.url for step in (*response.history, response)]
        return response
