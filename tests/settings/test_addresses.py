"""Addresses and origins: reading them, and telling which are the same place."""

import pytest

from gateway.settings.addresses import (
    Address,
    collide,
    is_loopback,
    parse_clients,
    parse_host,
    parse_listen,
    parse_network,
    parse_origin,
    parse_trusted,
    reaches,
)
from gateway.settings.findings import Problem


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8080", Address("127.0.0.1", 8080)),
        ("0.0.0.0:0", Address("0.0.0.0", 0)),
        ("[::1]:80", Address("::1", 80)),
        ("[0:0:0:0:0:0:0:1]:80", Address("::1", 80)),
        ("LocalHost:9", Address("localhost", 9)),
    ],
)
def test_a_listening_address_is_an_ip_address_or_localhost_and_a_port(
    text: str, address: Address
) -> None:
    assert parse_listen(text) == address
    assert parse_listen(str(address)) == address


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("8080", "8080 is a port without an address; write 127.0.0.1:8080"),
        (":8080", "write 127.0.0.1:8080 for this machine alone, 0.0.0.0:8080 for every interface"),
        ("127.0.0.1", "has no port; write it as 127.0.0.1:8080"),
        ("[::1]", "has no port; "),
        ("127.0.0.1:", '"" is not a port; write a number from 0 to 65535'),
        ("127.0.0.1:65536", '"65536" is not a port; '),
        ("127.0.0.1:+80", '"+80" is not a port; '),
        ("127.1:80", '"127.1" is not an IP address; '),
        ("guard.internal:80", '"guard.internal" is not an IP address; '),
        ("[fe80::1%eth0]:80", "is not an IP address; "),
        ("http://127.0.0.1:80", "more than an address stands here; write only address and port"),
    ],
)
def test_what_is_no_listening_address_is_refused(text: str, message: str) -> None:
    with pytest.raises(Problem) as caught:
        parse_listen(text)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://API.example.com", "https://api.example.com"),
        ("https://a.example:443", "https://a.example"),
        ("http://a.example:443", "http://a.example:443"),
        ("HTTP://[0:0::1]:80", "http://[::1]"),
        ("http://my_service:8000", "http://my_service:8000"),
    ],
)
def test_an_origin_has_one_spelling(text: str, origin: str) -> None:
    assert str(parse_origin(text)) == origin


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.example", '"a.example" is not a URL; write it with its scheme'),
        ("ftp://a.example", 'the scheme "ftp" cannot be used here; write https:// or http://'),
        ("https://a.example/", "a slash follows the host; write only https://a.example"),
        ("https://a.example/base", "a path follows the host; write only https://a.example"),
        ("https://a.example?x", "a query or fragment follows the host; "),
        ("https://", "the host is missing; "),
        ("https://:80", "the host is missing; "),
        ("https://a..b", '"a..b" is not a host; '),
        ("https://a.example:0", '"0" is not a port; write a number from 1 to 65535'),
        ("https://a.example:", '"" is not a port; '),
        ("https://[::1", '"[::1" is not a host; '),
        ("https://[::1]x", '"[::1]x" is not a host; '),
        ("https://ümlaut.example", '"ümlaut.example" is not ASCII; write the host in its xn--'),
        ("https://a b.example", '"a b.example" is not a host; '),
        ("https://a.example\n", '"a.example\\n" is not a host; '),
        ("https://0x7f000001", "is an abbreviated address; "),
        ("https://2130706433", "is an abbreviated address; "),
    ],
)
def test_what_is_no_origin_is_refused(text: str, message: str) -> None:
    with pytest.raises(Problem) as caught:
        parse_origin(text)
    assert message in str(caught.value)


def test_credentials_in_a_url_are_refused_and_not_quoted() -> None:
    with pytest.raises(Problem) as caught:
        parse_origin("https://gateway:geheim@a.example")
    assert "geheim" not in str(caught.value)
    with pytest.raises(Problem) as caught:
        parse_listen("//gateway:geheim@a.example")
    assert "geheim" not in str(caught.value)


