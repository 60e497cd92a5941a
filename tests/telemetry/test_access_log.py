"""The access log: whole lines, and never more than a line should say."""

import asyncio
import errno
import fcntl
import json
import os
import re
import socket
import threading
import time
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.rejection import Reason
from gateway.telemetry import access_log
from gateway.telemetry.access_log import (
    AccessLog,
    LogEntry,
    format_json,
    format_text,
    never_blocking,
    outcome,
)

ENDED_AT = 1_767_323_045.678
STAMP = "2026-01-02T03:04:05.678Z"


def entry(**members) -> LogEntry:
    values = {
        "request_id": "0123456789abcdef01234567",
        "peer": "192.0.2.1",
        "method": "GET",
        "host": "api.example",
        "path": "/orders/7",
        "route": "read-orders",
        "status": 200,
        "reason": None,
        "detail": "",
        "client_id": "app",
        "subject": None,
        "upstream": "orders",
        "server": "10.0.0.1:8000",
        "duration": 0.0123456,
        "upstream_duration": 0.01,
        "bytes_received": 3,
        "bytes_sent": 99,
    }
    return LogEntry(**(values | members))


# What breaks lines, escapes terminals, ends strings or reverses what a person reads.
HOSTILE = [
    "\n", "\r\n", '"', '","outcome":"allowed', "\\", '\\"', "\x00", "\x1b[2J", "\x1b]0;x\x07",
    "\x7f", "\x85", "\x9b1m", "\u2028", "\u2029", "\u202e", "\ufeff", "\ud800", "\udcff", "é",
    "\U0001f600", "%0a", "%s", "{}", "</script>", "\u200b",
]  # fmt: skip
FIELDS = ["path", "host", "method", "peer", "detail", "client_id", "subject"]
hostile_text = st.text(max_size=8) | st.lists(st.sampled_from(HOSTILE), max_size=4).map("".join)
hostile_entries = st.fixed_dictionaries(dict.fromkeys(FIELDS, hostile_text)).map(
    lambda members: entry(reason=Reason.MALFORMED_REQUEST, **members)
)


@given(hostile_entries)
def test_a_line_of_json_is_one_line_and_says_what_it_was_told(given_entry):
    """Whatever a client sent: ASCII, no control character, and read back as it was."""
    line = format_json(STAMP, given_entry)
    assert line.isascii()
    assert line.endswith("}\n")
    assert line[:-1].isprintable()
    read = json.loads(line)
    for name in FIELDS:
        if getattr(given_entry, name) or name != "detail":
            # Two lone surrogates side by side are one character to whoever reads JSON.
            assert read[name] == json.loads(json.dumps(getattr(given_entry, name)))
    assert (read["outcome"], read["reason"]) == ("refused", "malformed_request")


@given(hostile_entries)
def test_a_line_for_a_person_is_one_line_that_no_terminal_obeys(given_entry):
    """Neither cursor nor colour nor the direction of writing is a stranger's to change."""
    line = format_text(STAMP, given_entry)
    assert line.endswith("\n")
    assert line[:-1].isprintable()
    line.encode("utf-8", "strict")


def test_a_line_of_json_has_these_members():
    """Written out: whoever reads the log relies on the names."""
    assert json.loads(format_json(STAMP, entry(subject="5e1f"))) == {
        "time": STAMP,
        "request_id": "0123456789abcdef01234567",
        "peer": "192.0.2.1",
        "method": "GET",
        "host": "api.example",
        "path": "/orders/7",
        "route": "read-orders",
        "outcome": "allowed",
        "status": 200,
        "duration_ms": 12.346,
        "bytes_received": 3,
        "bytes_sent": 99,
        "client_id": "app",
        "subject": "5e1f",
        "upstream": "orders",
        "upstream_ms": 10.0,
        "server": "10.0.0.1:8000",
    }


def test_members_that_say_nothing_are_left_out():
    line = format_json(
        STAMP,
        entry(
            client_id=None,
            upstream=None,
            server=None,
            reason=Reason.MISSING_TOKEN,
            status=401,
            route="-",
        ),
    )
    assert json.loads(line).keys() == {
        "time", "request_id", "peer", "method", "host", "path", "route", "outcome", "status",
        "duration_ms", "bytes_received", "bytes_sent", "reason",
    }  # fmt: skip


