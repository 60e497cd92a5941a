"""The Date of an answer (RFC 9110, section 6.6.1)."""

from functools import lru_cache
from typing import Final

_DAYS: Final = ("Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed")
_MONTHS: Final = (
    *("Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
    *("Jan", "Feb"),
)
_DAYS_OF_400_YEARS: Final = 146_097
# From 1 March of the year 0, so that a leap day is the last of its year, to 1 January 1970.
_DAYS_BEFORE_1970: Final = 719_468


@lru_cache(maxsize=2)
def http_date(second: int) -> bytes:
    """Write a time in Unix seconds, as IMF-fixdate. The last ones are remembered.

    Locales and format strings have no part in it.
    """
    days, rest = divmod(second, 86_400)
    era, day = divmod(days + _DAYS_BEFORE_1970, _DAYS_OF_400_YEARS)
    # Without the leap days before it, each year has 365.
    year = (day - day // 1_460 + day // 36_524 - day // 146_096) // 365
    day -= 365 * year + year // 4 - year // 100
    month = (5 * day + 2) // 153
    day -= (153 * month + 2) // 5 - 1
    # January and February are the last months here, and the first of the next year there.
    year += 400 * era + (month > 9)
    hour, rest = divmod(rest, 3_600)
    date = f"{_DAYS[days % 7]}, {day:02} {_MONTHS[month]} {year:04}"
    return f"{date} {hour:02}:{rest // 60:02}:{rest % 60:02} GMT".encode("ascii")
