"""The words of each language."""

from collections.abc import Mapping

from markupsafe import Markup, escape

from gateway.client.order_desk import words_en, words_ko

WORDS: Mapping[str, Mapping[str, str]] = {"en": words_en.WORDS, "ko": words_ko.WORDS}
NAMES: Mapping[str, str] = {"en": "English", "ko": "한국어"}


def prose(text: str) -> Markup:
    """Give words as HTML: escaped, and what stands in backticks as code."""
    pieces = text.split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(piece) if place % 2 else escape(piece)
        for place, piece in enumerate(pieces)
    )
