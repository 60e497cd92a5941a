"""Scopes of a token that are wildcards: what they stand for, and what they never do."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.scopes import has_one, has_wildcard_word, missing_scopes, stands_for

words = st.sampled_from(["orders", "read", "all", "*", "", "o*"])
separators = st.sampled_from([":", "."])


@st.composite
def scopes(draw, of=words):
    parts = draw(st.lists(of, min_size=1, max_size=4))
    return parts[0] + "".join(draw(separators) + part for part in parts[1:])


plain_scopes = scopes(of=st.sampled_from(["orders", "read", "all"]))


@pytest.mark.parametrize(
    ("granted", "demanded"),
    [
        ("orders:read", "orders:read"),
        ("orders:*", "orders:read"),
        ("orders.*", "orders.read"),
        ("*:read", "orders:read"),
        ("*", "orders"),
        ("*", "orders:read"),
        ("orders:*", "orders:read:all"),  # as the last word, for one or more
        ("orders:*", "orders:read.all"),
        ("orders:*:all", "orders:read:all"),
        ("*:*", "orders:read"),
        ("https://api.example/*", "https://api.example/*"),
    ],
)
def test_a_wildcard_stands_for_words(granted, demanded):
    assert stands_for(granted, demanded)


@pytest.mark.parametrize(
    ("granted", "demanded"),
    [
        ("orders:read", "orders:*"),  # never the other way round
        ("orders:read", "*"),
        ("orders:*", "orders"),
        ("orders:*", "orders:"),
        ("orders:*", "orders::read"),
        ("orders:*", "orders:read:"),
        ("orders:*", "orders:read::all"),
        ("*", ""),
        ("*:read", ":read"),
        ("*:read", "orders:read:all"),  # not as the last word: for one
        ("orders:*:all", "orders:all"),
        ("orders:*", "orders.read"),
        ("orders:*", "order:read"),
        ("ord*", "orders"),  # no part of a word
        ("orders:r*", "orders:read"),
        ("orders:**", "orders:read"),
        ("ORDERS:*", "orders:read"),
        (".*", "orders"),  # no regular expression
        ("orders:.*", "orders:read"),
        ("orders:*", "payments:orders:read"),
    ],
)
def test_a_wildcard_does_not_stand_for_more(granted, demanded):
    assert not stands_for(granted, demanded)


@given(scopes(), scopes())
def test_it_says_what_the_rule_says(granted, demanded):
    """The rule as one pattern: a word for a `*`, words without an empty one for a last `*`."""
    parts = re.split("([:.])", granted)
    pattern = "".join("[^:.]+" if part == "*" else re.escape(part) for part in parts)
    if parts[-1] == "*":
        pattern += "([:.][^:.]+)*"
    expected = granted == demanded or re.fullmatch(pattern, demanded) is not None
    assert stands_for(granted, demanded) is expected


@given(plain_scopes, scopes())
def test_without_a_wildcard_it_is_equality(granted, demanded):
    assert stands_for(granted, demanded) is (granted == demanded)


@given(st.frozensets(scopes(), max_size=4), st.frozensets(scopes(), max_size=4))
def test_exactly_means_exactly(demanded, granted):
    assert missing_scopes(demanded, granted, has_wildcards=False) == demanded - granted


@given(st.frozensets(scopes(), max_size=4), st.frozensets(scopes(), max_size=4))
def test_what_is_missing_is_what_nothing_stands_for(demanded, granted):
    missing = missing_scopes(demanded, granted, has_wildcards=True)
    assert missing == {one for one in demanded if not any(stands_for(g, one) for g in granted)}
    if demanded:
        assert has_one(demanded, granted, has_wildcards=True) is (missing != demanded)


def test_a_wildcard_is_a_whole_word():
    assert has_wildcard_word("orders:*")
    assert has_wildcard_word("*")
    assert not has_wildcard_word("orders:r*")
