"""Which failures were to be expected.

A request may fail only when it may not be sent a second time and its bytes had gone to a connection
that was broken or whose server was killed; and then it is a 502 for `upstream_unavailable`. A GET
may be sent a second time unless its connection was a new one.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.soak.load import Failure

# Between what befell a connection and the end of the request on it, on a busy machine.
_SECONDS_OF_ONE_EVENT = 2.0
# The gateway's words for a server that took no connection: there were others to go to.
_NOTHING_SENT = "no connection to"


@dataclass(frozen=True)
class Note:
    """A line of a server's log."""

    what: str
    at: float
    item: str
    number: int


def read_notes(log: Path) -> Iterable[Note]:
    """Reads a server's log; its last line may be half."""
    with log.open(encoding="ascii") as lines:
        for line in lines:
            words = line.split(" ")
            if line.endswith("\n") and len(words) == 4:
                yield Note(words[0], float(words[1]), words[2], int(words[3]))


class Evidence:
    """What is known of the servers: when each was killed, and what the failed requests met."""

    def __init__(
        self, logs: Mapping[str, Path], kills: Mapping[str, Sequence[float]], failed: set[str]
    ) -> None:
        self._kills = kills
        self._notes: dict[tuple[str, str], Note] = {}
        self._broken: set[tuple[str, str]] = set()
        self._left: dict[str, list[float]] = {}
        self.broken_connections = 0
        for server, log in logs.items():
            for note in read_notes(log):
                if note.what == "got":
                    if note.item in failed:
                        self._notes[server, note.item] = note
                    continue
                self.broken_connections += 1
                if note.what == "broke":
                    self._broken.add((server, note.item))
                else:
                    self._left.setdefault(server, []).append(note.at)

    def excuse(self, failure: Failure, server: str, detail: str) -> str | None:
        """Says what excuses a failure; None when nothing does.

        `server` and `detail` are what the gateway's log has of it.
        """
        if failure.status != 502 or detail.startswith(_NOTHING_SENT):
            return None
        if json.loads(failure.body).get("reason") != "upstream_unavailable":
            return None
        key = (server, str(failure.item))
        note = self._notes.get(key)
        was_killed = _is_near(self._kills.get(server, ()), failure)
        if note is not None and failure.method == "GET" and note.number > 1:
            return None  # on a connection that had been used before, it was to be sent again
        if key in self._broken:
            return "its connection was broken"
        if was_killed:
            return "its server was killed"
        if (
            note is None
            and failure.method == "POST"
            and _is_near(self._left.get(server, ()), failure)
        ):
            return "its connection was broken as it arrived"
        return None


def _is_near(moments: Sequence[float], failure: Failure) -> bool:
    early, late = failure.started - _SECONDS_OF_ONE_EVENT, failure.ended + _SECONDS_OF_ONE_EVENT
    return any(early <= moment <= late for moment in moments)


def growth(samples: Sequence[float]) -> float:
    """Says by how much the most of the last third exceeds the most of the second."""
    third = len(samples) // 3
    return max(samples[2 * third :]) - max(samples[third : 2 * third])
