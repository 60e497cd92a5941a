"""The feed of revocations, over real sockets and between real processes."""

import asyncio
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
import uvloop

from gateway.introspection.cache import IntrospectionCache, cache_key
from gateway.introspection.revocations import RevocationListener, publish
from gateway.policy.interfaces import Revocation, RevocationNotAcknowledged
from gateway.policy.tokenformat import token_hash
from tests.introspection.conftest import ISSUER, token

TOKEN = Revocation("local", "token", token_hash("t").hex())
CLIENT = Revocation("local", "client", 'app "é\n')
GRANT = Revocation.of_grant("local", "alice", "app")
PERSON = Revocation("local", "person", "alice")


class Sink:
    """Takes note of what it is told to forget."""

    def __init__(self):
        self.heard = []
        self.counted = []

    def revoke(self, revocation):
        self.heard.append(revocation)


def listener(state_dir, sink):
    return RevocationListener(state_dir, sink, sink.counted.append)


@pytest.fixture
def state_dir(tmp_path):
    return tmp_path / "state"


def sockets(state_dir) -> list[Path]:
    return sorted((state_dir / "workers").glob("*.sock"))


@pytest.fixture
def peers(state_dir):
    """Makes sockets of workers that are none of ours: bound and perhaps never listening."""
    (state_dir / "workers").mkdir(parents=True)
    with ExitStack() as stack:

        def make(name, *, listens=True):
            sock = stack.enter_context(closing(socket.socket(socket.AF_UNIX)))
            sock.bind(str(state_dir / "workers" / name))
            if listens:
                sock.listen()
            return sock

        yield make


async def test_every_worker_hears_and_acknowledges(state_dir):
    """Its sink has been told when the publisher goes on."""
    sinks = [Sink() for _ in range(3)]
    async with listener(state_dir, sinks[0]), listener(state_dir, sinks[1]):
        async with listener(state_dir, sinks[2]):
            assert await publish(state_dir, TOKEN, source="command") == 3
            assert await publish(state_dir, CLIENT, source="endpoint") == 3
            assert await publish(state_dir, GRANT, source="page") == 3
        assert await publish(state_dir, PERSON, source="reuse") == 2
    heard = [TOKEN, CLIENT, GRANT]
    assert [sink.heard for sink in sinks] == [[*heard, PERSON], [*heard, PERSON], heard]
    assert sinks[0].counted == ["command", "endpoint", "page", "reuse"]
    assert await publish(state_dir, TOKEN, source="command") == 0


async def test_a_cache_has_forgotten_when_publish_returns(state_dir):
    """The invariant: no request that starts later passes by what was revoked."""
    cache = IntrospectionCache(max_lifetime=60, negative_lifetime=5, max_entries=10)
    keys = [cache_key(b"local...", text) for text in ("t", "u")]
    for key in keys:
        cache.land(cache.depart(key), token("app"))
    async with RevocationListener(state_dir, cache, lambda _: None):
        await publish(state_dir, TOKEN, source="command")
        assert cache.get(keys[0]).verdict.reason == "revoked_token"
        await publish(state_dir, Revocation(ISSUER, "client", "app"), source="command")
        assert cache.get(keys[1]) is None


def test_it_works_on_the_loop_that_production_runs_on(state_dir):
    """It has sockets of its own making."""

    async def talk():
        sink = Sink()
        async with listener(state_dir, sink):
            assert await publish(state_dir, TOKEN, source="command") == 1
        assert sockets(state_dir) == []
        return sink.heard

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(talk()) == [TOKEN]


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o177])
async def test_nobody_else_may_speak_to_a_worker(state_dir, umask):
    """Folders 0700 and the socket 0600, whatever the umask was, which stays as it was."""
    previous = os.umask(umask)
    try:
        async with listener(state_dir, Sink()):
            assert os.umask(umask) == umask
            [path] = sockets(state_dir)
            modes = [stat.S_IMODE(one.stat().st_mode) for one in (path, path.parent, state_dir)]
    finally:
        os.umask(previous)
    assert modes[:2] == [0o600, 0o700]
    assert modes[2] & 0o077 == 0


async def test_a_folder_that_was_open_to_others_is_closed(state_dir):
    (state_dir / "workers").mkdir(parents=True)
    (state_dir / "workers").chmod(0o777)
    async with listener(state_dir, Sink()):
        assert stat.S_IMODE((state_dir / "workers").stat().st_mode) == 0o700


async def test_a_path_that_is_too_long_says_what_to_do(tmp_path):
    state_dir = tmp_path / ("x" * 100)
    with pytest.raises(OSError, match=r"state_dir makes the socket's path too long .*shorter"):
        async with listener(state_dir, Sink()):
            pass


