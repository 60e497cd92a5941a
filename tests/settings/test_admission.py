"""What routes look at beside the token: what is wrong or odd about it, what comes of it."""

from collections.abc import Callable
from pathlib import Path

import pytest

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


def limited(*limits: str) -> str:
    return VALID + f"    rate_limits: [{', '.join(limits)}]\n"


CLIENT = "{per: client, limit: 100/1m}"


def test_limits_of_a_route_come_behind_those_of_all(write: Write) -> None:
    text = limited(CLIENT, "{per: address, limit: 5/1s}") + f"rate_limits: [{CLIENT}]\n"
    [route] = compile_routes(load(write(text))).routes
    assert route.admission is not None
    assert route.admission.rates is not None
    assert route.admission.rates.policy == (
        '"address-1s";q=5;w=1, "all-client-60s";q=100;w=60, "client-60s";q=100;w=60'
    )
    [first, second] = route.admission.rates.after_token
    assert (first.counted_for, second.counted_for) == ("", "orders")
    [plain] = compile_routes(load(write(VALID))).routes
    assert plain.admission is None
    assert plain.adaptation is None


@pytest.mark.parametrize(
    ("limit", "finding"),
    [
        ("100", '"100" is not a number of requests in a time; write it as 100/1m'),
        ("-1/1m", '"-1/1m" is not a number of requests in a time'),
        ("1.5/1m", "is not a number of requests in a time"),
        ("100/m", '"m" does not say how long; write 100/1m'),
        ("100/min", '"min" is not a duration'),
        ("100/60", "60 has no unit; write 60s"),
        ("0/1m", "0 lets no request pass; write 1 or more"),
        ("5/500ms", "500ms is no window; write whole seconds, 1s to 24h"),
        ("5/1500ms", "1500ms is no window"),
        ("5/25h", "25h is no window"),
    ],
)
def test_a_rate_is_a_number_in_a_time(check: Check, limit: str, finding: str) -> None:
    [found] = check(limited(f"{{per: client, limit: {limit}}}"))
    assert finding in found


def test_a_limit_says_for_whom(check: Check) -> None:
    [found] = check(limited("{per: user, limit: 5/1m}"))
    assert 'per: "user" is not one of the choices' in found
    [found] = check(VALID + "rate_limits: [{per: route, limit: 5/1m}]\n")
    assert 'rate_limits[0].per: "route" is not one of the choices' in found
    [found] = check(limited("{per: client, limit: 5/1m, burst: 3}"))
    assert 'the key "burst" is unknown here' in found


def test_two_limits_of_the_same_in_the_same_time_are_one_too_many(check: Check) -> None:
    other = "{per: client, limit: 9/60s}"
    [found] = check(limited(CLIENT, "{per: client, limit: 9/1h}", other))
    assert "rate_limits[2]: line 11 bounds the same in the same time" in found
    [found] = check(VALID + f"rate_limits: [{CLIENT}, {other}]\n")
    assert "rate_limits[1]: line 11 bounds the same in the same time" in found


@pytest.mark.parametrize("per", ["client", "person"])
def test_a_public_route_knows_no_clients(check: Check, per: str) -> None:
    public = limited(f"{{per: {per}, limit: 5/1m}}").replace(
        'require: {scopes: ["orders:read"]}', "public: true"
    )
    found = [line for line in check(public) if "rate_limits" in line]
    assert len(found) == 1
    assert f"it knows no {per}; count per address or route" in found[0]
    assert not [line for line in check(public.replace(per, "route")) if "rate_limits" in line]


@pytest.mark.parametrize("workers", ["4", "auto"])
def test_workers_that_count_by_themselves_are_warned_of(check: Check, workers: str) -> None:
    several = f"workers: {workers}\n"
    for text in (limited(CLIENT), VALID + f"rate_limits: [{CLIENT}]\n"):
        [found] = check(text + several)
        assert "each worker counts by itself" in found
        assert "add redis" in found
        redis = 'redis: {url: "redis://127.0.0.1", secret: {env: SECRET}}\n'
        assert check(text + several + redis, {"SECRET": "s" * 32}) == []
        assert check(text) == []
    assert check(VALID + several) == []


def with_cookie(name: str) -> str:
    return VALID + f"    token_cookie: {name}\n"


def test_a_token_in_a_cookie_is_warned_of(check: Check) -> None:
    [found] = check(with_cookie("__Host-token"))
    assert "11:19: warning: routes[0].token_cookie: browsers add the cookie to requests" in found


@pytest.mark.parametrize("name", ["a b", '"a;b"', '"a=b"', '""', "x" * 65, "é"])
def test_what_is_no_name_of_a_cookie_is_refused(check: Check, name: str) -> None:
    [found] = check(with_cookie(name))
    assert "is not a cookie's name; use letters" in found


@pytest.mark.parametrize("name", ["gateway-session", "__Host-gateway-session", "Gateway-Browser"])
def test_a_cookie_of_the_sign_in_is_no_token(check: Check, name: str) -> None:
    [found] = check(with_cookie(name))
    assert "is a cookie of the authorization server's sign-in" in found


def test_a_public_route_takes_no_token_from_a_cookie(check: Check) -> None:
    public = with_cookie("token").replace('require: {scopes: ["orders:read"]}', "public: true")
    found = [line for line in check(public) if "token_cookie" in line]
    assert len(found) == 1
    assert "a public route asks for no token; remove token_cookie, or guard the route" in found[0]


def test_the_friends_of_a_cookie_are_those_of_cors_but_never_everybody(write: Write) -> None:
    for origins, friends in (
        ("https://app.example.com", {"https://app.example.com"}),
        ("*", set()),
    ):
        text = with_cookie("token") + f'    cors: {{origins: ["{origins}"]}}\n'
        [route] = compile_routes(load(write(text))).routes
        assert route.admission is not None
        assert route.admission.token_cookie is not None
        assert route.admission.token_cookie.name == "token"
        assert route.admission.token_cookie.origins == friends
