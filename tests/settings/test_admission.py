"""What routes look at beside the token: what is wrong or odd about it, what comes of it."""

from collections.abc import Callable
from pathlib import Path

from gateway.settings import compile_routes, load
from tests.settings.conftest import VALID

Check = Callable[..., list[str]]
Write = Callable[[str], Path]

WILDCARD = VALID.replace(
    '{scopes: ["orders:read"]}', '{scopes: ["orders:read"], scope_matching: wildcard}'
)


def test_networks_are_warned_of_where_no_client_has_an_address(check: Check) -> None:
    unix = "listen: unix:/run/g.sock\npublic_url: https://api.example.com\n"
    networks = VALID.replace("    require:", "    networks: [10.0.0.0/8]\n    require:")
    found = [line for line in check(unix + networks) if "networks" in line]
    assert len(found) == 1
    assert "no request passes; add unix to trusted_proxies" in found[0]
    assert check(unix + "trusted_proxies: [unix]\n" + networks) == []
    assert check(networks) == []


def test_scopes_are_matched_as_a_route_says(write: Write) -> None:
    for text, has_wildcards in ((VALID, False), (WILDCARD, True)):
        [route] = compile_routes(load(write(text))).routes
        assert route.requirement is not None
        assert route.requirement.has_wildcards is has_wildcards


def test_a_route_does_not_demand_a_wildcard(check: Check) -> None:
    [found] = check(
        WILDCARD.replace('["orders:read"]', '["orders:*"]', 1).replace(
            "scopes: {", 'scopes: {"orders:*": All, '
        )
    )
    assert found.startswith('10:24: routes[0].require.scopes[0]: "orders:*" demands a token')
    assert check(WILDCARD) == []


def test_there_are_scopes_to_be_matched(check: Check) -> None:
    [found] = check(WILDCARD.replace('scopes: ["orders:read"], ', ""))
    assert "there are no scopes to be compared; add scopes or any_scope" in found


def test_a_scope_that_a_declared_wildcard_stands_for_is_known(check: Check) -> None:
    declared = WILDCARD.replace('{"orders:read": See your orders}', '{"orders:*": All}')
    assert check(declared) == []
    [found] = check(declared.replace(", scope_matching: wildcard", ""))
    assert 'has no scope "orders:read"' in found
