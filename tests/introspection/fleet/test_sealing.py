"""What a gateway of the fleet has sealed is known, and nothing else is."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.introspection.fleet.sealing import Seal

SEAL = Seal("0123456789abcdef0123456789abcdef")
OTHER = Seal("0123456789abcdef0123456789abcdeF")


@given(place=st.binary(), content=st.binary())
def test_what_was_sealed_for_a_place_is_read_there(place, content):
    assert SEAL.open(place, SEAL.close(place, content)) == content


@given(place=st.binary(), other=st.binary(), content=st.binary())
def test_what_was_moved_to_another_place_is_nothing(place, other, content):
    moved = SEAL.open(other, SEAL.close(place, content))
    assert (moved == content) if place == other else (moved is None)


@given(place=st.binary(), content=st.binary(max_size=50), data=st.data())
def test_what_was_changed_or_cut_is_nothing(place, content, data):
    sealed = bytearray(SEAL.close(place, content))
    at = data.draw(st.integers(0, len(sealed) - 1))
    sealed[at] ^= data.draw(st.integers(1, 255))
    assert SEAL.open(place, bytes(sealed)) is None
    assert SEAL.open(place, SEAL.close(place, content)[:at]) is None


@given(garbage=st.binary(max_size=100))
def test_what_another_secret_has_sealed_is_nothing(garbage):
    assert SEAL.open(b"p", garbage) is None
    assert SEAL.open(b"p", OTHER.close(b"p", garbage)) is None


@given(one=st.lists(st.binary(max_size=4)), other=st.lists(st.binary(max_size=4)))
def test_no_two_lists_of_parts_have_one_name(one, other):
    assert (SEAL.name(*one) == SEAL.name(*other)) == (one == other)


def test_names_tell_nothing_to_who_has_not_the_secret():
    """The same question has another name in another fleet, and names are no seals."""
    assert SEAL.name(b"source", b"hash") != OTHER.name(b"source", b"hash")
    assert bytes.fromhex(SEAL.name(b"x")) not in SEAL.close(b"x", b"")
