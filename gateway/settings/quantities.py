"""Durations, sizes and rates: a whole number and a unit, as in `250ms`, `64KiB` or `100/1m`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from gateway.settings.findings import Problem, quoted

_MILLISECONDS: Final = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}
_BYTES: Final = {"KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}

DURATION_PATTERN: Final = r"^[0-9]{1,12}(ms|s|m|h)$"
RATE_PATTERN: Final = r"^[1-9][0-9]{0,8}/[0-9]{1,12}(s|m|h)$"
SIZE_PATTERN: Final = r"^[0-9]{1,12}(KiB|MiB|GiB)$"

_LONGEST_WINDOW: Final = 86_400
_COUNT = re.compile(r"[0-9]{1,9}", re.ASCII)
_AMOUNT = re.compile(r"([0-9]{1,12})([A-Za-z]*)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Rate:
    """So many requests in a window of so many seconds."""

    amount: int
    window: int


def parse_duration(text: str) -> float:
    """Read `250ms`, `30s`, `10m` or `2h` as seconds. Raises Problem."""
    return _parse(text, _MILLISECONDS, "duration", ("250ms", "30s", "10m", "2h"), "s") / 1000


def parse_size(text: str) -> int:
    """Read `64KiB`, `10MiB` or `1GiB` as bytes. Raises Problem."""
    return _parse(text, _BYTES, "size", ("64KiB", "10MiB", "1GiB"), "KiB")


def parse_rate(text: str) -> Rate:
    """Read `100/1m` as a number of requests and seconds. Raises Problem."""
    amount, slash, window = text.partition("/")
    if not slash or _COUNT.fullmatch(amount) is None:
        what = f"{quoted(text)} is not a number of requests in a time"
        raise Problem("invalid-rate", what, "write it as 100/1m")
    if window in _MILLISECONDS:
        what = f"{quoted(window)} does not say how long"
        raise Problem("invalid-rate", what, f"write {amount}/1{window}")
    seconds = parse_duration(window)
    if int(amount) == 0:
        raise Problem("out-of-range", "0 lets no request pass", "write 1 or more")
    if not seconds.is_integer() or not 1 <= seconds <= _LONGEST_WINDOW:
        raise Problem("out-of-range", f"{window} is no window", "write whole seconds, 1s to 24h")
    return Rate(int(amount), int(seconds))


def format_rate(rate: Rate) -> str:
    """Write a rate as the file has it."""
    return f"{rate.amount}/{format_duration(rate.window)}"


def format_duration(seconds: float) -> str:
    """Write seconds the way a person would: `250ms`, `90s`, `10m`, `2h`."""
    milliseconds = round(seconds * 1000)
    for unit in ("h", "m"):
        # "60s" and "90s" read better than "1m"; from two of a unit on, the unit is used.
        if milliseconds % _MILLISECONDS[unit] == 0 and milliseconds >= 2 * _MILLISECONDS[unit]:
            return f"{milliseconds // _MILLISECONDS[unit]}{unit}"
    if milliseconds % 1000:
        return f"{milliseconds}ms"
    return f"{milliseconds // 1000}s"


def format_size(count: int) -> str:
    """Write a number of bytes with the largest unit that divides it."""
    for unit in ("GiB", "MiB"):
        if count % _BYTES[unit] == 0:
            return f"{count // _BYTES[unit]}{unit}"
    return f"{count // 1024}KiB"


def _parse(
    text: str, units: Mapping[str, int], noun: str, examples: tuple[str, ...], likely: str
) -> int:
    match = _AMOUNT.fullmatch(text)
    forms = f"{', '.join(examples[:-1])} or {examples[-1]}"
    if match is None:
        finding_id, what = f"invalid-{noun}", f"{quoted(text)} is not a {noun}"
        raise Problem(finding_id, what, f"write a whole number and a unit, as in {forms}")
    amount, unit = match.groups()
    if unit in units:
        return int(amount) * units[unit]
    if not unit:
        raise Problem(f"invalid-{noun}", f"{amount} has no unit", f"write {amount}{likely}")
    for known in units:
        # "MB" means MiB and "min" means m to whoever wrote it; "msec" finds ms before m.
        if unit[0].lower() == known[0].lower() and (
            noun == "size" or unit.lower()[: len(known)] == known
        ):
            mend = f"write {amount}{known}"
            break
    else:
        mend = f"write it as in {forms}"
    raise Problem(f"invalid-{noun}", f"{quoted(unit)} is not a unit of a {noun}", mend)