def test_a_host_that_is_an_address_has_one_spelling() -> None:
    assert parse_host("[::FFFF:127.0.0.1]") == "127.0.0.1"
    assert parse_host("::0001") == "::1"


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("10.1.2.3", "10.1.2.3/32"),
        ("fd00::/8", "fd00::/8"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("10.0.0.0/255.0.0.0", "10.0.0.0/8"),
    ],
)
def test_a_trusted_network_is_a_network_or_an_address(text: str, network: str) -> None:
    assert str(parse_network(text)) == network


@pytest.mark.parametrize(
    "text", ["0.0.0.0/0", "::/0", "::ffff:0:0/96", "0.0.0.0/1", "128.0.0.0/7", "2000::/3"]
)
def test_a_network_wider_than_any_private_one_is_refused(text: str) -> None:
    with pytest.raises(Problem) as caught:
        parse_trusted(text)
    assert caught.value.id == "trusted-network-too-wide"


@pytest.mark.parametrize("text", ["0.0.0.0/0", "::/0", "::ffff:0:0/96"])
def test_everybody_is_no_network_of_clients(text: str) -> None:
    with pytest.raises(Problem) as caught:
        parse_clients(text)
    assert caught.value.id == "network-too-wide"
    assert str(parse_clients("2000::/3")) == "2000::/3"


@pytest.mark.parametrize("text", ["10.0.0.1/8", "10.0.0.0/33", "10.0.0", "example.com", "", "1"])
def test_what_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(Problem) as caught:
        parse_network(text)
    assert caught.value.id == "invalid-network"


_LOOPBACK = Address("127.0.0.1", 9090)
_EVERYWHERE = Address("0.0.0.0", 9090)
_EVERYWHERE_6 = Address("::", 9090)


@pytest.mark.parametrize(
    ("host", "listener", "expected"),
    [
        ("127.0.0.1", _LOOPBACK, True),
        ("localhost", _LOOPBACK, True),
        ("app.localhost", _LOOPBACK, True),
        ("0.0.0.0", _LOOPBACK, True),
        ("::ffff:127.0.0.1", _LOOPBACK, True),
        ("127.0.0.2", _LOOPBACK, False),
        ("::1", _LOOPBACK, False),
        ("10.0.0.1", _LOOPBACK, False),
        ("guard.internal", _LOOPBACK, False),
        ("::1", Address("localhost", 9090), True),
        ("127.0.0.1", Address("localhost", 9090), True),
        ("127.9.9.9", _EVERYWHERE, True),
        ("localhost", _EVERYWHERE, True),
        ("::1", _EVERYWHERE, False),
        ("127.0.0.1", _EVERYWHERE_6, True),
        ("::1", _EVERYWHERE_6, True),
        ("10.0.0.1", _EVERYWHERE, False),
        ("10.0.0.1", Address("10.0.0.1", 9090), True),
    ],
)
def test_every_spelling_of_an_own_listener_is_recognised(
    host: str, listener: Address, expected: bool
) -> None:
    assert reaches(host, 9090, listener) is expected
    assert not reaches(host, 9091, listener)


def test_listeners_collide_when_the_system_would_say_so() -> None:
    assert collide(Address("127.0.0.1", 80), Address("127.0.0.1", 80))
    assert collide(Address("127.0.0.1", 80), Address("localhost", 80))
    assert collide(Address("10.0.0.1", 80), Address("0.0.0.0", 80))
    assert not collide(Address("10.0.0.1", 80), Address("127.0.0.1", 80))
    assert not collide(Address("127.0.0.1", 0), Address("127.0.0.1", 0))


def test_loopback_has_many_names() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.1.2.3", "::1", "localhost", "a.localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "10.0.0.1", "localhost.example", "notlocalhost")))
