"""The rules that join several keys: each broken one is an error at a line that helps."""

from collections.abc import Callable

import pytest

from tests.settings.conftest import VALID

Check = Callable[..., list[str]]


@pytest.mark.parametrize(
    ("addition", "finding"),
    [
        ("listen: 127.0.0.1:9090", "11:9: listen: 127.0.0.1:9090 is also where admin_listen liste"),
        ("admin_listen: localhost:8080", "11:15: admin_listen: localhost:8080 is also where liste"),
        (
            "listen: 127.0.0.1:8081",
            "127.0.0.1:8081 is also where authorization_servers.local.embed",
        ),
        ("public_url: http://127.0.0.1:8081", "the issuer and public_url are one origin, shared "),
    ],
)
def test_listeners_have_a_place_of_their_own(check: Check, addition: str, finding: str) -> None:
    [found] = check(VALID + addition + "\n")
    assert finding in found


def test_a_collision_names_both_keys_also_when_one_is_a_default(check: Check) -> None:
    [found] = check(VALID + "listen: 127.0.0.1:9090\n")
    assert found.endswith("where admin_listen listens by default; give each its own port")
    [found] = check(VALID + "listen: 127.0.0.1:7000\nadmin_listen: 127.0.0.1:7000\n")
    assert found.startswith("12:15: admin_listen: 127.0.0.1:7000 is also where listen listens; ")


def test_listening_everywhere_needs_a_public_url_and_an_issuer(check: Check) -> None:
    everywhere = "listen: 0.0.0.0:8080\n" + VALID.replace(
        "      scopes", '      listen: "[::]:8081"\n      scopes'
    )
    assert check(everywhere) == [
        (
            "1:9: listen: listening on 0.0.0.0:8080 does not say how clients reach the gateway; "
            "add public_url with the origin that they use"
        ),
        (
            "5:15: authorization_servers.local.embedded.listen: listening on [::]:8081 does not "
            "say how clients reach it; add issuer with its https origin"
        ),
    ]


def test_an_explicit_address_says_how_clients_reach_the_gateway(check: Check) -> None:
    assert check("listen: 10.0.0.5:8080\n" + VALID) == []


@pytest.mark.parametrize(
    ("networks", "is_refused"),
    [
        (" ".join(f"{first}.0.0.0/8," for first in range(256)), True),
        (" ".join(f"{first}.0.0.0/8," for first in range(255)), False),
        ("10.0.0.0/8, fd00::/8", False),
    ],
)
def test_networks_that_make_up_the_internet_together_are_refused(
    check: Check, networks: str, is_refused: bool
) -> None:
    found = check(f"trusted_proxies: [{networks}]\n" + VALID)
    if is_refused:
        [finding] = found
        assert "trusted_proxies: together these networks are the whole internet; name" in finding
    else:
        assert found == []


@pytest.mark.parametrize(
    "server",
    [
        "http://127.0.0.1:9090",
        "http://localhost:9090",
        "http://0.0.0.0:9090",
        "http://[::ffff:127.0.0.1]:9090",
        "http://APP.localhost:9090",
    ],
)
def test_an_upstream_that_is_the_admin_port_is_refused(check: Check, server: str) -> None:
    [found] = check(VALID.replace("[http://127.0.0.1:8000]", f'["{server}"]'))
    assert (
        "6:22: upstreams.orders.servers[0]: this is admin_listen (127.0.0.1:9090), which" in found
    )


def test_an_upstream_that_is_the_gateway_itself_is_refused(check: Check) -> None:
    [found] = check(VALID.replace("127.0.0.1:8000", "localhost:8080"))
    assert "this is where the gateway itself listens, so every request would run in a cir" in found
    [found] = check(
        VALID.replace("127.0.0.1:8000", "API.example.com:80")
        + "public_url: http://api.example.com\nlisten: 10.0.0.1:80\n"
    )[:1]
    assert "this is where the gateway itself listens" in found


def test_an_upstream_may_be_the_embedded_server(check: Check) -> None:
    assert check(VALID.replace("127.0.0.1:8000", "127.0.0.1:8081")) == []


def test_none_of_several_servers_is_the_gateway_itself(check: Check) -> None:
    assert check(VALID.replace(":8000]", ":8000, http://127.0.0.1:8001]")) == []
    [found] = check(VALID.replace(":8000]", ":8000, http://127.0.0.1:8080]"))
    assert found.startswith("6:45: upstreams.orders.servers[1]: this is where the gateway itself ")