def test_an_entry_has_no_room_for_a_token_or_a_query():
    """What is not told cannot be written: these fields are all there are."""
    assert set(LogEntry.__slots__) == {
        "request_id", "peer", "method", "host", "path", "route", "status", "reason", "detail",
        "client_id", "subject", "upstream", "server", "duration", "upstream_duration",
        "bytes_received", "bytes_sent", "is_refused",
    }  # fmt: skip


def test_a_line_for_a_person_reads_from_left_to_right():
    refused = entry(status=403, reason=Reason.CLAIM_MISMATCH, detail="claim 'a' does not hold")
    assert format_text(STAMP, refused) == (
        "03:04:05.678 403 GET     api.example/orders/7 read-orders claim_mismatch "
        "(claim 'a' does not hold) 12.3ms app 0123456789abcdef01234567\n"
    )


@pytest.mark.parametrize(
    ("status", "reason", "word"),
    [
        (200, None, "allowed"),
        (500, None, "allowed"),
        (401, Reason.INACTIVE_TOKEN, "refused"),
        (503, Reason.AUTHORIZATION_SERVER_UNAVAILABLE, "refused"),
        (502, Reason.UPSTREAM_UNAVAILABLE, "failed"),
        (504, Reason.UPSTREAM_TIMEOUT, "failed"),
        (500, Reason.INTERNAL_ERROR, "failed"),
        (499, None, "gone"),
        (499, Reason.UPSTREAM_TIMEOUT, "gone"),
    ],
)
def test_the_outcome_is_one_word(status, reason, word):
    assert outcome(entry(status=status, reason=reason)) == word


@pytest.mark.parametrize(
    ("which", "allowed", "refused"),
    [("all", True, True), ("refusals", False, True), ("none", False, False)],
)
def test_what_is_logged_is_what_was_asked_for(which, allowed, refused):
    log = AccessLog(1, "json", which)
    assert log.wants(is_refused=False) is allowed
    assert log.wants(is_refused=True) is refused


def test_the_stamp_is_the_end_of_the_request():
    """Also within a second, over its end, and back."""
    now = 1_767_323_045.0
    log = AccessLog(1, "json", "all")
    stamps = [log._timestamp(moment) for moment in (now + 0.125, now + 0.999_9, now + 1, now)]
    assert [stamp[17:] for stamp in stamps] == ["05.125Z", "05.999Z", "06.000Z", "05.000Z"]
    assert {stamp[:17] for stamp in stamps} == {"2026-01-02T03:04:"}


# --- Where the lines go ---


@contextmanager
def pipe(*, is_blocking=True):
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, is_blocking)
    try:
        yield reader, writer
    finally:
        os.close(reader)
        if writer is not None:
            os.close(writer)


def read_all(reader) -> bytes:
    data = b""
    try:
        while piece := os.read(reader, 1 << 20):
            data += piece
    except BlockingIOError:
        pass
    return data


def ids(data: bytes) -> list[str]:
    """Gives the request ids of the lines; fails on anything that is no whole line of JSON."""
    assert not data or data.endswith(b"\n")
    return [json.loads(line)["request_id"] for line in data.splitlines()]


class Descriptor:
    """Takes some bytes, then fails as it is told to."""

    def __init__(self, monkeypatch):
        self.taken = b""
        self.script = []
        monkeypatch.setattr(access_log, "os", SimpleNamespace(write=self.write))

    def write(self, _, data):
        step = self.script.pop(0) if self.script else len(data)
        if isinstance(step, int):
            self.taken += data[:step]
            return min(step, len(data))
        raise step


async def test_lines_are_written_together_a_moment_later():
    """Nothing at once, all of it after a quarter of a second, in their order."""
    with pipe() as (reader, writer):
        log = AccessLog(writer, "json", "all")
        for number in range(10):
            log.write(entry(request_id=str(number)), ENDED_AT)
        assert read_all(reader) == b""
        loop = asyncio.get_running_loop()
        written = loop.create_future()
        loop.add_reader(reader, lambda: written.done() or written.set_result(loop.time()))
        started = loop.time()
        assert 0.2 < await written - started < 2
        loop.remove_reader(reader)
        assert ids(read_all(reader)) == [str(number) for number in range(10)]


