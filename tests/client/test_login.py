"""Signing in at a resource: only where the server bears it out."""

import asyncio
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import requests

from gateway.client.code_flow import Wish
from gateway.client.errors import ClientError
from gateway.client.login import Surroundings, log_in
from tests.client.conftest import AUTHORIZATION_SERVER, RESOURCE


@pytest.fixture
async def api(start_site, server):
    """A resource that says that it takes the server's tokens."""
    site = await start_site()
    site.says(RESOURCE, {"resource": site.origin, "authorization_servers": [server.origin]})
    return site


@pytest.fixture
async def sign_in_at(http, store, server):
    """Signs a person in at a server that lists these resources; None: it lists none."""
    visits = []

    def browse(url):
        query = parse_qs(urlsplit(url).query)
        back = urlencode({"code": "CODE", "state": query["state"][0]})
        address = f"{query['redirect_uri'][0]}?{back}"
        visits.append(asyncio.get_running_loop().run_in_executor(None, requests.get, address))

    async def run(address, listed):
        members = {"issuer": server.origin}
        for name, path in (("authorization_endpoint", "authorize"), ("token_endpoint", "token")):
            members[name] = f"{server.origin}/{path}"
        if listed is not None:
            members["protected_resources"] = listed
        server.says(AUTHORIZATION_SERVER, members)
        server.says("/token", {"access_token": "AT", "token_type": "Bearer"})
        surroundings = Surroundings(True, False, False, browse, print)
        return await log_in(http, store, address, Wish("cli"), None, surroundings)

    yield run
    await asyncio.gather(*visits)


@pytest.mark.parametrize("listed", [[], ["https://api.example"], ["{}/orders"]])
async def test_a_resource_that_the_server_does_not_list_is_refused(
    sign_in_at, api, server, store, listed
):
    """RFC 9728, section 4: nobody is asked to sign in, and nothing is kept."""
    with pytest.raises(ClientError, match=f"does not list it.*gateway login {server.origin}"):
        await sign_in_at(api.origin, [one.format(api.origin) for one in listed])
    assert set(server.paths()) == {AUTHORIZATION_SERVER}
    assert store.read() == []


@pytest.mark.parametrize("listed", [None, ["https://api.example", "{}"], ["{}/"]])
async def test_a_resource_that_the_server_lists_or_could_list_is_signed_in_at(
    sign_in_at, api, store, listed
):
    resources = None if listed is None else [one.format(api.origin) for one in listed]
    account = await sign_in_at(api.origin, resources)
    assert account.origins == (api.origin,)
    assert store.read() == [account]
