"""Secrets: where they come from, and that they are never printed."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.settings import Examination

BASE = """\
authorization_servers:
  corporate:
    introspection:
      issuer: https://login.example.com
      url: https://login.example.com/introspect
      client_id: gateway
      client_secret: SECRET
upstreams:
  orders: {servers: [http://127.0.0.1:8000]}
routes:
  - name: orders
    match: {path: /orders/**}
    require: {}
"""

Read = Callable[..., Examination]


def _secret(examination: Examination) -> str:
    assert examination.settings is not None, examination.findings
    server = examination.settings.authorization_servers["corporate"].introspection
    assert server is not None
    return server.client_secret.get_secret_value()


@pytest.mark.parametrize(
    ("content", "secret"),
    [("geheim", "geheim"), ("geheim\n", "geheim"), ("geheim\r\n", "geheim"), (" g h ", " g h ")],
)
def test_a_file_holds_the_secret_alone(
    read: Read, tmp_path: Path, content: str, secret: str
) -> None:
    (tmp_path / "secret").write_bytes(content.encode())
    assert _secret(read(BASE.replace("SECRET", "{file: secret}"))) == secret


def test_a_plain_secret_is_taken_and_warned_of(read: Read) -> None:
    examination = read(BASE.replace("SECRET", "geheim"))
    assert _secret(examination) == "geheim"
    assert [finding.id for finding in examination.findings] == ["plain-secret"]


def test_a_plain_secret_in_a_file_that_all_can_read_is_warned_of_twice(
    read: Read, write: Callable[[str], Path]
) -> None:
    write("").chmod(0o644)
    findings = read(BASE.replace("SECRET", "geheim")).findings
    assert [finding.id for finding in findings] == ["plain-secret", "world-readable-secret"]


@pytest.mark.parametrize(
    ("spelling", "message"),
    [
        ("{env: UNSET}", "the environment variable UNSET is not set; set it before starting"),
        ("{env: EMPTY}", "the environment variable EMPTY is empty; put the secret there"),
        ("{env: LINES}", "the environment variable LINES holds a line break or control character"),
        ("{env: ${X}}", "what stands behind env is not the name of an environment variable; "),
        ("{env: 5}", "no name stands behind env; "),
        ("{env: }", "no name stands behind env; "),
        ("{env: [X]}", "no name stands behind env; "),
        ("{file: absent}", "cannot be read (no such file or directory); create it"),
        ("{file: .}", "cannot be read (is a directory); "),
        ("{file: empty}", "is empty; put the secret there"),
        ("{file: newline}", "is empty; put the secret there"),
        ("{file: binary}", "is not UTF-8 text; store the secret as text"),
        ("{file: lines}", "holds a line break or control character; store the secret alone"),
        ("{file: large}", "is not a regular file of at most 64KiB; "),
        ("{file: pipe}", "is not a regular file of at most 64KiB; "),
        ('{file: "a\\0b"}', "the path of the file holds a NUL; "),
        ("{env: A, file: b}", "a secret has exactly one of the keys env and file; write {env: NA"),
        ("{}", "a secret has exactly one of the keys env and file; "),
        ("{geheim: x}", "a secret has exactly one of the keys env and file; "),
        ("[geheim]", "a list stands where a secret belongs; write {env: NAME} or {file: PATH}"),
        ("", "the key has no value; write a secret, such as {env: NAME}, or remove the key"),
        ('""', "the secret is empty; put the secret there"),
        ("4711", "the secret is a number to YAML 1.1, not text; put it in quotes"),
        ("2020-01-01", "the secret is a date to YAML 1.1, not text; put it in quotes"),
        ("yes", "the secret is the boolean true to YAML 1.1, not text; put it in quotes"),
    ],
)
def test_a_secret_that_cannot_be_had_is_an_error_that_never_quotes_it(
    read: Read, tmp_path: Path, spelling: str, message: str
) -> None:
    for name, content in {
        "empty": b"",
        "newline": b"\n",
        "binary": b"geheim\xff",
        "lines": b"geheim\ngeheim\n",
        "large": b"geheim" * 20_000,
    }.items():
        (tmp_path / name).write_bytes(content)
    os.mkfifo(tmp_path / "pipe")
    environ = {"EMPTY": "", "LINES": "geheim\ngeheim"}
    spelling = spelling.replace("${X}", "'${X}'")
    [finding] = read(BASE.replace("SECRET", spelling), environ).findings
    assert message in finding.message
    assert finding.path == "authorization_servers.corporate.introspection.client_secret"
    assert not [secret for secret in ("geheim", "4711", "2020-01-01") if secret in str(finding)]
