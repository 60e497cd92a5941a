"""Single values, each through the whole way of a file: what is refused, and in which words."""

from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.settings import Examination, load
from tests.settings.conftest import VALID

FOREIGN = """\
authorization_servers:
  corporate:
    introspection:
      issuer: https://login.example.com
      url: https://login.example.com/introspect
      client_id: gateway
      client_secret: {env: SECRET}
upstreams:
  orders: {servers: [http://127.0.0.1:8000]}
routes:
  - name: orders
    match: {path: /orders/**}
    require: {}
"""


@pytest.mark.parametrize(
    ("line", "findings"),
    [
        (
            "access_log: off",
            ['"off" is the boolean false to YAML 1.1, not all, refusals or none; '],
        ),
        ("access_log: [all]", ["a list stands where all, refusals or none belongs; write all"]),
        ("access_log:", ["the key has no value; write all, refusals or none, such as all, or rem"]),
        ("log_format: JSON", ['"JSON" is not one of the choices; did you mean "json"?']),
        ("log_format: xml", ['"xml" is not one of the choices; write auto, json or text']),
        ("state_dir: 2024", ['"2024" is a number to YAML 1.1, not a folder; write "2024", in quo']),
        ("state_dir: $HOME/x", ["~ and $ are not expanded here; write the whole path"]),
        ("limits: {headers: 0x10}", ['"0x10" is not a whole number in plain decimal digits; ']),
        ("limits: {headers: 010}", ['"010" is not a whole number in plain decimal digits; ']),
        ("limits: {headers: 1:30}", ['"1:30" is not a whole number in plain decimal digits; ']),
        ("limits: {headers: ten}", ['"ten" is not a whole number in plain decimal digits; ']),
        ("limits: {headers: 0}", ["0 is too small; write a number from 1 to 1000"]),
        ("limits: {headers: 1001}", ["1001 is too large; "]),
        ("limits: {headers: 10.5}", ['"10.5" is not a whole number']),
        ("limits: {headers: .nan}", ['".nan" is not a whole number']),
        (f"limits: {{headers: {'9' * 6000}}}", ["is not a whole number"]),
        ("workers: 0", ["0 is too small; write a number from 1 to 1024, or auto"]),
        ("workers: 1025", ["1025 is too large; write a number from 1 to 1024, or auto"]),
        ('workers: "2"', ["the number is in quotes; write 2 without them, or auto"]),
        ("workers: Auto", ['"Auto" is not a whole number in plain decimal digits; ']),
        ("workers: [2]", ["a list stands where a whole number or auto belongs; write auto"]),
        ("workers:", ["the key has no value; write a whole number or auto, such as auto, or rem"]),
        ("timeouts: {head: 2h}", ["2h is too long; write 1ms to 1h"]),
        ("timeouts: {head: 1:30}", ["is a number in base 60 to YAML 1.1, not a duration; write a"]),
        ("timeouts: 30s", ["a single value stands where a mapping with head, body and idle belon"]),
        ("public_url: api.example.com", ['"api.example.com" is not a URL; write it with its sch']),
        ("public_url: https://api.example.com/", ["a slash follows the host; write only https:"]),
        ("listen: 0.0.0.0:80", ["listening on 0.0.0.0:80 does not say how clients reach the gate"]),
        ("listen: 2001:db8::1:80", ['brackets; write it as "[2001:db8::1]:80"']),
        ("trusted_proxies: 10.0.0.0/8", ["a single value stands where a list belongs; write [10."]),
        ("trusted_proxies: [10]", ['"10" is not a network; write it as 10.0.0.0/8, fd00::/8 or ']),
        ("Listen: 127.0.0.1:1", ['the key "Listen" is unknown here; did you mean "listen"?']),
        ("log-format: json", ['the key "log-format" is unknown here; did you mean "log_format"?']),
        (f"{'x' * 90}: 1", ["is unknown here; remove it, or use listen, admin_listen, "]),
    ],
)
def test_a_wrong_value_is_refused_in_words(
    check: Callable[..., list[str]], line: str, findings: list[str]
) -> None:
    found = check(VALID + line + "\n")
    assert len(found) == len(findings), found
    for actual, expected in zip(found, findings, strict=True):
        assert expected in actual


