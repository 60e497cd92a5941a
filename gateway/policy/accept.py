"""What kind of answer a request asks for, and in which language."""

import re
from typing import Final

LANGUAGES: Final = ("en", "ko")
"""Those that pages are written in; the first one is for everybody else."""

# language-range and weight of RFC 9110, sections 12.5.4 and 12.4.2.
_RANGE: Final = re.compile(
    r"([A-Za-z]{1,8}|\*)(?:-[A-Za-z0-9]{1,8})*"
    r"(?:[ \t]*;[ \t]*[qQ]=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?"
)
_NO_WEIGHT: Final = re.compile(r".*\bq=0(\.0*)?\s*")


def prefers_html(accept: str) -> bool:
    """Say whether an Accept header is a browser's: it names HTML, and JSON not before it."""
    kinds = [
        kind
        for kind, _, weight in (part.partition(";") for part in accept.lower().split(","))
        if not _NO_WEIGHT.fullmatch(weight)
    ]
    html = next((place for place, kind in enumerate(kinds) if kind.strip() == "text/html"), None)
    json_at = next((place for place, kind in enumerate(kinds) if "json" in kind), len(kinds))
    return html is not None and html < json_at


def choose_language(accept_language: str | None) -> str:
    """Give `en` or `ko` for an Accept-Language header (RFC 9110, section 12.5.4).

    What is malformed in it counts as not there; of two that are wanted alike the first one wins,
    and English is for everybody else.
    """
    wanted: dict[str, float] = {}
    for item in (accept_language or "").split(","):
        match = _RANGE.fullmatch(item.strip(" \t"))
        if match is not None:
            language = match[1].lower()
            wanted[language] = max(wanted.get(language, 0.0), float(match[2] or 1))
    others = wanted.pop("*", 0.0)
    for language in LANGUAGES:  # behind those that are named
        wanted.setdefault(language, others)
    best = max((one for one in wanted if one in LANGUAGES), key=wanted.__getitem__)
    return best if wanted[best] > 0 else LANGUAGES[0]