async def test_without_a_folder_there_is_nobody_to_tell(state_dir):
    """And none is made: it would belong to whoever runs the command, not to the gateway."""
    assert await publish(state_dir, TOKEN, source="command") == 0
    assert not state_dir.exists()


async def test_what_a_crashed_worker_left_is_removed_and_is_no_worker(state_dir, peers):
    """By who publishes."""
    peers("4711.sock", listens=False).close()
    peers("4712-00ff00ff.sock", listens=False).close()
    sink = Sink()
    async with listener(state_dir, sink):
        peers("4713.sock", listens=False).close()
        assert await publish(state_dir, TOKEN, source="command") == 1
        assert len(sockets(state_dir)) == 1


async def test_a_starting_worker_removes_what_crashed_ones_left(state_dir, peers):
    """And only that: a socket that is listened at stays, though nobody answers there."""
    peers("4711.sock", listens=False).close()
    peers("4712.sock")
    (state_dir / "workers" / "4713.sock").write_text("no socket")
    async with listener(state_dir, Sink()):
        names = {path.name for path in sockets(state_dir)} - {"4712.sock", "4713.sock"}
        assert len(names) == 1
        assert names.pop().startswith(f"{os.getpid()}-")


async def test_what_is_no_workers_socket_is_left_alone(state_dir, peers):
    """Files, links and sockets of other names are neither asked nor removed."""
    peers("other.sock", listens=False)
    folder = state_dir / "workers"
    (folder / "1.sock").write_text("")
    (folder / "2.sock").symlink_to(folder / "other.sock")
    (folder / "3.sock").mkdir()
    assert await publish(state_dir, TOKEN, source="command") == 0
    assert {path.name for path in folder.iterdir()} == {"other.sock", "1.sock", "2.sock", "3.sock"}


async def test_a_starting_worker_is_never_taken_for_a_dead_one(state_dir, monkeypatch):
    """Until it listens it has no name to be found by: who publishes meanwhile removes nothing."""
    in_between = []

    def publish_first(sock, *arguments):
        monkeypatch.undo()

        def run():
            in_between.append(asyncio.run(publish(state_dir, TOKEN, source="command")))

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        sock.listen(*arguments)

    monkeypatch.setattr(socket.socket, "listen", publish_first)
    sink = Sink()
    async with listener(state_dir, sink):
        assert in_between == [0]
        assert await publish(state_dir, CLIENT, source="command") == 1
    assert sink.heard == [CLIENT]


async def test_two_workers_of_one_process_id_both_hear(state_dir):
    """As in two containers on one volume: neither takes the other's place."""
    one, two = Sink(), Sink()
    async with listener(state_dir, one), listener(state_dir, two):
        assert await publish(state_dir, TOKEN, source="command") == 2
    assert one.heard == two.heard == [TOKEN]


async def test_a_worker_that_stops_while_it_is_told_is_none(state_dir, monkeypatch):
    """Between looking and telling its socket goes: that is a worker less, no failure."""
    async with listener(state_dir, Sink()), listener(state_dir, Sink()):
        gone, _ = sockets(state_dir)
        real = Path.lstat

        def lstat(path):
            if path == gone:
                raise FileNotFoundError(path)
            return real(path)

        monkeypatch.setattr(Path, "lstat", lstat)
        assert await publish(state_dir, TOKEN, source="command") == 1