async def test_many_lines_are_written_before_that(monkeypatch):
    """As soon as there are 64 KiB of them."""
    descriptor = Descriptor(monkeypatch)
    log = AccessLog(1, "json", "all")
    size = len(format_json(STAMP, entry()))
    for _ in range(64 * 1024 // size):
        log.write(entry(), ENDED_AT)
        assert descriptor.taken == b""
    log.write(entry(), ENDED_AT)
    assert len(ids(descriptor.taken)) == 64 * 1024 // size + 1


async def test_flush_writes_what_is_left_and_then_nothing():
    """As when the gateway stops."""
    with pipe() as (reader, writer):
        log = AccessLog(writer, "text", "all")
        log.write(entry(), ENDED_AT)
        log.flush()
        assert read_all(reader).count(b"\n") == 1
        log.flush()
        assert read_all(reader) == b""


@pytest.mark.parametrize("reason", ["closed pipe", "closed descriptor", "full disk"])
async def test_trouble_with_the_log_loses_lines_and_raises_nothing(reason):
    with pipe() as (reader, writer):
        full = os.open("/dev/full", os.O_WRONLY)
        descriptor = {"closed pipe": writer, "closed descriptor": 10_000, "full disk": full}[reason]
        log = AccessLog(descriptor, "json", "all")
        if reason == "closed pipe":
            # The reading end goes; the fixture has something to close in its place.
            os.dup2(full, reader)
        for _ in range(1000):
            log.write(entry(), ENDED_AT)
        log.flush()
        assert log._unsent == b""
        assert not log._lines
        os.close(full)


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EPIPE, errno.EIO, errno.EAGAIN])
async def test_a_line_that_was_begun_is_ended_before_the_next(monkeypatch, error):
    """A disk that fills up amid a line, and is emptied later, holds no torn line."""
    descriptor = Descriptor(monkeypatch)
    log = AccessLog(1, "json", "all")
    descriptor.script = [50, OSError(error, "full"), OSError(error, "full")]
    for number in range(3):
        log.write(entry(request_id=f"a{number}"), ENDED_AT)
    log.flush()
    assert len(descriptor.taken) == 50
    log.flush()
    log.write(entry(request_id="b"), ENDED_AT)
    log.flush()
    found = ids(descriptor.taken)
    assert (found[0], found[-1]) == ("a0", "b")
    assert found == (["a0", "a1", "a2", "b"] if error == errno.EAGAIN else ["a0", "b"])


async def test_a_write_that_ends_between_two_lines_tears_none(monkeypatch):
    descriptor = Descriptor(monkeypatch)
    log = AccessLog(1, "json", "all")
    log.write(entry(request_id="a0"), ENDED_AT)
    log.write(entry(request_id="a1"), ENDED_AT)
    descriptor.script = [len(log._lines[0]), OSError(errno.ENOSPC, "full")]
    log.flush()
    log.write(entry(request_id="b"), ENDED_AT)
    log.flush()
    assert ids(descriptor.taken) == ["a0", "b"]


async def test_a_slow_reader_gets_its_lines_later():
    """A full non-blocking pipe delays lines; it neither blocks, nor loses or tears any."""
    with pipe(is_blocking=False) as (reader, writer):
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
        log = AccessLog(writer, "json", "all")
        started = time.monotonic()
        for number in range(200):
            log.write(entry(request_id=str(number)), ENDED_AT)
        log.flush()
        assert time.monotonic() - started < 0.2
        loop, data = asyncio.get_running_loop(), bytearray()
        done = loop.create_future()

        def read():
            data.extend(os.read(reader, 65536))
            log.flush()
            if data.count(b"\n") == 200:
                done.set_result(None)

        loop.add_reader(reader, read)
        await asyncio.wait_for(done, 5)
        loop.remove_reader(reader)
        assert ids(bytes(data)) == [str(number) for number in range(200)]


async def test_a_slow_reader_is_tried_again_without_a_new_line():
    """The timer goes on until all is out."""
    with pipe(is_blocking=False) as (reader, writer):
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
        log = AccessLog(writer, "json", "all")
        for number in range(20):
            log.write(entry(request_id=str(number)), ENDED_AT)
        log.flush()
        data = read_all(reader)
        assert 0 < data.count(b"\n") < 20
        loop = asyncio.get_running_loop()
        written = loop.create_future()
        loop.add_reader(reader, lambda: written.done() or written.set_result(None))
        await asyncio.wait_for(written, 5)
        loop.remove_reader(reader)
        assert ids(data + read_all(reader)) == [str(number) for number in range(20)]


