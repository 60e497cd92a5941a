"""The guard at several addresses at once: IPv4, IPv6 and a unix socket serve alike."""

import asyncio
import contextlib
import errno
import os
import re
import signal
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import requests

import gateway.serving
import gateway.tls
from gateway.app import StartFailure, run_gateway
from gateway.cli.run import describe
from gateway.settings import Address, ListenAddress, UnixAddress, load
from gateway.settings.addresses import exclude_each_other
from tests.e2e.programs import (
    Gateway,
    Program,
    embedded_server,
    running_gateway,
    wait_until,
)
from tests.proxy.stage import OK, Peer, Seen, Stage
from tests.serving.certificates import Pair, client_context
from tests.serving.test_limits import ask as ask_at
from tests.serving.test_limits import guard_settings
from tests.serving.test_renewal import serial_of

GET = b"GET /public/a HTTP/1.1\r\nHost: h\r\n\r\n"
NOTHING = b"GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n"
URL = {"public_url": "https://api.example.com"}


@pytest.fixture
def path() -> Iterator[Path]:
    """A place for the socket: its whole path has a hundred characters at most."""
    with TemporaryDirectory(prefix="gateway-") as folder:
        yield Path(folder) / "gateway.sock"


async def open_at_all(stage: Stage, path: Path, **changes: object) -> tuple[ListenAddress, ...]:
    await stage.open(listen=["127.0.0.1:0", "[::1]:0", f"unix:{path}"], **changes)
    return stage.gateway.addresses.guard


async def connect(stage: Stage, address: ListenAddress, **options: object) -> Peer:
    if isinstance(address, UnixAddress):
        streams = await asyncio.open_unix_connection(address.path, **options)
    else:
        streams = await asyncio.open_connection(address.host, address.port, **options)
    client = Peer(*streams)
    stage.clients.append(client)
    return client


async def ask(client: Peer, request: bytes = NOTHING) -> int:
    client.send(request)
    return (await client.answer()).status


async def test_requests_pass_at_every_address_and_say_whose_they_are(
    stage: Stage, path: Path
) -> None:
    seen: list[list[bytes]] = []
    service: Peer | None = None
    for address in await open_at_all(stage, path):
        client = await connect(stage, address)
        client.send(GET)
        service = service or await stage.accept()
        seen.append(Seen(await service.head()).values(b"X-Forwarded-For"))
        service.send(OK)
        assert (await client.answer()).body == b"ok"
    assert seen == [[b"127.0.0.1"], [b"::1"], []]
    assert [entry["peer"] for entry in await stage.log()] == ["127.0.0.1", "::1", "unix"]


async def test_one_line_names_every_address_with_its_real_port(stage: Stage, path: Path) -> None:
    four, six, unix = await open_at_all(stage, path)
    assert isinstance(four, Address)
    assert isinstance(six, Address)
    assert four.port > 0 < six.port
    settings = load(stage.folder / "gateway.yaml")
    assert describe(settings, stage.gateway.addresses).startswith(
        f"gateway: ready on http://127.0.0.1:{four.port} and http://[::1]:{six.port} "
        f"and unix:{path}, admin http://127.0.0.1:"
    )
    assert unix == UnixAddress(str(path))


