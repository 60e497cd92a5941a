"""`make bench`, its end: the rows of all parts in one table, from the result files they wrote."""

import argparse
import sys
from pathlib import Path

from benchmarks.goals import RESULTS, as_text, read_goals

# In the order of the table.
PARTS = ("latest", "authserver", "introspection", "footprint", "workers")


def main() -> int:
    """Gives the exit status: 0 when every part has left its result."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS, help="the folder of the results")
    options, _ = parser.parse_known_args()  # the others are for the measurements
    goals = []
    for name in PARTS:
        path = options.results / f"{name}.json"
        if not path.exists():
            print(f"bench: {path} is missing: that part has not been measured", file=sys.stderr)
            return 1
        goals += read_goals(path)
    print(as_text(goals))
    return 0


if __name__ == "__main__":
    sys.exit(main())
