"""What routes change of their requests: what is wrong with it is found, with the mend."""

from collections.abc import Callable

import pytest

from tests.settings.conftest import VALID

Check = Callable[..., list[str]]


@pytest.mark.parametrize(
    ("path", "forward_path", "finding"),
    [
        ("/orders/**", "/b", "the path that is matched ends in ** and this does not; end it with"),
        ("/orders", "/b/**", "this ends in ** and the path that is matched does not; end both"),
        ("/{a}/**", "/{b}/**", "{b} is not in the path that is matched, which has {a}; write"),
        ("/{a}", "/{a}/{a}", "{a} stands twice; use each name once"),
        ("/a", "b", '"b" is not a path; write it from the root, as in /legacy/**'),
        ("/a", "/../b", "can be read in more than one way (dot_segment); write the plain path"),
        ("/a", "/b/", "it does not end with a slash; write /b, to which the slash at the end"),
    ],
)
def test_a_path_that_cannot_be_forwarded_is_found(
    check: Check, path: str, forward_path: str, finding: str
) -> None:
    [found] = check(
        VALID.replace("{path: /orders/**}", f'{{path: "{path}"}}')
        + f'    forward_path: "{forward_path}"\n'
    )
    assert found.startswith("11:19: routes[0].forward_path: ")
    assert finding in found


@pytest.mark.parametrize(
    ("path", "forward_path"),
    [("/orders/**", "/**"), ("/t/{a}/{b}/**", "/{b}/x/{a}/**"), ("/", "/start"), ("/a", "/")],
)
def test_a_path_that_can_be_forwarded_is_not(check: Check, path: str, forward_path: str) -> None:
    text = VALID.replace("{path: /orders/**}", f'{{path: "{path}"}}')
    assert check(text + f'    forward_path: "{forward_path}"\n') == []


def test_a_broken_match_has_one_finding(check: Check) -> None:
    [found] = check(VALID.replace("/orders/**", "orders") + "    forward_path: /**\n")
    assert "routes[0].match.path" in found


@pytest.mark.parametrize(
    ("host", "finding"),
    [
        ("http://app.internal", '"http://app.internal" is not a host; write keep, upstream, or a'),
        ("app.internal/x", '"app.internal/x" is not a host; '),
        ('"a b"', '"a b" is not a host; '),
        ("app.internal:99999", '"app.internal:99999" is not a host; '),
        ('"127.1:80"', '"127.1" is an abbreviated address; '),
        ('"[::1"', '"[::1" is not a host; '),
        ("on", '"on" is the boolean true to YAML 1.1, not keep, upstream or a host; write "on"'),
    ],
)
def test_a_host_that_cannot_be_forwarded_is_found(check: Check, host: str, finding: str) -> None:
    [found] = check(VALID + f"    forward_host: {host}\n")
    assert found.startswith("11:19: routes[0].forward_host: ")
    assert finding in found


@pytest.mark.parametrize(
    "host", ["keep", "upstream", "app.internal", '"app.internal:80"', '"[::1]:8080"', "app_1"]
)
def test_a_host_that_can_be_forwarded_is_not(check: Check, host: str) -> None:
    assert check(VALID + f"    forward_host: {host}\n") == []


def edits(section: str) -> str:
    return VALID + f"    {section}\n"


@pytest.mark.parametrize("key", ["request_headers", "response_headers"])
@pytest.mark.parametrize(
    ("name", "finding"),
    [
        *((name, "how messages are framed and passed on") for name in ("Content-Length", "te")),
        *((name, "how messages are framed and passed on") for name in ("Connection", "Upgrade")),
        *((name, "how messages are framed") for name in ("Transfer_Encoding", "Keep-Alive")),
        ("host", "host is not for a route to change; write forward_host"),
        ("X-Request-Id", "the gateway writes its own"),
        ("Via", "the gateway writes its own"),
        ("X-Auth-Subject", "X-Auth- says who a token is, and only the gateway says so"),
        ("x_auth.roles", "X-Auth- says who a token is, and only the gateway says so"),
        ("X-Forwarded-For", "the gateway says where a request came from"),
        ("x_forwarded_prefix", "the gateway says where a request came from"),
        ("Forwarded", "the gateway says where a request came from"),
        ("A B", '"A B" is not the name of a header; write it without colon and spaces'),
        ("é", '"é" is not the name of a header; '),
        ("A:", '"A:" is not the name of a header; '),
    ],
)
@pytest.mark.parametrize("edit", ["set: {{{}: x}}", "add: {{{}: x}}", "remove: [{}]"])
def test_a_header_that_no_route_may_change_is_found(
    check: Check, key: str, name: str, finding: str, edit: str
) -> None:
    written = edit.format(f'"{name}"')
    [found] = check(edits(f"{key}: {{{written}}}"))
    assert found.startswith("11:")
    assert finding in found


@pytest.mark.parametrize("key", ["request_headers", "response_headers"])
@pytest.mark.parametrize(
    ("value", "finding"),
    [
        (r'"a\r\nB: c"', "the value has a control character in it, or a blank at one of its ends"),
        (r'"a\0"', "the value has a control character in it"),
        ('" a"', "or a blank at one of its ends; write it on one line, without them"),
        ('""', "the value is empty; name the header under remove"),
        ("on", "the boolean true to YAML 1.1, not "),
        ("~", "the key has no value; "),
        ("[a]", "a list stands where a header's value belongs; "),
    ],
)
def test_a_value_that_no_header_can_carry_is_found(
    check: Check, key: str, value: str, finding: str
) -> None:
    [found] = check(edits(f"{key}: {{set: {{X-A: {value}}}}}"))
    assert f"routes[0].{key}.set.X-A: " in found
    assert finding in found