def test_a_route_has_exactly_one_of_require_and_public(check: Check) -> None:
    [found] = check(VALID + "    public: true\n")
    assert found.startswith("11:13: routes[0].public: a route cannot be public and demand a token;")
    [found] = check(VALID.replace('    require: {scopes: ["orders:read"]}\n', ""))
    assert found == (
        "8:5: routes[0]: nothing says who may pass; "
        "add require: {} for any valid token, or public: true"
    )


def test_a_websocket_begins_with_get(check: Check) -> None:
    route = VALID.replace("path: /orders/**", "path: /orders/**, methods: [POST]")
    [found] = check(route + "    upgrade: [websocket]\n")
    assert "upgrade: a WebSocket begins with GET, which this route does not take; add GET" in found
    assert check(route.replace("POST", "GET") + "    upgrade: [websocket]\n") == []


def test_only_what_switches_has_tunnels(check: Check) -> None:
    bounds = "    tunnels: {check: 5s, outage: 1m, idle: 2h}\n"
    [found] = check(VALID + bounds)
    assert "tunnels: no connection of this route can switch to another protocol; add" in found
    assert check(VALID + "    upgrade: [websocket]\n" + bounds) == []


def test_public_false_is_refused_with_the_mend(check: Check) -> None:
    [found] = check(VALID.replace('require: {scopes: ["orders:read"]}', "public: false"))
    assert found == (
        "10:13: routes[0].public: false says nothing here; "
        "remove the key and write require: {…} instead"
    )


def test_require_without_a_value_is_not_a_demand(check: Check) -> None:
    [found] = check(VALID.replace('require: {scopes: ["orders:read"]}', "require:"))
    assert (
        "routes[0].require: the key has no value; write a mapping with scopes, any_scope" in found
    )


def test_an_empty_require_is_any_valid_token(check: Check) -> None:
    assert check(VALID.replace('{scopes: ["orders:read"]}', "{}")) == []


def test_forward_token_means_nothing_on_a_public_route(check: Check) -> None:
    public = VALID.replace('require: {scopes: ["orders:read"]}', "public: true")
    [found, unused] = check(public + "    forward_token: true\n")
    assert "unused-authorization-server" not in found
    assert "no route uses" in found
    assert unused.startswith("11:20: routes[0].forward_token: a public route demands no token that")


SEVERAL = VALID.replace(
    "upstreams:\n",
    "  other:\n    introspection:\n      issuer: https://a.example\n"
    "      url: https://a.example/i\n      client_id: g\n      client_secret: {env: S}\n"
    "upstreams:\n  invoices: {servers: [http://127.0.0.1:8100]}\n",
)


def test_what_a_route_leaves_out_must_be_clear(check: Check) -> None:
    errors = [line for line in check(SEVERAL, {"S": "x"}) if "warning" not in line]
    assert errors == [
        (
            "15:5: routes[0].authorization_server: the route does not say which "
            'authorization_server; add authorization_server: "local" or "other"'
        ),
        (
            "15:5: routes[0].upstream: the route does not say which upstream; "
            'add upstream: "invoices" or "orders"'
        ),
    ]


@pytest.mark.parametrize(
    ("line", "finding"),
    [
        ("upstream: order", 'there is no upstream "order"; did you mean "orders"?'),
        ("upstream: zzz", 'there is no upstream "zzz"; define it under upstreams, or use "orders"'),
        ("authorization_server: lokal", 'there is no authorization_server "lokal"; did you mean "'),
        ("upstream: 5", '"5" is a number to YAML 1.1, not a name; write "5", in quotes'),
    ],
)
def test_a_dangling_reference_is_found(check: Check, line: str, finding: str) -> None:
    [found] = check(VALID + f"    {line}\n")
    assert found.startswith("11:")
    assert finding in found


def test_a_reference_to_a_broken_section_does_not_dangle(check: Check) -> None:
    [found] = check(VALID.replace("[http://127.0.0.1:8000]", "nowhere") + "    upstream: orders\n")
    assert "upstreams.orders.servers: a single value stands where a list belongs; " in found


