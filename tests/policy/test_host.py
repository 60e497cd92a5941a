"""The host that a request is for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy import host as host_module
from gateway.policy.host import normalize_host


@pytest.mark.parametrize(
    ("value", "host"),
    [
        ("a.example", "a.example"),
        ("A.Example", "a.example"),
        ("a.example.", "a.example"),
        ("a.example:8080", "a.example"),
        ("A.example.:80", "a.example"),
        ("localhost", "localhost"),
        ("my_service", "my_service"),
        ("127.0.0.1:9", "127.0.0.1"),
        ("[::1]", "[::1]"),
        ("[::1]:8080", "[::1]"),
        ("[0:0:0:0:0:0:0:1]", "[::1]"),
        ("[2001:DB8::0A]", "[2001:db8::a]"),
    ],
)
def test_a_host_has_one_spelling(value, host):
    """Without case, trailing dot and port; an address in its shortest form."""
    assert normalize_host(value) == host
    assert normalize_host(value) == host, "remembered as it was read"


@pytest.mark.parametrize(
    "value",
    [
        "", ".", ":80", "a..b", ".a", "a..", "a b", " a", "a ", "a, b", "a/b", "u@a", "u:p@a",
        "a?b", "a#b", "a\\b", "a%2eb", "a:b", "a:80:80", "a:65536", "a:123456", "a:-1", "a:\uff18",
        "[::1", "::1", "[::1]x", "[::1]:", "[:]", "[....]", "[1.2.3.4]", "[::1%eth0]", "[::g]",
        "[]", "é.example", "\uff41.example", "a\n", "a\r\nx: y", "a\x00", "\udcff", "*", "*.a",
    ],
)  # fmt: skip
def test_what_is_no_host_is_malformed(value):
    assert normalize_host(value) is None


@given(st.text(max_size=20) | st.from_regex(r"[A-Za-z0-9.:\[\]-]{0,20}"))
def test_a_normalised_host_is_its_own_normal_form(value):
    """For any text; and nothing is raised."""
    host = normalize_host(value)
    if host is not None:
        assert normalize_host(host) == host
        assert host == host.lower()


def test_strangers_cannot_fill_memory_with_hosts():
    """Endless and malformed ones are not remembered, and of the others a bounded number."""
    before = len(host_module._remembered)
    assert normalize_host("a" * 30_000) == "a" * 30_000
    assert normalize_host("a b") is None
    assert len(host_module._remembered) == before
    for number in range(3000):
        normalize_host(f"h{number}.example")
    assert len(host_module._remembered) <= 1024
    assert normalize_host("H2999.example") == "h2999.example"