async def test_challenge_names_the_real_port_of_the_first_address_that_has_one(
    stage: Stage, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stage.service.open()
    file = stage.write_configuration(listen=[f"unix:{path}", "[::1]:0", "127.0.0.1:0"])
    file.write_text(file.read_text().replace("public_url: https://api.example.com\n", ""))
    monkeypatch.setattr(stage, "write_configuration", lambda: file)
    await stage.open()
    unix, six, _ = stage.gateway.addresses.guard
    client = await connect(stage, unix)
    client.send(b"GET /orders/a HTTP/1.1\r\nHost: [::1]\r\n\r\n")
    assert f'"http://{six}/.well-known/' in (await client.answer()).fields["www-authenticate"]


@pytest.mark.parametrize("has_tls", [False, True], ids=["plain", "tls"])
async def test_connections_are_counted_over_all_addresses(
    stage: Stage, path: Path, tmp_path: Path, has_tls: bool
) -> None:
    tls = {"tls": Pair(tmp_path / "tls").write().settings} if has_tls else {}
    options = {"ssl": client_context(), "server_hostname": "localhost"} if has_tls else {}
    addresses = await open_at_all(stage, path, limits={"connections": 3}, **tls)
    for address in addresses:
        assert await ask(await connect(stage, address, **options)) == 404
    assert stage.series("gateway_connections")['listener="guard"'] == 3
    for address in addresses:
        fourth = await connect(stage, address)
        assert await fourth.rest_until_broken() == b""
    assert stage.series("gateway_connections_refused_total") == {
        'listener="guard",reason="limit"': 3
    }


async def test_share_of_one_client_is_counted_over_all_addresses(stage: Stage) -> None:
    limits = {"connections_per_address": 1}
    await stage.open(listen=["127.0.0.1:0", "127.0.0.2:0"], limits=limits)
    first, second = stage.gateway.addresses.guard
    source = {"local_addr": ("127.0.0.1", 0)}
    assert await ask(await connect(stage, first, **source)) == 404
    assert await (await connect(stage, second, **source)).rest_until_broken() == b""


async def test_tls_is_spoken_and_renewed_at_every_address(
    stage: Stage, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway.tls, "WATCH_SECONDS", 0.01)
    pair = Pair(tmp_path / "tls").write()
    addresses = await open_at_all(stage, path, tls=pair.settings)
    options = {"ssl": client_context(), "server_hostname": "localhost"}

    async def shown_serials() -> list[int]:
        clients = [await connect(stage, address, **options) for address in addresses]
        assert [await ask(client) for client in clients] == [404, 404, 404]
        return [serial_of(client) for client in clients]

    assert await shown_serials() == 3 * [pair.serial]
    pair.write()
    # A look between the writing of the two files may have failed.
    success = 'listener="guard",result="success"'
    async with asyncio.timeout(10):
        while stage.series("gateway_tls_reloads_total").get(success) != 1:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    assert await shown_serials() == 3 * [pair.serial]
    assert len(stage.series("gateway_tls_certificate_not_after_seconds")) == 1


@pytest.mark.parametrize("has_tls", [False, True], ids=["plain", "tls"])
async def test_drain_closes_every_address_and_finishes_what_came_by_each(
    stage: Stage, path: Path, tmp_path: Path, has_tls: bool
) -> None:
    tls = {"tls": Pair(tmp_path / "tls").write().settings} if has_tls else {}
    options = {"ssl": client_context(), "server_hostname": "localhost"} if has_tls else {}
    addresses = await open_at_all(stage, path, **tls)
    clients, services = [], []
    for address in addresses:
        clients.append(await connect(stage, address, **options))
        clients[-1].send(GET)
        services.append(await stage.accept())
        await services[-1].head()
    stopping = asyncio.create_task(stage.stop())
    async with asyncio.timeout(10):
        while not stage.gateway.is_draining:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.005)
    for address in addresses:
        with pytest.raises((ConnectionRefusedError, FileNotFoundError)):
            await connect(stage, address)
    for client, service in zip(clients, services, strict=True):
        service.send(OK)
        assert (await client.answer()).body == b"ok"
    await stopping
    assert not path.exists()


async def test_where_one_address_is_taken_none_is_opened(stage: Stage, path: Path) -> None:
    await stage.service.open()
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        listen = [f"unix:{path}", "[::1]:0", taken]
        settings = load(stage.write_configuration(listen=listen))
        with pytest.raises(StartFailure) as failure:
            async with run_gateway(settings):
                pass
    assert str(failure.value).startswith(f"cannot listen on {taken}: Address already in use")
    assert str(failure.value).endswith("; change listen, or end what listens there")
    assert not path.exists()


