"""The bearer token of a request."""

import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.bearer import read_bearer
from gateway.policy.rejection import Reason

TOKEN = "gw_at_0123456789.AZaz-._~+/=="


@pytest.mark.parametrize(
    "scheme", ["".join(one) for one in itertools.product(*zip("bearer", "BEARER", strict=True))]
)
def test_the_scheme_is_read_in_any_case(scheme):
    assert read_bearer([f"{scheme} {TOKEN}"]) == TOKEN


@pytest.mark.parametrize("value", [f"Bearer   {TOKEN}", f"Bearer {TOKEN}  "])
def test_blanks_around_the_token_are_none_of_it(value):
    assert read_bearer([value]) == TOKEN


@pytest.mark.parametrize(
    "value",
    [
        "Bearer", "bearer ", "Bearer  ", "Bearer\t", f"Bearer\t{TOKEN}", f"Bearer \t{TOKEN}",
        "Bearer a b", "Bearer a,b", f"Bearer {TOKEN}, Bearer {TOKEN}", f"Bearer {TOKEN}, Basic x",
        "Bearer %s", "Bearer a%00b", "Bearer a\x00b", "Bearer a\rb", "Bearer a\nb", "Bearer a\r\n",
        "Bearer a\r\nX-Auth-Subject: root", 'Bearer "a"', "Bearer a=b", "Bearer =", "Bearer é",
        "Bearer \udcff", "Bearer \uff41", "Bearer a;b", "Bearer a:b", "Bearer {}", "Bearer a\x0b",
    ],
)  # fmt: skip
def test_what_is_no_token_is_malformed(value):
    assert read_bearer([value]) is Reason.MALFORMED_TOKEN


@pytest.mark.parametrize(
    "value",
    [
        "", " ", TOKEN, "Basic YTpi", "Digest a=b", "Bearer1 a", "Bearers a", "XBearer a", "DPoP a",
        "Bearer=a", "Bearer,a", "Token a", "\x00Bearer a", "b\u0435arer a",
    ],
)  # fmt: skip
def test_another_scheme_is_no_token_at_all(value):
    """RFC 6750, section 3.1: without an error code, as if nothing had been sent."""
    assert read_bearer([value]) is Reason.MISSING_TOKEN


def test_no_header_is_no_token_and_two_are_too_many():
    """Two are refused even when they are the same, or one of them is of another scheme."""
    assert read_bearer([]) is Reason.MISSING_TOKEN
    for second in (f"Bearer {TOKEN}", "Basic YTpi", ""):
        assert read_bearer([f"Bearer {TOKEN}", second]) is Reason.MULTIPLE_TOKENS
        assert read_bearer([second, f"Bearer {TOKEN}"]) is Reason.MULTIPLE_TOKENS


@pytest.mark.parametrize("value", ["a" * 2**20, "=" * 2**20, "a" + "=" * 2**20, "a," * 2**19])
def test_a_token_without_end_is_malformed_and_soon(value):
    """A mebibyte is nobody's token, of padding either, and is looked at once."""
    started = time.process_time()
    assert read_bearer([f"Bearer {value}"]) is Reason.MALFORMED_TOKEN
    assert time.process_time() - started < 0.5


def test_a_long_token_is_taken():
    """Self-contained tokens of foreign servers reach several KiB."""
    assert read_bearer(["Bearer " + "a" * 16_384]) == "a" * 16_384


@given(st.text(max_size=12) | st.text(max_size=12).map(lambda text: "Bearer " + text))
def test_a_token_is_made_of_a_tokens_characters_alone(value):
    """For any text: what comes out may stand in a form, a header or a log line as it is."""
    found = read_bearer([value])
    if not isinstance(found, Reason):
        assert found
        assert found.isascii()
        assert all(one.isalnum() or one in "._~+/-=" for one in found)
