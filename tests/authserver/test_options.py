"""What the embedded server is told of a configuration."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.authserver.options import AuthorizationServerOptions, Opening, embedded_options
from gateway.settings import load

ROUTES = [
    {
        "name": "read",
        "match": {"host": "api.example", "path": "/orders/**", "methods": ["GET"]},
        "require": {"scopes": ["read"], "audience": "urn:orders"},
        "authorization_server": "local",
    },
    {
        "name": "any",
        "match": {"path": "/any"},
        "require": {"any_scope": ["read", "write"]},
        "authorization_server": ["local", "corporate"],
    },
    {"name": "health", "match": {"path": "/health", "host": "status.example"}, "public": True},
    {
        "name": "foreign",
        "match": {"path": "/foreign"},
        "require": {"scopes": ["other"], "audience": "urn:foreign"},
        "authorization_server": "corporate",
    },
]
FOREIGN = {
    "issuer": "https://login.example",
    "url": "https://login.example/introspect",
    "client_id": "gateway",
    "client_secret": "a-secret-of-some-length",
}

Tell = Callable[..., AuthorizationServerOptions | None]


@pytest.fixture
def tell(tmp_path: Path) -> Tell:
    """Gives the options of a configuration, with changes to its embedded server and its top."""

    def tell(
        embedded: dict[str, object] | None, **top: object
    ) -> AuthorizationServerOptions | None:
        servers: dict[str, object] = {"corporate": {"introspection": FOREIGN}}
        scopes = {"read": "See your orders", "write": "Change your orders"}
        if embedded is not None:
            servers["local"] = {"embedded": {"scopes": scopes, **embedded}}
        document = {
            "authorization_servers": servers,
            "upstreams": {"legacy": {"servers": ["http://127.0.0.1:9"]}},
            "routes": ROUTES if embedded is not None else ROUTES[-1:],
            **top,
        }
        file = tmp_path / "gateway.yaml"
        file.write_text(json.dumps(document), encoding="utf-8")
        return embedded_options(load(file))

    return tell


def test_a_configuration_without_an_embedded_server_has_no_options(tell: Tell) -> None:
    assert tell(None) is None


def test_openings_are_the_guarded_routes_of_this_server_as_a_person_reads_them(tell: Tell) -> None:
    options = tell({})
    assert options is not None
    assert list(options.openings) == [
        Opening(("GET",), "api.example/orders/**", frozenset({"read"}), frozenset()),
        Opening((), "/any", frozenset(), frozenset({"read", "write"})),
    ]


def test_an_opening_takes_wildcards_where_its_route_does(tell: Tell) -> None:
    require = {"scopes": ["read"], "scope_matching": "wildcard"}
    route = {**ROUTES[0], "require": require}
    options = tell({}, routes=[route, ROUTES[-1]])
    assert options is not None
    assert [opening.has_wildcards for opening in options.openings] == [True]


def test_audiences_are_those_that_routes_of_this_server_demand(tell: Tell) -> None:
    options = tell({})
    assert options is not None
    assert options.audiences == {"urn:orders"}


@pytest.mark.parametrize(
    ("public_url", "origins"),
    [
        (
            "https://www.example",
            {"https://www.example", "https://api.example", "https://status.example"},
        ),
        (
            "http://127.0.0.1:8080",
            {"http://127.0.0.1:8080", "http://api.example:8080", "http://status.example:8080"},
        ),
        (
            "https://[fd00::1]:8443",
            {"https://[fd00::1]:8443", "https://api.example:8443", "https://status.example:8443"},
        ),
        (
            "https://[fd00::1]",
            {"https://[fd00::1]", "https://api.example", "https://status.example"},
        ),
    ],
)
def test_resource_origins_are_public_url_and_the_routed_hosts_by_its_scheme_and_port(
    tell: Tell, public_url: str, origins: set[str]
) -> None:
    options = tell({}, public_url=public_url)
    assert options is not None
    assert options.resource_origins == origins


def test_lifetimes_and_trusted_proxies_are_handed_on(tell: Tell) -> None:
    options = tell(
        {
            "access_token_lifetime": "5m",
            "refresh_token_lifetime": "2h",
            "session_lifetime": "1h",
        },
        trusted_proxies=["10.0.0.0/8"],
    )
    assert options is not None
    assert (options.access_token_lifetime, options.refresh_token_lifetime) == (300, 7200)
    assert options.session_lifetime == 3600
    assert [str(network) for network in options.trusted_proxies] == ["10.0.0.0/8"]


def test_options_do_not_print_the_databases_password(tell: Tell) -> None:
    options = tell({"database": "postgresql://gateway:geheim@db.example/gateway"})
    assert options is not None
    assert options.database_url == "postgresql://gateway:geheim@db.example/gateway"
    assert "geheim" not in repr(options)
