"""The language of a page, by Accept-Language (RFC 9110, section 12.5.4)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.accept import LANGUAGES, choose_language


@pytest.mark.parametrize(
    ("header", "language"),
    [
        (None, "en"),
        ("", "en"),
        ("*", "en"),
        ("en", "en"),
        ("ko", "ko"),
        ("KO", "ko"),
        ("ko-KR", "ko"),
        ("ko-Kore-KR", "ko"),
        ("ko-KR,ko;q=0.9,en-US;q=0.8,en;q=0.7", "ko"),
        ("en-US,en;q=0.9,ko;q=0.8", "en"),
        ("en;q=0.5,ko;q=0.6", "ko"),
        ("ko;q=0.5,en;q=0.6", "en"),
        ("ko,en", "ko"),
        ("en,ko", "en"),
        ("ko;q=0.8,en;q=0.8", "ko"),
        ("de", "en"),
        ("de,ko;q=0.1", "ko"),
        ("de,fr;q=0.9,*;q=0.5", "en"),
        ("ko;q=0", "en"),
        ("ko;q=0,*", "en"),
        ("en;q=0", "en"),
        ("en;q=0,*", "ko"),
        ("en;q=0,ko;q=0", "en"),
        ("*;q=0.9,ko;q=0.5", "en"),
        ("*;q=0.1,ko;q=0.5", "ko"),
        ("ko-KR;q=0.2,ko;q=0.9,en;q=0.5", "ko"),
        ("ko;q=0.9,ko-KR;q=0.2,en;q=0.5", "ko"),
        (" ko ; q=1 , en ; q=0.9", "ko"),
        ("\tko\t;\tQ=1.000", "ko"),
        ("ko;q=2,en;q=0.1", "en"),
        ("ko;q=0.1234,en;q=0.1", "en"),
        ("ko;q=-1,en;q=0.1", "en"),
        ("ko;q=nan,en;q=0.1", "en"),
        ("ko;level=1,en;q=0.1", "en"),
        ("korean", "en"),
        ("k", "en"),
        ("ko_KR", "en"),
        (",,ko,,", "ko"),
        ("ko\n", "en"),
    ],
)
def test_the_language_is_the_one_that_is_wanted_most(header: str | None, language: str) -> None:
    assert choose_language(header) == language


@given(st.text(alphabet=st.sampled_from("enkodeKO*-,;q=Q.01 9\t\0é"), max_size=60))
def test_any_header_gives_a_language_that_there_is(header: str) -> None:
    assert choose_language(header) in LANGUAGES
