"""What the composition gives to the embedded authorization server, and takes from it."""

import json
from pathlib import Path

import aiohttp
import pytest

from gateway.app import RunningGateway, StartFailure, run_gateway
from gateway.authserver.administration import Administration
from gateway.authserver.options import embedded_options
from gateway.settings import GatewaySettings, load
from tests.proxy.stage import Stage

SIGN_INS = {("succeeded",), ("failed",), ("throttled",)}


@pytest.fixture
def settings(tmp_path: Path) -> GatewaySettings:
    """A gateway with an embedded server, every port picked by the system."""
    embedded = {
        "listen": "127.0.0.1:0",
        "issuer": "http://127.0.0.1:8081",
        "scopes": {"orders:read": "See your orders"},
    }
    file = tmp_path / "gateway.yaml"
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


async def ask_for_token(gateway: RunningGateway, secret: str, resource: str) -> int:
    url = f"http://{gateway.addresses.authorization_server}/oauth2/token"
    form = {"grant_type": "client_credentials", "resource": resource}
    form |= {"client_id": "shop", "client_secret": secret}
    async with aiohttp.ClientSession() as session, session.post(url, data=form) as answer:
        return answer.status


async def test_the_server_knows_the_guards_port_that_the_system_picked(
    settings: GatewaySettings,
) -> None:
    """A token for a resource behind the guard (RFC 8707) can be had, and for no other port."""
    options = embedded_options(settings)
    assert options is not None
    with Administration(options) as administration:
        shop = administration.add_client("shop", grant_types=["client_credentials"])
    async with run_gateway(settings) as gateway:
        public_url = f"http://{gateway.addresses.guard}"
        assert await ask_for_token(gateway, shop.secret or "", f"{public_url}/orders") == 200
        assert await ask_for_token(gateway, shop.secret or "", "http://127.0.0.1:0/orders") == 400


async def test_tries_to_sign_in_are_there_with_0_from_the_start(
    settings: GatewaySettings,
) -> None:
    async with run_gateway(settings) as gateway:
        assert gateway.metrics.sign_ins.values == dict.fromkeys(SIGN_INS, 0)
        assert set(gateway.metrics.revocations.values) >= {("page",), ("reuse",)}


async def test_without_an_embedded_server_nobody_signs_in(stage: Stage) -> None:
    await stage.open()
    assert stage.gateway.metrics.sign_ins.values == {}


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
