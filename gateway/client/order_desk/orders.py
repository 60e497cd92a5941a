"""What the Order desk is about: the orders that the old service keeps."""

from collections.abc import Mapping
from dataclasses import dataclass

_MOST = 50
_LONGEST = 200  # characters


@dataclass(frozen=True, slots=True)
class Order:
    """One order, as text."""

    number: str
    item: str
    quantity: str


@dataclass(frozen=True, slots=True)
class Orders:
    """The last orders of the list, and who asked for them as far as the old service knows."""

    rows: tuple[Order, ...]
    asked_by: str
    on_behalf_of: str


def read_orders(members: Mapping[str, object]) -> Orders | None:
    """Read the old service's answer; None when it is no list of orders."""
    rows = members.get("orders")
    if not isinstance(rows, list):
        return None
    return Orders(
        tuple(
            Order(_text(row.get("id")), _text(row.get("item")), _text(row.get("quantity", 1)))
            for row in rows[-_MOST:]
            if isinstance(row, dict)
        ),
        _text(members.get("asked_by")),
        _text(members.get("on_behalf_of")),
    )


def _text(value: object) -> str:
    return "" if value is None else str(value)[:_LONGEST]
