"""The sign-in's cookies reach no upstream, and no upstream sets them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.cookies import sets_reserved_cookie, without_reserved_cookies
from gateway.policy.headers import RequestHeaderFilter, read_response_head

SECRET = b"gateway-session=SECRET"


@pytest.mark.parametrize(
    ("sent", "forwarded"),
    [
        (b"a=1; b=2", b"a=1; b=2"),
        (b"a=1;b=2;  c", b"a=1;b=2;  c"),
        (SECRET, b""),
        (b"__Host-" + SECRET, b""),
        (b"gateway-browser=MARK", b""),
        (b"__Host-gateway-browser=MARK", b""),
        (b"a=1; " + SECRET + b"; b=2", b"a=1; b=2"),
        (SECRET + b"; b=2", b"b=2"),
        (b"a=1; " + SECRET, b"a=1"),
        (b"a=1; gateway-session =SECRET", b"a=1"),
        (b"a=1; __HOST-Gateway-Session=SECRET", b"a=1"),
        (b"my-gateway-session=1; gateway-sessions=2", b"my-gateway-session=1; gateway-sessions=2"),
    ],
)
def test_cookies_of_the_sign_in_are_taken_out_and_no_others(sent: bytes, forwarded: bytes) -> None:
    assert without_reserved_cookies(sent) == forwarded


@given(st.lists(st.sampled_from([b"a=1", b"b", SECRET, b"__Host-gateway-browser=SECRET", b""])))
def test_no_order_of_cookies_lets_one_of_the_sign_in_through(cookies: list[bytes]) -> None:
    kept = without_reserved_cookies(b"; ".join(cookies))
    assert b"SECRET" not in kept
    assert kept.count(b"a=1") == cookies.count(b"a=1")


def test_a_request_crosses_without_the_cookies_of_the_sign_in() -> None:
    sent = [(b"Cookie", b"a=1; " + SECRET), (b"cookie", SECRET), (b"Accept", b"*/*")]
    assert RequestHeaderFilter().filter(sent, keep_authorization=False) == [
        (b"Cookie", b"a=1"),
        (b"Accept", b"*/*"),
    ]


@pytest.mark.parametrize(
    "value",
    [
        b"gateway-session=evil",
        b"gateway-session=evil; Path=/",
        b" gateway-session =evil",
        b"__Host-gateway-session=evil; Secure",
        b"Gateway-Browser=evil",
        b"=gateway-session=evil",
        b"gateway-session",
    ],
)
def test_an_upstream_sets_no_cookie_of_the_sign_in(value: bytes) -> None:
    assert sets_reserved_cookie(value)
    head = read_response_head([(b"Set-Cookie", value), (b"Set-Cookie", b"a=gateway-session=1")])
    assert head.fields == [(b"Set-Cookie", b"a=gateway-session=1")]
