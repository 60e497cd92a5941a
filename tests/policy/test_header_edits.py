"""The header fields that a route sets, adds and removes."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.header_edits import compile_edits
from gateway.policy.headers import fold_name

SPELLINGS = [b"X-Api-Key", b"x-api-key", b"X_API_KEY", b"x.api-key", b"X-API_Key"]
names = st.sampled_from([*SPELLINGS, b"Accept", b"Cookie"])
fields = st.lists(st.tuples(names, st.binary(max_size=4)), max_size=8)


@given(fields)
def test_of_a_header_that_is_set_one_is_left_and_it_is_ours(sent):
    edits = compile_edits(set_={"X-Api-Key": "ours"}, add={}, remove=[])
    edited = edits.edit(sent)
    assert [pair for pair in edited if fold_name(pair[0]) == b"x-api-key"] == [
        (b"X-Api-Key", b"ours")
    ]
    assert [pair for pair in edited if pair[0] in (b"Accept", b"Cookie")] == [
        pair for pair in sent if pair[0] in (b"Accept", b"Cookie")
    ]


@given(fields)
def test_of_a_header_that_is_removed_nothing_is_left(sent):
    edits = compile_edits(set_={}, add={}, remove=["x-api_key"])
    assert edits.edit(sent) == [pair for pair in sent if pair[0] in (b"Accept", b"Cookie")]


@given(fields)
def test_what_is_added_stands_behind_what_was_there(sent):
    edits = compile_edits(set_={}, add={"X-Api-Key": "é"}, remove=[])
    assert edits.edit(sent) == [*sent, (b"X-Api-Key", b"\xc3\xa9")]


def test_no_edits_are_none_and_values_are_not_shown():
    assert compile_edits(set_={}, add={}, remove=[]) is None
    assert "s3cret" not in repr(compile_edits(set_={"A": "s3cret"}, add={}, remove=[]))
