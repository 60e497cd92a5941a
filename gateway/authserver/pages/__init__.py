"""The pages that people see: server-rendered, without script, in English and Korean."""

import html

from gateway.authserver.options import Brand
from gateway.authserver.pages.models import Page


def choose_language(accept_language: str | None) -> str:
    """Give `en` or `ko` for an Accept-Language header (RFC 9110, section 12.5.4)."""
    return "ko" if (accept_language or "").lower().startswith("ko") else "en"


class Pages:
    """Renders pages under one brand."""

    def __init__(self, brand: Brand) -> None:
        self._brand = brand
        self.style_url = "/assets/style.css?v=0"

    def render(self, page: Page, language: str) -> str:
        """Give the page as HTML; `language` is `en` or `ko`."""
        return f'<!doctype html><html lang="{language}"><title>x</title>{html.escape(repr(page))}'

    def style(self) -> bytes:
        """Give the style sheet that the pages name at `style_url`."""
        return b""
