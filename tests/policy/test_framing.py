"""What Transfer-Encoding says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.framing import (
    NO_BODY,
    MalformedFraming,
    judge_transfer_coding,
    read_framing,
)
from gateway.policy.rejection import Reason


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


@pytest.mark.parametrize(
    ("codings", "lengths", "framing"),
    [
        ([], [], NO_BODY),
        ([], ["0"], 0),
        ([], ["5"], 5),
        ([], ["00000000000000000005"], 5),
        (["chunked"], [], None),
        (["Chunked"], [], None),
    ],
)
def test_one_clear_framing_is_read(
    codings: list[str], lengths: list[str], framing: int | None
) -> None:
    assert read_framing(codings, lengths, speaks_http_1_1=True) == framing


@pytest.mark.parametrize(
    ("codings", "lengths"),
    [
        (["chunked"], ["5"]),
        (["chunked"], [""]),
        (["chunked", "chunked"], []),
        (["gzip, chunked", "chunked"], []),
        (["gzip, chunked"], ["5"]),
        ([""], []),
        ([], ["5", "5"]),
        ([], ["5", "6"]),
    ]
    + [
        ([], [length])
        for length in (
            "",
            "+5",
            "-5",
            "5,5",
            "0x5",
            "5 ",
            " 5",
            "5_0",
            "5.0",
            "\u0665",
            "1e3",
            "\xb2",
        )
    ],
)
def test_what_two_could_read_in_two_ways_is_malformed(
    codings: list[str], lengths: list[str]
) -> None:
    """Also where the parser of requests would have refused it first."""
    with pytest.raises(MalformedFraming) as caught:
        read_framing(codings, lengths, speaks_http_1_1=True)
    assert caught.value.reason is Reason.MALFORMED_REQUEST


def test_http_1_0_knows_no_chunks() -> None:
    with pytest.raises(MalformedFraming):
        read_framing(["chunked"], [], speaks_http_1_1=False)


def test_codings_that_are_not_undone_here_are_told_as_such() -> None:
    with pytest.raises(MalformedFraming) as caught:
        read_framing(["gzip, chunked"], [], speaks_http_1_1=True)
    assert caught.value.reason is Reason.UNSUPPORTED_CODING


@given(
    codings=st.lists(st.text(max_size=8) | st.just("chunked"), max_size=3),
    lengths=st.lists(st.text("0123456789+- ,x", max_size=4), max_size=3),
    speaks_http_1_1=st.booleans(),
)
def test_a_body_has_one_framing_or_is_refused(
    codings: list[str], lengths: list[str], speaks_http_1_1: bool
) -> None:
    try:
        framing = read_framing(codings, lengths, speaks_http_1_1=speaks_http_1_1)
    except MalformedFraming:
        return
    assert len(codings) + len(lengths) <= 1
    if framing is None:
        assert [coding.lower() for coding in codings] == ["chunked"]
        assert speaks_http_1_1
    elif framing == NO_BODY:
        assert (codings, lengths) == ([], [])
    else:
        assert int(lengths[0]) == framing >= 0
