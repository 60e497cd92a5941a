"""What an upstream says of itself, as the client is to read it."""

import time
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.mapping_back import (
    BothSides,
    map_back,
    map_cookie,
    map_reference,
    map_refresh,
)
from gateway.policy.rewriting import compile_rewrite

STRIPPED = compile_rewrite("/shop/**", "/**")
RENAMED = compile_rewrite("/shop/{tenant}/**", "/app/{tenant}/**")


def sides(rewrite=None, origin="https://api.example.com", **changes):
    """A request for https://api.example.com/shop/acme/x that went on with the Host app.internal."""
    usual = {
        "path": "/shop/acme/x",
        "own": frozenset({"app.internal", "10.0.0.9:8000"}),
        "sent_host": "app.internal",
        "replaces_host": True,
    }
    return BothSides(origin, rewrite=rewrite, **{**usual, **changes})


def kept(origin):
    """The same with the client's own Host."""
    own = frozenset({"api.example.com", "10.0.0.9:8000"})
    return sides(origin=origin, own=own, sent_host="api.example.com", replaces_host=False)


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("http://app.internal/a?b#c", "https://api.example.com/a?b#c"),
        ("https://APP.internal:443/a", "https://api.example.com/a"),
        ("HTTP://app.internal:80/a", "https://api.example.com/a"),
        ("//app.internal/a", "https://api.example.com/a"),
        ("http://10.0.0.9:8000/a", "https://api.example.com/a"),
        ("http://app.internal", "https://api.example.com"),
        ("http://app.internal?x", "https://api.example.com?x"),
        *(
            (one, one)
            for one in (
                "http://10.0.0.9/a",
                "http://10.0.0.9:8001/a",
                "http://other.example/app.internal",
                "http://app.internal.evil.example/a",
                "http://user@app.internal/a",
                "http://app.internal@evil.example/",
                "http://app.internal\\@evil.example/",
                "ftp://app.internal/a",
                "https://api.example.com/a",
                "/a",
                "//other.example/a",
                "a",
                "../a",
                "?a",
                "#a",
                "",
                "javascript:alert(1)",
            )
        ),
    ],
)
def test_the_upstream_s_own_authority_becomes_the_client_s_and_no_other(said, read):
    assert map_reference(said, sides()) == read


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("/login?to=/x", "/shop/login?to=/x"),
        ("/", "/shop/"),
        ("http://app.internal/login", "https://api.example.com/shop/login"),
        ("http://app.internal", "https://api.example.com/shop/"),
        ("http://app.internal?x", "https://api.example.com/shop/?x"),
        ("/a/../b", "/a/../b"),
        ("//app.internal/login", "https://api.example.com/shop/login"),
        ("http://other.example/login", "http://other.example/login"),
        ("login", "login"),
        ("//evil.example", "//evil.example"),
        ("/\\evil.example", "/\\evil.example"),
    ],
)
def test_a_path_becomes_the_client_s_where_it_has_one(said, read):
    assert map_reference(said, sides(STRIPPED)) == read


def test_a_path_that_the_rewrite_does_not_give_stays_and_its_authority_does_not():
    assert map_reference("/other", sides(RENAMED)) == "/other"
    said = map_reference("http://app.internal/other", sides(RENAMED))
    assert said == "https://api.example.com/other"
    assert map_reference("/app/b/x", sides(RENAMED)) == "/shop/b/x"


@pytest.mark.parametrize(
    ("origin", "said", "read"),
    [
        ("https://api.example.com", "http://api.example.com/a", "https://api.example.com/a"),
        ("https://api.example.com", "https://api.example.com/a", "https://api.example.com/a"),
        ("http://api.example.com", "http://api.example.com/a", "http://api.example.com/a"),
        ("http://api.example.com", "https://api.example.com/a", "https://api.example.com/a"),
        ("http://api.example.com", "//api.example.com/a", "//api.example.com/a"),
        ("http://api.example.com", "https://10.0.0.9:8000/a", "http://api.example.com/a"),
    ],
)
def test_nobody_is_led_from_https_to_http_of_the_same_host(origin, said, read):
    """An upstream that sends everybody to https would else send them in a circle."""
    assert map_reference(said, kept(origin)) == read


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("0; url=/login?a;b", "0; url=/shop/login?a;b"),
        ("5;URL='http://app.internal/login'", "5;URL='https://api.example.com/shop/login'"),
        ('0.5 , url = "/login"', '0.5 , url = "/shop/login"'),
        ("3; /login", "3; /shop/login"),
        ("3; url=http://other.example/", "3; url=http://other.example/"),
        ("3; url=login", "3; url=login"),
        ("3", "3"),
        ("", ""),
        ("url=/login", "url=/login"),
        ("3; url='/login", "3; url='/login"),
    ],
)
def test_a_refresh_leads_where_a_location_would(said, read):
    assert map_refresh(said, sides(STRIPPED)) == read


