"""Writing a configuration file and examining it."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from gateway.settings import Examination, examine

Check = Callable[..., list[str]]

VALID = """\
authorization_servers:
  local:
    embedded:
      scopes: {"orders:read": See your orders}
upstreams:
  orders: {servers: [http://127.0.0.1:8000]}
routes:
  - name: orders
    match: {path: /orders/**}
    require: {scopes: ["orders:read"]}
"""


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str | bytes], Path]:
    """Write a configuration file, readable by its owner alone."""

    def write_file(content: str | bytes) -> Path:
        path = tmp_path / "gateway.yaml"
        path.touch(mode=0o600)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write_file


@pytest.fixture
def read(write: Callable[[str | bytes], Path]) -> Callable[..., Examination]:
    """Examine a text as a file."""

    def read_text(content: str | bytes, environ: Mapping[str, str] | None = None) -> Examination:
        return examine(write(content), environ or {})

    return read_text


@pytest.fixture
def check(read: Callable[..., Examination]) -> Check:
    """Give the findings of a text as lines, without the name of the file."""

    def check_text(content: str | bytes, environ: Mapping[str, str] | None = None) -> list[str]:
        findings = read(content, environ).findings
        return [str(finding).removeprefix(f"{finding.file}:") for finding in findings]

    return check_text
