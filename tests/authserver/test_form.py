"""What a client sent is read in one way only, or refused."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.authserver.errors import Problem, RequestRefused
from gateway.authserver.form import Credentials, parse_form, read_credentials


def _basic(pair: str | bytes) -> str:
    return "Basic " + base64.b64encode(pair.encode() if isinstance(pair, str) else pair).decode()


def _refusal(function: object, *arguments: object) -> Problem:
    with pytest.raises(RequestRefused) as raised:
        function(*arguments)
    return raised.value.problem


def test_a_form_is_decoded() -> None:
    assert parse_form(b"a=1&b=x+y%2Bz&c=%C3%BC") == {"a": "1", "b": "x y+z", "c": "ü"}


def test_a_parameter_without_a_value_counts_as_left_out() -> None:
    """RFC 6749, section 3.2."""
    assert parse_form(b"scope=&grant_type=client_credentials&x") == {
        "grant_type": "client_credentials"
    }


@pytest.mark.parametrize("body", [b"a=1&a=1", b"a=1&a=2", b"a=&a=1", b"a=1&%61=2", b"a&a"])
def test_a_parameter_that_comes_twice_is_refused(body: bytes) -> None:
    """RFC 6749, section 3.2; which of them a reader takes is a matter of taste."""
    assert _refusal(parse_form, body) is Problem.REPEATED_PARAMETER


def test_only_resources_may_be_several() -> None:
    """RFC 8707, section 2."""
    form = parse_form(b"a=1&resource=x&resource=y&resource=")
    assert form == {"a": "1"}
    assert form.resources == ("x", "y")


@pytest.mark.parametrize(
    "body", [b"resource=x&resource=x", b"resource=x&resource=%78", b"resource=&resource="]
)
def test_the_same_resource_twice_is_refused(body: bytes) -> None:
    assert _refusal(parse_form, body) is Problem.REPEATED_PARAMETER


@pytest.mark.parametrize(
    "body", [b"a=%00", b"a%00=1", b"a=%0d%0a", b"a=\x00", b"a=%7f", b"a=%c2%85"]
)
def test_a_control_character_is_refused(body: bytes) -> None:
    assert _refusal(parse_form, body) is Problem.CONTROL_CHARACTER


@pytest.mark.parametrize("body", [b"a=\xff", b"a=%ff", b"%c0%af=1", b"a=%ed%a0%80", b"a=1&" * 101])
def test_what_is_no_utf8_or_too_much_is_refused(body: bytes) -> None:
    assert _refusal(parse_form, body) is Problem.MALFORMED_FORM


@given(st.binary(max_size=200))
def test_no_body_makes_the_reader_fail_otherwise(body: bytes) -> None:
    try:
        form = parse_form(body)
    except RequestRefused:
        return
    assert all(form.values())
    assert all(form.resources)


def test_basic_credentials_are_form_encoded_inside() -> None:
    """RFC 6749, section 2.3.1: a client that encodes and one that need not are read alike."""
    expected = Credentials("my-shop", "gw_cs_1", "client_secret_basic")
    assert read_credentials([_basic("my-shop:gw_cs_1")], {}) == expected
    assert read_credentials([_basic("my%2Dshop:gw%5Fcs%5F1")], {}) == expected
    assert read_credentials(["bAsIc  " + _basic("my-shop:gw_cs_1")[6:]], {}) == expected


def test_a_secret_may_hold_colons() -> None:
    credentials = read_credentials([_basic("a:b:c")], {})
    assert credentials is not None
    assert (credentials.client_id, credentials.secret) == ("a", "b:c")


def test_credentials_in_the_form_are_read() -> None:
    assert read_credentials([], {"client_id": "a", "client_secret": "b"}) == Credentials(
        "a", "b", "client_secret_post"
    )


@pytest.mark.parametrize("form", [{}, {"client_secret": "b"}])
def test_without_a_name_there_are_no_credentials(form: dict[str, str]) -> None:
    assert read_credentials([], form) is None


def test_a_name_alone_is_how_a_public_client_says_who_it_is() -> None:
    """RFC 6749, section 3.2.1."""
    assert read_credentials([], {"client_id": "a"}) == Credentials("a", "", "none")
    assert read_credentials([], parse_form(b"client_id=a&client_secret=")) == Credentials(
        "a", "", "none"
    )


def test_two_ways_at_once_are_refused_even_when_they_agree() -> None:
    """RFC 6749, section 2.3."""
    form = {"client_id": "a", "client_secret": "b"}
    assert _refusal(read_credentials, [_basic("a:b")], form) is Problem.TWO_AUTHENTICATIONS
    assert _refusal(read_credentials, ["Bearer x"], form) is Problem.TWO_AUTHENTICATIONS
    assert _refusal(read_credentials, [_basic("a:b")] * 2, {}) is Problem.TWO_AUTHENTICATIONS


def test_the_form_may_repeat_the_client_id_of_the_header_but_not_contradict_it() -> None:
    assert read_credentials([_basic("a:b")], {"client_id": "a"}) is not None
    assert (
        _refusal(read_credentials, [_basic("a:b")], {"client_id": "c"}) is Problem.OTHER_CLIENT_ID
    )


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Basic",
        "Basic ",
        "Basic a",
        "Basic \udcff",
        "Basic ü",
        "Basic YTpi YTpi",
        "Basic YTpi\n",
        "Bearer YTpi",
        _basic("no-colon"),
        _basic(":secret"),
        _basic("name:"),
        _basic(b"a:\xff"),
        _basic(b"\xff:a"),
        _basic("a:%ff"),
        _basic("a:%00"),
        _basic("a\0:b"),
        _basic("a:b\x7f"),
    ],
)
def test_odd_basic_credentials_are_refused(header: str) -> None:
    assert _refusal(read_credentials, [header], {}) is Problem.INVALID_CLIENT


@given(st.text() | st.binary().map(_basic) | st.text().map(lambda text: "Basic " + text))
def test_no_header_makes_the_reader_fail_otherwise(header: str) -> None:
    try:
        credentials = read_credentials([header], {})
    except RequestRefused:
        return
    assert credentials is not None
    assert credentials.client_id
    assert credentials.secret


def test_credentials_do_not_show_when_they_are_printed() -> None:
    assert "secret-value" not in repr(Credentials("a", "secret-value", "client_secret_post"))
