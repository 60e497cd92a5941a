"""A connection is always in somebody's hands, and never in two."""

import asyncio
import contextlib
import errno
import socket
from array import array
from collections import Counter

import pytest

from tests.workers.stand import Stand, until


def take(raw: socket.socket) -> tuple[list[int], list[int]]:
    """Takes a message as a worker would: the connections' numbers and descriptors."""
    message, descriptors, _, _ = socket.recv_fds(raw, 4096, 64)
    return list(array("Q", message[1:])), descriptors


async def test_connections_are_shared_evenly(stand: Stand) -> None:
    stand.open()
    for number in range(3):
        stand.add(number)
    clients = await stand.connect_many(30)
    served = Counter([await client.server() for client in clients])
    assert set(served.values()) == {10}


async def test_the_worker_with_the_fewest_open_connections_gets_the_next(stand: Stand) -> None:
    stand.open()
    stand.add(0)
    stand.add(1)
    clients = await stand.connect_many(10)
    names = [await client.server() for client in clients]
    for client, name in zip(clients, names, strict=True):
        if name == "worker 0":
            client.writer.close()
    await stand.handed_to(0, 0)
    assert {await client.server() for client in await stand.connect_many(5)} == {"worker 0"}


async def test_a_connection_arrives_with_all_that_its_client_has_sent(stand: Stand) -> None:
    stand.open()
    client = await stand.connect()
    client.writer.write(b"early")
    stand.add(0)
    assert await client.server() == "worker 0"
    assert await client.reader.readexactly(5) == b"early"


async def test_without_a_worker_connections_wait_in_the_kernel(stand: Stand) -> None:
    stand.open()
    clients = await stand.connect_many(5)
    assert stand.entrances[0].count == 0
    stand.add(0)
    assert {await client.server() for client in clients} == {"worker 0"}


async def test_what_a_dead_worker_did_not_take_another_serves_from_its_first_byte(
    stand: Stand,
) -> None:
    stand.open()
    raw = stand.add_raw(0)
    clients = await stand.connect_many(5)
    for client in clients:
        client.writer.write(b"early")
    await stand.handed_to(0, 5)
    stand.add(1)
    raw.close()
    for client in clients:
        assert await client.server() == "worker 1"
        assert await client.reader.readexactly(5) == b"early"
    assert stand.lost == [0]
    assert stand.entrances[0].count == 5


async def test_what_a_dead_worker_had_taken_nobody_serves_again(stand: Stand) -> None:
    """Though the system tells of its death before what it said last: it may have read a byte."""
    stand.open()
    raw = stand.add_raw(0)
    taken = await stand.connect()
    await stand.handed_to(0, 1)
    numbers, [descriptor] = take(raw)
    untaken = await stand.connect()
    await stand.handed_to(0, 2)
    stand.add(1)
    raw.send(b"T" + array("Q", numbers).tobytes())
    raw.close()  # with a message that it has not read: the other end gets an error first
    socket.close(descriptor)
    assert await untaken.server() == "worker 1"
    assert await taken.server() == ""
    assert stand.entrances[0].count == 1


async def test_a_worker_touches_nothing_before_it_could_say_so(stand: Stand) -> None:
    stand.open()
    reception = stand.add(0, is_taking=False)
    client = await stand.connect()
    client.writer.write(b"early")
    await stand.handed_to(0, 1)
    # Nobody reads at the other end until it takes no more.
    loop = asyncio.get_running_loop()
    loop.remove_reader(stand.passages[0]._sock)
    with contextlib.suppress(BlockingIOError):
        while True:
            stand.raw[0].send(b"G")
    reception.begin()
    await until(lambda: reception._unsent)
    assert not reception._tasks
    stand.add(1)
    loop.remove_reader(stand.raw[0])
    loop.remove_writer(stand.raw[0])
    del stand.receptions[0]  # it dies
    stand.raw[0].close()
    stand.passages[0]._read()
    assert await client.server() == "worker 1"
    assert await client.reader.readexactly(5) == b"early"