def test_a_secret_comes_from_the_environment(read: Callable[..., Examination]) -> None:
    settings = read(FOREIGN, {"SECRET": "from the environment"}).settings
    assert settings is not None
    server = settings.authorization_servers["corporate"].introspection
    assert server is not None
    assert server.client_secret.get_secret_value() == "from the environment"
    assert "from the environment" not in repr(settings)
    assert "from the environment" not in settings.model_dump_json()


def test_an_absolute_foreign_url_may_be_plain_http_on_loopback_alone(
    check: Callable[..., list[str]],
) -> None:
    loopback = FOREIGN.replace("https://login.example.com/i", "http://127.0.0.1:8081/i")
    assert check(loopback, {"SECRET": "x"}) == []
    [finding] = check(
        FOREIGN.replace("https://login.example.com/i", "http://login.example.com/i"),
        {"SECRET": "x"},
    )
    assert "write https://login.example.com" in finding


def test_a_foreign_issuer_may_have_a_path(check: Callable[..., list[str]]) -> None:
    keycloak = FOREIGN.replace(
        "issuer: https://login.example.com", "issuer: https://k.example/realms/a"
    )
    assert check(keycloak, {"SECRET": "x"}) == []


@pytest.mark.parametrize(
    ("claims", "finding"),
    [
        ("{tenant: yes}", '"yes" is the boolean true to YAML 1.1 and may be something else'),
        ("{tenant: 1e3}", '"1e3" is text to YAML 1.1 and may be something else to its reader'),
        ("{tenant: 0o17}", '"0o17" is text to YAML 1.1 and may be something else'),
        ("{tenant: 0x1F}", '"0x1F" is a number to YAML 1.1 and may be something else'),
        ("{tenant: 1:30}", '"1:30" is a number in base 60 to YAML 1.1 and may be'),
        ("{tenant: .nan}", '".nan" is a number that is not whole, which cannot be compared; '),
        ("{tenant: 2.5}", '"2.5" is a number that is not whole, which cannot be compared; '),
        ("{tenant: {a: b}}", "a mapping stands where text, a whole number, true or false belongs"),
        ("{tenant: }", "the key has no value; "),
        ("{tenant: [a, [b]]}", "claims.tenant[1]: a list stands where text, a whole number"),
        ("{tenant: []}", "the list is empty, so no token fits; name the values"),
        ('{"a b": c}', '"a b" is not the name of a claim; '),
        ("{}", "the mapping is empty; name what is demanded, or leave the key out"),
        ("[tenant]", "a list stands where a mapping belongs; write {tenant: "),
    ],
)
def test_a_claim_value_that_could_be_misread_is_refused(
    check: Callable[..., list[str]], claims: str, finding: str
) -> None:
    [found] = check(VALID.replace('{scopes: ["orders:read"]}', f"{{claims: {claims}}}"))
    assert finding in found


def test_claim_values_keep_their_types(read: Callable[..., Examination]) -> None:
    claims = '{tenant: acme, level: 3, on_duty: true, code: "010", role: [admin, 7, false]}'
    settings = read(VALID.replace('{scopes: ["orders:read"]}', f"{{claims: {claims}}}")).settings
    assert settings is not None
    require = settings.routes[0].require
    assert require is not None
    assert repr(require.claims) == repr(
        {
            "tenant": ("acme",),
            "level": (3,),
            "on_duty": (True,),
            "code": ("010",),
            "role": ("admin", 7, False),
        }
    )


@pytest.mark.parametrize(
    ("host", "normal"),
    [
        ("API.example.com", "api.example.com"),
        ("api.example.com.", "api.example.com"),
        ("127.0.0.1", "127.0.0.1"),
        ('"[0:0::1]"', "[::1]"),
    ],
)
def test_a_host_is_brought_to_the_form_that_requests_have(
    read: Callable[..., Examination], host: str, normal: str
) -> None:
    content = VALID.replace("path: /orders/**", f"host: {host}, path: /orders/**")
    settings = read(content).settings
    assert settings is not None
    assert settings.routes[0].match.host == normal


