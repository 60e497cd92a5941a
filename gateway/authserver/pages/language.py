"""How a date is written in each language."""

from datetime import UTC, datetime

from gateway.authserver.pages.words import MONTHS


def iso_date(moment: int) -> str:
    """Give the day of a moment (Unix seconds), in UTC, as programs write it (RFC 3339)."""
    return datetime.fromtimestamp(moment, UTC).date().isoformat()


def format_date(moment: int, language: str) -> str:
    """Give the day of a moment (Unix seconds), in UTC, as people write it."""
    day = datetime.fromtimestamp(moment, UTC)
    if language == "ko":
        return f"{day.year}년 {day.month}월 {day.day}일"
    return f"{day.day} {MONTHS[day.month - 1]} {day.year}"
