"""Which language a browser is answered in, and the words of each."""

from collections.abc import Mapping

from markupsafe import Markup, escape

from gateway.client.order_desk import words_en, words_ko

WORDS: Mapping[str, Mapping[str, str]] = {"en": words_en.WORDS, "ko": words_ko.WORDS}
NAMES: Mapping[str, str] = {"en": "English", "ko": "한국어"}


def choose_language(cookie: str | None, accept_language: str) -> str:
    """Give the language that was chosen by the link, else the one that the browser likes best.

    English where it likes none of ours (RFC 9110, section 12.5.4).
    """
    if cookie is not None and cookie in WORDS:
        return cookie
    best, best_weight = "en", 0.0
    for part in accept_language[:500].split(","):
        tag, _, parameter = part.partition(";")
        language = tag.strip().lower().partition("-")[0]
        weight = _weight(parameter)
        if language in WORDS and weight > best_weight:
            best, best_weight = language, weight
    return best


def prose(text: str) -> Markup:
    """Give words as HTML: escaped, and what stands in backticks as code."""
    pieces = text.split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(piece) if place % 2 else escape(piece)
        for place, piece in enumerate(pieces)
    )


def _weight(parameter: str) -> float:
    name, _, value = parameter.strip().partition("=")
    if name.strip().lower() != "q":
        return 1.0
    try:
        weight = float(value)
    except ValueError:
        return 0.0
    return weight if 0.0 <= weight <= 1.0 else 0.0
