"""The pages that people see: server-rendered, without script, in English and Korean.

    models    what each page says, and what its form sends
    words     every word in both languages; language chooses one and writes dates
    brand     the colours, derived from the brand's own so that everything can be read
    templates Jinja2, one for each page, over base.html and parts.html
    style.css everything else of how it looks

Rule: what comes from outside (names of clients and people, codes) reaches a page through Jinja2's
escaping alone, and a page asks for nothing that the policy `style-src 'self'; img-src 'self' data:`
would not give it: no script, no style within the page, no font.
"""

import hashlib
import math
from collections.abc import Mapping
from importlib.resources import files
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from gateway.authserver.options import Brand, Words
from gateway.authserver.pages.brand import DARK, LIGHT, custom_properties, icon_url, initial
from gateway.authserver.pages.language import format_date, iso_date
from gateway.authserver.pages.models import (
    AccountPage,
    ConsentPage,
    DeviceCodePage,
    DeviceConfirmPage,
    DeviceDonePage,
    ErrorPage,
    Page,
    SignedOutPage,
    SignInPage,
)
from gateway.authserver.pages.words import CATALOGUE
from gateway.policy.accept import LANGUAGES

__all__ = ["Pages"]

_TEMPLATES: Final[Mapping[type[Page], str]] = {
    SignInPage: "sign_in.html",
    ConsentPage: "consent.html",
    DeviceCodePage: "device_code.html",
    DeviceConfirmPage: "device_confirm.html",
    DeviceDonePage: "device_done.html",
    AccountPage: "account.html",
    SignedOutPage: "signed_out.html",
    ErrorPage: "error.html",
}


class Pages:
    """Renders pages under one brand. `style_url` is where they look for their style sheet."""

    def __init__(self, brand: Brand) -> None:
        style = files(__package__).joinpath("style.css").read_text(encoding="utf-8")
        self._style = (custom_properties(brand) + style).encode()
        self.style_url = f"/assets/style.css?v={hashlib.sha256(self._style).hexdigest()[:16]}"
        self._environment = Environment(
            loader=PackageLoader(__package__),
            autoescape=True,
            undefined=StrictUndefined,
            auto_reload=False,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals |= {
            "brand": brand,
            "initial": initial(brand),
            "icon_url": icon_url(brand),
            "style_url": self.style_url,
            "theme_colors": (LIGHT.page, DARK.page),
        }

    def render(self, page: Page, language: str) -> str:
        """Give the page as HTML; `language` is one that `choose_language` gives."""
        return self._environment.get_template(_TEMPLATES[type(page)]).render(
            page=page, language=language, in_language=_InLanguage(language)
        )

    def style(self) -> bytes:
        """Give the style sheet that the pages name at `style_url`, as UTF-8."""
        return self._style


class _InLanguage:
    """What the templates ask for in words."""

    def __init__(self, language: str) -> None:
        self._language = language

    def say(self, key: str, **values: object) -> Markup:
        """Give words of the catalogue; each value is escaped, and kept apart from their direction.

        A name that reads from right to left, or holds a character that turns the direction, moves
        nothing around it (`bdi`).
        """
        words = Markup(getattr(CATALOGUE[key], self._language))  # noqa: S704 - our own constant
        isolated = {
            name: Markup("<bdi>{}</bdi>").format(value) if type(value) is str else value
            for name, value in values.items()
        }
        return words.format(**isolated)

    def describe(self, words: Words) -> tuple[str, str]:
        """Give a description and its language tag, empty for the page's own or an unknown one."""
        for language in (self._language, ""):
            if language in words:
                return words[language], ""
        return next(((words[one], one) for one in LANGUAGES if one in words), ("", ""))

    def retry(self, seconds: int) -> Markup:
        """Say when to try again."""
        minutes = math.ceil(seconds / 60)
        if seconds <= 0:
            return self.say("retry.soon")
        return (
            self.say("retry.minutes", minutes=minutes) if minutes > 1 else self.say("retry.minute")
        )

    def date(self, moment: int) -> Markup:
        """Give a day as an HTML element."""
        return Markup('<time datetime="{}">{}</time>').format(
            iso_date(moment), format_date(moment, self._language)
        )
