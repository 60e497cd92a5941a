"""Durations and sizes, read and written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.settings.findings import Problem
from gateway.settings.quantities import (
    format_duration,
    format_size,
    parse_duration,
    parse_size,
)


@pytest.mark.parametrize(
    ("text", "seconds"), [("250ms", 0.25), ("30s", 30.0), ("10m", 600.0), ("2h", 7200.0)]
)
def test_a_duration_is_read_as_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "size"), [("64KiB", 65536), ("10MiB", 10 * 1024**2), ("1GiB", 1024**3)]
)
def test_a_size_is_read_as_bytes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("30", "30 has no unit; write 30s"),
        ("1.5s", '"1.5s" is not a duration; write a whole number and a unit, as in 250ms, 30s'),
        ("-1s", '"-1s" is not a duration; '),
        ("30 s", '"30 s" is not a duration; '),
        ("1h30m", '"1h30m" is not a duration; '),
        ("10min", '"min" is not a unit of a duration; write 10m'),
        ("10sec", '"sec" is not a unit of a duration; write 10s'),
        ("10msec", '"msec" is not a unit of a duration; write 10ms'),
        ("10S", '"S" is not a unit of a duration; write 10s'),
        ("3d", '"d" is not a unit of a duration; write it as in 250ms, 30s, 10m or 2h'),
        ("٣s", '"٣s" is not a duration; '),
        ("1s\n", '"1s\\n" is not a duration; '),
        ("9" * 5000 + "s", "is not a duration; "),
    ],
)
def test_another_spelling_of_a_duration_is_refused_with_the_mend(text: str, message: str) -> None:
    with pytest.raises(Problem) as caught:
        parse_duration(text)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1024", "1024 has no unit; write 1024KiB"),
        ("10MB", '"MB" is not a unit of a size; write 10MiB'),
        ("10m", '"m" is not a unit of a size; write 10MiB'),
        ("10kib", '"kib" is not a unit of a size; write 10KiB'),
        ("10X", '"X" is not a unit of a size; write it as in 64KiB, 10MiB or 1GiB'),
    ],
)
def test_another_spelling_of_a_size_is_refused_with_the_mend(text: str, message: str) -> None:
    with pytest.raises(Problem) as caught:
        parse_size(text)
    assert str(caught.value) == message


@given(st.integers(1, 10**10))
def test_a_duration_that_is_written_reads_as_itself(milliseconds: int) -> None:
    assert parse_duration(format_duration(milliseconds / 1000)) == milliseconds / 1000


@given(st.integers(1, 10**8))
def test_a_size_that_is_written_reads_as_itself(kibibytes: int) -> None:
    assert parse_size(format_size(kibibytes * 1024)) == kibibytes * 1024


def test_durations_are_written_as_people_write_them() -> None:
    seconds = (0.25, 1.5, 30, 60, 75, 90, 120, 600, 3600, 7200)
    assert list(map(format_duration, seconds)) == [
        *("250ms", "1500ms", "30s", "60s", "75s", "90s", "2m", "10m", "60m", "2h")
    ]
