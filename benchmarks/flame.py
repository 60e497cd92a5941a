"""`make flame`: where the time of a warm guarded request goes, as a picture.

Samples the silent gateway of `make bench` with py-spy while wrk keeps it busy, functions in C
included, and writes benchmarks/results/warm.svg. Needs the right to trace another process of the
same user: root has it.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from threading import Thread

from benchmarks.goals import RESULTS
from benchmarks.load import MeasurementFailed
from benchmarks.processes import StartFailed
from benchmarks.run import drive_row, write_warm_requests
from benchmarks.stage import set_up
from tests.parts.get import ROOT, PartMissing, locate

TITLE = "One worker, warm guarded requests, no access log"
RATE = 250  # samples per second


def record(pid: int, seconds: int, output: Path) -> None:
    """Samples a process for some seconds and writes the picture. Raises MeasurementFailed."""
    command = [locate("py-spy"), "record", "--pid", str(pid), "--duration", str(seconds)]
    command += [
        "--rate",
        str(RATE),
        "--native",
        "--function",
        "--format",
        "flamegraph",
        "--output",
        output,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise MeasurementFailed(f"py-spy ended with {done.returncode}: {done.stderr.strip()}")


def without_places(picture: str) -> str:
    """Takes out of a picture where on this machine things lie, and who py-spy was asked about."""
    picture = re.sub(r'(<text id="title"[^>]*>)[^<]*', rf"\g<1>{TITLE}", picture)
    for folder in (f"{ROOT}/", f"{Path(sys.prefix)}/", f"{Path(sys.base_prefix)}/"):
        picture = picture.replace(folder, "")
    # What is left of absolute paths, of the system's libraries, keeps its last part.
    return re.sub(r"(?<=[ (>])/(?:[\w.+-]+/)+(?=[\w.+-]+)", "", picture)


def main() -> int:
    """Gives the exit status."""
    parser = argparse.ArgumentParser(prog="make flame", description=__doc__)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--results", type=Path, default=RESULTS, help="the folder of the picture")
    options = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="gateway-bench-") as name:
            folder = Path(name)
            # nginx as root gives its workers to another user, who must reach its folder.
            folder.chmod(0o755)
            with set_up(folder) as stage:
                row = next(row for row in stage.rows if row.name == "gateway, no log")
                requests = write_warm_requests(stage)
                drive_row(row, requests, 3)  # warm-up
                # A little longer than the recording, which stops it as often as it looks.
                load = Thread(target=drive_row, args=(row, requests, options.seconds + 5))
                load.start()
                try:
                    record(row.pid, options.seconds, folder / "raw.svg")
                finally:
                    load.join()
            picture = without_places((folder / "raw.svg").read_text(encoding="utf-8"))
    except (PartMissing, StartFailed, MeasurementFailed) as problem:
        print(f"bench: {problem}", file=sys.stderr)
        return 1
    path = options.results / "warm.svg"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(picture, encoding="utf-8")
    print(os.path.relpath(path))
    return 0


if __name__ == "__main__":
    sys.exit(main())
