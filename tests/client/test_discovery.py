"""What servers say of themselves, and when it is not believed."""

import pytest

from gateway.client.discovery import discover, discover_resource
from gateway.client.errors import ClientError, NotFound, ServerUnreachable
from gateway.client.login import find_server
from gateway.client.transport import check_url
from tests.client.conftest import AUTHORIZATION_SERVER, RESOURCE


async def test_a_path_of_the_issuer_is_inserted_and_openid_comes_second(http, server):
    """RFC 8414, section 3.1; OpenID Connect Discovery, section 4."""
    issuer = f"{server.origin}/tenant"
    with pytest.raises(NotFound, match="is no authorization server"):
        await discover(http, issuer)
    assert server.paths() == [
        f"{AUTHORIZATION_SERVER}/tenant",
        "/tenant/.well-known/openid-configuration",
    ]
    server.says("/tenant/.well-known/openid-configuration", {"issuer": issuer})
    assert (await discover(http, issuer)).issuer == issuer


@pytest.mark.parametrize("stated", ["https://evil.example", "{}/", "{}/x"])
async def test_metadata_of_another_issuer_is_refused(http, server, stated):
    server.says(AUTHORIZATION_SERVER, {"issuer": stated.format(server.origin)})
    with pytest.raises(ClientError, match="calls itself"):
        await discover(http, server.origin)


@pytest.mark.parametrize("members", [{}, {"issuer": None}, {"issuer": 7}])
async def test_metadata_without_an_issuer_is_refused(http, server, members):
    server.says(AUTHORIZATION_SERVER, members)
    with pytest.raises(ClientError, match="is no authorization server: it names no issuer"):
        await discover(http, server.origin)


@pytest.mark.parametrize(
    "endpoint", ["http://login.example/token", "ftp://x/", "/token", 7, "https://a@b.example/"]
)
async def test_an_endpoint_where_others_read_along_is_refused(http, server, endpoint):
    server.says(AUTHORIZATION_SERVER, {"issuer": server.origin, "token_endpoint": endpoint})
    with pytest.raises(ClientError, match="token_endpoint in the metadata"):
        await discover(http, server.origin)


async def test_a_redirect_is_not_followed(http, server):
    server.says(AUTHORIZATION_SERVER, {}, status=302, headers={"Location": "/elsewhere"})
    with pytest.raises(NotFound):
        await discover(http, server.origin)
    assert "/elsewhere" not in server.paths()


async def test_an_answer_without_end_is_given_up(http, server):
    server.says(AUTHORIZATION_SERVER, {"issuer": server.origin, "x": "x" * 300_000})
    with pytest.raises(ServerUnreachable, match="more than"):
        await discover(http, server.origin)


@pytest.mark.parametrize("name", ["issuer", "token_endpoint", "x"])
async def test_metadata_with_half_a_character_is_none(http, server, name):
    """JSON can spell a lone surrogate, and nothing can be sent or shown with one."""
    server.says(AUTHORIZATION_SERVER, {"issuer": server.origin, name: f"{server.origin}/\ud800"})
    with pytest.raises(NotFound, match="is no authorization server"):
        await discover(http, server.origin)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://login.example/", "everyone on the way reads along"),
        ("login.example", "not a URL"),
        ("https://a:b@login.example/", "user or password"),
        ("https://login.example/#x", "fragment"),
    ],
)
def test_an_address_that_cannot_be_used_says_why(url, words):
    with pytest.raises(ClientError, match=words):
        check_url(url)


async def test_a_resource_leads_to_its_one_authorization_server(http, server, start_site):
    site = await start_site()
    members = {"resource": site.origin, "authorization_servers": [server.origin]}
    site.says(RESOURCE, members)
    found, origin = await find_server(http, site.origin)
    assert (found.issuer, origin) == (server.origin, site.origin)
    site.says(RESOURCE, members | {"authorization_servers": [server.origin, "https://b.example"]})
    with pytest.raises(ClientError, match="choose one"):
        await find_server(http, site.origin)


async def test_a_resource_that_calls_itself_another_is_refused(http, start_site):
    """RFC 9728, section 3.3."""
    site = await start_site()
    site.says(RESOURCE, {"resource": "https://api.example", "authorization_servers": []})
    with pytest.raises(ClientError, match="calls itself"):
        await discover_resource(http, site.origin)


@pytest.mark.parametrize("members", [{}, {"resource": None}, {"resource": 7}, {"orders": []}])
async def test_a_service_that_names_no_resource_does_not_say_whose_tokens_it_takes(
    http, start_site, members
):
    """Some answer every path with JSON of their own; that is no name to be trusted."""
    site = await start_site()
    site.says(RESOURCE, members)
    with pytest.raises(NotFound, match="does not say which authorization server it trusts"):
        await discover_resource(http, site.origin)