@pytest.mark.parametrize("unit", [" ", "/", "a", "'", "url=", ";", "//", ":", "?"])
def test_a_long_value_takes_time_by_its_length(unit):
    """An upstream's head has up to 256 KiB; the square of that would stop the gateway."""
    for before in ("0;", "0", "http://", ""):
        value = before + unit * (200_000 // len(unit)) + '"\\'
        started = time.process_time()
        map_refresh(value, sides(STRIPPED))
        map_reference(value, sides(STRIPPED))
        map_cookie(value, sides(STRIPPED))
        assert time.process_time() - started < 2  # it is some milliseconds; squared, minutes


words = st.sampled_from(
    ["http:", "https:", "/", "//", "app.internal", "evil.example", "@", ":", "80", "\\", "?", "#"]
    + ["/shop", "/app", "..", ".", "%2e", "a", "\t", " ", "[::1]", "é"]
)
references = st.lists(words, max_size=8).map("".join)


@given(references, st.sampled_from([None, STRIPPED, RENAMED]))
def test_no_reference_is_led_to_another_place_than_it_names(said, rewrite):
    """Its authority stays, or it was the upstream's and is the client's; the rest stays."""
    read = map_reference(said, sides(rewrite))
    if read == said:
        return
    before, after = urlsplit(said), urlsplit(read)
    assert before.netloc.lower().removesuffix(":80").removesuffix(":") in ("app.internal", "")
    if before.netloc:
        assert (after.scheme, after.netloc) == ("https", "api.example.com")
    else:
        assert said.startswith("/")
        assert not said.startswith("//")
        assert (after.scheme, after.netloc) == ("", "")
        assert "\\" not in after.path
    assert (after.query, after.fragment) == (before.query, before.fragment)


@given(st.binary(max_size=30))
def test_whatever_bytes_a_value_has_it_can_be_read(value):
    names = [b"Location", b"set-cookie", b"Refresh", b"X-Other"]
    fields = [(name, value) for name in names]
    mapped = map_back(fields, sides(RENAMED, secure_cookies=True))
    assert [name for name, _ in mapped] == names
    assert mapped[3] == fields[3]


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("a=b; Domain=app.internal; HttpOnly", "a=b; HttpOnly"),
        ("a=b; domain = .APP.internal;Path=/", "a=b;Path=/shop"),
        ("a=b; Domain=internal", "a=b"),
        ("a=b; Domain=example.com", "a=b; Domain=example.com"),
        ("a=b; Domain=other.example", "a=b; Domain=other.example"),
        ("a=b; Domain=", "a=b; Domain="),
        ("a=Domain=app.internal; Path=/x/", "a=Domain=app.internal; Path=/shop/x/"),
        ("a=b; Path=/x; SameSite=Lax", "a=b; Path=/shop/x; SameSite=Lax"),
        ("a=b; Path=x", "a=b; Path=x"),
        ("a=b;PATH= /x ", "a=b;PATH=/shop/x"),
        ("__Host-a=b; Secure; Path=/", "__Host-a=b; Secure; Path=/"),
        ("a=b; Max-Age=3", "a=b; Max-Age=3"),
    ],
)
def test_a_cookie_is_for_where_the_client_finds_the_upstream(said, read):
    assert map_cookie(said, sides(STRIPPED)) == read


def test_a_cookie_s_path_outside_the_rewrite_stays():
    assert map_cookie("a=b; Path=/", sides(RENAMED)) == "a=b; Path=/"
    assert map_cookie("a=b; Path=/app/acme", sides(RENAMED)) == "a=b; Path=/shop/acme"


def test_a_domain_stays_where_the_host_is_the_client_s_or_covered_too():
    said = "a=b; Domain=api.example.com"
    assert map_cookie(said, kept("https://api.example.com")) == said
    shared = sides(own=frozenset({"app.example.com"}), sent_host="app.example.com")
    assert map_cookie("a=b; Domain=example.com", shared) == "a=b; Domain=example.com"
    assert map_cookie("a=b; Domain=app.example.com", shared) == "a=b"


@pytest.mark.parametrize(
    ("origin", "said", "read"),
    [
        ("https://api.example.com", "a=b; HttpOnly", "a=b; HttpOnly; Secure"),
        ("https://api.example.com", "a=b; secure", "a=b; secure"),
        ("http://api.example.com", "a=b", "a=b"),
    ],
)
def test_a_cookie_is_made_secure_for_clients_that_came_by_https(origin, said, read):
    assert map_cookie(said, sides(origin=origin, secure_cookies=True)) == read
    assert map_cookie(said, sides(origin=origin)) == said
