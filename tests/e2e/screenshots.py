"""Pictures of every page for people: both languages, a phone and a desktop, light and dark.

`python -m tests.e2e.screenshots FOLDER [#rrggbb]`, or `make screenshots`. The Order desk is that of
a running `gateway demo`. Needs Chromium, and a font with Korean for the Korean ones (Debian:
fonts-noto-cjk).
"""

import argparse
import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, expect
from playwright.sync_api import Page as Tab

from gateway.authserver.options import Brand
from gateway.authserver.pages import Pages
from gateway.authserver.pages.words import LANGUAGES
from gateway.client import page as return_page
from gateway.client.order_desk.language import WORDS
from tests.authserver.pages.samples import PAGES
from tests.authserver.pages.window import ORIGIN, answer_with, running_browser
from tests.e2e.demo import Demo, running_demo
from tests.parts.get import PartMissing, locate

SIZES = {"phone": (390, 844), "desktop": (1280, 800)}
SCHEMES = ("light", "dark")


@dataclass
class Look:
    """One way of looking at pages: a window, a scheme and a language. It ends with `close`."""

    folder: Path
    context: BrowserContext
    language: str
    suffix: str

    def take(self, tab: Tab, name: str) -> None:
        """Writes NAME-LANGUAGE-SIZE-SCHEME.png."""
        path = self.folder / f"{name}-{self.language}-{self.suffix}.png"
        tab.screenshot(path=path, full_page=True)


def looks(browser: Browser, folder: Path) -> Iterator[Look]:
    """Gives all the ways of looking, each without a cookie of the one before."""
    for size, (width, height) in SIZES.items():
        for scheme in SCHEMES:
            for language in LANGUAGES:
                context = browser.new_context(
                    viewport={"width": width, "height": height},
                    color_scheme=scheme,
                    locale=language,
                )
                yield Look(folder, context, language, f"{size}-{scheme}")
                context.close()


def take_server(look: Look, pages: Pages) -> None:
    """The authorization server's pages, from samples."""
    tab = look.context.new_page()
    answer_with(tab, pages, dict(PAGES))
    for name in PAGES:
        tab.goto(f"{ORIGIN}/{look.language}/{name}")
        look.take(tab, name)
    tab.close()


def take_return(look: Look) -> None:
    """What a browser shows that `gateway login` has sent out and that has come back."""
    tab = look.context.new_page()
    for kind in return_page.WORDS:
        tab.set_content(return_page.render(kind, look.language))
        look.take(tab, f"return-{kind}")
    tab.close()


def take_desk(look: Look, demo: Demo) -> None:
    """The Order desk, from the start to the permission's end, and a no."""
    tab, words = look.context.new_page(), WORDS[look.language]

    def press(key: str) -> None:
        tab.get_by_role("button", name=words[key], exact=True).click()

    def take(news: str, name: str) -> None:
        expect(tab.locator(".news")).to_have_text(words[f"news.{news}"].replace("`", ""))
        look.take(tab, f"desk-{name}")

    tab.goto(demo.desk)
    expect(tab.locator("html")).to_have_attribute("lang", look.language)
    look.take(tab, "desk-start")
    press("start.button")
    tab.locator("input[name=username]").fill(demo.user)
    tab.locator("input[name=password]").fill(demo.password)
    tab.locator("button[value=sign-in]").click()
    expect(tab).not_to_have_url(re.compile("sign-in"))
    tab.locator("button[value=allow]").click()
    take("connected", "connected")
    press("do.load")
    take("loaded", "called")
    press("do.refresh")
    take("refreshed", "refreshed")
    tab.get_by_role("link", name=words["try.link"]).click()
    # What is revoked is not remembered: the next look is asked for consent again.
    tab.locator("button[value=revoke]").click()
    expect(tab.locator("button[value=revoke]")).to_have_count(0)
    tab.goto(demo.desk)
    press("do.load")
    take("access_ended", "ended")
    press("start.button")
    tab.locator("button[value=deny]").click()
    take("denied", "refused")
    tab.close()


def main() -> None:
    """Writes all the pictures."""
    folder, color = read_arguments()
    folder.mkdir(parents=True, exist_ok=True)
    pages = Pages(Brand("Example Inc.", color))
    with (
        running_browser(locate("chromium")) as browser,
        tempfile.TemporaryDirectory() as place,
        running_demo(Path(place)) as demo,
    ):
        for look in looks(browser, folder):
            take_server(look, pages)
            take_return(look)
            take_desk(look, demo)


def read_arguments() -> tuple[Path, str]:
    """Gives the folder and the colour."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.e2e.screenshots",
        description="Takes a picture of every page for people.",
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="where the pictures go")
    parser.add_argument(
        "color",
        metavar="COLOR",
        nargs="?",
        type=_color,
        default="#2457c5",
        help="the brand's, as #rrggbb",
    )
    arguments = parser.parse_args()
    return arguments.folder, arguments.color


def _color(text: str) -> str:
    if re.fullmatch("#[0-9a-fA-F]{6}", text) is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no colour such as #2457c5")
    return text


if __name__ == "__main__":
    try:
        main()
    except PartMissing as missing:
        sys.exit(str(missing))
