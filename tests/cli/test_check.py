"""`gateway check`: its output, its exit codes, and what it loads to get there."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.cli.main import main

CONFIGURATION = """\
authorization_servers:
  local: {embedded: {scopes: {"orders:read": See your orders}}}
upstreams:
  orders: {servers: [http://127.0.0.1:8000]}
routes:
  - name: orders
    match: {path: /orders/**}
    require: {scopes: ["orders:read"]}
"""


def write_configuration(folder: Path, text: str = CONFIGURATION) -> Path:
    file = folder / "gateway.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def test_a_clean_file_exits_with_0_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_configuration(tmp_path)
    assert main(["check", str(file)]) == 0
    assert capsys.readouterr() == (
        f"{file}: nothing to mend: 1 route, 1 upstream, 1 authorization server\n",
        "",
    )
    assert main(["check", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_findings_go_to_standard_output_and_exit_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_configuration(tmp_path, CONFIGURATION + "lisen: 127.0.0.1:1\nlog_format: no\n")
    assert main(["check", str(file)]) == 1
    assert capsys.readouterr() == (
        (
            f'{file}:9:1: lisen: the key "lisen" is unknown here; did you mean "listen"?\n'
            f'{file}:10:13: log_format: "no" is the boolean false to YAML 1.1, '
            "not auto, json or text; write auto, json or text\n"
        ),
        "",
    )


def test_json_has_the_keys_that_scripts_rely_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_configuration(tmp_path, CONFIGURATION + "lisen: 127.0.0.1:1\n")
    assert main(["check", "--json", str(file)]) == 1
    assert json.loads(capsys.readouterr().out) == [
        {
            "file": str(file),
            "line": 9,
            "column": 1,
            "path": "lisen",
            "id": "unknown-key",
            "message": 'the key "lisen" is unknown here; did you mean "listen"?',
            "severity": "error",
        }
    ]


def test_a_warning_alone_is_a_finding_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_configuration(tmp_path, CONFIGURATION + "admin_listen: 10.0.0.1:9090\n")
    assert main(["check", str(file)]) == 1
    assert ":9:15: warning: admin_listen: " in capsys.readouterr().out


def test_a_syntax_error_is_a_finding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_configuration(tmp_path, "routes: [\n")
    assert main(["check", str(file)]) == 1
    assert capsys.readouterr().out.startswith(f"{file}:2:1: this is not YAML: ")


def test_a_file_that_cannot_be_read_exits_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "absent.yaml"
    assert main(["check", str(file)]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith(f"{file}:1:1: the file cannot be read (no such file or directory)")
    assert main(["check", str(file), "--json"]) == 2
    [finding] = json.loads(capsys.readouterr().out)
    assert finding["id"] == "unreadable-file"


def test_a_file_that_is_no_text_exits_with_2_and_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "ls"
    file.write_bytes(b"\x7fELF\x02\x01\x01\x00\x00\xb0")
    assert main(["check", str(file)]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.endswith("byte 0xB0 is not UTF-8; save the file with the encoding UTF-8\n")
    assert output.err.count("\n") == 1


def test_without_a_name_it_takes_the_default_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config").mkdir()
    write_configuration(tmp_path / "config")
    monkeypatch.chdir(tmp_path)
    assert main(["check"]) == 0
    assert capsys.readouterr().out.startswith("config/gateway.yaml: nothing to mend")


def test_without_any_file_it_says_which_were_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "gateway.cli.configuration.DEFAULT_FILES", (Path("config/gateway.yaml"), tmp_path / "none")
    )
    assert main(["check"]) == 2
    assert capsys.readouterr().err == (
        "gateway: there is neither ./config/gateway.yaml nor /etc/gateway/gateway.yaml; "
        "name the configuration file with -c FILE\n"
    )


def test_the_file_may_be_named_with_c_but_not_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_configuration(tmp_path)
    assert main(["check", "-c", str(file)]) == 0
    assert main(["check", str(file), "-c", str(file)]) == 2
    assert "the file is named twice; name it once" in capsys.readouterr().err


def test_it_loads_no_server_and_no_database(tmp_path: Path) -> None:
    file = write_configuration(tmp_path)
    code = (
        "import sys; from gateway.cli.main import main; "
        f"assert main(['check', {str(file)!r}]) == 0; "
        "print(sorted({'aiohttp', 'sqlalchemy', 'authlib', 'uvloop'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.splitlines()[-1] == "[]"
