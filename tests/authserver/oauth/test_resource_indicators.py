"""Resource indicators (RFC 8707): what a token may be for."""

import contextlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.authserver.administration import NewSecret
from gateway.authserver.errors import Problem, RequestRefused
from gateway.authserver.options import AuthorizationServerOptions
from gateway.authserver.resources import parse_resources
from gateway.authserver.server import EmbeddedServer
from gateway.policy.token import Token
from tests.authserver.conftest import Endpoints

OPTIONS = AuthorizationServerOptions(
    name="local",
    issuer="https://login.example",
    database_url="",
    access_token_lifetime=600,
    scopes={},
    audiences=frozenset({"https://api.example/v1", "urn:example:orders", "plain", "https://a b"}),
    resource_origins=frozenset({"https://shop.example", "http://127.0.0.1:8080"}),
)


@pytest.mark.parametrize(
    "resource",
    [
        "https://api.example/v1",
        "urn:example:orders",
        "https://shop.example",
        "https://shop.example/",
        "https://shop.example/orders/%C3%BC?x=1&y=2",
        "https://shop.example?x",
        "http://127.0.0.1:8080/orders",
    ],
)
def test_a_declared_audience_and_what_lies_under_an_origin_can_be_asked_for(resource: str) -> None:
    assert parse_resources([resource], OPTIONS) == resource


@pytest.mark.parametrize(
    "resource",
    [
        "",
        "plain",  # declared, but no absolute URI
        "https://a b",
        "https://api.example/v1/",
        "https://api.example/v1#",
        "https://shop.example/#fragment",
        "https://shop.example#",
        "//shop.example/",
        "/orders",
        "https:/shop.example",
        "https://shop.example.evil.example/",
        "https://shop.example@evil.example/",
        "https://user@shop.example/",
        "https://user:secret@shop.example/",
        "https://shop.example:443/",
        "https://SHOP.example/",
        "HTTPS://shop.example/",
        "http://shop.example/",
        "https://shop.example\\@evil.example/",
        "https://evil.example\\.shop.example/",
        "https://shop.example/ https://evil.example/",
        "https://shop.example/\n",
        "https://shop.example/ü",
        'https://shop.example/"',
        "https://shop.example/%zz",
        "https://shop.example/%",
        "https://shop.example/\ud800",
        "https://shop.example/\0",
        "http://127.0.0.1:80801/",
        "http://127.0.0.1/",
        "https://shop.example/" + "x" * 2000,
    ],
)
def test_anything_else_is_an_invalid_target(resource: str) -> None:
    for values in ([resource], ["https://shop.example/", resource]):
        with pytest.raises(RequestRefused) as raised:
            parse_resources(values, OPTIONS)
        assert raised.value.problem is Problem.INVALID_TARGET


def test_several_rest_sorted_as_one_text() -> None:
    assert (
        parse_resources(["https://shop.example/b", "https://shop.example/a"], OPTIONS)
        == "https://shop.example/a https://shop.example/b"
    )
    assert parse_resources([], OPTIONS) == ""


@given(st.text())
def test_no_text_makes_the_reader_fail_otherwise(text: str) -> None:
    with contextlib.suppress(RequestRefused):
        parse_resources([text, "https://shop.example/" + text], OPTIONS)


async def test_a_client_names_what_its_own_token_is_for(
    endpoints: Endpoints, shop: NewSecret, server: EmbeddedServer
) -> None:
    form = (
        "grant_type=client_credentials&resource=https%3A%2F%2Fshop.example%2Fb"
        "&resource=https%3A%2F%2Fapi.example"
    )
    answer = await endpoints.post("/oauth2/token", form, basic=shop)

    said = await server.introspect(str(answer.json["access_token"]))
    assert isinstance(said, Token)
    assert said.audience == ("https://api.example", "https://shop.example/b")


async def test_what_the_server_does_not_know_is_refused(
    endpoints: Endpoints, shop: NewSecret
) -> None:
    answer = await endpoints.issue(shop, resource="https://evil.example/")
    assert (answer.status, answer.json["error"]) == (400, "invalid_target")
    assert b"evil" not in answer.body


async def test_without_a_resource_a_token_is_for_no_audience(
    endpoints: Endpoints, shop: NewSecret, server: EmbeddedServer
) -> None:
    answer = await endpoints.issue(shop)
    said = await server.introspect(str(answer.json["access_token"]))
    assert isinstance(said, Token)
    assert said.audience == ()


def test_a_server_that_knows_no_resources_gives_tokens_for_none() -> None:
    nothing = replace(OPTIONS, audiences=frozenset(), resource_origins=frozenset())
    with pytest.raises(RequestRefused):
        parse_resources(["https://shop.example/"], nothing)