@pytest.mark.parametrize(
    ("number", "mend"),
    [
        (errno.EADDRINUSE, "end what listens there"),
        (errno.EADDRNOTAVAIL, "give this machine the address"),
        (errno.EAFNOSUPPORT, "let this system have IPv6"),
        (errno.EACCES, "allow the gateway's user the port"),
    ],
)
async def test_what_is_in_the_way_of_an_address_is_told_with_the_mend(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, number: int, mend: str
) -> None:
    def refuse(*_: object, **__: object) -> socket.socket:
        raise OSError(number, "the system says no")

    monkeypatch.setattr(gateway.serving.socket, "create_server", refuse)
    await stage.service.open()
    settings = load(stage.write_configuration(listen=["127.0.0.1:0", "[::1]:0"]))
    with pytest.raises(StartFailure) as failure:
        async with run_gateway(settings):
            pass
    words = f"cannot listen on 127.0.0.1:0: the system says no; change listen, or {mend}"
    assert str(failure.value) == words


_HOSTS = ("127.0.0.1", "127.0.0.2", "0.0.0.0", "localhost", "::1", "::")


@pytest.mark.parametrize("other", _HOSTS)
@pytest.mark.parametrize("one", _HOSTS)
def test_the_rule_on_what_excludes_each_other_is_the_systems(one: str, other: str) -> None:
    def can_be_had() -> bool:
        with contextlib.ExitStack() as sockets:
            port = 0
            for host in (one, other):
                family = socket.AF_INET6 if ":" in host else socket.AF_INET
                try:
                    sock = socket.create_server((host, port), family=family)
                except OSError:
                    return False
                port = sockets.enter_context(sock).getsockname()[1]
        return True

    # A stranger may have the very port on the other address; hardly five times.
    is_possible = any(can_be_had() for _ in range(5))
    assert exclude_each_other(Address(one, 80), Address(other, 80)) is not is_possible


# Processes: one that does it all, and one that accepts for two.


@contextlib.contextmanager
def running_at_all(
    folder: Path, path: Path, workers: int, **changes: object
) -> Iterator[tuple[Gateway, list[tuple[int, object]]]]:
    """Run a gateway, and give it with the family and the place of each address."""
    settings = {**guard_settings(), **URL, "workers": workers, **changes}
    settings["listen"] = ["127.0.0.1:0", "[::1]:0", f"unix:{path}"]
    with running_gateway(settings, folder) as gateway:
        yield gateway, places_of(gateway.program, path)


def places_of(program: Program, path: Path) -> list[tuple[int, object]]:
    [ready] = [line for line in program.said if "ready on" in line]
    words = ready.partition(", admin")[0].partition("ready on ")[2].split(" and ")
    ports = [int(word.rpartition(":")[2]) for word in words[:2]]
    return [
        (socket.AF_INET, ("127.0.0.1", ports[0])),
        (socket.AF_INET6, ("::1", ports[1])),
        (socket.AF_UNIX, str(path)),
    ]


def connected(place: tuple[int, object]) -> socket.socket:
    client = socket.socket(place[0])
    try:
        client.connect(place[1])  # type: ignore[arg-type]
    except OSError:
        client.close()
        raise
    return client


def metrics(gateway: Gateway) -> str:
    return requests.get(f"{gateway.admin_url}/metrics", timeout=10).text


@pytest.mark.parametrize("workers", [1, 2])
def test_processes_serve_every_address_until_they_are_told_to_stop(
    tmp_path: Path, path: Path, workers: int
) -> None:
    with (
        running_at_all(tmp_path, path, workers) as (gateway, places),
        contextlib.ExitStack() as stack,
    ):
        # Twice as many at each as there are processes: each has some of every kind.
        clients = [stack.enter_context(connected(place)) for place in 4 * places]
        assert [ask_at(client) for client in clients] == 12 * [b"HTTP/1.1 404"]
        assert 'gateway_connections{listener="guard"} 12.0' in metrics(gateway)
        stack.close()
        gateway.program.process.send_signal(signal.SIGTERM)
        assert gateway.program.process.wait(15) == 0
        for place in places:
            with pytest.raises((ConnectionRefusedError, FileNotFoundError)):
                connected(place)
        assert "Traceback" not in gateway.program.text()
    assert not path.exists()


