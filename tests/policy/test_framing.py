"""What Transfer-Encoding says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.framing import judge_transfer_coding


@pytest.mark.parametrize("value", ["chunked", "Chunked", "CHUNKED"])
def test_chunked_alone_is_understood(value: str) -> None:
    assert judge_transfer_coding(value) == "chunked"


@pytest.mark.parametrize("value", ["gzip, chunked", "x-gzip,chunked", "deflate,\tgzip , chunked"])
def test_known_codings_before_chunked_are_told_as_such(value: str) -> None:
    assert judge_transfer_coding(value) == "unsupported"


@pytest.mark.parametrize(
    "value",
    [
        *("", ",", "gzip", "chunked, gzip", "chunked, chunked", ",chunked", "chunked,"),
        *("xchunked", "identity", "identity, chunked", '"chunked"', "chunked;p=1"),
        *("\x0bchunked", "\xa0chunked", "gzip;q=1, chunked", "gzip chunked", " chunked"),
    ],
)
def test_everything_else_is_malformed(value: str) -> None:
    assert judge_transfer_coding(value) == "malformed"


@given(st.text(st.sampled_from("chunkedgzip, \t;\x0b\xa0") | st.characters(), max_size=20))
def test_only_one_word_is_ever_taken_for_chunks(value: str) -> None:
    assert (judge_transfer_coding(value) == "chunked") is (value.lower() == "chunked")
