"""Authlib embedded: what it must not be handed, and what it must not say."""

import logging

import pytest
from authlib.oauth2.rfc6749 import AuthorizationServer
from authlib.oauth2.rfc6749.errors import OAuth2Error

from gateway.authserver import conversation
from gateway.authserver.conversation import refuse_coroutines, silence_authlib
from gateway.authserver.errors import RequestRefused


def test_everything_that_authlib_calls_is_a_plain_function() -> None:
    refuse_coroutines()


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        ("_Introspection", "check_permission"),
        ("_Introspection", "query_token"),
        ("_Revocation", "revoke_token"),
        ("_Server", "authenticate_client"),
        ("_Server", "save_token"),
        ("_Client", "check_grant_type"),
        ("_Token", "is_revoked"),
    ],
)
def test_a_coroutine_among_them_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, owner: str, name: str
) -> None:
    """Authlib never awaits, and a coroutine is truthy: it would permit everything."""

    async def deny(*_: object) -> bool:
        return False

    monkeypatch.setattr(getattr(conversation, owner), name, deny)
    with pytest.raises(TypeError, match=f"{owner}.{name}"):
        refuse_coroutines()


def test_authlibs_debug_lines_go_nowhere_whatever_the_levels(
    caplog: pytest.LogCaptureFixture,
) -> None:
    logger = logging.getLogger("authlib.oauth2.rfc6749.grants.client_credentials")
    silence_authlib()
    with caplog.at_level(logging.DEBUG, logger=logger.name):
        logger.debug("Issue token %r", {"access_token": "secret-value"})
        logger.warning("a warning")
    assert caplog.messages == ["a warning"]


def test_an_error_of_authlib_that_nobody_thought_of_is_an_invalid_request() -> None:
    """With our words; Authlib's may repeat those of the request."""
    server = object.__new__(conversation._Server)
    with pytest.raises(RequestRefused) as raised:
        server.handle_error_response(None, OAuth2Error(error="odd", description="said the client"))
    assert raised.value.problem.error == "invalid_request"
    assert "said" not in raised.value.problem.description


def test_authlib_still_asks_what_is_answered_here() -> None:
    """A new version that renames a method would silently get its own one back."""
    for name in (
        "authenticate_client",
        "create_oauth2_request",
        "handle_error_response",
        "handle_response",
        "save_token",
        "send_signal",
    ):
        assert name in vars(AuthorizationServer)
        assert name in vars(conversation._Server)
