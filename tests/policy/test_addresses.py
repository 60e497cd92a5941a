"""Whose address a request comes from: only what a proxy of ours says is believed."""

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.addresses import counted_as, find_client, parse_ip

PROXIES = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]


def client(peer, *lines, trusts_unix=False):
    found = find_client(peer, lines, PROXIES, trusts_unix=trusts_unix)
    return None if found is None else str(found)


@pytest.mark.parametrize(
    ("peer", "lines", "found"),
    [
        ("192.0.2.1", [], "192.0.2.1"),
        ("192.0.2.1", ["198.51.100.7"], "192.0.2.1"),  # no proxy of ours: not believed
        ("10.0.0.1", [], "10.0.0.1"),  # a proxy that names nobody speaks for itself
        ("10.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["10.9.9.9, 198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["6.6.6.6", "198.51.100.7, 10.0.0.2"], "198.51.100.7"),
        ("10.0.0.1", ["10.0.0.9"], "10.0.0.9"),
        ("10.0.0.1", ["198.51.100.7:4711"], "198.51.100.7"),
        ("10.0.0.1", ["[2001:db8::7]:4711"], "2001:db8::7"),
        ("10.0.0.1", ["[2001:db8::7]"], "2001:db8::7"),
        ("::ffff:10.0.0.1", ["::ffff:198.51.100.7"], "198.51.100.7"),
        ("fe80::1%eth0", [], "fe80::1"),
    ],
)
def test_the_client_is_the_last_address_that_is_no_proxys(peer, lines, found):
    assert client(peer, *lines) == found


@pytest.mark.parametrize(
    "element",
    ["", " ", "unknown", "_hidden", "unix:", "198.51.100", "fe80::1%lo", "[10.0.0.1", "é"],
)
def test_what_a_proxy_says_and_is_no_address_leaves_the_client_unknown(element):
    """Further left stands what the client wrote."""
    assert client("10.0.0.1", f"198.51.100.7, {element}") is None
    assert client("unix", f"198.51.100.7, {element}", trusts_unix=True) is None


def test_on_a_unix_socket_only_a_proxy_that_is_believed_says_who_it_is():
    assert client("unix") is None
    assert client("unix", "198.51.100.7") is None
    assert client("unix", trusts_unix=True) is None
    assert client("unix", "198.51.100.7", trusts_unix=True) == "198.51.100.7"
    assert client("unix", "198.51.100.7, 10.0.0.2", trusts_unix=True) == "198.51.100.7"


def test_a_list_without_end_is_given_up():
    assert client("10.0.0.1", "198.51.100.7" + ", 10.0.0.2" * 20) == "198.51.100.7"
    assert client("10.0.0.1", "198.51.100.7" + ", 10.0.0.2" * 1000) is None


@given(
    written=st.lists(st.text(alphabet="0123456789.:,[]f ", max_size=30), max_size=5),
    proxies=st.lists(st.sampled_from(["10.0.0.2", "fd00::1"]), max_size=3),
)
def test_nothing_that_a_client_writes_makes_it_somebody_else(written, proxies):
    """The first proxy of ours adds the client's address behind all that it wrote."""
    line = ", ".join([*written, "198.51.100.7", *proxies])
    assert client("10.0.0.1", line) == "198.51.100.7"
    assert client("unix", line, trusts_unix=True) == "198.51.100.7"


def test_an_address_of_ipv6_is_counted_by_its_64():
    assert counted_as(parse_ip("2001:db8:1:2:3:4:5:6")) == "2001:db8:1:2::/64"
    assert counted_as(parse_ip("198.51.100.7")) == "198.51.100.7"
    assert counted_as(parse_ip("::ffff:198.51.100.7")) == "198.51.100.7"
    assert counted_as(None) == "-"
