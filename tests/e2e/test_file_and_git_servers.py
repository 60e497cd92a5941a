"""A WebDAV server and a git server behind `gateway run`, used by curl and by git themselves."""

import hashlib
import os
import secrets
import subprocess
from pathlib import Path

import pytest

from tests.e2e.apache import PACKING, running_apache
from tests.e2e.programs import embedded_server, running_gateway

MIB = 1024 * 1024
REPOSITORY_BYTES = 50 * MIB


@pytest.fixture(scope="module")
def apache(apache_program, git):
    with running_apache(apache_program, git) as running:
        yield running


@pytest.fixture(scope="module")
def gateway(apache, tmp_path_factory):
    """A gateway in front of Apache: reading files is one scope, all else another."""
    settings = {
        "authorization_servers": {
            "local": embedded_server({"files:read": "Read files", "files:write": "Change files"})
        },
        "upstreams": {"apache": {"servers": [apache.url]}},
        "routes": [
            {
                "name": "read",
                "match": {"path": "/files/**", "methods": ["GET", "OPTIONS", "PROPFIND"]},
                "require": {"scopes": ["files:read"]},
            },
            {
                "name": "change",
                "match": {"path": "/files/**"},
                "require": {"scopes": ["files:write"]},
            },
            {
                "name": "git",
                "match": {"path": "/git/**"},
                "require": {"scopes": ["files:write"]},
            },
        ],
    }
    with running_gateway(settings, tmp_path_factory.mktemp("gw")) as running:
        running.add_client(
            "tool", "--grant", "client_credentials", "--scope", "files:read files:write"
        )
        yield running


@pytest.fixture
def run_curl(curl, gateway):
    """Runs curl with a token of these scopes, and gives status and body."""

    def run(path, *options, scope="files:read files:write", stdin=None):
        command = [
            curl,
            "--silent",
            "--show-error",
            "--oauth2-bearer",
            gateway.issue_token("tool", scope),
        ]
        command += ["--write-out", "\n%{http_code}", *options, gateway.url + path]
        done = subprocess.run(command, capture_output=True, check=True, input=stdin, timeout=60)
        body, _, status = done.stdout.rpartition(b"\n")
        return int(status), body

    return run


def test_curl_uploads_a_large_file_by_webdav_and_gets_it_back(run_curl, apache, tmp_path) -> None:
    """By `curl -T`, which asks with Expect first, and once more in chunks from a pipe."""
    content = secrets.token_bytes(20 * MIB)
    source = tmp_path / "source"
    source.write_bytes(content)
    status, _ = run_curl("/files/large.bin", "-T", str(source))
    assert status == 201
    assert (apache.files / "large.bin").read_bytes() == content
    status, _ = run_curl("/files/piped.bin", "-T", "-", stdin=content)
    assert status == 201
    assert (apache.files / "piped.bin").read_bytes() == content
    status, body = run_curl("/files/large.bin")
    assert (status, body == content) == (200, True)


def test_webdav_methods_work_through_the_guard(run_curl, gateway, apache) -> None:
    """Folders are made, listed, copied, moved and removed.

    Destination may name https, as where TLS ends before the gateway, or the path alone.
    """
    assert run_curl("/files/folder", "-X", "MKCOL")[0] == 201
    assert run_curl("/files/folder/a.txt", "-T", "-", stdin=b"text")[0] == 201
    status, listing = run_curl("/files/folder", "-X", "PROPFIND", "-H", "Depth: 1")
    assert status == 207
    assert b"/files/folder/a.txt" in listing
    copy = f"Destination: {gateway.url.replace('http://', 'https://')}/files/b.txt"
    assert run_curl("/files/folder/a.txt", "-X", "COPY", "-H", copy)[0] == 201
    move = "Destination: /files/c.txt"
    assert run_curl("/files/b.txt", "-X", "MOVE", "-H", move)[0] == 201
    assert (apache.files / "c.txt").read_bytes() == b"text"
    assert not (apache.files / "b.txt").exists()
    assert run_curl("/files/folder", "-X", "DELETE")[0] == 204
    assert not (apache.files / "folder").exists()


def test_a_range_of_a_file_is_given(run_curl, apache) -> None:
    (apache.files / "digits").write_bytes(b"0123456789")
    assert run_curl("/files/digits", "--range", "3-5") == (206, b"345")


def test_reading_does_not_open_writing(run_curl, apache) -> None:
    """A token for reading lists, and is refused at PUT before a byte of the body was asked for."""
    assert run_curl("/files/", "-X", "PROPFIND", "-H", "Depth: 1", scope="files:read")[0] == 207
    status, body = run_curl("/files/forbidden", "-T", "-", scope="files:read", stdin=b"x" * MIB)
    assert (status, b"insufficient_scope" in body) == (403, True)
    assert not (apache.files / "forbidden").exists()


def test_git_pushes_and_clones_a_repository_of_50_mib(git, gateway, tmp_path) -> None:
    """The push goes in chunks, since it is larger than what git holds back to know its length."""
    environment = {
        **os.environ,
        "HOME": str(tmp_path),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_AUTHOR_NAME": "Ann",
        "GIT_AUTHOR_EMAIL": "ann@example.com",
        "GIT_COMMITTER_NAME": "Ann",
        "GIT_COMMITTER_EMAIL": "ann@example.com",
    }
    header = f"http.extraHeader=Authorization: Bearer {gateway.issue_token('tool', 'files:write')}"
    url = f"{gateway.url}/git/big.git"

    def run(*words: str | Path, folder: Path, succeeds: bool = True) -> str:
        done = subprocess.run(
            [git, *words],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        assert (done.returncode == 0) is succeeds, done.stderr
        return done.stdout + done.stderr

    ours = tmp_path / "ours"
    ours.mkdir()
    run("init", "--quiet", "--initial-branch", "main", folder=ours)
    for name in PACKING:
        run("config", name, "0", folder=ours)
    for index in range(5):
        (ours / f"{index}.bin").write_bytes(secrets.token_bytes(REPOSITORY_BYTES // 5))
    run("add", "--all", folder=ours)
    run("commit", "--quiet", "--message", "All of it", folder=ours)
    refused = run("push", "--quiet", url, "main", folder=ours, succeeds=False)
    assert "401" in refused or "could not read Username" in refused
    run("-c", header, "push", "--quiet", url, "main", folder=ours)
    run("-c", header, "clone", "--quiet", "--branch", "main", url, "theirs", folder=tmp_path)
    for index in range(5):
        name = f"{index}.bin"
        assert _digest(tmp_path / "theirs" / name) == _digest(ours / name)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