async def test_a_worker_that_takes_nothing_is_given_few_and_passed_over(stand: Stand) -> None:
    stand.open()
    stand.add_raw(0)
    stand.add(1)
    clients = await stand.connect_many(150)
    served = [asyncio.create_task(client.server()) for client in clients]
    await until(lambda: sum(task.done() for task in served) >= 150 - 64)
    assert stand.passages[0].count <= 64
    stand.raw[0].close()
    assert set(await asyncio.gather(*served)) == {"worker 1"}


async def test_a_worker_that_has_taken_nothing_for_a_while_is_passed_over(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.workers.passage._LATE_SECONDS", 0.0)
    stand.open()
    stand.add_raw(0)
    stand.add(1)
    clients = await stand.connect_many(10)
    await until(lambda: stand.passages[1].count == 9)
    assert stand.passages[0].count == 1
    stand.raw[0].close()
    assert {await client.server() for client in clients} == {"worker 1"}


async def test_when_no_worker_takes_any_the_kernel_keeps_the_rest(stand: Stand) -> None:
    stand.open()
    stand.add_raw(0)
    clients = await stand.connect_many(100)
    await stand.handed_to(0, 64)
    assert stand.entrances[0].count == 64
    stand.add(1)
    served = [asyncio.create_task(client.server()) for client in clients]
    await until(lambda: sum(task.done() for task in served) == 36)
    stand.raw[0].close()
    assert set(await asyncio.gather(*served)) == {"worker 1"}


@pytest.mark.parametrize("error", [BlockingIOError(), OSError(errno.ETOOMANYREFS, "too many")])
async def test_a_passage_that_is_full_loses_nothing(
    stand: Stand, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    stand.open()
    stand.add(0)
    send_fds, failures = socket.send_fds, [error, error]

    def fail_twice(*arguments: object) -> int:
        if failures:
            raise failures.pop()
        return send_fds(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "send_fds", fail_twice)
    clients = await stand.connect_many(3)
    assert {await client.server() for client in clients} == {"worker 0"}
    assert not failures
    assert stand.entrances[0].count == 3


async def test_connections_that_are_gone_are_told_and_counted_no_more(stand: Stand) -> None:
    stand.open()
    stand.add(0)
    clients = await stand.connect_many(4)
    for client in clients:
        await client.server()
        client.writer.close()
    await stand.handed_to(0, 0)
    assert stand.entrances[0].count == 0


async def test_a_connection_beyond_the_bound_is_closed_whoever_has_the_others(
    stand: Stand,
) -> None:
    """The bound holds for all workers together."""
    stand.open(total=4)
    stand.add(0)
    stand.add(1)
    clients = await stand.connect_many(4)
    assert {await client.server() for client in clients} == {"worker 0", "worker 1"}
    assert await (await stand.connect()).server() == ""
    clients[0].writer.close()
    await until(lambda: stand.entrances[0].count == 3)
    assert await (await stand.connect()).server() != ""


async def test_who_comes_one_after_the_other_is_never_too_many(stand: Stand) -> None:
    """A place is free when its connection is gone, not only when the worker has told so."""
    stand.open(total=2)
    stand.add(1)
    stand.add(2)
    for _ in range(50):
        client = await stand.connect()
        assert (await client.server()).startswith("worker")
        client.writer.transport.abort()


async def test_looking_again_holds_up_nobody_else(stand: Stand) -> None:
    """Others go past a crowd that waits for places, and at the end nobody of it is left open."""
    stand.open(1, 2, total=1)
    stand.add(1)
    stand.add(2)
    first = await stand.connect(0)
    assert await first.server() == "worker 1"
    crowd = [await stand.connect(0) for _ in range(300)]
    assert await (await stand.connect(1)).server() == "worker 2"
    assert [await client.server() for client in crowd] == [""] * 300
    assert await first.echo(b"still here") == b"still here"
    # Nor is there anything left of the crowd that would keep the next one from a second look.
    first.writer.transport.abort()
    assert await (await stand.connect(0)).server() == "worker 1"


async def test_the_places_of_a_dead_workers_connections_are_free_again(stand: Stand) -> None:
    stand.open(total=2)
    stand.add(0)
    for client in await stand.connect_many(2):
        await client.server()
    stand.receptions[0].close()
    await until(lambda: stand.entrances[0].count == 0)
    stand.add(1)
    assert await (await stand.connect()).server() == "worker 1"


async def test_a_listener_of_one_worker_waits_for_that_one(stand: Stand) -> None:
    stand.open(None, 0)
    stand.add(1)
    waiting = await stand.connect(1)
    assert await (await stand.connect(0)).server() == "worker 1"
    assert stand.entrances[1].count == 0
    stand.add(0)
    assert await waiting.server() == "worker 0"


async def test_connections_of_one_worker_that_died_hold_up_no_others(stand: Stand) -> None:
    stand.open(None, 0)
    raw = stand.add_raw(0)
    waiting = await stand.connect(1)
    await stand.handed_to(0, 1)
    for_all = await stand.connect(0)
    await stand.handed_to(0, 2)
    raw.close()
    await until(lambda: stand.lost)
    stand.add(1)
    assert await for_all.server() == "worker 1"
    stand.add(0)
    assert await waiting.server() == "worker 0"


async def test_want_of_descriptors_is_a_pause_and_no_end(
    stand: Stand, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("gateway.workers.doorman._PAUSE_SECONDS", 0.05)
    stand.open()
    sock = stand.listeners[0].sock

    class Exhausted:
        def fileno(self) -> int:
            return sock.fileno()

        def accept(self) -> None:
            stand.listeners[0].sock = sock
            raise OSError(errno.EMFILE, "Too many open files")

        def __getattr__(self, name: str) -> object:
            return getattr(sock, name)

    stand.listeners[0].sock = Exhausted()  # type: ignore[assignment]
    stand.add(0)
    assert await (await stand.connect()).server() == "worker 0"
    assert caplog.text.count("cannot be accepted") == 1


async def test_a_descriptor_that_got_lost_is_a_connection_that_is_gone(stand: Stand) -> None:
    """The system drops those for which the worker has no number free."""
    stand.open()
    stand.add(0)
    first = await stand.connect()
    await first.server()
    number = 10**6
    stand.passages[0]._open[number] = (gone := []).append  # type: ignore[assignment]
    stand.passages[0]._open[number] = lambda: gone.append(number)
    sock = socket.socket()
    stand.passages[0]._untaken[number] = type("C", (), {"sock": sock})()
    stand.passages[0]._sock.send(bytes((0,)) + array("Q", [number]).tobytes())
    await until(lambda: gone == [number])
    assert sock.fileno() == -1
    assert await first.echo(b"still here") == b"still here"


async def test_who_leaves_finishes_what_it_has_and_others_get_the_rest(stand: Stand) -> None:
    stand.open()
    leaving = stand.add(0)
    kept = await stand.connect()
    assert await kept.server() == "worker 0"
    asyncio.get_running_loop().remove_reader(stand.raw[0])
    rest = await stand.connect()
    await stand.handed_to(0, 2)
    leaving.leave()
    stand.add(1)
    assert await rest.server() == "worker 1"
    await stand.ends[0].wait()
    assert await kept.echo(b"still here") == b"still here"


async def test_at_the_end_workers_take_what_is_on_its_way_and_nothing_else_is_accepted(
    stand: Stand,
) -> None:
    stand.open()
    reception = stand.add(0, is_taking=False)
    client = await stand.connect()
    await stand.handed_to(0, 1)
    address = stand.listeners[0].sock.getsockname()
    stand.doorman.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(*address)
    reception.begin()
    assert await client.server() == "worker 0"
    await stand.ends[0].wait()


async def test_at_the_end_what_nobody_takes_is_closed(stand: Stand) -> None:
    stand.open()
    stand.add_raw(0)
    stand.add_raw(1)
    clients = await stand.connect_many(4)
    await until(lambda: stand.passages[0].count == stand.passages[1].count == 2)
    stand.doorman.close()
    stand.raw[0].close()
    stand.raw[1].close()
    assert [await client.server() for client in clients] == [""] * 4
    assert stand.entrances[0].count == 0


async def test_a_worker_without_a_supervisor_hears_that_nothing_comes(stand: Stand) -> None:
    stand.open()
    stand.add(0)
    client = await stand.connect()
    await client.server()
    stand.passages[0].close()
    await stand.ends[0].wait()
    assert await client.echo(b"still here") == b"still here"
