"""What is kept of a call: masked, and bounded."""

import base64
import json

import pytest

from gateway.client.order_desk.wire import Masker, challenge_error, mask

SECRET = "gw_at_0123456789012345678901234567890"
FORM = "application/x-www-form-urlencoded"


def values(fields):
    return " ".join(f"{item.name} {item.value}" for item in fields)


def test_six_characters_of_a_secret_are_shown_and_of_a_short_one_none():
    assert mask(SECRET) == "gw_at_••••••••"
    assert mask("hunter2") == "••••••••"


@pytest.mark.parametrize(
    "name",
    [
        *("code", "state", "code_verifier", "access_token", "refresh_token", "id_token"),
        *("client_secret", "token", "Access_Token"),
    ],
)
def test_a_secret_is_masked_by_its_name_wherever_it_stands(name):
    masker = Masker()
    fields = (
        *masker.query(f"http://x/?{name}={SECRET}"),
        *masker.headers({"Location": f"http://x/?{name}={SECRET}#{SECRET}"}),
        *masker.body(f"a=b&{name}={SECRET}".encode(), FORM),
        *masker.body(json.dumps({name: SECRET}).encode(), "application/json"),
        *masker.body(json.dumps({"a": [{name: [SECRET]}]}).encode(), "application/problem+json"),
    )
    assert SECRET not in values(fields)
    assert values(fields).count("gw_at_••••••••") == 5


def test_a_secret_deep_inside_is_masked_at_first_sight():
    body = json.dumps({"data": {"list": [{"access_token": SECRET}]}}).encode()
    assert SECRET not in values(Masker().body(body, "application/json"))


@pytest.mark.parametrize("scheme", ["Basic", "Bearer", "basic", "Unknown"])
def test_credentials_are_masked_but_for_their_scheme(scheme):
    (shown,) = Masker().headers({"Authorization": f"{scheme} {SECRET}"})
    assert shown.value == f"{scheme} gw_at_••••••••"


def test_cookies_are_not_kept_at_all():
    headers = {"Cookie": f"session={SECRET}", "Set-Cookie": f"session={SECRET}", "X-Other": SECRET}
    assert Masker().headers(headers) == ()


def test_a_secret_that_was_seen_is_masked_under_any_name():
    """An echo in another place: in a text, in a header, as another member's name or value."""
    masker = Masker()
    masker.headers({"Authorization": f"Bearer {SECRET}"})
    echo = json.dumps({"echo": SECRET, SECRET: [f"x{SECRET}y"]}).encode()
    fields = (
        *masker.body(echo, "application/json"),
        *masker.body(f"<p>{SECRET}".encode(), "text/html"),
        *masker.headers({"WWW-Authenticate": f'Bearer error="{SECRET}"'}),
        *masker.query(f"http://x/?echo={SECRET}"),
    )
    assert SECRET not in values(fields)


def test_the_password_inside_basic_credentials_is_known_from_then_on():
    masker = Masker()
    credentials = base64.b64encode(f"order-desk:{SECRET}".encode()).decode()
    masker.headers({"Authorization": f"Basic {credentials}"})
    assert SECRET not in values(masker.body(SECRET.encode(), "text/plain"))


def test_a_long_text_is_cut_after_it_is_masked():
    """Half a secret at the cut would not be found any more."""
    (shown,) = Masker([SECRET]).body(b"x" * 1990 + SECRET.encode() + b"y" * 5000, "text/plain")
    assert len(shown.value) < 2100
    assert SECRET[:12] not in shown.value


def test_the_client_s_secret_is_known_however_many_others_came_after():
    masker = Masker([SECRET])
    for number in range(500):
        masker.query(f"http://x/?token={number:040}")
    assert SECRET not in values(masker.body(SECRET.encode(), "text/plain"))


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[" * 100_000, b"\xff\xfe", b"null", b"[1]", b"&&==&", b"=" * 500]
)
@pytest.mark.parametrize("kind", ["application/json", FORM, "text/plain", ""])
def test_any_body_is_survived(body, kind):
    Masker().body(body, kind)


def test_a_form_of_too_many_fields_is_not_shown():
    assert values(Masker().body(b"&".join([b"token=" + SECRET.encode()] * 99), FORM)) == " ••••••••"


def test_the_error_of_a_challenge_is_read():
    assert challenge_error('Bearer realm="gateway", error="invalid_token"') == "invalid_token"
    assert challenge_error('Bearer realm="gateway"') == ""
    assert challenge_error('Bearer error_description="no error"') == ""
