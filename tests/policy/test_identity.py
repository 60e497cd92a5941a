"""Headers that say who asks, by templates: filled or absent, and never more than a claim."""

from dataclasses import replace
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.identity import IdentityHeaders, MalformedTemplate, parse_template
from gateway.policy.token import Token

ALICE = Token(
    "https://login.example.com",
    "shop",
    "5f0c",
    "alice",
    frozenset({"b", "a"}),
    ("x",),
    None,
    {
        "sub": "5f0c",
        "email": "alice@example.com",
        "name": "Älice Ö",
        "roles": ["admin", "operator"],
        "level": 3,
        "verified": True,
        "half": 0.5,
        "address": {"city": "Bonn"},
        "nested": [["a"]],
        "commas": ["a,b", "c"],
        "nothing": None,
        "empty": "",
        "none": [],
    },
)


def write(text, token=ALICE, encoding="utf8"):
    found = IdentityHeaders((parse_template("X-It", text),), encoding).write(token)
    return found[0][1] if found else None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{email}", b"alice@example.com"),
        ("{sub}", b"5f0c"),
        ("{username}", b"alice"),
        ("{client_id}", b"shop"),
        ("{scope}", b"a b"),
        ("{iss}", b"https://login.example.com"),
        ("{name}", "Älice Ö".encode()),
        ("{roles}", b"admin,operator"),
        ("{level}", b"3"),
        ("{verified}", b"true"),
    ],
)
def test_a_claim_stands_as_it_is(text, value):
    assert write(text) == value


@pytest.mark.parametrize(
    "text",
    ["{half}", "{address}", "{nested}", "{commas}", "{nothing}", "{empty}", "{none}", "{other}"],
)
def test_a_claim_without_a_form_as_text_makes_no_header(text):
    assert write(text) is None
    assert write(f"x{text}", encoding="percent") is None


def test_a_client_is_no_person():
    """Even where the server names it as the subject of its own token (RFC 9700, section 4.15)."""
    client = replace(ALICE, subject=None, username=None, claims={"sub": "shop", "username": "x"})
    assert write("{sub}", client) is None
    assert write("{username}", client) is None


@pytest.mark.parametrize(
    "value", ["a\r\nX-Admin: 1", "a\nb", "a\0b", "a\x7f", " a", "a ", "\ud800"]
)
def test_what_a_header_cannot_carry_makes_none(value):
    token = replace(ALICE, claims={"email": value})
    assert write("{email}", token) is None
    encoded = write("u={email};", token, "percent")
    assert encoded is not None
    assert encoded.isascii()


def test_text_around_claims_stands_between_them():
    assert write("{username}/{level};v=1", encoding="percent") == b"alice/3;v=1"
    assert write("{name}", encoding="percent") == b"%C3%84lice%20%C3%96"
    assert write("{roles}", encoding="percent") == b"admin%2Coperator"


@given(value=st.text(min_size=1))
def test_no_claim_steps_out_of_its_place(value):
    """It decodes to what it was, and has no letter that could end it."""
    written = write("a={email};b", replace(ALICE, claims={"email": value}), "percent")
    assert written.startswith(b"a=")
    assert written.endswith(b";b")
    inner = written[2:-2].decode()
    assert not set(inner) - set(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~@-%"
    )
    assert unquote(inner) == value


@pytest.mark.parametrize("text", ["alice", "{", "}", "{}", "{a}}", "{{a}", "a{b", "{a}{"])
def test_a_malformed_template_is_refused(text):
    with pytest.raises(MalformedTemplate):
        parse_template("X-It", text)