async def test_a_reader_that_never_reads_takes_bounded_memory(monkeypatch):
    """A mebibyte of lines is kept; the later ones are lost whole."""
    descriptor = Descriptor(monkeypatch)
    descriptor.script = [BlockingIOError()] * 10_000
    log = AccessLog(1, "json", "all")
    long_path = "/" + "x" * 10_000
    for number in range(300):
        log.write(entry(request_id=str(number), path=long_path), ENDED_AT)
    log.flush()
    assert 900_000 < len(log._unsent) <= 1024 * 1024
    descriptor.script = []
    log.flush()
    found = ids(descriptor.taken)
    assert found == [str(number) for number in range(len(found))]


def test_what_cannot_be_written_at_the_very_end_raises_nothing():
    """When there is no loop any more that could try again."""
    with pipe(is_blocking=False) as (reader, writer):
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)

        async def fill():
            log = AccessLog(writer, "json", "all")
            for _ in range(100):
                log.write(entry(), ENDED_AT)
            return log

        log = asyncio.run(fill())
        log.flush()
        assert re.match(rb'\{"time"', read_all(reader))


def test_a_pipe_that_nobody_reads_does_not_hang_the_writer():
    """Whoever shares the pipe keeps the mode that it opened it with."""
    with pipe() as (reader, writer), never_blocking(writer) as own:
        log = AccessLog(own, "json", "all")
        for number in range(5000):
            log._lines.append(f"{number}\n" * 100)
        log.flush()
        assert os.get_blocking(writer)
        assert not os.get_blocking(own)
        assert read_all(reader).startswith(b"0\n")


def test_a_file_is_written_to_as_it_was_opened(tmp_path):
    with (tmp_path / "log").open("wb") as file, never_blocking(file.fileno()) as own:
        assert own == file.fileno()


def write_from_several(descriptor: int, writers: int, lines: int) -> list[threading.Thread]:
    """Starts writers of one descriptor, each as if in a process of its own."""

    async def write(number: int) -> None:
        log = AccessLog(descriptor, "json", "all", is_shared=True)
        for line in range(lines):
            path = f"/{number}/" + "x" * (line * 97 % 6000)
            log.write(entry(path=path, host=str(number)), ENDED_AT)
            if line % 20 == 0:
                log.flush()
        while log._lines or log._unsent:
            log.flush()
            await asyncio.sleep(0.001)

    threads = [
        threading.Thread(target=lambda number=number: asyncio.run(write(number)))
        for number in range(writers)
    ]
    for thread in threads:
        thread.start()
    return threads


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_lines_of_several_writers_do_not_mix(kind):
    """Nor where the reader is slow, so that the system takes only a part of what is written."""
    if kind == "pipe":
        read, write = os.pipe()
        fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 8192)
        sockets = ()
    else:
        sockets = socket.socketpair()
        read, write = (sock.fileno() for sock in sockets)
    received = b""
    with never_blocking(write) as descriptor:
        threads = write_from_several(descriptor, 3, 200)
        while received.count(b"\n") < 600:
            received += os.read(read, 1500)
        for thread in threads:
            thread.join()
    for sock in sockets:
        sock.close()
    if not sockets:
        os.close(read)
        os.close(write)
    hosts = [json.loads(line)["host"] for line in received.splitlines()]
    assert {host: hosts.count(host) for host in hosts} == {"0": 200, "1": 200, "2": 200}
    assert max(map(len, received.splitlines(keepends=True))) <= 4096


@given(
    st.sampled_from(FIELDS[:2] + FIELDS[4:]),
    st.integers(1000, 20_000),
    st.sampled_from(["x", "é", "\x00", "\U0001f600", "\ud800"]),
    st.sampled_from(["json", "text"]),
)
def test_a_line_that_several_writers_could_not_write_at_once_is_shortened(
    field, length, letter, form
):
    """It says the same otherwise, and is one line."""
    read, write = os.pipe()
    try:
        log = AccessLog(write, form, "all", is_shared=True)
        asyncio.run(_write_one(log, entry(**{field: letter * length})))
        line = os.read(read, 100_000)
    finally:
        os.close(read)
        os.close(write)
    assert len(line) <= 4096
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    if form == "json":
        found = json.loads(line)
        assert (found["route"], found["status"]) == ("read-orders", 200)
        if field in found:  # `detail` stands beside a reason only
            assert found[field] == letter * length or found[field].endswith("…")


async def _write_one(log, one):
    log.write(one, ENDED_AT)
    log.flush()
