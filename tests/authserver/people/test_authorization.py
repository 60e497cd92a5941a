"""Authorization requests, judged without a server: addresses, PKCE, scopes."""

from dataclasses import replace

import pytest

from gateway.authserver.form import Form
from gateway.authserver.options import AuthorizationServerOptions
from gateway.authserver.people.authorization import (
    Answer,
    RequestRejected,
    UnknownClient,
    WrongRedirect,
    describe_redirect,
    form_targets,
    is_registered,
    read_authorization_request,
)
from gateway.authserver.records.grants import Grant
from tests.authserver.browser_fixtures import REQUEST
from tests.authserver.conftest import ISSUER, new_client
from tests.authserver.people_fixtures import CALLBACK, CHALLENGE

OPTIONS = AuthorizationServerOptions(
    name="local",
    issuer=ISSUER,
    database_url="",
    access_token_lifetime=600,
    scopes={"orders:read": {}, "orders:write": {}},
    audiences=frozenset({"https://api.example"}),
)
CLIENT = new_client(
    "desk",
    grant_types=frozenset({"authorization_code"}),
    scopes=frozenset({"orders:read", "orders:write", "gone"}),
    redirect_uris=frozenset({CALLBACK}),
)


def form(**changes: str | None) -> Form:
    pairs = {**REQUEST, **changes}.items()
    return Form.of([(name, value) for name, value in pairs if value is not None])


@pytest.mark.parametrize(
    ("registered", "asked", "is_same"),
    [
        ("https://a.example/cb", "https://a.example/cb", True),
        ("https://a.example/cb", "https://a.example/cb/", False),
        ("https://a.example/cb", "https://a.example/CB", False),
        ("https://a.example/cb", "https://A.example/cb", False),
        ("https://a.example/cb", "HTTPS://a.example/cb", False),
        ("https://a.example/cb", "http://a.example/cb", False),
        ("https://a.example/cb", "https://a.example:443/cb", False),
        ("https://a.example/cb", "https://a.example:8443/cb", False),
        ("https://a.example/cb", "https://a.example/cb?x=1", False),
        ("https://a.example/cb", "https://a.example/cb?", False),
        ("https://a.example/cb", "https://a.example/cb#", False),
        ("https://a.example/cb", "https://a.example/cb#x", False),
        ("https://a.example/cb", "https://u@a.example/cb", False),
        ("https://a.example/cb", "https://a.example@evil.example/cb", False),
        ("https://a.example/cb", "https://a.example.evil.example/cb", False),
        ("https://a.example/cb", "https://evil.example/https://a.example/cb", False),
        ("https://a.example/cb", "https://a.example/x/../cb", False),
        ("https://a.example/cb", "https://a.example/%63b", False),
        ("https://a.example/cb", " https://a.example/cb", False),
        ("https://a.example/cb", "https://a.example/c", False),
        ("https://a.example/cb", "https://a.example/cb2", False),
        ("https://a.example/cb", "", False),
        ("https://a.example/cb", "//a.example/cb", False),
        ("https://a.example/cb?t=1", "https://a.example/cb?t=1", True),
        ("https://a.example/cb?t=1", "https://a.example/cb?t=2", False),
        ("https://a.example/cb?t=1", "https://a.example/cb?t=1&t=2", False),
        ("https://a.example/cb#x", "https://a.example/cb#x", False),
        ("http://127.0.0.1/cb", "http://127.0.0.1/cb", True),
        ("http://127.0.0.1/cb", "http://127.0.0.1:1/cb", True),
        ("http://127.0.0.1:8000/cb", "http://127.0.0.1:65535/cb", True),
        ("http://127.0.0.1:8000/cb", "http://127.0.0.1/cb", True),
        ("http://127.0.0.1", "http://127.0.0.1:9", True),
        ("http://127.0.0.1/cb?t=1", "http://127.0.0.1:9/cb?t=1", True),
        ("http://[::1]/cb", "http://[::1]:9/cb", True),
        ("http://127.0.0.1/cb", "http://127.0.0.1:65536/cb", False),
        ("http://127.0.0.1/cb", "http://127.0.0.1:0/cb", False),
        ("http://127.0.0.1/cb", "http://127.0.0.1:080/cb", False),
        ("http://127.0.0.1/cb", "http://127.0.0.1:/cb", False),
        ("http://127.0.0.1/cb", "http://127.0.0.1:٨/cb", False),
        ("http://127.0.0.1/cb", "http://127.0.0.1:9/other", False),
        ("http://127.0.0.1/cb", "http://127.0.0.1:9/cb?x", False),
        ("http://127.0.0.1/cb", "http://127.0.0.1:9/cb#x", False),
        ("http://127.0.0.1/cb", "http://127.0.0.1:9/CB", False),
        ("http://127.0.0.1/cb", "http://u:p@127.0.0.1:9/cb", False),
        ("http://127.0.0.1/cb", "http://127.0.0.1:9@evil.example/cb", False),
        ("http://127.0.0.1/cb", "http://127.0.0.1.evil.example:9/cb", False),
        ("http://127.0.0.1/cb", "http://127.0.0.1:9\\@evil.example/cb", False),
        ("http://127.0.0.1/cb", "http://127.0.0.2:9/cb", False),
        ("http://127.0.0.1/cb", "http://127.1:9/cb", False),
        ("http://127.0.0.1/cb", "http://localhost:9/cb", False),
        ("http://127.0.0.1/cb", "http://[::1]:9/cb", False),
        ("http://[::1]/cb", "http://[0:0:0:0:0:0:0:1]:9/cb", False),
        ("http://127.0.0.1/cb", "https://127.0.0.1:9/cb", False),
        ("https://127.0.0.1/cb", "https://127.0.0.1:9/cb", False),
        ("http://127.0.0.1/cb", "HTTP://127.0.0.1:9/cb", False),
        ("http://localhost:8000/cb", "http://localhost:8000/cb", True),
        ("http://localhost:8000/cb", "http://localhost:9/cb", False),
        ("http://192.168.0.1:8000/cb", "http://192.168.0.1:9/cb", False),
        ("com.example.app:/cb", "com.example.app:/cb", True),
        ("com.example.app:/cb", "com.example.app:/cb2", False),
        ("com.example.app:/cb", "com.example.app://cb", False),
    ],
)
def test_an_address_is_compared_letter_by_letter(
    registered: str, asked: str, is_same: bool
) -> None:
    """RFC 9700, section 2.1; any port only on loopback addresses (RFC 8252, section 7.3)."""
    client = replace(CLIENT, redirect_uris=frozenset({registered, "https://other.example/"}))
    assert is_registered(asked, client) is is_same


