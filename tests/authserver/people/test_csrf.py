"""CSRF tokens: bound to browser, purpose and page."""

import itertools

import pytest

from gateway.authserver.people.csrf import Purpose, is_csrf_token, make_csrf_token

TOKEN = make_csrf_token("cookie", Purpose.CONSENT, "request")


def test_a_token_is_good_where_it_was_made() -> None:
    assert is_csrf_token(TOKEN, "cookie", Purpose.CONSENT, "request")


@pytest.mark.parametrize(
    ("cookie", "purpose", "subject"),
    [
        ("other", Purpose.CONSENT, "request"),
        ("cookie", Purpose.DEVICE_CONSENT, "request"),
        ("cookie", Purpose.CONSENT, "other"),
        ("cookie", Purpose.CONSENT, ""),
    ],
)
def test_a_token_is_good_nowhere_else(cookie: str, purpose: Purpose, subject: str) -> None:
    assert not is_csrf_token(TOKEN, cookie, purpose, subject)


@pytest.mark.parametrize("token", [None, "", TOKEN[:-1], TOKEN + "=", "ü" * 43, "\0", "\ud800"])
def test_what_is_no_token_is_refused_without_a_failure(token: str | None) -> None:
    assert not is_csrf_token(token, "cookie", Purpose.CONSENT, "request")


def test_each_purpose_has_tokens_of_its_own() -> None:
    tokens = [make_csrf_token("cookie", purpose, "") for purpose in Purpose]
    assert not any(one == other for one, other in itertools.combinations(tokens, 2))
