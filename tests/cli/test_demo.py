"""What `gateway demo` prints: how the program is called again from another terminal."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import gateway.__main__
from gateway import __version__
from gateway.cli.demo import _own_name

SCRIPT = Path(sys.executable).with_name("gateway")


@pytest.mark.parametrize("program", [SCRIPT, Path(gateway.__main__.__file__)], ids=["script", "-m"])
def test_the_name_that_it_prints_can_be_called_where_no_gateway_is_on_the_path(
    program: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`python -m gateway` is no file that could be executed."""
    monkeypatch.setenv("PATH", os.defpath)
    monkeypatch.setattr(sys, "argv", [str(program), "demo"])
    done = subprocess.run(
        ["sh", "-c", f"{_own_name()} --version"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        timeout=30,
    )
    assert (done.returncode, done.stdout) == (0, f"gateway {__version__}\n"), done.stderr
