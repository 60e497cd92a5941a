"""What `gateway demo` prints can be pasted, and does what it says."""

import os
import re
import subprocess

import pytest

from tests.e2e.demo import running_demo
from tests.e2e.forms import Browser
from tests.e2e.programs import Program, wait_until

BY_HAND = "# 7."


@pytest.fixture
def demo(tmp_path):
    with running_demo(tmp_path / "demo") as demo:
        yield demo


def test_the_lines_that_the_demo_prints_give_what_they_promise(curl, demo, tmp_path):
    """In `sh`, as printed: 401, a token, 200, 403 naming the scope, and 401 once revoked."""
    lines, by_hand, _ = demo.printed.partition(BY_HAND)
    assert by_hand
    done = subprocess.run(
        ["sh", "-e"],
        input=lines,
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
    assert '"on_behalf_of": null' in granted, "and that it is no person"

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


def test_the_printed_sign_in_and_call_work_from_a_terminal(demo, tmp_path):
    """The last lines, as printed: `gateway login` asks in a browser, `gateway call` gives 200."""
    environment = {"PATH": os.defpath, "HOME": str(tmp_path), "PYTHONWARNINGS": "error"}
    program = Program(
        ["sh", "-e", "-c", demo.printed.partition(BY_HAND)[2].partition("\n")[2]],
        tmp_path / "printed",
        cwd=tmp_path,
        env=environment,
    )
    try:
        # Without a display it shows a code, and an address that has the code in it.
        address = program.wait_for_line(r"^(http\S+user_code=\S+)$")[1]
        sign_in_and_allow(address, demo)
        wait_until(lambda: program.process.poll() is not None, 30, "the end of both commands")
    finally:
        status = program.stop()
    assert status == 0, program.text()
    assert '"on_behalf_of": "alice"' in program.output.read_text()


def sign_in_and_allow(address, demo):
    """Does in a browser what the page at the address asks for."""
    browser = Browser()
    page = browser.open(address)
    while "password" in page.text and 'value="sign-in"' in page.text:
        page = browser.send(
            page, {"username": demo.user, "password": demo.password}, press="sign-in"
        )
    while 'value="allow"' not in page.text:
        page = browser.send(page, {})
    browser.send(page, {}, press="allow")


def test_two_demos_at_once_do_not_disturb_each_other(demo, tmp_path):
    """The second finds the usual ports taken and prints others."""
    with running_demo(tmp_path / "second") as second:
        assert not set(re.findall(r"127\.0\.0\.1:\d+", demo.printed)) & set(
            re.findall(r"127\.0\.0\.1:\d+", second.printed)
        )