def test_a_sound_request_is_read() -> None:
    request = read_authorization_request(form(), CLIENT, OPTIONS)
    assert (request.redirect_uri, request.named_redirect_uri) == (CALLBACK, CALLBACK)
    assert (request.scope, request.audience) == ("orders:read", "")
    assert (request.state, request.code_challenge) == (REQUEST["state"], CHALLENGE)


def test_an_address_may_be_left_out_when_there_is_one() -> None:
    request = read_authorization_request(form(redirect_uri=None), CLIENT, OPTIONS)
    assert (request.redirect_uri, request.named_redirect_uri) == (CALLBACK, None)


@pytest.mark.parametrize("uris", [set(), {CALLBACK, CALLBACK + "2"}])
def test_an_address_left_out_is_not_guessed(uris: set[str]) -> None:
    client = replace(CLIENT, redirect_uris=frozenset(uris))
    with pytest.raises(WrongRedirect):
        read_authorization_request(form(redirect_uri=None), client, OPTIONS)


def test_an_unknown_client_and_a_disabled_one_are_the_same() -> None:
    for client in (None, replace(CLIENT, disabled_at=1)):
        with pytest.raises(UnknownClient):
            read_authorization_request(form(), client, OPTIONS)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"request": "x"}, "request_not_supported"),
        ({"request_uri": "x"}, "request_uri_not_supported"),
        ({"response_type": None}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": "code token"}, "unsupported_response_type"),
        ({"response_type": 'code"'}, "unsupported_response_type"),
        ({"response_type": "CODE"}, "unsupported_response_type"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"response_mode": "form_post"}, "invalid_request"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),  # which would mean plain
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": "s256"}, "invalid_request"),
        ({"code_challenge": CHALLENGE[:-1]}, "invalid_request"),
        ({"code_challenge": CHALLENGE + "x"}, "invalid_request"),
        ({"code_challenge": "x" * 128}, "invalid_request"),
        ({"code_challenge": CHALLENGE[:-1] + "="}, "invalid_request"),
        ({"code_challenge": CHALLENGE[:-1] + "~"}, "invalid_request"),
        ({"code_challenge": CHALLENGE[:-1] + "ü"}, "invalid_request"),
        ({"scope": "admin"}, "invalid_scope"),
        ({"scope": "orders:read admin"}, "invalid_scope"),
        ({"scope": "gone"}, "invalid_scope"),
        ({"scope": "orders:read  orders:write"}, "invalid_scope"),
        ({"scope": " orders:read"}, "invalid_scope"),
        ({"scope": 'orders:read"'}, "invalid_scope"),
        ({"scope": "ORDERS:READ"}, "invalid_scope"),
        ({"resource": "https://other.example"}, "invalid_target"),
        ({"resource": "https://api.example#x"}, "invalid_target"),
        ({"resource": "api"}, "invalid_target"),
    ],
)
def test_the_client_is_told_what_is_wrong(changes: dict[str, str | None], error: str) -> None:
    with pytest.raises(RequestRejected) as caught:
        read_authorization_request(form(**changes), CLIENT, OPTIONS)
    answer = caught.value.answer
    assert answer.parameters["error"] == error
    assert (answer.state, answer.issuer, answer.redirect_uri) == (
        REQUEST["state"],
        ISSUER,
        CALLBACK,
    )


