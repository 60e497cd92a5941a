"""One worker for each core that the gateway may keep busy."""

import os
from pathlib import Path

import pytest

from gateway.workers.count import count_cores, count_workers


@pytest.fixture
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))


def test_a_number_is_that_number() -> None:
    assert count_workers(3) == 3


def test_auto_is_the_number_of_cores_that_the_process_may_run_on(
    monkeypatch: pytest.MonkeyPatch, eight_cores: None
) -> None:
    monkeypatch.setattr("gateway.workers.count._CPU_LIMIT", Path("/nowhere"))
    assert count_workers("auto") == count_cores(Path("/nowhere")) == 8


@pytest.mark.parametrize(
    ("limit", "cores"),
    [
        ("200000 100000\n", 2),
        ("150000 100000\n", 2),
        ("10000 100000\n", 1),
        ("9900000 100000\n", 8),
        ("max 100000\n", 8),
        ("nonsense", 8),
        ("1 0\n", 8),
    ],
)
def test_the_quota_of_a_container_bounds_it(
    tmp_path: Path, eight_cores: None, limit: str, cores: int
) -> None:
    file = tmp_path / "cpu.max"
    file.write_text(limit)
    assert count_cores(file) == cores
