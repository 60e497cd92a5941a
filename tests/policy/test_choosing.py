"""Which of several servers a token is shown to: never another than the one that it is from."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.choosing import ServerChoice, stated_issuer
from gateway.policy.rejection import Reason
from gateway.policy.tokenformat import new_token

PARTNER, CORPORATE = "https://partner.example.com", "https://login.example.com"
CHOICE = ServerChoice("local", {PARTNER: "partner", CORPORATE: "corporate"}, "corporate")


def segment(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def jwt(payload: object, header: object = "x") -> str:
    parts = (json.dumps(header).encode(), json.dumps(payload).encode(), b"signature")
    return ".".join(map(segment, parts))


@pytest.mark.parametrize(
    ("token", "server"),
    [
        ("gw_at_forged", "local"),
        (jwt({"iss": PARTNER}), "partner"),
        (jwt({"iss": CORPORATE}), "corporate"),
        (jwt({"iss": CORPORATE}).rpartition(".")[0] + ".", "corporate"),
        (jwt({"iss": "https://evil.example"}), Reason.WRONG_ISSUER),
        (jwt({"iss": PARTNER + "/"}), Reason.WRONG_ISSUER),
        (jwt({"sub": "x"}), "corporate"),
        (jwt({"iss": 1}), "corporate"),
        (jwt(["iss", PARTNER]), "corporate"),
        (f"{jwt({'iss': PARTNER})}.x.y", "corporate"),
        ("opaque", "corporate"),
        ("a.b.c", "corporate"),
        ("x" * 100_000, "corporate"),
    ],
)
def test_form_and_issuer_choose(token, server):
    assert CHOICE.choose(token) == server


def test_tokens_of_the_embedded_server_are_its_own():
    assert CHOICE.choose(new_token("at")) == "local"


def test_where_no_server_is_embedded_tokens_of_its_form_are_opaque():
    """They may be those of the server of another gateway."""
    assert ServerChoice(None, {}, "corporate").choose(new_token("at")) == "corporate"


def test_a_token_for_nobody_is_shown_to_nobody():
    choice = ServerChoice(None, {PARTNER: "partner"}, None)
    assert choice.choose(new_token("at")) is Reason.INACTIVE_TOKEN
    assert choice.choose("opaque") is Reason.INACTIVE_TOKEN
    assert choice.choose(jwt({"iss": CORPORATE})) is Reason.WRONG_ISSUER


def test_an_issuer_that_stands_twice_is_none():
    """Parsers differ on which one counts."""
    payload = f'{{"iss":"{PARTNER}","iss":"{CORPORATE}"}}'.encode()
    token = f"{segment(b'{}')}.{segment(payload)}.x"
    assert stated_issuer(token) is None


@given(token=st.text() | st.builds(jwt, st.dictionaries(st.text(), st.text() | st.integers())))
def test_only_configured_servers_are_chosen(token):
    assert CHOICE.choose(token) in {"local", "partner", "corporate", Reason.WRONG_ISSUER}


@given(issuer=st.text())
def test_a_jwt_goes_to_its_own_issuer_and_to_nobody_else(issuer):
    assert CHOICE.choose(jwt({"iss": issuer})) == CHOICE.by_issuer.get(issuer, Reason.WRONG_ISSUER)
