"""Which pages of other origins may use a route, held against WHATWG Fetch."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.cors import (
    CorsRules,
    answer_fields,
    preflight_fields,
    replace_fields,
    requested_method,
)

APP = "https://app.example.com"
NAMED = CorsRules(frozenset({APP, "http://localhost:3000"}), credentials=True, expose=("ETag",))
ALL = CorsRules(frozenset({"*"}), expose=("ETag",))
NEAR_MISSES = [
    *("null", "", "*", "https://app.example.com.evil.example", "https://APP.example.com"),
    *("http://app.example.com", "https://app.example.com:443", "https://evil.app.example.com"),
    *("https://app.example.com/", "https://app.example.com https://app.example.com"),
]
near_misses = st.sampled_from(NEAR_MISSES)


@given(st.lists(near_misses | st.just(APP) | st.text(max_size=8), max_size=3))
def test_only_one_origin_that_is_named_is_allowed(origins):
    for fields in (answer_fields(NAMED, origins), preflight_fields(NAMED, origins, "GET")):
        names = {name for name, _ in fields}
        if origins == [APP]:
            assert (b"Access-Control-Allow-Origin", APP.encode()) in fields
            assert (b"Access-Control-Allow-Credentials", b"true") in fields
        else:
            assert names == {b"Vary"}


@pytest.mark.parametrize("origin", NEAR_MISSES)
def test_an_origin_is_compared_character_by_character(origin):
    assert answer_fields(NAMED, [origin]) == [(b"Vary", b"Origin")]


@given(st.lists(near_misses | st.just(APP), max_size=2))
def test_an_answer_for_some_varies_and_one_for_all_does_not(origins):
    assert (b"Vary", b"Origin") in answer_fields(NAMED, origins)
    assert answer_fields(ALL, origins) == [
        (b"Access-Control-Allow-Origin", b"*"),
        (b"Access-Control-Expose-Headers", b"ETag"),
    ]


def test_credentials_are_never_for_all():
    """No configuration has it so; and if one had, no browser would be told."""
    fields = answer_fields(CorsRules(frozenset({"*"}), credentials=True), [APP])
    assert fields == [(b"Access-Control-Allow-Origin", b"*")]


def test_a_preflight_says_what_the_page_may_do():
    rules = CorsRules(frozenset({APP}), ("GET", "PUT"), ("Authorization", "X-A"), max_age=600)
    assert preflight_fields(rules, [APP], "PUT") == [
        (b"Vary", b"Origin"),
        (b"Access-Control-Allow-Origin", APP.encode()),
        (b"Access-Control-Allow-Methods", b"GET, PUT"),
        (b"Access-Control-Allow-Headers", b"Authorization, X-A"),
        (b"Access-Control-Max-Age", b"600"),
    ]


def test_a_route_of_all_methods_allows_the_one_that_is_asked_for():
    fields = preflight_fields(CorsRules(frozenset({APP})), [APP], "PROPFIND")
    assert (b"Access-Control-Allow-Methods", b"PROPFIND") in fields


@pytest.mark.parametrize(
    ("origins", "methods", "method"),
    [
        ([APP], ["PUT"], "PUT"),
        (["null"], ["PUT"], "PUT"),
        ([APP], [], None),
        ([], ["PUT"], None),
        ([APP, APP], ["PUT"], None),
        ([APP], ["PUT", "GET"], None),
        ([APP], ["put"], None),
        ([APP], ["TRACE"], None),
        ([APP], ["CONNECT"], None),
        ([APP], ["PUT\r\nX: y"], None),
        ([APP], ["PUT, GET"], None),
    ],
)
def test_a_preflight_has_one_origin_and_one_method_that_can_be_forwarded(origins, methods, method):
    assert requested_method(origins, methods) == method


def test_what_an_upstream_says_of_origins_is_replaced():
    said = [
        (b"access-control-allow-origin", b"*"),
        (b"ACCESS-CONTROL-ALLOW-CREDENTIALS", b"true"),
        (b"Access-Control-Allow-Private-Network", b"true"),
        (b"Vary", b"Accept"),
    ]
    assert replace_fields(NAMED, ["https://evil.example"], said) == [
        (b"Vary", b"Accept"),
        (b"Vary", b"Origin"),
    ]
