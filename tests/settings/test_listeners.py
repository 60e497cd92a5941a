"""`listen` as a list: what stands in it, what follows from it, and what it must not hold."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.cli.main import main
from gateway.settings import Address, Examination, UnixAddress
from gateway.settings.addresses import exclude_each_other
from gateway.settings.schema import json_schema
from tests.settings.conftest import VALID
from tests.settings.validator import validate

Check = Callable[..., list[str]]
URL = "public_url: https://api.example.com\ntrusted_proxies: [unix]\n"


def test_both_families_and_a_socket_can_stand_in_one_list(
    read: Callable[..., Examination], tmp_path: Path
) -> None:
    listen = 'listen: [0.0.0.0:8080, "[::]:8080", unix:./guard.sock]\n'
    examination = read(VALID + URL + listen)
    assert examination.findings == ()
    assert examination.settings is not None
    assert examination.settings.listen == (
        Address("0.0.0.0", 8080),
        Address("::", 8080),
        UnixAddress(f"{tmp_path}/guard.sock"),
    )


def test_one_address_is_a_list_of_one(read: Callable[..., Examination]) -> None:
    found = [read(VALID + listen).settings for listen in ("", "listen: [127.0.0.1:8080]\n")]
    assert [settings and settings.listen for settings in found] == 2 * [
        (Address("127.0.0.1", 8080),)
    ]


@pytest.mark.parametrize(
    ("listen", "finding"),
    [
        ("[]", "13:9: listen: the list is empty; write [127.0.0.1:8080], or remove the key"),
        ("{a: b}", "13:9: listen: a mapping stands where an address with a port, or a list of th"),
        ("[127.0.0.1:1, 8080]", "13:23: listen[1]: 8080 is a port without an address; write 127."),
        ("[127.0.0.1:1, null]", "13:23: listen[1]: the key has no value; write an address with a"),
        ("[[127.0.0.1:1]]", "13:10: listen[0]: a list stands where an address with a port belong"),
        ("[127.0.0.1:1, 'unix:']", "13:23: listen[1]: the path is empty; write a socket, as in un"),
        (
            "[127.0.0.1:1, 127.0.0.1:1]",
            "13:23: listen[1]: this stands twice in the list, first on line 13; keep one of them",
        ),
        (
            f"[{', '.join(f'127.0.0.1:{port}' for port in range(1, 34))}]",
            "13:9: listen: the list has 33 items, and 32 are the most; write 0.0.0.0:8080 and ",
        ),
        (
            "[0.0.0.0:8080, 127.0.0.1:8080]",
            "13:24: listen[1]: 127.0.0.1:8080 is also where listen[0] listens; keep one of them, o",
        ),
        (
            '["[::1]:8080", "[::]:8080"]',
            "13:24: listen[1]: [::]:8080 is also where listen[0] listens; keep one of them, or ",
        ),
        (
            "[127.0.0.1:8080, localhost:8080]",
            "13:26: listen[1]: localhost:8080 is also where listen[0] listens; keep one of them, ",
        ),
        (
            "[unix:guard.sock, unix:./guard.sock]",
            "13:27: listen[1]: unix:./guard.sock is also where listen[0] listens; keep one of them",
        ),
        (
            "[127.0.0.1:8080, 127.0.0.1:9090]",
            "13:26: listen[1]: 127.0.0.1:9090 is also where admin_listen listens by default; give ",
        ),
        (
            '[127.0.0.1:8080, "[::]:9090"]',
            "13:26: listen[1]: [::]:9090 is also where admin_listen listens by default; give each",
        ),
        (
            "[127.0.0.1:8080, localhost:8081]",
            "13:26: listen[1]: localhost:8081 is also where authorization_servers.local.embedded.",
        ),
        (
            f"[127.0.0.1:8080, unix:/run/{'s' * 103}]",
            "13:26: listen[1]: the whole path of this socket is longer than 107 bytes; choose a ",
        ),
    ],
)
def test_what_a_list_must_not_hold_has_one_finding_at_its_place(
    check: Check, listen: str, finding: str
) -> None:
    [found] = check(f"{VALID}{URL}listen: {listen}\n")
    assert found.startswith(finding)


def test_thirty_two_are_not_too_many(check: Check) -> None:
    ports = ", ".join(f"127.0.0.1:{port}" for port in range(1, 33))
    assert check(f"{VALID}{URL}listen: [{ports}]\n") == []


@pytest.mark.parametrize(
    "listen",
    [
        '[0.0.0.0:8080, "[::]:8080"]',
        '[127.0.0.1:8080, "[::1]:8080"]',
        '[0.0.0.0:8080, "[::1]:8080"]',
        '[localhost:8080, "[::1]:8080"]',
        '[127.0.0.1:0, 0.0.0.0:0, "[::1]:0"]',
        "[127.0.0.1:8080, 127.0.0.1:8000]",
        "[unix:a, unix:b]",
    ],
)
def test_what_the_system_lets_listen_side_by_side_is_no_finding(check: Check, listen: str) -> None:
    text = VALID.replace("127.0.0.1:8000", "127.0.0.1:7000")
    assert check(f"{text}{URL}listen: {listen}\n") == []


@pytest.mark.parametrize(
    ("listen", "url"),
    [
        ('[127.0.0.1:8080, "[::1]:8080"]', "http://127.0.0.1:8080"),
        ('[unix:s, "[::1]:7000", 127.0.0.1:8080]', "http://[::1]:7000"),
        ("[10.0.0.5:8080, 127.0.0.1:8080]", "http://10.0.0.5:8080"),
        ("[10.0.0.5:8080, 0.0.0.0:8082]", "http://10.0.0.5:8080"),
    ],
)
def test_the_first_address_with_a_port_says_how_clients_reach_the_gateway(
    read: Callable[..., Examination], listen: str, url: str
) -> None:
    settings = read(f"{VALID}trusted_proxies: [unix]\nlisten: {listen}\n").settings
    assert settings is not None
    assert settings.public_url == url


@pytest.mark.parametrize(
    ("listen", "finding"),
    [
        ('["[::]:8080", 127.0.0.1:8080]', "12:10: listen[0]: listening on [::]:8080 does not say"),
        ("[unix:s, 0.0.0.0:8080]", "12:18: listen[1]: listening on 0.0.0.0:8080 does not say how"),
        (
            "[127.0.0.1:8080, unix:s, 10.0.0.5:8080]",
            "12:34: listen[2]: listening on 127.0.0.1:8080 and 10.0.0.5:8080 does not say how cl",
        ),
        ("[unix:s, unix:t]", "12:10: listen[0]: listening on unix:s does not say how clients "),
    ],
)
def test_where_that_one_does_not_say_it_public_url_is_needed(
    check: Check, listen: str, finding: str
) -> None:
    [found] = check(f"{VALID}trusted_proxies: [unix]\nlisten: {listen}\n")
    assert found.startswith(finding)
    assert found.endswith("; add public_url with the origin that they use")


@pytest.mark.parametrize("server", ["http://127.0.0.1:8080", "http://[::1]:8082", "unix:./s"])
def test_an_upstream_at_any_of_them_is_the_gateway_itself(check: Check, server: str) -> None:
    text = VALID.replace("[http://127.0.0.1:8000]", f'["{server}"]')
    [found] = check(text + URL + 'listen: [127.0.0.1:8080, "[::1]:8082", unix:run/../s]\n')
    assert found.startswith("6:22: upstreams.orders.servers[0]: this is where the gateway itself ")


def test_the_issuer_is_the_origin_of_none_of_them(check: Check) -> None:
    issuer = "      issuer: http://[::1]:8080\n      scopes"
    [found] = check(
        VALID.replace("      scopes", issuer) + 'listen: [127.0.0.1:8080, "[::1]:8080"]\n'
    )
    assert found.startswith(
        "4:15: authorization_servers.local.embedded.issuer: the issuer and listen are one origin, "
    )


def test_each_socket_on_which_nobody_is_believed_is_warned_of(check: Check) -> None:
    text = VALID + "public_url: https://api.example.com\n"
    found = check(text + "listen: [unix:/run/a, 127.0.0.1:8080, unix:/run/b]\n")
    assert [line.partition(": nobody who connects")[0] for line in found] == [
        "12:10: warning: listen[0]",
        "12:39: warning: listen[2]",
    ]


def test_a_socket_beside_others_is_warned_of_where_networks_are_named(check: Check) -> None:
    text = VALID.replace("    require", "    networks: [10.0.0.0/8]\n    require")
    found = check(text + "listen: [127.0.0.1:8080, unix:/run/s]\n")
    assert any(
        "routes[0].networks: clients of a unix socket have no address, so none" in one
        for one in found
    )
    assert check(text + "trusted_proxies: [unix]\nlisten: [127.0.0.1:8080, unix:/run/s]\n") == []


def test_nothing_is_built_on_a_list_with_a_broken_item(check: Check) -> None:
    """What else is wrong with it is found when it is mended."""
    [found] = check(VALID + "listen: [127.0.0.1, 0.0.0.0:9090, unix:s]\n")
    assert found.startswith("11:10: listen[0]: ")


def test_check_names_the_item_in_json_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(f"{VALID}listen:\n  - 127.0.0.1:8080\n  - localhost:8080\n")
    assert main(["check", str(file), "--json"]) == 1
    [finding] = json.loads(capsys.readouterr().out)
    place = (finding["line"], finding["column"], finding["path"], finding["id"])
    assert place == (13, 5, "listen[1]", "listeners-collide")


def test_the_schema_takes_one_or_a_list(check: Check) -> None:
    schema = json_schema()
    listen = schema["properties"]["listen"]
    good = ("127.0.0.1:8080", ["127.0.0.1:8080"], ["0.0.0.0:1", "[::]:1", "unix:s"])
    assert [list(validate(value, listen, schema)) for value in good] == 3 * [[]]
    for bad in ([], ["a:1", "a:1"], [1], {}, "", [f"127.0.0.1:{port}" for port in range(33)]):
        assert list(validate(bad, listen, schema)) != [], bad
    assert listen["default"] == "127.0.0.1:8080"


def test_only_what_shares_a_family_and_a_place_excludes_each_other() -> None:
    def excluded(one: str, other: str) -> bool:
        found = {
            exclude_each_other(Address(ours, 80), Address(theirs, 80))
            for ours, theirs in ((one, other), (other, one))
        }
        [is_excluded] = found
        return is_excluded

    assert excluded("127.0.0.1", "0.0.0.0")
    assert excluded("localhost", "127.0.0.1")
    assert excluded("::1", "::")
    assert not excluded("0.0.0.0", "::")
    assert not excluded("127.0.0.1", "::")
    assert not excluded("localhost", "::1")
    assert not excluded("127.0.0.1", "127.0.0.2")
