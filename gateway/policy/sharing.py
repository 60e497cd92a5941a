"""Which worker gets the next connection."""

from collections.abc import Sequence


def choose_least_busy(counts: Sequence[int], turn: int) -> int:
    """Give the place of the worker that has the fewest connections.

    Args:
        counts: the open connections of each, one at least.
        turn: whose turn it is, one of those places: of several that have as few, the first from
            there on is taken.
    """
    places = (*range(turn, len(counts)), *range(turn))
    place: int = min(places, key=counts.__getitem__)
    return place
