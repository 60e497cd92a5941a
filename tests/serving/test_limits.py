"""How many connections there may be: in all, from one address, and with few file descriptors."""

import asyncio
import contextlib
import os
import resource
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import gateway.tls
from tests.attacks.test_e_expect_upgrade import ASK_PUBLIC, ROUTES, SWITCH
from tests.e2e.programs import Gateway, running_gateway, wait_until
from tests.proxy.stage import Answer, Peer, Stage
from tests.serving.certificates import Pair, client_context

NOTHING = b"GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n"
REFUSED = "gateway_connections_refused_total"


async def connect(stage: Stage, source: str = "127.0.0.1") -> Peer:
    """Connect from an address of one's own choice: all of 127.0.0.0/8 is this machine."""
    host, port = stage.address.host, stage.address.port
    reader, writer = await asyncio.open_connection(host, port, local_addr=(source, 0))
    client = Peer(reader, writer)
    stage.clients.append(client)
    return client


async def is_served(client: Peer) -> bool:
    """Say whether a request on this connection is answered."""
    client.send(NOTHING)
    try:
        return (await client.answer()).status == 404
    except (asyncio.IncompleteReadError, ConnectionError):
        return False


async def test_connections_beyond_the_limit_are_closed_unread(stage: Stage) -> None:
    await stage.open(limits={"connections": 2})
    first, second = [await connect(stage) for _ in range(2)]
    assert await is_served(first)
    assert await is_served(second)
    third = await connect(stage)
    assert await third.rest_until_broken() == b""
    assert stage.series("gateway_connections")['listener="guard"'] == 2
    assert stage.series(REFUSED) == {'listener="guard",reason="limit"': 1}
    # Those who are in have not noticed, and nothing was logged of who is not.
    assert await is_served(first)
    assert len(await stage.log()) == 3


async def test_place_of_one_that_left_is_taken_again(stage: Stage) -> None:
    await stage.open(limits={"connections": 1})
    for _ in range(3):
        client = await connect(stage)
        assert await is_served(client)
        client.close()
        await stage.settled_series("gateway_connections", {})


async def test_one_address_takes_no_more_than_its_share(stage: Stage) -> None:
    await stage.open(limits={"connections": 3, "connections_per_address": 1})
    assert await is_served(await connect(stage))
    assert not await is_served(await connect(stage))
    assert await is_served(await connect(stage, "127.0.0.2"))
    assert stage.series(REFUSED) == {'listener="guard",reason="address_limit"': 1}


async def test_trusted_proxy_may_bring_more_than_one_client(stage: Stage) -> None:
    limits = {"connections": 3, "connections_per_address": 1}
    await stage.open(limits=limits, trusted_proxies=["127.0.0.1"])
    assert [await is_served(await connect(stage)) for _ in range(4)] == [True, True, True, False]
    assert stage.series(REFUSED) == {'listener="guard",reason="limit"': 1}


async def test_tunnel_counts_as_long_as_it_is_open(stage: Stage) -> None:
    await stage.open(routes=ROUTES, limits={"connections": 1})
    client = await connect(stage)
    client.send(ASK_PUBLIC)
    service = await stage.accept()
    await service.head()
    service.send(SWITCH)
    assert Answer(await client.head()).status == 101
    assert not await is_served(await connect(stage))
    client.close()
    service.close()
    await stage.settled_series("gateway_connections", {})
    assert await is_served(await connect(stage))


async def test_listeners_count_each_for_itself(stage: Stage) -> None:
    """Clients that fill the guard leave the operator's port open."""
    await stage.open(limits={"connections": 1})
    assert await is_served(await connect(stage))
    admin = stage.gateway.addresses.admin
    reader, writer = await asyncio.open_connection(admin.host, admin.port)
    operator = Peer(reader, writer)
    operator.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert (await operator.answer()).status == 200
    assert stage.series("gateway_connections") == {'listener="guard"': 1, 'listener="admin"': 1}
    operator.close()


async def test_admin_port_is_bounded_too(stage: Stage) -> None:
    await stage.open()
    admin = stage.gateway.addresses.admin
    peers = [Peer(*await asyncio.open_connection(admin.host, admin.port)) for _ in range(65)]
    assert await peers[-1].rest_until_broken() == b""
    assert stage.series(REFUSED) == {'listener="admin",reason="limit"': 1}
    for peer in peers:
        peer.close()


