"""The program: its list of commands, and how every failure ends in one line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from gateway import __version__
from gateway.cli import main as program
from gateway.cli.main import COMMANDS, INTERNAL_ERROR, INTERRUPTED, Command, load_command, main

FAILING = '''
def fail() -> None:
    """Fail."""
    raise ValueError("first line\\nsecond line")

def interrupt() -> None:
    """Be interrupted."""
    raise KeyboardInterrupt
'''


@pytest.fixture
def failing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two commands that end badly."""
    (tmp_path / "failing_commands.py").write_text(FAILING)
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("fail", "interrupt"):
        monkeypatch.setitem(COMMANDS, name, Command("failing_commands", name, "End badly"))


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"gateway {__version__}\n"


def test_help_lists_the_commands_in_the_order_in_which_they_are_met(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--help"]) == 0
    listed = capsys.readouterr().out.partition("Commands:\n")[2].splitlines()
    assert [line.split()[0] for line in listed] == list(COMMANDS)
    assert list(COMMANDS)[:2] == ["run", "demo"]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    output = capsys.readouterr().out
    assert output.startswith(f"Usage: gateway {name} ")
    assert "Example: gateway " in output or "Commands:" in output


def test_without_a_command_the_help_goes_to_standard_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("Usage: gateway ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["chek"], 'gateway: there is no command "chek"; did you mean "check"? (see gateway --'),
        (["check", "--foo"], "gateway check: No such option: --foo (see gateway check --help)"),
        (["explain", "GET"], "gateway explain: Missing argument 'URL' (see gateway explain --help"),
        (["explain", "get", "/"], "gateway explain: Invalid value for METHOD: a method is upper c"),
    ],
)
def test_a_usage_error_is_one_line_and_exits_with_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith(message)
    assert output.err.count("\n") == 1


@pytest.mark.usefixtures("failing")
def test_an_unexpected_failure_is_one_line_that_says_how_to_see_more(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GATEWAY_DEBUG", raising=False)
    assert main(["fail"]) == INTERNAL_ERROR
    assert capsys.readouterr() == (
        "",
        (
            "gateway: internal error: ValueError: first line "
            "(run with GATEWAY_DEBUG=1 for the traceback)\n"
        ),
    )


@pytest.mark.usefixtures("failing")
def test_with_gateway_debug_the_failure_comes_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_DEBUG", "1")
    with pytest.raises(ValueError, match="second line"):
        main(["fail"])


@pytest.mark.usefixtures("failing")
def test_an_interrupt_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["interrupt"]) == INTERRUPTED
    assert capsys.readouterr() == ("", "")


def test_a_reader_that_goes_away_is_no_failure() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    result = subprocess.run(
        [sys.executable, "-m", "gateway", "schema"],
        stdout=writer,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writer)
    assert result.stderr == b""
    assert result.returncode == 1


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_registered_under_its_own_name(name: str) -> None:
    assert load_command(name, COMMANDS[name]).name == name


def test_no_command_prints_for_rich_terminals_only() -> None:
    assert isinstance(program.app, typer.Typer)
    assert program.app.rich_markup_mode is None
