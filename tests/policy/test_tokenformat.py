"""The form of the embedded server's secrets."""

import hashlib
import re
import string
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.bearer import read_bearer
from gateway.policy.tokenformat import has_valid_checksum, new_token, token_hash

# Written down once: tokens that are out there must stay valid.
KNOWN = "gw_at_" + "0" * 42 + "1"


@pytest.mark.parametrize("kind", ["at", "cs"])
def test_a_new_secret_has_its_prefix_its_length_and_a_valid_checksum(kind):
    token = new_token(kind)
    assert re.fullmatch(rf"gw_{kind}_[0-9A-Za-z]{{49}}", token)
    assert has_valid_checksum(token, kind)
    assert read_bearer([f"Bearer {token}"]) == token


def test_secrets_are_never_the_same():
    assert len({new_token("at") for _ in range(1000)}) == 1000


def checksum_of(body: str) -> str:
    """Computes the CRC32 in six base62 digits, anew."""
    digits = string.digits + string.ascii_uppercase + string.ascii_lowercase
    number, checksum = zlib.crc32(body.encode()), ""
    for _ in range(6):
        number, digit = divmod(number, 62)
        checksum = digits[digit] + checksum
    return checksum


def test_the_checksum_is_the_crc_of_all_before_it():
    assert has_valid_checksum(KNOWN + checksum_of(KNOWN))


@pytest.mark.parametrize("body", ["gw_at_", KNOWN[:-1], KNOWN + "0", KNOWN * 2])
def test_a_secret_of_another_length_is_none_though_its_checksum_be_right(body):
    assert not has_valid_checksum(body + checksum_of(body))


def test_a_secret_of_one_kind_is_none_of_another():
    assert not has_valid_checksum(new_token("cs"))
    assert not has_valid_checksum(new_token("at"), "cs")


@given(data=st.data())
def test_a_changed_character_is_noticed(data):
    """Whichever it is, whatever it becomes."""
    token = new_token("at")
    position = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.characters().filter(lambda one: one != token[position]))
    assert not has_valid_checksum(token[:position] + other + token[position + 1 :])


@given(st.text(max_size=60) | st.text(min_size=49, max_size=49).map(lambda text: "gw_at_" + text))
def test_a_strangers_text_is_refused_without_an_exception(text):
    """Any text at all, lone surrogates too; one in four thousand million is right by chance."""
    assert not has_valid_checksum(text)


@pytest.mark.parametrize(
    "change", [lambda token: token + "\n", lambda token: token[:-1], str.upper]
)
def test_what_is_nearly_a_secret_is_none(change):
    assert not has_valid_checksum(change(new_token("at")))


def test_a_secret_rests_as_its_sha256():
    """That is how the database, caches and revocations name it."""
    assert token_hash("abc") == hashlib.sha256(b"abc").digest()
