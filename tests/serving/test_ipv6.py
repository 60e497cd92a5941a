"""IPv6 on every listener: what clients get, and what of IPv4 is left beside it."""

import asyncio
import socket
from ipaddress import ip_address
from pathlib import Path

import pytest

from gateway.cli.run import describe
from gateway.settings import load
from tests.proxy.stage import Answer, Peer, Stage
from tests.serving.certificates import Pair, client_context

NOTHING = b"GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n"


async def ask(host: str, port: int, request: bytes, **options: object) -> Answer:
    client = Peer(*await asyncio.open_connection(host, port, **options))
    client.send(request)
    answer = await client.answer()
    client.close()
    return answer


async def test_admin_port_answers_on_ipv6_to_its_names_alone(stage: Stage) -> None:
    await stage.open(admin_listen="[::1]:0")
    address = stage.gateway.addresses.admin
    assert address.host == "::1"
    for host, status in ((f"[::1]:{address.port}", 200), ("localhost", 200), ("evil", 421)):
        request = f"GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
        assert (await ask("::1", address.port, request)).status == status


@pytest.mark.parametrize(("host", "other"), [("::", socket.AF_INET), ("0.0.0.0", socket.AF_INET6)])
async def test_every_interface_is_that_of_one_family(
    stage: Stage, host: str, other: socket.AddressFamily
) -> None:
    """So that a network of the other one is not let in by surprise."""
    listen = f"[{host}]:0" if ":" in host else f"{host}:0"
    await stage.open(listen=listen)
    port = stage.address.port
    own, foreign = "::1", "127.0.0.1"
    if other is socket.AF_INET6:
        own, foreign = foreign, own
    assert (await ask(own, port, NOTHING)).status == 404
    with pytest.raises(ConnectionRefusedError):
        await ask(foreign, port, NOTHING)


async def test_both_families_can_be_had_side_by_side(stage: Stage) -> None:
    """Two gateways, or a gateway and a proxy, share a port so."""
    # The system picks a port that is free by IPv4, where much else listens.
    with socket.create_server(("0.0.0.0", 0)) as other:
        port = other.getsockname()[1]
        await stage.open(listen=f"[::]:{port}")
        assert stage.address.port == port


async def test_challenge_names_an_ipv6_address_in_brackets(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stage.service.open()
    path = stage.write_configuration(listen="[::1]:0")
    path.write_text(path.read_text().replace("public_url: https://api.example.com\n", ""))
    monkeypatch.setattr(stage, "write_configuration", lambda: path)
    await stage.open()
    port = stage.address.port
    answer = await ask("::1", port, b"GET /orders/a HTTP/1.1\r\nHost: [::1]\r\n\r\n")
    assert f'"http://[::1]:{port}/.well-known/' in answer.fields["www-authenticate"]
    assert describe(load(path), stage.gateway.addresses).startswith(
        f"gateway: ready on http://[::1]:{port}, admin http://127.0.0.1:"
    )


async def test_tls_and_its_names_work_on_ipv6(stage: Stage, tmp_path: Path) -> None:
    pair = Pair(tmp_path / "tls").write(names=["::1"])
    await stage.open(listen="[::1]:0", tls=pair.settings)
    assert ip_address(stage.address.host).version == 6
    options = {"ssl": client_context(pair), "server_hostname": "::1"}
    assert (await ask("::1", stage.address.port, NOTHING, **options)).status == 404


async def test_one_network_takes_no_more_than_its_share_on_ipv6(stage: Stage) -> None:
    await stage.open(listen="[::1]:0", limits={"connections_per_address": 1})
    first = await stage.client(NOTHING)
    assert (await first.answer()).status == 404
    second = await stage.client()
    assert await second.rest_until_broken() == b""