def test_a_guarded_route_needs_an_authorization_server(check: Check) -> None:
    without = VALID[VALID.index("upstreams") :]
    [found] = check(without)
    assert found.endswith(
        "a guarded route needs an authorization server and the file has none; "
        "add authorization_servers"
    )
    assert check(without.replace('require: {scopes: ["orders:read"]}', "public: true")) == []


def test_two_routes_of_one_name_are_refused_naming_both_lines(check: Check) -> None:
    [found] = check(VALID + "  - name: orders\n    match: {path: /other}\n    require: {}\n")
    assert found == (
        '11:11: routes[1].name: the name "orders" is taken by the route on line 8; '
        "give each route its own"
    )


@pytest.mark.parametrize(
    "match",
    [
        "{path: /orders/**}",
        '{path: "/%6frders/**"}',
        "{path: /orders/**, methods: [GET]}",
    ],
)
def test_overlapping_routes_of_equal_rank_are_refused_naming_both_lines(
    check: Check, match: str
) -> None:
    first = VALID.replace("{path: /orders/**}", "{path: /orders/**, methods: [GET]}")
    if "methods" not in match:
        first = VALID
    [found] = check(first + f"  - name: again\n    match: {match}\n    require: {{}}\n")
    assert found == (
        "12:5: routes[1].match: the route on line 8 has the same host, path and method; "
        "change one of them, or name different methods"
    )


def test_get_overlaps_with_head(check: Check) -> None:
    get = VALID.replace("{path: /orders/**}", "{path: /orders/**, methods: [GET]}")
    [found] = check(
        get + "  - {name: head, match: {path: /orders/**, methods: [HEAD]}, require: {}}\n"
    )
    assert "the route on line 8 has the same host, path and method; " in found


@pytest.mark.parametrize(
    ("servers", "finding"),
    [
        ("local: {}", "nothing says what kind of authorization server this is; add embedded, int"),
        ("local: {jwt: {}}", 'the key "issuer" is missing'),
        (
            "local: {introspection: {bearer_token: x}, jwt: {audience: x}}",
            "is of one kind, not introspection and jwt; keep one of them",
        ),
        (
            "local: 5",
            "a single value stands where a mapping with embedded, introspection and jwt bel",
        ),
    ],
)
def test_an_authorization_server_has_a_kind(check: Check, servers: str, finding: str) -> None:
    content = f"authorization_servers:\n  {servers}\n{VALID[VALID.index('upstreams') :]}"
    assert any(finding in line for line in check(content))


def test_one_authorization_server_at_most_is_embedded(check: Check) -> None:
    content = VALID.replace(
        "upstreams:\n", "  other: {embedded: {listen: 127.0.0.1:8082}}\nupstreams:\n"
    )
    assert any(
        'authorization_servers.other.embedded: "local" on line 2 is embedded already; keep' in line
        for line in check(content)
    )


@pytest.mark.parametrize("section", ["upstreams", "routes"])
def test_a_file_without_its_main_sections_says_which(check: Check, section: str) -> None:
    lines = VALID.splitlines(keepends=True)
    first, last = {"upstreams": (4, 6), "routes": (6, 10)}[section]
    found = check("".join(lines[:first] + lines[last:]))
    assert any(f'the key "{section}" is missing; add {section}: ' in line for line in found)


def test_an_empty_list_of_routes_is_refused(check: Check) -> None:
    content = VALID[: VALID.index("routes:")] + "routes: []\n"
    assert any("routes: the list is empty; write at least one route" in x for x in check(content))


def test_a_state_dir_that_a_database_url_cannot_carry_is_refused(check: Check) -> None:
    [found] = check(VALID + 'state_dir: "what?"\n')
    assert "has a ? or # in its path; set state_dir to a folder without them" in found


@pytest.mark.parametrize("section", ["upstreams", "authorization_servers"])
@pytest.mark.parametrize("key", ["1", "on", "~", "[a]"])
def test_a_section_whose_only_key_was_refused_is_not_called_empty(
    check: Check, section: str, key: str
) -> None:
    """Nor is the name that a route says called unknown: it may be the one that was refused."""
    name = {"upstreams": "orders", "authorization_servers": "local"}[section]
    text = VALID.replace(f"\n  {name}:", f"\n  ? {key}\n  :").removeprefix("\n")
    reference = f"    {section.removesuffix('s')}: {name}\n"
    found = check(text + reference)
    assert len(found) == 1, found
