"""What was heard, in which order, and for which answers that is enough."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.introspection.fleet.history import (
    Entry,
    Gap,
    History,
    Stamp,
    read_entry,
    write_entry,
)
from gateway.introspection.fleet.sealing import Seal
from gateway.policy.interfaces import Revocation
from gateway.policy.tokenformat import token_hash
from tests.introspection.conftest import ISSUER, token

SEAL = Seal("0123456789abcdef0123456789abcdef")
OF_APP = Revocation(ISSUER, "client", "app")
OF_OTHER = Revocation(ISSUER, "client", "other")


def entry(number: int, revocation: Revocation | None = OF_OTHER, life: str = "a") -> Entry:
    return Entry(Stamp(number, f"{life}{number}"), revocation, "command", "host")


def history(*entries: Entry) -> History:
    made = History()
    made.restart(entries)
    return made


def test_an_entry_is_read_as_it_was_written():
    sealed = write_entry(SEAL, 7, OF_APP, "page", "gateway-1")
    found = read_entry(SEAL, 7, sealed)
    assert (found.stamp.number, found.revocation, found.source) == (7, OF_APP, "page")
    assert found.host == "gateway-1"
    assert read_entry(SEAL, 1, write_entry(SEAL, 1, None, "command", "h")).revocation is None


def test_no_two_entries_have_one_tag():
    """Else a Redis that lost its end and got the same revocation again would look whole."""
    tags = {
        read_entry(SEAL, 7, write_entry(SEAL, 7, OF_APP, "page", "h")).stamp.tag for _ in range(9)
    }
    assert len(tags) == 9


@pytest.mark.parametrize("number", [6, 8])
def test_an_entry_under_another_number_is_a_gap(number):
    with pytest.raises(Gap):
        read_entry(SEAL, number, write_entry(SEAL, 7, OF_APP, "page", "h"))


@given(garbage=st.binary(max_size=200))
def test_what_no_gateway_wrote_is_a_gap(garbage):
    with pytest.raises(Gap):
        read_entry(SEAL, 7, garbage)


def test_what_follows_is_new_and_the_last_of_it_is_the_stamp():
    heard = history(entry(3))
    assert heard.follow([entry(3), entry(4), entry(5)]) == [entry(4), entry(5)]
    assert heard.stamp == entry(5).stamp
    assert heard.follow([entry(5)]) == []


@pytest.mark.parametrize(
    "entries",
    [
        [],
        [entry(4)],
        [entry(3), entry(5)],
        [entry(3), entry(4), entry(6)],
        [entry(3, life="b"), entry(4)],
        [entry(3), entry(3)],
    ],
    ids=[
        "lost",
        "its start is lost",
        "one is missing",
        "a later one is missing",
        "other life",
        "twice",
    ],
)
def test_what_does_not_follow_is_a_gap_and_changes_nothing(entries):
    heard = history(entry(2), entry(3))
    with pytest.raises(Gap):
        heard.follow(entries)
    assert heard.stamp == entry(3).stamp


def test_before_anything_was_heard_nothing_follows():
    with pytest.raises(Gap):
        History().follow([entry(1)])


def test_a_restart_takes_the_end_that_has_no_gap():
    heard = history(entry(1), entry(2), entry(5), entry(6))
    assert heard.stamp == entry(6).stamp
    assert heard.vouches_for(entry(5).stamp, token(), b"")
    assert not heard.vouches_for(entry(2).stamp, token(), b"")


@pytest.mark.parametrize(
    ("revocation", "is_good"),
    [
        (OF_OTHER, True),
        (OF_APP, False),
        (Revocation("https://other.example", "client", "app"), True),
        (Revocation(ISSUER, "person", "p"), False),
        (Revocation(ISSUER, "person", "q"), True),
        (Revocation.of_grant(ISSUER, "p", "app"), False),
        (Revocation.of_grant(ISSUER, "p", "other"), True),
        (Revocation(ISSUER, "token", token_hash("t").hex()), False),
        (Revocation(ISSUER, "token", token_hash("u").hex()), True),
        (None, True),
    ],
)
def test_an_answer_is_good_until_a_later_revocation_concerns_it(revocation, is_good):
    heard = history(entry(1), entry(2, revocation))
    subject = token("app", subject="p")
    assert heard.vouches_for(Stamp(1, "a1"), subject, token_hash("t")) is is_good
    assert heard.vouches_for(Stamp(2, "a2"), subject, token_hash("t")), "it came before"


def test_nobody_vouches_for_a_stamp_that_was_not_heard():
    heard = history(entry(2), entry(3))
    for stamp in (Stamp(1, "a1"), Stamp(4, "a4"), Stamp(3, "b3"), Stamp(2, "b2"), Stamp(-5, "")):
        assert not heard.vouches_for(stamp, token(), b"")
    assert not History().vouches_for(Stamp(1, "a1"), token(), b"")


def test_an_answer_that_too_many_revocations_followed_is_not_looked_into():
    heard = history(*(entry(number) for number in range(1, 1103)))
    assert heard.vouches_for(Stamp(102, "a102"), token(), b"")
    assert not heard.vouches_for(Stamp(101, "a101"), token(), b"")


def test_an_entry_of_a_later_version_is_a_gap():
    """A kind that this gateway does not know may concern anything."""
    content = {"host": "h", "issuer": ISSUER, "kind": "planet", "value": "x", "source": "command"}
    sealed = SEAL.close(b"revocation 7", json.dumps(content).encode())
    with pytest.raises((Gap, ValueError)):
        read_entry(SEAL, 7, sealed)
