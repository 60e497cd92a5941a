"""What the composition gives to the embedded authorization server, and takes from it."""

import asyncio
import itertools
import json
from pathlib import Path

import aiohttp
import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.app import RunningGateway, StartFailure, run_gateway
from gateway.authserver.administration import Administration
from gateway.authserver.options import embedded_options
from gateway.settings import Address, GatewaySettings, load
from tests.e2e.people import AuthorizationRequest, Person
from tests.e2e.programs import free_port
from tests.proxy.stage import Stage

SIGN_INS = {("succeeded",), ("failed",), ("throttled",)}
DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
GRANT_TYPES = {
    ("authorization_code",),
    ("refresh_token",),
    ("client_credentials",),
    (DEVICE_CODE,),
}
PASSWORD = "correct horse battery staple"


def configure(folder: Path, listen: str, issuer: str) -> GatewaySettings:
    """Writes and loads the configuration of a gateway with an embedded server."""
    embedded = {"listen": listen, "issuer": issuer, "scopes": {"orders:read": "See your orders"}}
    file = folder / "gateway.yaml"
    file.write_text(
        json.dumps(
            {
                "listen": "127.0.0.1:0",
                "admin_listen": "127.0.0.1:0",
                "access_log": "none",
                "authorization_servers": {"local": {"embedded": embedded}},
                "upstreams": {"legacy": {"servers": ["http://127.0.0.1:9"]}},
                "routes": [{"name": "all", "match": {"path": "/**"}, "require": {}}],
            }
        ),
        encoding="utf-8",
    )
    return load(file)


@pytest.fixture
def settings(tmp_path: Path) -> GatewaySettings:
    """A gateway with an embedded server, every port picked by the system."""
    return configure(tmp_path, "127.0.0.1:0", "http://127.0.0.1:8081")


async def ask_for_token(gateway: RunningGateway, secret: str, resource: str) -> int:
    url = f"http://{gateway.addresses.authorization_server}/oauth2/token"
    form = {"grant_type": "client_credentials", "resource": resource}
    form |= {"client_id": "shop", "client_secret": secret}
    async with aiohttp.ClientSession() as session, session.post(url, data=form) as answer:
        return answer.status


async def say(address: Address, data: bytes) -> bytes:
    """Sends bytes and gives all that comes until the other side closes."""
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(data)
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    return answer


async def test_the_server_knows_the_guards_port_that_the_system_picked(
    settings: GatewaySettings,
) -> None:
    """A token for a resource behind the guard (RFC 8707) can be had, and for no other port."""
    options = embedded_options(settings)
    assert options is not None
    with Administration(options) as administration:
        shop = administration.add_client("shop", grant_types=["client_credentials"])
    async with run_gateway(settings) as gateway:
        public_url = f"http://{gateway.addresses.guard[0]}"
        assert await ask_for_token(gateway, shop.secret or "", f"{public_url}/orders") == 200
        assert await ask_for_token(gateway, shop.secret or "", "http://127.0.0.1:0/orders") == 400


async def test_what_the_server_counts_is_there_with_0_from_the_start(
    settings: GatewaySettings,
) -> None:
    async with run_gateway(settings) as gateway:
        assert gateway.metrics.sign_ins.values == dict.fromkeys(SIGN_INS, 0)
        assert gateway.metrics.tokens_issued.values == dict.fromkeys(GRANT_TYPES, 0)
        assert set(gateway.metrics.revocations.values) >= {("page",), ("reuse",)}


