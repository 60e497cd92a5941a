"""JSON that says one thing only (RFC 8259, section 4): what parsers read differently is refused."""

import json
from typing import NoReturn


def read_object(data: bytes) -> dict[str, object]:
    """Read a JSON object. Raises ValueError for whatever else it is.

    That is also: a name that stands twice in any object, NaN and Infinity, numbers of thousands of
    digits, nesting that is too deep to follow, and bytes that are no UTF-8.
    """
    try:
        value = json.loads(
            data.decode("utf-8"), object_pairs_hook=_read_pairs, parse_constant=_refuse
        )
    except RecursionError:
        raise ValueError("too deeply nested") from None
    if not isinstance(value, dict):
        raise ValueError("not an object")  # noqa: TRY004 - what is wrong is the text
    return value


def _read_pairs(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name stands twice")
    return members


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
