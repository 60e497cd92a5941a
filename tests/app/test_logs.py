"""No secret is in any log, whatever flows have run and whatever was logged at DEBUG."""

import json
import logging
from pathlib import Path

import httpx
import pytest

from gateway.app import run_gateway
from gateway.authserver.administration import Administration
from gateway.authserver.options import embedded_options
from gateway.settings import load
from tests.e2e.people import AuthorizationRequest, Person
from tests.e2e.programs import embedded_server, free_port

PASSWORD = "correct horse battery staple"
WRONG = "wrong horse battery staple"
REDIRECT = "http://127.0.0.1/callback"


def write_configuration(folder: Path) -> Path:
    file = folder / "gateway.yaml"
    file.write_text(
        json.dumps(
            {
                "listen": "127.0.0.1:0",
                "admin_listen": "127.0.0.1:0",
                "authorization_servers": {"local": embedded_server({"orders:read": "See orders"})},
                "upstreams": {"orders": {"servers": [f"http://127.0.0.1:{free_port()}"]}},
                "routes": [
                    {
                        "name": "orders",
                        "match": {"path": "/orders"},
                        "require": {"scopes": ["orders:read"]},
                    }
                ],
            }
        )
    )
    return file


async def test_no_secret_is_in_any_log_at_debug(  # noqa: PLR0915 - one walk through all flows
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = load(write_configuration(tmp_path))
    options = embedded_options(settings)
    assert options is not None
    with Administration(options) as administration:
        machine = administration.add_client(
            "machine",
            grant_types=["client_credentials"],
            scopes=["orders:read"],
            may_introspect=True,
        ).secret
        administration.add_client(
            "app",
            grant_types=["authorization_code", "refresh_token", "device_code"],
            scopes=["orders:read"],
            redirect_uris=[REDIRECT],
            is_public=True,
        )
        administration.add_user("alice", PASSWORD)
    assert machine is not None
    secrets = {PASSWORD, WRONG, machine}
    access_log = (tmp_path / "access.log").open("w")
    # Every logger that there is, ours and the libraries', says all it knows. The clients of this
    # test speak from the same process, and what they log is no log of the gateway's.
    for name in [None, *logging.root.manager.loggerDict]:
        caplog.set_level(logging.DEBUG, logger=name)
    for name in ("httpx", "httpcore"):
        caplog.set_level(logging.CRITICAL, logger=name)
    with access_log:
        async with (
            run_gateway(settings, access_log.fileno()) as gateway,
            httpx.AsyncClient(base_url=options.issuer, timeout=30) as client,
            Person(options.issuer, "alice", PASSWORD) as person,
        ):
            guard = f"http://{gateway.addresses.guard[0]}/orders"

            async def post(path: str, form: dict[str, str], **more: object) -> httpx.Response:
                return await client.post(f"/oauth2/{path}", data=form, **more)

            async def token(form: dict[str, str], **more: object) -> dict[str, str]:
                answer = await post("token", form, **more)
                found = {k: v for k, v in answer.json().items() if k.endswith("_token")}
                secrets.update(found.values())
                return found

            async def call(access_token: str) -> int:
                headers = {"Authorization": f"Bearer {access_token}"}
                return (await client.get(guard, headers=headers)).status_code

            own = await token({"grant_type": "client_credentials"}, auth=("machine", machine))
            assert await call(own["access_token"]) == 502  # allowed, and nobody is behind
            await post("introspect", {"token": own["access_token"]}, auth=("machine", machine))
            await post("introspect", {"token": WRONG}, auth=("machine", WRONG))

            request = AuthorizationRequest(options.issuer, "app", REDIRECT, "orders:read")
            secrets.add(request.verifier)
            page = await person.open(request.address)
            secrets.update(person.cookies)
            secrets.update(form.fields["csrf"] for form in page.forms)
            page = await person.sign_in(page, WRONG)
            page = await person.sign_in(page)
            secrets.update(person.cookies)
            secrets.update(form.fields["csrf"] for form in page.forms)
            page = await person.allow(page)
            secrets.add(page.query["code"])
            first = await token(request.exchange(page.query["code"]))
            assert await call(first["access_token"]) == 502
            refresh = {"grant_type": "refresh_token", "client_id": "app"}
            second = await token({**refresh, "refresh_token": first["refresh_token"]})
            third = await token({**refresh, "refresh_token": second["refresh_token"]})
            assert await token({**refresh, "refresh_token": first["refresh_token"]}) == {}
            assert await call(third["access_token"]) == 401
            assert await token(request.exchange(page.query["code"])) == {}

            device = (
                await post("device_authorization", {"client_id": "app", "scope": "orders:read"})
            ).json()
            secrets.add(device["device_code"])
            page = await person.open(device["verification_uri_complete"])
            if 'value="allow"' not in page.text:
                form = page.form_with(user_code="")
                page = await person.submit(page, form, user_code=device["user_code"])
            await person.allow(page)
            given = await token(
                {
                    "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
                    "device_code": device["device_code"],
                    "client_id": "app",
                }
            )
            assert await call(given["access_token"]) == 502
            await post("revoke", {"token": given["refresh_token"], "client_id": "app"})
            assert await call(given["access_token"]) == 401

            page = await person.open("/account")
            form = page.form_with(action="revoke", client_id="app")
            await person.submit(page, form, action="revoke")

    logged = caplog.text + (tmp_path / "access.log").read_text()
    assert "/oauth2/token" in logged  # something was logged at all
    found = [secret for secret in secrets if secret and secret in logged]
    assert found == []
    hashes_too = [record for record in caplog.records if record.name.startswith("sqlalchemy")]
    assert not [r for r in hashes_too if "b'" in r.getMessage()], "parameters of statements"
