"""Clients that nobody here wrote, against the running server: requests-oauthlib and openid-client.

Each goes by what the metadata says; the person signs in and allows on our own pages.
"""

import asyncio
import json

import pytest
import requests
from oauthlib.oauth2 import InvalidGrantError
from requests_oauthlib import OAuth2Session

from tests.e2e.people import Person
from tests.e2e.programs import embedded_server
from tests.parts.get import FOLDER, ROOT

PASSWORD = "correct horse battery staple"
SCOPES = ("orders:read", "orders:write")


@pytest.fixture
def gateway(start_gateway, httpbin):
    gateway = start_gateway(
        {
            "authorization_servers": {"local": embedded_server(dict.fromkeys(SCOPES, "Orders"))},
            "upstreams": {"legacy": {"servers": [httpbin]}},
            "routes": [
                {
                    "name": "read",
                    "match": {"path": "/anything/**", "methods": ["GET"]},
                    "require": {"scopes": ["orders:read"]},
                }
            ],
        }
    )
    done = gateway.command("user", "add", "alice", "--password-stdin", input=PASSWORD + "\n")
    assert done.returncode == 0, done.stderr
    return gateway


def add_public_client(gateway, name):
    words = ["client", "add", name, "--public", "--grant", "authorization_code device_code"]
    words += ["--redirect-uri", "http://127.0.0.1/callback", "--scope", " ".join(SCOPES), "--json"]
    done = gateway.command(*words)
    assert done.returncode == 0, done.stderr


def fetch_metadata(issuer):
    return requests.get(f"{issuer}/.well-known/oauth-authorization-server", timeout=30).json()


async def allow(person, address):
    """Goes through the pages as far as they are asked for; gives where the browser is sent."""
    page = await person.open(address)
    if 'name="password"' in page.text:
        page = await person.sign_in(page)
    if 'id="user_code"' in page.text:
        page = await person.submit(page, page.form_with(user_code=""))
    if 'value="allow"' in page.text:
        page = await person.allow(page)
    return page


async def test_requests_oauthlib_gets_refreshes_and_uses_tokens(gateway, monkeypatch):
    """Code with PKCE, the guarded call, refresh with rotation, and reuse that ends it all."""
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    add_public_client(gateway, "requests")
    issuer = gateway.authorization_server_url
    metadata = fetch_metadata(issuer)
    token_endpoint = metadata["token_endpoint"]
    with OAuth2Session(
        "requests", redirect_uri="http://127.0.0.1:4711/callback", scope=list(SCOPES), pkce="S256"
    ) as session:
        address, state = session.authorization_url(metadata["authorization_endpoint"])
        async with Person(issuer, password=PASSWORD) as person:
            back = await allow(person, address)
        assert back.query["state"] == state
        assert back.query["iss"] == metadata["issuer"]
        first = session.fetch_token(
            token_endpoint, authorization_response=back.url, include_client_id=True
        )
        answer = session.get(f"{gateway.url}/anything/7", timeout=30)
        assert answer.json()["headers"]["X-Auth-Username"] == "alice"

        old = first["refresh_token"]
        second = session.refresh_token(token_endpoint, client_id="requests")
        assert second["refresh_token"] != old
        assert session.get(f"{gateway.url}/anything/8", timeout=30).status_code == 200
        session.refresh_token(token_endpoint, client_id="requests")
        with pytest.raises(InvalidGrantError):
            session.refresh_token(token_endpoint, refresh_token=old, client_id="requests")
        assert session.get(f"{gateway.url}/anything/9", timeout=30).status_code == 401


async def test_openid_client_of_npm_walks_every_endpoint(gateway, node):
    """Code with PKCE, its check of `iss`, refresh, reuse, device, introspection, revocation."""
    add_public_client(gateway, "npm")
    secret = gateway.add_client("resource", "--grant", "client_credentials", "--introspect")
    issuer = gateway.authorization_server_url
    script = (ROOT / "tests/e2e/node/client.mjs").read_text(encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        node,
        *("--input-type=module", "--eval", script, issuer, secret, " ".join(SCOPES)),
        cwd=FOLDER / "node",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said = {}
    async with Person(issuer, password=PASSWORD) as person:
        while line := await asyncio.wait_for(process.stdout.readline(), 30):
            told = json.loads(line)
            said |= told
            if "authorize" in told:
                back = await allow(person, told["authorize"])
                process.stdin.write(back.url.encode() + b"\n")
            elif "user_code" in told:
                address = f"{told['verification_uri']}?user_code={told['user_code']}"
                await allow(person, address)
    errors = await process.stderr.read()
    assert await process.wait() == 0, errors.decode()
    assert "evil" not in said["foreign iss"]
    assert said["foreign iss"].startswith("OAUTH_")
    assert said["no iss"].startswith("OAUTH_")
    assert set(said["scope"].split()) == set(SCOPES)
    assert said["expires_in"] == 600
    assert (said["client_id"], said["username"], said["iss"]) == ("npm", "alice", issuer)
    assert (said["active"], said["rotated"]) == (True, True)
    assert (said["reuse refused"], said["family after reuse"]) == ("invalid_grant", False)
    assert (said["device active"], said["after revocation"]) == (True, False)
    assert said["refresh after revocation"] == "invalid_grant"
