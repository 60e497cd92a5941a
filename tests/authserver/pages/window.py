"""Pages in a real browser, without a server: every request of the browser is answered here."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Route, sync_playwright
from playwright.sync_api import Page as Tab

from gateway.authserver.pages import Pages
from gateway.authserver.pages.models import Page
from gateway.authserver.people.visit import _POLICY

# Without these it looks up its maker's hosts, which no page needs.
_FLAGS = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
ORIGIN = "http://pages.test"


@contextmanager
def running_browser(chromium: Path) -> Iterator[Browser]:
    """Runs Chromium; a sandbox of its own needs a user who is not root."""
    flags = [*_FLAGS, "--no-sandbox"] if os.geteuid() == 0 else _FLAGS
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        yield browser
        browser.close()


def answer_with(tab: Tab, pages: Pages, samples: dict[str, Page]) -> None:
    """Lets the tab find each page at ORIGIN/language/name, under the policy that pages have."""

    def answer(route: Route) -> None:
        path = urlsplit(route.request.url).path
        if path == "/assets/style.css":
            route.fulfill(body=pages.style(), content_type="text/css; charset=utf-8")
            return
        _, language, name = path.split("/")
        route.fulfill(
            body=pages.render(samples[name], language),
            content_type="text/html; charset=utf-8",
            headers={"Content-Security-Policy": _POLICY},
        )

    tab.route("**/*", answer)
