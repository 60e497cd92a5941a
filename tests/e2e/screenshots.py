"""Pictures of every page for people: both languages, a phone and a desktop, light and dark.

`python -m tests.e2e.screenshots FOLDER [#rrggbb]`, or `make screenshots`. Needs Chromium, and a
font with Korean for the Korean ones (Debian: fonts-noto-cjk).
"""

import sys
from pathlib import Path

from gateway.authserver.options import Brand
from gateway.authserver.pages import Pages
from gateway.authserver.pages.words import LANGUAGES
from tests.authserver.pages.samples import PAGES
from tests.authserver.pages.window import ORIGIN, answer_with, running_browser
from tests.parts.get import PartMissing, locate

SIZES = {"phone": (390, 844), "desktop": (1280, 800)}


def main(folder: Path, color: str) -> None:
    """Writes PAGE-LANGUAGE-SIZE-SCHEME.png for all of them."""
    folder.mkdir(parents=True, exist_ok=True)
    pages = Pages(Brand("Example Inc.", color))
    with running_browser(locate("chromium")) as browser:
        for size, (width, height) in SIZES.items():
            for scheme in ("light", "dark"):
                context = browser.new_context(
                    viewport={"width": width, "height": height}, color_scheme=scheme
                )
                tab = context.new_page()
                answer_with(tab, pages, dict(PAGES))
                for language in LANGUAGES:
                    for name in PAGES:
                        tab.goto(f"{ORIGIN}/{language}/{name}")
                        path = folder / f"{name}-{language}-{size}-{scheme}.png"
                        tab.screenshot(path=path, full_page=True)
                context.close()


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "#2457c5")
    except PartMissing as missing:
        sys.exit(str(missing))
