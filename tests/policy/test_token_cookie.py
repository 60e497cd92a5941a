"""A token from a cookie: which it is, who may send it, and who never sees it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.rejection import Reason
from gateway.policy.token_cookie import (
    TokenCookie,
    judge_origin,
    keep_private,
    read_cookie,
    without_cookie,
    without_setting,
)

OWN = "https://api.example.com"
FRIEND = "https://app.example.com"
COOKIE = TokenCookie("token", frozenset({FRIEND}))


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (["token=abc"], "abc"),
        (["a=1; token=abc; b=2"], "abc"),
        (["a=1;token=abc"], "abc"),
        (["a=1", "b=2; token=a=b=="], "a=b=="),
        (["token="], ""),
        ([], Reason.MISSING_TOKEN),
        (["a=1; token"], ""),
        (["a=1; mytoken=abc; token2=abc; Token=abc"], Reason.MISSING_TOKEN),
        (["=token=abc"], Reason.MISSING_TOKEN),
        (["token=abc; token=abc"], Reason.MULTIPLE_TOKENS),
        (["token=abc; token"], Reason.MULTIPLE_TOKENS),
        (["token=abc", "token=def"], Reason.MULTIPLE_TOKENS),
    ],
)
def test_the_token_is_the_one_cookie_of_the_name(values, found):
    assert read_cookie(COOKIE, values) == found


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "PROPFIND", "MOVE", "get"])
@pytest.mark.parametrize(
    ("origins", "passes"),
    [
        ([OWN], True),
        ([FRIEND], True),
        ([], False),
        (["null"], False),
        (["https://evil.example"], False),
        (["http://api.example.com"], False),
        (["https://api.example.com:8443"], False),
        (["https://api.example.com.evil.example"], False),
        ([OWN, OWN], False),
        ([f"{OWN} {FRIEND}"], False),
        ([""], False),
    ],
)
def test_what_may_change_something_comes_from_a_page_of_ones_own(method, origins, passes):
    rejection = judge_origin(COOKIE, method, origins, OWN, is_upgrade=False)
    assert (rejection is None) is passes
    assert rejection is None or rejection.reason is Reason.CROSS_ORIGIN


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE"])
def test_what_changes_nothing_comes_from_anywhere_but_no_tunnel_does(method):
    assert judge_origin(COOKIE, method, [], OWN, is_upgrade=False) is None
    assert judge_origin(COOKIE, method, ["https://evil.example"], OWN, is_upgrade=True) is not None
    assert judge_origin(COOKIE, method, [], OWN, is_upgrade=True) is not None
    assert judge_origin(COOKIE, method, [OWN], OWN, is_upgrade=True) is None


@pytest.mark.parametrize(
    ("sent", "forwarded"),
    [
        (b"a=1; b=2", b"a=1; b=2"),
        (b"a=1;b=2;  c", b"a=1;b=2;  c"),
        (b"token=SECRET", None),
        (b"token=SECRET; token=SECRET", None),
        (b"a=1; token=SECRET; b=2", b"a=1; b=2"),
        (b"token=SECRET;b=2 ;  c=3", b"b=2 ;  c=3"),
        (b"a=1; TOKEN =SECRET", b"a=1"),
        (b"a=1; =token=SECRET", b"a=1"),
        (b"mytoken=1; token2=2; x=token", b"mytoken=1; token2=2; x=token"),
        (b"", b""),
    ],
)
def test_the_upstream_does_not_see_it_and_all_the_others_as_they_came(sent, forwarded):
    fields = [(b"Accept", b"token=SECRET"), (b"cookie", sent), (b"Cookie", b"z=26")]
    expected = [] if forwarded is None else [(b"cookie", forwarded)]
    found = without_cookie(b"token", fields)
    assert found == [(b"Accept", b"token=SECRET"), *expected, (b"Cookie", b"z=26")]


@given(st.lists(st.sampled_from([b"a=1", b"b", b"token=SECRET", b" Token = SECRET", b""])))
def test_no_order_of_cookies_lets_it_through(cookies):
    kept = without_cookie(b"token", [(b"Cookie", b";".join(cookies))])
    values = b";".join(value for _, value in kept)
    assert b"SECRET" not in values
    assert values.count(b"a=1") == cookies.count(b"a=1")


def test_the_upstream_does_not_set_it():
    fields = [
        (b"Set-Cookie", b"token=x; Path=/"),
        (b"set-cookie", b" Token=x"),
        (b"Set-Cookie", b"=token=x"),
        (b"Set-Cookie", b"other=token=x"),
        (b"X-Token", b"token=x"),
    ]
    assert without_setting(b"token", fields) == fields[3:]


@pytest.mark.parametrize(
    ("values", "is_added"),
    [
        ([], True),
        ([b"max-age=60"], True),
        ([b"public, max-age=60"], True),
        ([b'private="x-secret"'], True),
        ([b"Private, max-age=60"], False),
        ([b"max-age=60", b"no-store"], False),
    ],
)
def test_no_cache_that_people_share_keeps_the_answer(values, is_added):
    fields = [(b"Cache-Control", value) for value in values]
    added = [(b"Cache-Control", b"private")] if is_added else []
    assert keep_private(fields) == fields + added
