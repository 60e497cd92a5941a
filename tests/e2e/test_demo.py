"""What `gateway demo` prints can be pasted, and does what it says."""

import os
import re
import subprocess

import pytest

from tests.e2e.programs import GATEWAY, Program, wait_until

END = "Ctrl-C ends the demo"


@pytest.fixture
def printed(tmp_path):
    """The lines that a running demo has printed, to be tried while it runs."""
    # Its standard output as it is redirected to a file: nothing may wait in a buffer.
    program = Program([GATEWAY, "demo"], tmp_path / "printed", cwd=tmp_path)
    try:
        wait_until(lambda: END in program.output.read_text(), 30, f"{END!r} in what it prints")
        lines, _, _ = program.output.read_text().partition(END)
        yield lines + END + "\n"
    finally:
        assert program.stop() == 0, program.text()


def test_the_lines_that_the_demo_prints_give_what_they_promise(curl, printed, tmp_path):
    """In `sh`, as printed: 401, a token, 200, 403 naming the scope, and 401 once revoked."""
    done = subprocess.run(
        ["sh", "-e"],
        input=printed,
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        timeout=60,
        env={"PATH": f"{curl.parent}:{os.defpath}"},
    )
    assert done.returncode == 0, done.stderr
    without, token, granted, forbidden, _, revoked = parts_of(done.stdout)

    assert without.startswith("HTTP/1.1 401 ")
    assert re.search(r"(?mi)^WWW-Authenticate: Bearer ", without)
    assert "error=" not in without

    assert re.fullmatch(r"gw_at_\w+", token)

    assert granted.startswith("HTTP/1.1 200 ")
    assert '"orders": [' in granted, "the legacy service's own answer"
    assert '"asked_by": "demo"' in granted, "which heard from the gateway who asks"

    assert forbidden.startswith("HTTP/1.1 403 ")
    assert re.search(r'(?mi)^WWW-Authenticate: .*error="insufficient_scope"', forbidden)
    assert "orders:write" in forbidden.partition("\n\n")[2], "the body names what is missing"

    assert revoked.startswith("HTTP/1.1 401 ")
    assert re.search(r'(?mi)^WWW-Authenticate: .*error="invalid_token"', revoked)


def parts_of(output):
    """Splits what the shell wrote into the answers, and the line with the token."""
    return [
        part.strip("\n")
        for part in re.split(r"(?m)(?=HTTP/1\.1 \d)|^(gw_at_\w+)$", output)
        if part and part.strip()
    ]


def test_two_demos_at_once_do_not_disturb_each_other(printed, tmp_path):
    """The second finds the usual ports taken and prints others."""
    program = Program([GATEWAY, "demo"], tmp_path / "second", cwd=tmp_path)
    try:
        wait_until(lambda: END in program.output.read_text(), 30, f"{END!r} in what it prints")
        second = program.output.read_text()
    finally:
        assert program.stop() == 0, program.text()
    assert not set(re.findall(r"127\.0\.0\.1:\d+", printed)) & set(
        re.findall(r"127\.0\.0\.1:\d+", second)
    )