@pytest.mark.parametrize(
    ("host", "finding"),
    [
        ('"*.example.com"', "a wildcard stands in the host; write one exact name"),
        ('"api.example.com:80"', 'a port stands behind the host; write "api.example.com"'),
        ("https://api.example.com", '"https://api.example.com" is more than a host; '),
        ("api.example.com/x", '"api.example.com/x" is more than a host; '),
        ('"::1"', '"::1" is not a host; write an IPv6 address in brackets, as in [::1]'),
        ('"[::1]:80"', '"[::1]:80" is not a host alone; write the address in brackets, with'),
        ("münchen.example", '"münchen.example" is not ASCII; write the host in its xn-- form'),
        ("127.1", '"127.1" is an abbreviated address; '),
        ("12.0", '"12.0" is an abbreviated address; '),
        ("2020-01-01", '"2020-01-01" is a date to YAML 1.1, not a host; '),
        ("10.1.1", '"10.1.1" is an abbreviated address; '),
        ('""', "the host is missing; "),
    ],
)
def test_a_host_is_one_exact_name(check: Callable[..., list[str]], host: str, finding: str) -> None:
    [found] = check(VALID.replace("path: /orders/**", f"host: {host}, path: /orders/**"))
    assert finding in found


@pytest.mark.parametrize(
    ("server", "finding"),
    [
        ("'unix:'", "the path is empty; write a socket, as in unix:/run/app.sock"),
        ("unix:///run/app.sock", "two slashes stand before the path; write unix:/run/app.sock"),
        ("unix:~/app.sock", "~ and $ are not expanded here; "),
        ("http://10.0.0.1/base", "a path follows the host; write only http://10.0.0.1"),
        ("http://10.0.0.1/?q", "a path follows the host; write only http://10.0.0.1"),
        ("http://u:geheim@10.0.0.1", "a user or password stands before the host; "),
        ("u:geheim@10.0.0.1:80", '"***@10.0.0.1:80" is not a URL; '),
        ("10.0.0.1:8000", '"10.0.0.1:8000" is not a URL; write it with its scheme, as in http://'),
        ("8000", '"8000" is not a URL; '),
    ],
)
def test_an_upstream_is_the_origin_of_a_server_or_a_socket(
    check: Callable[..., list[str]], server: str, finding: str
) -> None:
    [found] = check(VALID.replace("http://127.0.0.1:8000", server))
    assert finding in found


def test_the_path_of_a_socket_counts_from_the_folder_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(VALID.replace("http://127.0.0.1:8000", "unix:run/app.sock"))
    assert load(file).upstreams["orders"].servers == (f"unix:{tmp_path}/run/app.sock",)


@pytest.mark.parametrize(
    ("check_path", "finding"),
    [
        ("healthz", '"healthz" has no leading slash; write /healthz'),
        ('"/a b"', '"/a b" is not a path that can be asked for; '),
        ('"/a#b"', '"/a#b" is not a path that can be asked for; '),
        ("/é", " is not a path that can be asked for; "),
    ],
)
def test_a_health_check_asks_for_a_path(
    check: Callable[..., list[str]], check_path: str, finding: str
) -> None:
    here = "http://127.0.0.1:8000]"
    [found] = check(VALID.replace(here, f"{here}, health_check: {{path: {check_path}}}"))
    assert finding in found


@pytest.mark.parametrize("scope", ['"a b"', "'a\"b'", "'a\\b'", '"a\\tb"', "é", '""', '"a\\n"'])
def test_a_scope_is_a_scope_token_of_rfc_6749(check: Callable[..., list[str]], scope: str) -> None:
    content = VALID.replace('["orders:read"]', f"[{scope}]")
    assert any(
        "is not a scope; use printable ASCII without spaces" in line for line in check(content)
    )


def test_control_characters_of_the_file_do_not_reach_a_terminal(
    check: Callable[..., list[str]],
) -> None:
    [found] = check(VALID + r'"\e[31mred\n:1:1": 1' + "\n")
    assert found.isprintable()