async def test_accepting_pauses_where_no_descriptor_is_left_to_refuse_with(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway.tls, "_open_spare", lambda: None)
    await stage.open(tls=Pair(tmp_path / "tls").write().settings)
    refused = {'listener="guard",reason="file_descriptors"': 1.0}
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as sock:
        sock.setblocking(False)
        free = os.dup(sock.fileno())
        os.close(free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
        try:
            loop = asyncio.get_running_loop()
            await loop.sock_connect(sock, (stage.address.host, stage.address.port))
            await stage.settled_series(REFUSED, refused)
            await asyncio.sleep(0.1)  # thousands of turns, if each tried again
            assert stage.series(REFUSED) == refused
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        reader, writer = await asyncio.open_connection(
            sock=sock.dup(), ssl=client_context(), server_hostname="localhost"
        )
        client = Peer(reader, writer)
        assert await is_served(client)
        client.close()
        await stage.settled_series("gateway_connections", {})


# Processes with few file descriptors.


def guard_settings() -> Mapping[str, object]:
    return {
        "upstreams": {"nobody": {"servers": ["http://127.0.0.1:9"]}},
        "routes": [{"name": "all", "match": {"path": "/public"}, "public": True}],
    }


def ask(connection: socket.socket) -> bytes:
    """Ask for what has no route, and give the beginning of the answer; b"" when closed."""
    connection.settimeout(10)
    with contextlib.suppress(ConnectionError):
        connection.sendall(NOTHING)
        return connection.recv(12)
    return b""


@contextlib.contextmanager
def connections(gateway: Gateway, count: int) -> Iterator[list[socket.socket]]:
    """Connect so often, and close it all at the end."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(socket.create_connection(gateway.address)) for _ in range(count)]


@contextlib.contextmanager
def speaking(connection: socket.socket, *, has_tls: bool) -> Iterator[socket.socket]:
    """Shake hands on a connection, where that is needed."""
    if not has_tls:
        yield connection
        return
    with client_context().wrap_socket(connection, server_hostname="localhost") as client:
        yield client


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def is_at_rest(gateway: Gateway) -> bool:
    """Say whether the process does nothing while nobody asks it anything."""
    before, started = cpu_seconds(gateway.pid), time.monotonic()
    time.sleep(1.0)  # the span over which its work is measured
    # One that spins has at least its share of a busy machine.
    return cpu_seconds(gateway.pid) - before < 0.15 * (time.monotonic() - started)


@pytest.mark.parametrize("workers", [1, 2])
def test_limit_that_does_not_fit_is_told_once_and_cut(tmp_path: Path, workers: int) -> None:
    """The guard takes what leaves file descriptors for everything else, and says so."""
    settings = {**guard_settings(), "workers": workers}

    def lower() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 256))

    with running_gateway(settings, tmp_path, preexec_fn=lower) as gateway:
        assert "limits.connections: 8000 need " in gateway.program.text()
        assert "the system allows 256, so only 56 are taken" in gateway.program.text()
        with connections(gateway, 70) as clients:
            answers = [ask(client) for client in clients]
        assert answers == 56 * [b"HTTP/1.1 404"] + 14 * [b""]
        assert gateway.program.text().count("\n") == 2


@pytest.mark.parametrize("has_tls", [False, True], ids=["plain", "tls"])
def test_process_without_file_descriptors_neither_dies_nor_spins(
    tmp_path: Path, has_tls: bool
) -> None:
    tls = {"tls": Pair(tmp_path / "tls").write().settings} if has_tls else {}
    with running_gateway({**guard_settings(), **tls}, tmp_path) as gateway:
        with connections(gateway, 1) as [raw], speaking(raw, has_tls=has_tls) as client:
            assert ask(client) == b"HTTP/1.1 404"
            client.recv(65536)
            open_files = len(list(Path(f"/proc/{gateway.pid}/fd").iterdir()))
            _, hard = resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE)
            resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE, (open_files + 2, hard))
            with connections(gateway, 20):
                # Each of them is served, closed, or waits to be accepted.
                assert is_at_rest(gateway)
                client.sendall(b"GET /public HTTP/1.1\r\nHost: h\r\n\r\n")
                assert client.recv(12).startswith(b"HTTP/1.1 50")
        resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE, (hard, hard))

        def is_well() -> bool:
            with connections(gateway, 1) as [raw], speaking(raw, has_tls=has_tls) as client:
                return ask(client) == b"HTTP/1.1 404"

        wait_until(is_well)
        gateway.program.process.send_signal(signal.SIGTERM)
        assert gateway.program.process.wait(15) == 0
        assert "Traceback" not in gateway.program.text()
