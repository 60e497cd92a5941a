"""Which language a page is in, and how a date is written in it."""

import re
from datetime import UTC, datetime
from typing import Final

from gateway.authserver.pages.words import LANGUAGES, MONTHS

_DEFAULT: Final = LANGUAGES[0]
# language-range and weight of RFC 9110, sections 12.5.4 and 12.4.2.
_RANGE: Final = re.compile(
    r"([A-Za-z]{1,8}|\*)(?:-[A-Za-z0-9]{1,8})*"
    r"(?:[ \t]*;[ \t]*[qQ]=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?"
)


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
    return best if wanted[best] > 0 else _DEFAULT


def iso_date(moment: int) -> str:
    """Give the day of a moment (Unix seconds), in UTC, as programs write it (RFC 3339)."""
    return datetime.fromtimestamp(moment, UTC).date().isoformat()


def format_date(moment: int, language: str) -> str:
    """Give the day of a moment (Unix seconds), in UTC, as people write it."""
    day = datetime.fromtimestamp(moment, UTC)
    if language == "ko":
        return f"{day.year}년 {day.month}월 {day.day}일"
    return f"{day.day} {MONTHS[day.month - 1]} {day.year}"
