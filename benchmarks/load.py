"""Sends requests with wrk, and compares every answer."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

from benchmarks.stage import OTHER_CORE
from tests.parts.get import locate

Request = tuple[str, str, dict[str, str], str]
"""Method, path, headers, body."""


class MeasurementFailed(Exception):  # noqa: N818 - says what happened
    """A figure would not mean what it says; the message says why."""


def write_requests(path: Path, requests: Sequence[Request]) -> Path:
    """Writes requests as the load generator reads them."""

    def quoted(text: str) -> str:
        return json.dumps(text)  # for these plain texts JSON's quoting is Lua's

    with path.open("w", encoding="utf-8") as file:
        file.write("return {\n")
        for method, target, headers, body in requests:
            fields = ", ".join(f"[{quoted(k)}]={quoted(v)}" for k, v in headers.items())
            file.write(f"{{{quoted(method)}, {quoted(target)}, {{{fields}}}, {quoted(body)}}},\n")
        file.write("}\n")
    return path


def drive(
    name: str, port: int, connections: int, seconds: int, requests: Path, *expected: str
) -> dict[str, float]:
    """Sends requests to a port for some seconds, compares every answer, and gives the counts.

    Args:
        name: what is measured, for the message.
        port: where on this machine it listens.
        connections: how many there are at the same time.
        seconds: for how long.
        requests: what `write_requests` has written.
        expected: the status, and the body where that is known.

    Raises:
        MeasurementFailed: an answer differed, or a request got none.
    """
    command = ["taskset", "-c", str(OTHER_CORE), locate("wrk"), "-t", "1", "--timeout", "10s"]
    command += ["-c", str(connections), "-d", f"{seconds}s"]
    command += ["-s", Path(__file__).parent / "load.lua", f"http://127.0.0.1:{port}"]
    done = subprocess.run(
        [*command, "--", requests, *expected], capture_output=True, text=True, check=True
    )
    line = next(line for line in done.stdout.splitlines() if line.startswith("RESULT "))
    result: dict[str, float] = json.loads(line.removeprefix("RESULT "))
    if result["different"] or result["errors"] or not result["compared"]:
        raise MeasurementFailed(f"{name}: answers that differ or are missing: {result}")
    return result
