"""The one table at the end of `make bench`."""

from pathlib import Path

import pytest

from benchmarks import summary
from benchmarks.flame import without_places
from benchmarks.goals import Goal, read_goals, write_result
from tests.parts.get import ROOT


@pytest.mark.parametrize(
    ("figure", "most", "verdict"), [(1.5, 1.5, "yes"), (1.51, 1.5, "no"), (9.0, None, "told")]
)
def test_a_goal_is_the_most_that_is_allowed(
    figure: float, most: float | None, verdict: str
) -> None:
    goal = Goal("a row", figure, most, "x")
    assert goal.verdict == verdict
    assert goal.as_text().endswith(f"{figure:.2f} x | {verdict} |")


def test_goals_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    goals = [Goal("a", 1.25, 2.0, "x"), Goal("b", 3.0, None, "ms")]
    write_result(tmp_path / "new" / "result.json", goals, machine={"cores": 2})
    assert read_goals(tmp_path / "new" / "result.json") == goals


def test_the_summary_has_the_rows_of_every_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also when `make bench` was given arguments that are for the measurements."""
    for number, part in enumerate(summary.PARTS):
        write_result(tmp_path / f"{part}.json", [Goal(f"row of {part}", number, 1.0, "x")])
    monkeypatch.setattr("sys.argv", ["summary", "--rounds", "3", "--results", str(tmp_path)])
    assert summary.main() == 0
    assert {"latest", "authserver", "footprint"} <= set(summary.PARTS)
    assert capsys.readouterr().out.splitlines() == [
        "| row | reach | measured | met |",
        "|---|---:|---:|---|",
        *(
            f"| row of {part} | <= 1 x | {number:.2f} x | {'no' if number > 1 else 'yes'} |"
            for number, part in enumerate(summary.PARTS)
        ),
    ]


def test_a_part_that_was_not_measured_fails_the_summary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["summary", "--results", str(tmp_path)])
    assert summary.main() == 1
    assert "latest.json is missing" in capsys.readouterr().err


def test_the_picture_names_no_place_of_a_machine() -> None:
    picture = (
        '<text id="title" x="1">py-spy record --output /tmp/x.svg</text>'
        f"<title>serve ({ROOT}/gateway/middleware/front.py:246) (9 samples)</title>"
        "<title>run (/usr/lib/x86_64-linux-gnu/libc.so.6) (9 samples)</title>"
    )
    assert without_places(picture) == (
        '<text id="title" x="1">One worker, warm guarded requests, no access log</text>'
        "<title>serve (gateway/middleware/front.py:246) (9 samples)</title>"
        "<title>run (libc.so.6) (9 samples)</title>"
    )
