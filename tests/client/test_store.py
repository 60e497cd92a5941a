"""The file of credentials: who may read it, how it changes, who waits for whom."""

import asyncio
import json
import os
import stat
import subprocess
import sys

import pytest

from gateway.client import store as module
from gateway.client.errors import ClientError
from gateway.client.store import CredentialStore, default_folder
from tests.client.conftest import account


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def loose_umask():
    old = os.umask(0)
    yield
    os.umask(old)


def test_what_was_put_is_there_the_one_used_last_first(store):
    store.put(account("https://a.example"))
    store.put(account("https://b.example", origins=("https://api.example",)))
    store.put(account("https://a.example", access_token="AT2"))
    first, second = CredentialStore(store.path.parent).read()
    assert (first.issuer, first.access_token) == ("https://a.example", "AT2")
    assert (second.issuer, second.origins) == ("https://b.example", ("https://api.example",))


def test_folder_and_file_are_for_their_owner_alone_under_any_umask(store, loose_umask):
    store.put(account("https://a.example"))
    assert (mode(store.path.parent), mode(store.path)) == (0o700, 0o600)


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o620])
def test_a_file_that_others_can_open_is_refused_with_the_mend(store, bits):
    store.put(account("https://a.example"))
    store.path.chmod(bits)
    with pytest.raises(ClientError, match=f"chmod 600 {store.path}"):
        store.read()


def test_a_folder_that_others_can_open_is_refused_with_the_mend(store):
    store.put(account("https://a.example"))
    store.path.parent.chmod(0o750)
    with pytest.raises(ClientError, match=f"chmod 700 {store.path.parent}"):
        store.read()


def test_a_file_of_somebody_else_is_refused(store, monkeypatch):
    store.put(account("https://a.example"))
    monkeypatch.setattr(module.os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(ClientError, match="belongs to another user"):
        store.read()


def test_a_link_in_its_place_is_not_followed(store, tmp_path):
    store.put(account("https://a.example"))
    store.path.rename(tmp_path / "elsewhere")
    store.path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ClientError, match="cannot be used"):
        store.read()


@pytest.mark.parametrize("content", ["", "[]", "{", '{"version": 2, "accounts": []}', "\udcff"])
def test_a_file_that_makes_no_sense_is_one_clear_line(store, content):
    store.put(account("https://a.example"))
    store.path.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(ClientError, match="remove it, and sign in again"):
        store.read()


def test_a_write_that_breaks_off_leaves_the_old_file_whole(store, monkeypatch):
    store.put(account("https://a.example"))

    def fail(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "fsync", fail)
    with pytest.raises(ClientError, match="No space left"):
        store.put(account("https://a.example", access_token="AT2"))
    assert store.read()[0].access_token == "AT1"
    assert sorted(path.name for path in store.path.parent.iterdir()) == ["credentials.json"]


async def test_whoever_holds_the_lock_keeps_another_process_out(store):
    """Another process waits; when the lock is free it goes on."""
    program = (
        "import asyncio, pathlib, sys\n"
        "from gateway.client.store import CredentialStore\n"
        "async def main():\n"
        "    print('up', flush=True)\n"
        "    async with CredentialStore(pathlib.Path(sys.argv[1])).lock():\n"
        "        print('in', flush=True)\n"
        "asyncio.run(main())\n"
    )
    async with store.lock():
        other = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", program, str(store.path.parent)), stdout=subprocess.PIPE
        )
        assert await other.stdout.readline() == b"up\n"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(other.stdout.readline(), 0.3)
    assert await asyncio.wait_for(other.stdout.readline(), 10) == b"in\n"
    assert await other.wait() == 0


async def test_a_lock_that_is_never_given_back_is_an_error_in_the_end(store):
    async with store.lock():
        with pytest.raises(ClientError, match="another gateway command"):
            async with store.lock(0.1):
                pass


def test_neither_tokens_nor_secrets_stand_in_a_repr():
    text = repr(account("https://a.example", client_secret="CS1"))
    assert not any(secret in text for secret in ("AT1", "RT1", "CS1"))


def test_the_folder_is_where_xdg_says(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_folder({"XDG_STATE_HOME": "/var/x"}).as_posix() == "/var/x/gateway"
    assert default_folder({"XDG_STATE_HOME": "x"}) == tmp_path / ".local/state/gateway"


def test_the_file_has_no_member_that_reading_does_not_know(store):
    store.put(account("https://a.example"))
    content = json.loads(store.path.read_text())
    content["accounts"][0]["more"] = 1
    store.path.write_text(json.dumps(content))
    with pytest.raises(ClientError):
        store.read()
