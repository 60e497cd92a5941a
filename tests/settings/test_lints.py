"""Lints: what works and is worth a look. Each is a warning with a mend."""

from collections.abc import Callable

import pytest

from gateway.middleware.metadata import ProtectedResource
from gateway.policy.table import RouteTable
from tests.settings.conftest import VALID

Check = Callable[..., list[str]]

PUBLIC = """\
  - name: open
    match: {path: /**}
    public: true
"""


def test_a_public_route_over_a_guarded_one_is_warned_of_once(check: Check) -> None:
    [found] = check(VALID + PUBLIC)
    assert found == (
        "12:5: warning: routes[1].match: without a token it takes what narrowly misses the guarded "
        "route on line 8, such as its path in another case; narrow its path, or guard it too"
    )
    second = "  - {name: more, match: {path: /more}, require: {}}\n"
    [found] = check(VALID + PUBLIC + second)
    assert "the guarded route on line 8 and 1 more, such as" in found


OF_A_HOST = """\
  - name: site
    match: {host: www.example.com, path: /**}
    public: true
"""


def test_a_public_route_of_a_host_over_a_guarded_one_of_any_is_warned_of(check: Check) -> None:
    """The client writes the Host header, and a host of its own goes before none."""
    [found] = check(VALID + OF_A_HOST)
    assert found == (
        "12:5: warning: routes[1].match: on www.example.com this takes, without a token, all that "
        "the guarded route on line 8 demands one for, and the client picks the host; "
        "give the guarded route a host too, or add one like it for www.example.com"
    )
    second = "  - {name: more, match: {path: /more}, require: {}}\n"
    [found] = check(VALID + OF_A_HOST + second)
    assert "the guarded route on line 8 and 1 more demand one for" in found


def test_a_guarded_route_without_host_that_is_repeated_or_has_one_is_not_opened(
    check: Check,
) -> None:
    of_api = VALID.replace("path: /orders", "host: api.example.com, path: /orders")
    assert check(of_api + OF_A_HOST) == []
    repeated = "  - {name: more, match: {host: www.example.com, path: /orders/**}, require: {}}\n"
    assert not [line for line in check(VALID + OF_A_HOST + repeated) if "picks the host" in line]


@pytest.mark.parametrize("path", ["", "/**", "/orders", "/{x}"])
def test_a_route_where_the_gateway_answers_itself_is_warned_of(check: Check, path: str) -> None:
    pattern = f"/.well-known/oauth-protected-resource{path}"
    assert ProtectedResource(RouteTable([]), "http://a").is_asked_for(pattern)
    [found] = check(VALID + PUBLIC.replace("/**", f'"{pattern}"'))
    assert found == (
        "12:19: warning: routes[1].match.path: the gateway answers this path itself (RFC 9728), "
        "so the route never matches; remove the route, or change its path"
    )


@pytest.mark.parametrize("path", ["/.well-known/oauth-protected-resources", "/.well-known/{x}"])
def test_a_route_beside_what_the_gateway_answers_itself_is_fine(check: Check, path: str) -> None:
    assert check(VALID + PUBLIC.replace("/**", f'"{path}"')) == []


OPAQUE = """\
  - name: rest
    match: {path: /**}
    require: {}
    allow_in_path: [semicolon]
"""


def test_a_route_whose_paths_may_be_read_as_a_stricter_ones_is_warned_of(check: Check) -> None:
    """`/orders;/1` opens the weaker route, and Tomcat reads it as `/orders/1`."""
    [found] = check(VALID + OPAQUE)
    assert found == (
        "14:5: warning: routes[1].allow_in_path: with what this allows, it takes paths that a "
        "service may read as those of the route on line 8, which demands something else; "
        "narrow the path of this route, or let both demand the same"
    )
    assert check(VALID + OPAQUE.replace("/**", "/old/**")) == []
    assert check(VALID + OPAQUE.replace("{}", '{scopes: ["orders:read"]}')) == []
    assert check(VALID + OPAQUE.replace("    allow_in_path: [semicolon]\n", "")) == []
    [found] = check(VALID + OPAQUE.replace("require: {}", "public: true"))
    assert "without a token it takes what narrowly misses" in found


