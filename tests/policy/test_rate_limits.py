"""How somebody stands with a limit, and what is told of it."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.rate_limits import (
    RateLimit,
    Standing,
    arrange,
    find_standing,
    rate_fields,
    reject,
    whose,
)
from gateway.policy.rejection import Reason
from tests.policy.test_decision import TOKEN

LIMIT = RateLimit("client-60s", "client", 10, 60, "orders")


def limit(per, amount=5, window=1):
    return RateLimit(f"{per}-{window}s", per, amount, window, "orders")


@pytest.mark.parametrize(
    ("window", "remaining", "seconds"),
    [
        ((0, 0.0, 0, 120.0), 10, 60),
        ((0, 0.0, 1, 90.5), 9, 31),
        ((10, 30.0, 2, 90.0), 3, 31),  # half of the window before counts
        ((0, 0.0, 10, 80.0), 0, 21),  # none before this window has ended
        ((10, 30.0, 5, 90.0), 0, 1),
        ((10, 30.0, 8, 90.0), 0, 19),  # 2 of those 10 may remain: those of its last 12 seconds
    ],
)
def test_a_standing_tells_what_is_left_and_when_there_is_more(window, remaining, seconds):
    assert find_standing(LIMIT, window) == Standing(LIMIT, remaining, seconds)


@given(
    before=st.integers(0, 10),
    now=st.integers(0, 10),
    elapsed=st.floats(0, 59.99),
)
def test_after_the_seconds_that_are_told_there_is_room(before, now, elapsed):
    """If nobody else comes meanwhile."""
    left = 60 - elapsed
    standing = find_standing(LIMIT, (before, left if before else 0.0, now, left + 60))
    later = elapsed + standing.seconds
    passed = int(later // 60)
    before, now = ((before, now), (now, 0), (0, 0))[min(passed, 2)]
    weight = 1 - (later % 60) / 60
    assert int(before * weight + now) < LIMIT.amount
    assert standing.seconds >= 1


def test_addresses_come_before_the_token_and_what_all_share_comes_last():
    rates = arrange([limit("route"), limit("person"), limit("address"), limit("client")])
    assert [one.per for one in rates.before_token] == ["address"]
    assert [one.per for one in rates.after_token] == ["client", "person", "route"]


def test_the_fields_are_those_of_the_draft():
    rates = arrange([LIMIT, limit("address")])
    assert rate_fields(rates, [Standing(limit("address"), 4, 1), Standing(LIMIT, 0, 7)]) == [
        (b"RateLimit-Policy", b'"address-1s";q=5;w=1, "client-60s";q=10;w=60'),
        (b"RateLimit", b'"address-1s";r=4;t=1, "client-60s";r=0;t=7'),
    ]
    assert rate_fields(rates, []) == [
        (b"RateLimit-Policy", b'"address-1s";q=5;w=1, "client-60s";q=10;w=60')
    ]


def test_a_refusal_says_when_to_come_back():
    rejection = reject(Standing(LIMIT, 0, 7))
    assert (rejection.reason, rejection.retry_after) == (Reason.RATE_LIMITED, 7)
    assert rejection.refusal.status == 429
    assert rejection.detail == "client-60s: 10 in 60 s"


def test_counts_are_apart_that_are_not_of_the_same_one():
    keys = {
        limit("client").key_of("a"),
        limit("client").key_of("b"),
        limit("person").key_of("a"),
        limit("client", window=2).key_of("a"),
        dataclasses.replace(limit("client"), counted_for="other").key_of("a"),
        dataclasses.replace(limit("client"), counted_for="").key_of("a"),
    }
    assert len(keys) == 6


def test_who_is_counted():
    def token(**changes):
        return dataclasses.replace(TOKEN, **changes)

    app, sam = token(client_id="app"), token(client_id="app", subject="sam")
    assert whose("client", app) == whose("client", sam)
    assert whose("client", app) != whose("client", token(client_id="other"))
    assert whose("client", app) != whose("client", token(client_id="app", issuer="https://b"))
    assert whose("person", sam) == whose("person", token(client_id="other", subject="sam"))
    assert whose("person", app) == whose("client", app)  # a machine is its own person
    # A client's name is no person's, nor the other way round.
    assert whose("person", token(client_id="x", subject="app")) != whose("person", app)
    # Who has no name at all is counted all the same.
    assert whose("client", token(client_id=None)) == whose("client", token(client_id=None))
    assert whose("client", None) == "-"
    assert len(whose("client", token(client_id="x" * 10_000))) == 32
