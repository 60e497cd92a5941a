"""Which way a request came, as the upstream is told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.forwarded import extended_headers, forwarded_scheme, forwarding_headers

PEER = "10.0.0.9"


def extended(
    *sent: tuple[str, str], peer: str = PEER, host: str | None = "h", scheme: str = "http"
) -> dict[str, str]:
    """What is told when a trusted peer has sent these fields."""
    received = [(name.encode(), value.encode("latin-1")) for name, value in sent]
    authority = None if host is None else host.encode()
    pairs = extended_headers(peer, scheme, authority, received)
    told = {name.decode(): value.decode("latin-1") for name, value in pairs}
    assert len(told) == len(pairs)
    return told


def test_of_a_strangers_way_only_its_address_is_told() -> None:
    assert forwarding_headers(PEER, "https") == [
        (b"X-Forwarded-For", b"10.0.0.9"),
        (b"X-Forwarded-Proto", b"https"),
    ]
    assert forwarding_headers("unix", "http") == [(b"X-Forwarded-Proto", b"http")]


def test_a_trusted_proxy_that_says_nothing_is_told_like_a_stranger() -> None:
    assert extended() == {
        "X-Forwarded-For": PEER,
        "X-Forwarded-Proto": "http",
        "X-Forwarded-Host": "h",
    }
    assert extended(peer="unix", host=None) == {"X-Forwarded-Proto": "http"}


def test_what_a_trusted_proxy_says_is_extended_over_all_lines() -> None:
    assert extended(
        ("X-Forwarded-For", "1.1.1.1"),
        ("x-forwarded-for", "2.2.2.2,[2001:db8::1]:80 , unknown"),
        ("X-Forwarded-Host", "outer.example:8443"),
        ("X-FORWARDED-HOST", "[::1], middle.example"),
        ("X-Forwarded-Prefix", "/a/b%20c"),
        ("X-Forwarded-Prefix", "/d"),
        ("Forwarded", 'for=1.1.1.1;proto=https;host="outer.example:8443"'),
        ("forwarded", 'for="[2001:db8::1]:80"; by=_x ,for=unknown;secret="a,b;c"'),
        ("X-Forwarded-Proto", "HTTPS"),
    ) == {
        "X-Forwarded-For": "1.1.1.1, 2.2.2.2, [2001:db8::1]:80, unknown, 10.0.0.9",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "outer.example:8443, [::1], middle.example, h",
        "X-Forwarded-Prefix": "/a/b%20c, /d",
        "Forwarded": 'for=1.1.1.1;proto=https;host="outer.example:8443", '
        'for="[2001:db8::1]:80"; by=_x ,for=unknown;secret="a,b;c", '
        "for=10.0.0.9;host=h;proto=http",
    }


def test_a_host_that_is_passed_on_is_not_told_twice() -> None:
    assert extended(("X-Forwarded-Host", "outer, h"))["X-Forwarded-Host"] == "outer, h"
    assert extended(("X-Forwarded-Host", "h, outer"))["X-Forwarded-Host"] == "h, outer, h"
    assert extended(("X-Forwarded-Host", "outer"), host=None)["X-Forwarded-Host"] == "outer"


@pytest.mark.parametrize(
    ("peer", "host", "ours"),
    [
        ("2001:db8::9", "h:80", 'for="[2001:db8::9]";host="h:80";proto=https'),
        ("fe80::1%eth0", "[::1]", 'for="[fe80::1]";host="[::1]";proto=https'),
        ("unix", None, "for=unknown;proto=https"),
    ],
)
def test_our_element_of_forwarded_is_quoted_where_it_must_be(
    peer: str, host: str | None, ours: str
) -> None:
    told = extended(("Forwarded", "for=1.1.1.1"), peer=peer, host=host, scheme="https")
    assert told["Forwarded"] == f"for=1.1.1.1, {ours}"


@pytest.mark.parametrize(
    "hop",
    ["", "evil", "1.1.1", "1.1.1.256", "<script>", "1.1.1.1 2.2.2.2", "[::1", "fe80::1%e", "\xe4"],
)
def test_addresses_before_a_malformed_one_are_nobodys(hop: str) -> None:
    sent = f"3.3.3.3, {hop}, 2.2.2.2"
    assert extended(("X-Forwarded-For", sent))["X-Forwarded-For"] == "2.2.2.2, 10.0.0.9"
    assert extended(("X-Forwarded-For", hop))["X-Forwarded-For"] == "10.0.0.9"


@pytest.mark.parametrize("host", ["", "a b", "a/b", "u@a", "a..b", "[::1", "<b>", "a:b", "\xe4"])
def test_hosts_before_a_malformed_one_are_nobodys(host: str) -> None:
    sent = f"a.example, {host}, b.example"
    assert extended(("X-Forwarded-Host", sent))["X-Forwarded-Host"] == "b.example, h"
    assert extended(("X-Forwarded-Host", host))["X-Forwarded-Host"] == "h"


@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "a",
        "//evil",
        "/a//b",
        "/a/../b",
        "/%2e%2e",
        "/a;b",
        "/a?b",
        "/a#b",
        "/a\\b",
        "/<b>",
        "/%",
    ]
    + ["/%2f", "/%41", "/\xe4", "http://evil/", '/"', "/a b"],
)
def test_no_prefix_crosses_with_a_malformed_one(prefix: str) -> None:
    for sent in (prefix, f"/a, {prefix}", f"{prefix}, /a"):
        assert "X-Forwarded-Prefix" not in extended(("X-Forwarded-Prefix", sent))


@pytest.mark.parametrize(
    "value",
    ["", ",", "for", "for=", "for=1.1.1.1,", ";for=1.1.1.1", "for=1.1.1.1;;by=_x", "for =1.1.1.1"]
    + ['for="1.1.1.1', 'for=1.1.1.1"', 'for="a\\"b"', "for=evil", "for=1.1.1.1;for=2.2.2.2"]
    + ["proto=ftp", "proto=https;PROTO=http", "host=a/b", 'host="a b"', "host=", "by=[::1]"]
    + ["for=\xe4", 'x="\x7f"', "for=1.1.1.1 by=_x", "for=::1"],
)
def test_a_malformed_forwarded_does_not_cross(value: str) -> None:
    """Nor what else it says, on the same line or on another."""
    for sent in ([value], ["for=1.1.1.1", value], [value, "for=1.1.1.1"]):
        assert "Forwarded" not in extended(*(("Forwarded", line) for line in sent))


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                ["X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Prefix", "Forwarded"]
                + ["X-Forwarded-Proto", "X-Forwarded-Port", "X-Other"]
            ),
            st.text('fora=;,"/%.:[]1 \t<h\xe4', max_size=20),
        ),
        max_size=6,
    )
)
def test_nothing_crosses_that_could_be_taken_for_something_else(
    sent: list[tuple[str, str]],
) -> None:
    told = extended(*sent)
    assert set(told) <= {
        *("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Prefix"),
        "Forwarded",
    }
    assert told["X-Forwarded-For"].endswith(PEER)
    assert told["X-Forwarded-Host"].endswith("h")
    assert told.get("Forwarded", "for=10.0.0.9;host=h;proto=http").endswith(
        "for=10.0.0.9;host=h;proto=http"
    )
    assert all(value.isascii() and "<" not in value for value in told.values())


@pytest.mark.parametrize("proto", ["", "ftp", "https, http", "https\xff", "javascript", "https,"])
def test_a_trusted_proxys_scheme_is_http_or_https(proto: str) -> None:
    assert extended(("X-Forwarded-Proto", proto))["X-Forwarded-Proto"] == "http"


@pytest.mark.parametrize(
    "lines", [["https"], ["https, https"], ["http,HTTPS "], ["http", "https"], ["https", ""]]
)
def test_the_scheme_that_is_said_last_counts_in_lines_and_in_lists(lines: list[str]) -> None:
    """They mean the same (RFC 9110, section 5.3)."""
    sent = [("X-Forwarded-Proto", line) for line in lines]
    assert extended(*sent)["X-Forwarded-Proto"] == "https"
    received = [(name.encode(), value.encode()) for name, value in sent]
    assert forwarded_scheme(received) == "https"