async def test_what_people_do_and_what_clients_get_is_counted_exactly(tmp_path: Path) -> None:
    """The expected numbers stand here, written by hand."""
    address = f"127.0.0.1:{free_port()}"  # a browser goes by the issuer
    settings = configure(tmp_path, address, f"http://{address}")
    options = embedded_options(settings)
    assert options is not None
    with Administration(options) as administration:
        shop = administration.add_client("shop", grant_types=["client_credentials"])
        administration.add_client(
            "app",
            grant_types=["authorization_code", "device_code"],
            scopes=["orders:read"],
            redirect_uris=["http://127.0.0.1/callback"],
            is_public=True,
        )
        administration.add_user("alice", PASSWORD)
    async with run_gateway(settings) as gateway, httpx.AsyncClient(timeout=30) as client:
        server = f"http://{gateway.addresses.authorization_server}"

        async def ask(path: str, **form: str) -> httpx.Response:
            return await client.post(f"{server}/oauth2/{path}", data={"client_id": "app", **form})

        async with Person(options.issuer, "alice", PASSWORD) as person:
            request = AuthorizationRequest(
                options.issuer, "app", "http://127.0.0.1/callback", "orders:read"
            )
            page = await person.sign_in(await person.open(request.address), "wrong" + PASSWORD)
            page = await person.allow(await person.sign_in(page))
            code = request.exchange(page.query["code"])
            started = (await ask("device_authorization")).json()
            page = await person.open(f"/oauth2/device?user_code={started['user_code']}")
            page = await person.submit(page, page.form_with(user_code=""))
            await person.allow(page)
        given = await ask("token", **code)
        for _ in range(2):
            given = await ask(
                "token", grant_type="refresh_token", refresh_token=given.json()["refresh_token"]
            )
            assert given.status_code == 200
        polled = await ask("token", grant_type=DEVICE_CODE, device_code=started["device_code"])
        assert polled.status_code == 200
        assert (await ask("token", **code)).status_code == 400
        for _ in range(3):
            assert await ask_for_token(gateway, shop.secret or "", options.issuer) == 400
            assert await ask_for_token(gateway, shop.secret or "", "") == 200
        exposition = (await client.get(f"http://{gateway.addresses.admin}/metrics")).text

    assert read_counts(exposition, "gateway_sign_ins", "result") == {
        "succeeded": 1,
        "failed": 1,
        "throttled": 0,
    }
    assert read_counts(exposition, "gateway_tokens_issued", "grant_type") == {
        "authorization_code": 1,
        "refresh_token": 2,
        "client_credentials": 3,
        DEVICE_CODE: 1,
    }


def read_counts(exposition: str, name: str, label: str) -> dict[str, float]:
    """Gives the values of a counter by the values of its one label."""
    return {
        sample.labels[label]: sample.value
        for family in text_string_to_metric_families(exposition)
        if family.name == name
        for sample in family.samples
        if sample.name == f"{name}_total"
    }


async def test_without_an_embedded_server_nobody_signs_in_and_nothing_is_issued(
    stage: Stage,
) -> None:
    await stage.open()
    assert stage.gateway.metrics.sign_ins.values == {}
    assert stage.gateway.metrics.tokens_issued.values == {}


@pytest.mark.parametrize("listener", ["authorization_server", "admin"])
@pytest.mark.parametrize("expected", [b"foo<b>", b"\xff", b"100-continue, foo<b>"])
async def test_what_nobody_can_meet_is_refused_without_a_word_of_it(
    settings: GatewaySettings, listener: str, expected: bytes
) -> None:
    """On every path, whether anything is there or not (RFC 9110, section 10.1.1)."""
    paths = ("/", "/oauth2/token", "/oauth2/authorize", "/account", "/metrics", "/x")
    async with run_gateway(settings) as gateway:
        address = getattr(gateway.addresses, listener)
        for method, path in itertools.product(("GET", "POST"), paths):
            start = f"{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n"
            answer = await say(address, start.encode() + b"Expect: " + expected + b"\r\n\r\n")
            head, _, body = answer.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 417 ")
            assert b"\r\nContent-Type: application/json" in head
            assert json.loads(body)["error"] == "invalid_request"
            assert b"foo" not in answer
            assert b"\xff" not in answer


async def test_a_database_url_that_its_driver_refuses_fails_the_start_in_one_line(
    tmp_path: Path, settings: GatewaySettings
) -> None:
    """And the line does not quote it: it may hold a password."""
    file = tmp_path / "gateway.yaml"
    document = json.loads(file.read_text(encoding="utf-8"))
    document["authorization_servers"]["local"]["embedded"]["database"] = (
        "postgresql://gateway:geheim@127.0.0.1/gateway?nonsense=1"
    )
    file.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(StartFailure, match="database of authorization server 'local'") as failure:
        async with run_gateway(load(file)):
            pass
    assert "geheim" not in str(failure.value)
    assert "\n" not in str(failure.value)
