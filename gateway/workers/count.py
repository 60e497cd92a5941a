"""How many workers there are to be."""

import math
import os
from pathlib import Path
from typing import Literal

_CPU_LIMIT = Path("/sys/fs/cgroup/cpu.max")


def count_workers(wanted: int | Literal["auto"]) -> int:
    """Give the number of workers; `auto` is one for each core that this process may use."""
    return count_cores(_CPU_LIMIT) if wanted == "auto" else wanted


def count_cores(limit: Path) -> int:
    """Give how many cores this process may keep busy, 1 at least.

    Those that it may run on, or fewer where its container has a quota of CPU time: `limit` is the
    cgroup's (version 2), "microseconds period" or "max period".
    """
    cores = len(os.sched_getaffinity(0))
    try:
        quota, period = limit.read_text(encoding="ascii").split()
        return max(1, min(cores, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError, ZeroDivisionError):  # there is no such file, or it says "max"
        return cores