@pytest.mark.parametrize("workers", [1, 2])
def test_processes_count_connections_over_all_addresses(
    tmp_path: Path, path: Path, workers: int
) -> None:
    limits = {"connections": 3}
    with (
        running_at_all(tmp_path, path, workers, limits=limits) as (gateway, places),
        contextlib.ExitStack() as stack,
    ):
        clients = [stack.enter_context(connected(place)) for place in places]
        assert [ask_at(client) for client in clients] == 3 * [b"HTTP/1.1 404"]
        for place in places:
            assert ask_at(stack.enter_context(connected(place))) == b""
        refused = 'gateway_connections_refused_total{listener="guard",reason="limit"} 3.0'
        wait_until(lambda: refused in metrics(gateway))


@pytest.mark.parametrize("workers", [1, 2])
def test_processes_speak_tls_at_every_address(tmp_path: Path, path: Path, workers: int) -> None:
    tls: Mapping[str, object] = {"tls": Pair(tmp_path / "tls").write().settings}
    with running_at_all(tmp_path, path, workers, **tls) as (_, places):
        for place in places:
            with (
                connected(place) as raw,
                client_context().wrap_socket(raw, server_hostname="localhost") as client,
            ):
                assert ask_at(client) == b"HTTP/1.1 404"


@pytest.mark.parametrize("workers", [1, 2])
def test_processes_tell_clients_the_port_that_the_system_picked(
    tmp_path: Path, path: Path, workers: int
) -> None:
    """That of the first address which has one."""
    guarded = {"name": "orders", "match": {"path": "/orders"}, "require": {}}
    settings = {
        **guard_settings(),
        "authorization_servers": {"local": embedded_server({"orders:read": "See your orders"})},
        "workers": workers,
        "listen": [f"unix:{path}", "[::1]:0", "127.0.0.1:0"],
        "routes": [guarded],
    }
    with (
        running_gateway(settings, tmp_path) as gateway,
        connected((socket.AF_UNIX, str(path))) as client,
    ):
        client.sendall(b"GET /orders HTTP/1.1\r\nHost: [::1]\r\n\r\n")
        url = re.search(r"http://\[::1\]:[1-9][0-9]*", gateway.program.text())
        assert url is not None
        assert f'"{url[0]}/.well-known/' in client.recv(65536).decode()


def test_embedded_server_keeps_its_own_address_beside_several(tmp_path: Path, path: Path) -> None:
    servers = {"local": embedded_server({"orders:read": "See your orders"})}
    changes = {"authorization_servers": servers}
    with running_at_all(tmp_path, path, 2, **changes) as (gateway, places):
        for place in places:
            with connected(place) as client:
                assert ask_at(client) == b"HTTP/1.1 404"
        url = f"{gateway.authorization_server_url}/.well-known/oauth-authorization-server"
        assert requests.get(url, timeout=10).json()["issuer"] == gateway.authorization_server_url


def test_worker_that_replaces_another_serves_every_address(tmp_path: Path, path: Path) -> None:
    with running_at_all(tmp_path, path, 2) as (gateway, places):
        children = Path(f"/proc/{gateway.pid}/task/{gateway.pid}/children")
        before = set(children.read_text().split())
        assert len(before) == 2
        for pid in before:
            os.kill(int(pid), signal.SIGKILL)
        wait_until(lambda: gateway.program.text().count("serves again") == 2, seconds=30)
        for place in 2 * places:
            with connected(place) as client:
                assert ask_at(client) == b"HTTP/1.1 404"