WORKER = """
import asyncio, sys
from pathlib import Path
from gateway.introspection.cache import IntrospectionCache
from gateway.introspection.revocations import RevocationListener

async def main():
    cache = IntrospectionCache(max_lifetime=60, negative_lifetime=5, max_entries=10)
    async with RevocationListener(Path(sys.argv[1]), cache, lambda _: None):
        print("listening", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture
def worker(state_dir):
    """A worker in a process of its own, that listens."""
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", WORKER, state_dir], stdout=subprocess.PIPE, cwd=root
    ) as process:
        assert process.stdout.readline() == b"listening\n"
        try:
            yield process
        finally:
            process.kill()


async def test_a_stopped_worker_is_a_failure_within_the_time(state_dir, worker):
    """It still has its answers, and may go on with them: nobody is told that it forgot."""
    sink = Sink()
    async with listener(state_dir, sink):
        assert await publish(state_dir, TOKEN, source="command") == 2
        worker.send_signal(signal.SIGSTOP)
        started = time.monotonic()
        with pytest.raises(RevocationNotAcknowledged) as caught:
            await publish(state_dir, CLIENT, source="command", timeout=0.3)
        assert time.monotonic() - started < 1
        assert caught.value.workers == (worker.pid,)
        assert sink.heard == [TOKEN, CLIENT], "the others have heard all the same"
        worker.send_signal(signal.SIGCONT)
        assert await publish(state_dir, TOKEN, source="command") == 2


async def test_a_killed_worker_is_none(state_dir, worker):
    """Its answers died with it."""
    worker.kill()
    worker.wait()
    assert len(sockets(state_dir)) == 1
    assert await publish(state_dir, TOKEN, source="command") == 0
    assert sockets(state_dir) == []


async def test_a_worker_whose_queue_is_full_is_a_failure(state_dir, peers):
    """A stopped worker that cannot even be connected to any more is no dead one."""
    stuck = peers("4711.sock", listens=False)
    stuck.listen(0)
    with ExitStack() as stack:
        for _ in range(3):
            sock = stack.enter_context(closing(socket.socket(socket.AF_UNIX)))
            sock.setblocking(False)
            sock.connect_ex(str(state_dir / "workers" / "4711.sock"))
        with pytest.raises(RevocationNotAcknowledged) as caught:
            await publish(state_dir, TOKEN, source="command", timeout=0.2)
    assert caught.value.workers == (4711,)
    assert len(sockets(state_dir)) == 1


@pytest.mark.parametrize("answer", [b"", b"o", b"ok", b"no\n", b"OK\n", b" ok\n", b"x" * 100_000])
async def test_only_an_acknowledgement_is_one(state_dir, answer):
    """A worker that closes without answering, or says anything else, has not understood."""
    folder = state_dir / "workers"
    folder.mkdir(parents=True)

    async def serve(reader, writer):
        await reader.readline()
        writer.write(answer)
        writer.close()

    async with await asyncio.start_unix_server(serve, folder / "4711.sock"):
        with pytest.raises(RevocationNotAcknowledged) as caught:
            await publish(state_dir, TOKEN, source="command")
        assert caught.value.workers == (4711,)


async def say(state_dir, line: bytes) -> bytes:
    [path] = sockets(state_dir)
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        writer.write(line)
        writer.write_eof()
        return await reader.read()
    finally:
        writer.close()


def message(**members) -> bytes:
    known = {"issuer": "local", "kind": "client", "value": "app", "source": "command"}
    return json.dumps(known | members).encode() + b"\n"


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"nonsense\n",
        b"\xff\xfe\n",
        b"[]\n",
        b"null\n",
        b'"text"\n',
        b"{}\n",
        message(issuer=None),
        message(issuer=["local"]),
        message(kind=None),
        message(kind="tokens"),
        message(kind=["token"]),
        message(kind="token", value="app"),
        message(kind="token", value="ab"),
        message(kind="token", value=""),
        message(kind="token", value="0" * 63 + " "),
        message(kind="token", value="0" * 66),
        message(kind="person", value=""),
        message(kind="person", value="alice app"),
        message(kind="grant", value="alice"),
        message(kind="grant", value="alice "),
        message(kind="grant", value=" app"),
        message(kind="grant", value="alice app web"),
        message(kind="grant", value=["alice", "app"]),
        message(value=None),
        message(value=7),
        message(value=["app"]),
        message()[:-1],
        message()[:-2] + b"\n",
        message(value="x" * 5000),
        b"[" * 4000 + b"\n",
    ],
    ids=lambda line: line[:40],
)
async def test_what_is_not_understood_is_not_acknowledged(state_dir, line, caplog):
    """Whoever revokes must not believe that it was; and the worker goes on."""
    sink = Sink()
    async with listener(state_dir, sink):
        assert await say(state_dir, line) == b""
        assert sink.heard == []
        assert [record.msg for record in caplog.records] == [
            "a revocation could not be understood: %s"
        ]
        assert await publish(state_dir, TOKEN, source="command") == 1


@pytest.mark.parametrize("source", [None, 7, [], {}, "evil", 'x"} 1\n', "Command"])
async def test_no_message_makes_a_new_series(state_dir, source):
    """A revocation counts under the sources that are known, or as another, and holds."""
    sink = Sink()
    async with listener(state_dir, sink):
        assert await say(state_dir, message(source=source)) == b"ok\n"
    assert sink.heard == [Revocation("local", "client", "app")]
    assert sink.counted == ["other"]


async def test_one_that_only_looks_whether_a_worker_lives_is_no_error(state_dir, caplog):
    async with listener(state_dir, Sink()):
        assert await say(state_dir, b"") == b""
    assert caplog.text == ""


async def test_a_silent_peer_keeps_nobody_waiting(state_dir):
    """Connections are served side by side."""
    async with listener(state_dir, Sink()):
        [path] = sockets(state_dir)
        _, writer = await asyncio.open_unix_connection(path)
        assert await publish(state_dir, TOKEN, source="command", timeout=0.5) == 1
        writer.close()
        await writer.wait_closed()


async def test_a_worker_that_has_stopped_leaves_nothing(state_dir):
    async with listener(state_dir, Sink()):
        assert len(sockets(state_dir)) == 1
    assert list((state_dir / "workers").iterdir()) == []