@pytest.mark.parametrize(
    ("section", "finding"),
    [
        ("{set: {X-A: x}, remove: [x_a]}", "x_a stands under set on line 11 already; name each"),
        ("{set: {X-A: x, x-a: y}}", "x-a stands under set on line 11 already; "),
        ("{set: {X-A: x}, add: {X-a: y}}", "X-a stands under set on line 11 already; "),
        ("{add: {X-A: x}, remove: [X.A]}", "X.A stands under add on line 11 already; "),
    ],
)
@pytest.mark.parametrize("key", ["request_headers", "response_headers"])
def test_a_header_that_is_changed_twice_is_found(
    check: Check, key: str, section: str, finding: str
) -> None:
    [found] = check(edits(f"{key}: {section}"))
    assert finding in found


def test_a_token_and_credentials_in_one_header_are_found(check: Check) -> None:
    section = "request_headers: {set: {authorization: {env: A}}}\n    forward_token: true"
    [found] = check(edits(section), {"A": "Basic eA=="})
    assert "set.authorization: forward_token sends the client's token in this header; " in found


def test_a_secret_in_the_file_is_a_warning_and_from_elsewhere_is_none(check: Check) -> None:
    for name in ("Authorization", "X-Api-Key", "ApiKey", "X-Access-Token", "Cookie"):
        [found] = check(edits(f"request_headers: {{set: {{{name}: s3cret}}}}"))
        assert "the secret stands in the file itself; write {env: NAME} or {file: PATH}" in found
        assert "s3cret" not in found
        assert check(edits(f"request_headers: {{set: {{{name}: {{env: A}}}}}}"), {"A": "x"}) == []
    assert check(edits("request_headers: {add: {X-Tenant: acme, X-Monkey: x}}")) == []


@pytest.mark.parametrize(
    "value", [r'"7753951\x07"', '" 7753951"', "[7753951]", "{'7753951': 7753951}", "7753951"]
)
def test_no_finding_quotes_the_value_of_a_header_of_requests(check: Check, value: str) -> None:
    found = check(edits(f"request_headers: {{set: {{Authorization: {value}}}}}"))
    assert found
    assert not any("7753951" in line for line in found)


def test_a_secret_of_elsewhere_is_held_to_the_same_rules(check: Check) -> None:
    [found] = check(edits("request_headers: {set: {X-A: {env: A}}}"), {"A": " x "})
    assert "or a blank at one of its ends" in found


@pytest.mark.parametrize(
    ("section", "finding"),
    [
        ('{origins: ["*"], credentials: true}', "no browser takes * together with credentials"),
        ('{origins: ["*", "https://a.example"]}', "* is every origin, so the others say nothing"),
        ('{origins: ["null"]}', "null is the origin of any page that hides its own; name the"),
        ('{origins: ["https://*.a.example"]}', 'a wildcard stands in "https://*.a.example"; write'),
        ('{origins: ["https://a.example/"]}', "a slash follows the host; write only https://a.ex"),
        ("{origins: [a.example]}", '"a.example" is not a URL; write it with its scheme'),
        ("{origins: []}", 'the list is empty; name them, or write ["*"] for all'),
        ("{methods: [GET]}", 'the key "origins" is missing; add origins: [https://app.example'),
        ('{origins: ["*"], methods: [get]}', 'methods are upper case, "get" is not; write GET'),
        ('{origins: ["*"], headers: ["*"]}', "* stands for no header; name each header"),
        ('{origins: ["*"], expose: ["A B"]}', '"A B" is not the name of a header; '),
        ('{origins: ["*"], max_age: 1}', "has no unit"),
        ('{origins: ["*"], max_age: 500ms}', "500ms is too short; write 1s to 24h"),
    ],
)
def test_what_is_wrong_with_cors_is_found(check: Check, section: str, finding: str) -> None:
    [found] = check(edits(f"cors: {section}"))
    assert found.startswith("11:")
    assert finding in found


def test_cors_of_a_method_that_the_route_lacks_is_found(check: Check) -> None:
    text = VALID.replace("{path: /orders/**}", "{path: /orders/**, methods: [GET]}")
    cors = '    cors: {origins: ["*"], methods: [GET, HEAD, PUT]}\n'
    [found] = check(text + cors)
    assert "routes[0].cors.methods[2]: the route does not take PUT; remove it, or add it" in found
    assert check(VALID + cors) == []


@pytest.mark.parametrize(
    "headers",
    [
        "{set: {Access-Control-Allow-Origin: x}}",
        "{add: {access-control-max-age: x}}",
        "{remove: [Access-Control-Allow-Origin]}",
    ],
)
def test_two_that_write_the_headers_of_cors_are_found(check: Check, headers: str) -> None:
    section = f'cors: {{origins: ["*"]}}\n    response_headers: {headers}'
    [found] = check(edits(section))
    assert found.startswith("12:")
    assert "remove it, or cors" in found
    assert check(edits(f"response_headers: {headers}")) == []


def test_an_origin_is_read_as_browsers_spell_it(check: Check) -> None:
    [found] = check(edits('cors: {origins: ["https://A.example:443", "https://a.example"]}'))
    assert "this stands twice in the list" in found
