"""What every part of `make bench` ends with: its figures beside what should be reached."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Goal:
    """One row: a figure in a unit, and the most that it should be; None where it is only told."""

    name: str
    figure: float
    goal: float | None
    unit: str

    @property
    def verdict(self) -> str:
        """Whether the goal is reached, in a word."""
        if self.goal is None:
            return "told"
        return "yes" if self.figure <= self.goal else "no"

    def as_text(self) -> str:
        """Gives the row as Markdown."""
        reach = "" if self.goal is None else f"<= {self.goal:g} {self.unit}"
        return f"| {self.name} | {reach} | {self.figure:,.2f} {self.unit} | {self.verdict} |"


def write_result(path: Path, goals: Sequence[Goal], **facts: object) -> None:
    """Writes a part's result: what else there is to know, and its goals at the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    result = {**facts, "goals": [asdict(goal) for goal in goals]}
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def read_goals(path: Path) -> list[Goal]:
    """Reads the goals of a result file back."""
    return [Goal(**goal) for goal in json.loads(path.read_text(encoding="utf-8"))["goals"]]


def as_text(goals: Sequence[Goal]) -> str:
    """Gives rows as one Markdown table."""
    lines = ["| row | reach | measured | met |", "|---|---:|---:|---|"]
    return "\n".join([*lines, *(goal.as_text() for goal in goals)])