def test_what_a_route_allows_and_its_path_can_never_have_is_warned_of(check: Check) -> None:
    """A literal matches no ambiguous segment, and a name no empty one."""
    literal = PUBLIC.replace("/**", "/open") + "    allow_in_path: [semicolon, empty_segment]\n"
    first, second = check(VALID + literal)
    assert first == (
        "14:21: warning: routes[1].allow_in_path[0]: only {name} and a last ** match such a "
        "segment, and the path has neither; remove it, or end the path with /**"
    )
    assert second == (
        "14:32: warning: routes[1].allow_in_path[1]: only a last ** matches an empty segment, and "
        "the path has none; remove it, or end the path with /**"
    )
    [found] = check(VALID + literal.replace("/open", '"/open/{id}/x"'))
    assert "only a last ** matches an empty segment" in found
    assert check(VALID + literal.replace("/open", "/open/**")) == []


def test_a_guarded_route_over_a_public_one_is_fine(check: Check) -> None:
    guarded = VALID.replace("/orders/**", "/**")
    assert check(guarded + PUBLIC.replace("/**", "/open")) == []


def test_a_scope_that_the_embedded_server_does_not_declare_is_warned_of(check: Check) -> None:
    [found] = check(VALID.replace('["orders:read"]}', '["orders:read", "orders:reed"]}'))
    assert found == (
        '10:39: warning: routes[0].require.scopes[1]: the authorization server "local" has no '
        'scope "orders:reed"; did you mean "orders:read"?'
    )
    [found] = check(VALID.replace('scopes: ["orders:read"]}', "any_scope: [admin]}"))
    assert found.endswith('has no scope "admin"; declare it under its scopes')
    by_language = VALID.replace("See your orders", "{en: See your orders, ko: 주문 보기}")
    assert check(by_language) == []
    [found] = check(by_language.replace('["orders:read"]', '["orders:reed"]'))
    assert found.endswith('has no scope "orders:reed"; did you mean "orders:read"?')


def test_what_no_route_uses_is_warned_of(check: Check) -> None:
    [found] = check(
        VALID.replace("routes:", "  idle: {servers: [http://127.0.0.1:8001]}\nroutes:")
        + "    upstream: orders\n"
    )
    assert found.startswith('7:3: warning: upstreams.idle: no route uses "idle"; remove it, or')


def test_an_authorization_server_that_only_public_routes_could_use_is_warned_of(
    check: Check,
) -> None:
    [found] = check(VALID.replace('require: {scopes: ["orders:read"]}', "public: true"))
    assert 'authorization_servers.local: no route uses "local"; ' in found


def test_nothing_is_called_unused_while_a_route_cannot_be_read(check: Check) -> None:
    found = check(VALID.replace("routes:", "routes:\n  - 5"))
    assert not [line for line in found if "no route uses" in line]


def test_an_admin_port_off_loopback_is_warned_of(check: Check) -> None:
    [found] = check(VALID + "admin_listen: 10.0.0.1:9090\n")
    assert found.startswith("11:15: warning: admin_listen: 10.0.0.1:9090 can be reached from other")


@pytest.mark.parametrize(
    ("url", "is_warned"),
    [("http://api.example.com", True), ("https://api.example.com", False)],
)
def test_tokens_over_plain_http_are_warned_of(check: Check, url: str, is_warned: bool) -> None:
    found = check(VALID + f"public_url: {url}\n")
    assert [line for line in found if "over plain http" in line] == found
    assert bool(found) is is_warned


def test_lints_speak_also_when_there_are_errors(check: Check) -> None:
    found = check(VALID + PUBLIC + "nonsense: 1\n")
    assert len([line for line in found if ": warning: " in line]) == 1
    assert len(found) == 2