def test_a_client_without_the_grant_is_told_so() -> None:
    client = replace(CLIENT, grant_types=frozenset({"client_credentials"}))
    with pytest.raises(RequestRejected, match="unauthorized_client"):
        read_authorization_request(form(), client, OPTIONS)


def test_scopes_left_out_are_all_that_the_client_has_and_that_exist() -> None:
    request = read_authorization_request(form(scope=None), CLIENT, OPTIONS)
    assert request.scope == "orders:read orders:write"


def test_scopes_left_out_are_refused_when_none_exists_any_more() -> None:
    client = replace(CLIENT, scopes=frozenset({"gone"}))
    with pytest.raises(RequestRejected, match="invalid_scope"):
        read_authorization_request(form(scope=None), client, OPTIONS)


def test_several_resources_make_several_audiences() -> None:
    asked = form()
    asked.resources = ("https://api.example", "https://api.example")
    assert read_authorization_request(asked, CLIENT, OPTIONS).audience == "https://api.example"


@pytest.mark.parametrize("state", ["", "a b", "&iss=x", "=%00", "ü안", "#", '"\\', "<script>"])
def test_state_goes_back_as_it_came(state: str) -> None:
    from urllib.parse import parse_qsl, urlsplit

    location = Answer("https://a.example/cb?own=1", ISSUER, state, {"code": "x"}).location()
    parts = urlsplit(location)
    assert parse_qsl(parts.query, keep_blank_values=True) == [
        ("own", "1"),
        ("code", "x"),
        ("state", state),
        ("iss", ISSUER),
    ]
    assert parts.fragment == ""
    assert location.isascii()


def test_an_answer_shows_no_code() -> None:
    assert "secret" not in repr(Answer(CALLBACK, ISSUER, None, {"code": "secret"}))


@pytest.mark.parametrize(
    ("scope", "is_settled"),
    [(None, False), ("orders:write", False), ("orders:read", True), ("orders:read x", True)],
)
def test_a_grant_settles_what_it_covers(scope: str | None, is_settled: bool) -> None:
    request = read_authorization_request(form(), CLIENT, OPTIONS)
    grant = Grant("1", "2", "desk", scope, 1, 1) if scope is not None else None
    assert request.is_settled_by(grant) is is_settled


@pytest.mark.parametrize(
    ("redirect_uri", "source", "words"),
    [
        ("https://a.example:1/cb", "https:", "a.example:1"),
        ("http://127.0.0.1:9/cb", "http://127.0.0.1:9", "127.0.0.1:9"),
        ("http://[::1]:9/cb", "http:", "[::1]:9"),
        ("http://a;script-src *:9/cb", "http:", "a;script-src *:9"),
        ("com.example.app:/cb", "com.example.app:", "com.example.app:"),
    ],
)
def test_where_the_answer_goes_in_the_policy_and_in_words(
    redirect_uri: str, source: str, words: str
) -> None:
    assert form_targets(redirect_uri) == source
    assert describe_redirect(redirect_uri) == words
