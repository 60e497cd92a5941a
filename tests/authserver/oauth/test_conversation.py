"""Authlib embedded: what it must not be handed, and what it must not say."""

import logging

import pytest
from authlib.oauth2.rfc6749 import AuthorizationServer
from authlib.oauth2.rfc6749.errors import OAuth2Error

from gateway.authserver.errors import RequestRefused
from gateway.authserver.oauth import grant_types, oauth_server, token_endpoints
from gateway.authserver.oauth.conversation import refuse_coroutines, silence_libraries


def test_everything_that_authlib_calls_is_a_plain_function() -> None:
    refuse_coroutines()


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (token_endpoints.Introspection, "check_permission"),
        (token_endpoints.Introspection, "query_token"),
        (token_endpoints.Revocation, "revoke_token"),
        (token_endpoints.DeviceAuthorization, "authenticate_client"),
        (token_endpoints.KnownToken, "is_revoked"),
        (grant_types.CodeRedemption, "query_authorization_code"),
        (grant_types.CodeRedemption, "authenticate_user"),
        (grant_types.ProofKey, "validate_code_verifier"),
        (grant_types.Refresh, "authenticate_refresh_token"),
        (grant_types.DevicePolling, "validate_token_request"),
        (grant_types.PresentedToken, "check_client"),
        (oauth_server.OAuthServer, "authenticate_client"),
        (oauth_server.OAuthServer, "save_token"),
        (oauth_server.RequestingClient, "check_grant_type"),
    ],
)
def test_a_coroutine_among_them_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, owner: type, name: str
) -> None:
    """Authlib never awaits, and a coroutine is truthy: it would permit everything."""

    async def deny(*_: object) -> bool:
        return False

    monkeypatch.setattr(owner, name, deny)
    with pytest.raises(TypeError, match=f"{owner.__name__}.{name}"):
        refuse_coroutines()


def test_authlibs_debug_lines_go_nowhere_whatever_the_levels(
    caplog: pytest.LogCaptureFixture,
) -> None:
    logger = logging.getLogger("authlib.oauth2.rfc6749.grants.client_credentials")
    silence_libraries()
    with caplog.at_level(logging.DEBUG, logger=logger.name):
        logger.debug("Issue token %r", {"access_token": "secret-value"})
        logger.warning("a warning")
    assert caplog.messages == ["a warning"]


def test_sqlalchemy_does_not_log_what_it_has_read(caplog: pytest.LogCaptureFixture) -> None:
    """It hides the parameters of statements, but its rows have the hashes of passwords."""
    logger = logging.getLogger("sqlalchemy.engine.Engine")
    silence_libraries()
    with caplog.at_level(logging.DEBUG, logger=logger.name):
        logger.debug("Row %r", ("$argon2id$",))
        logger.info("SELECT users.id")
    assert caplog.messages == ["SELECT users.id"]


def test_an_error_of_authlib_that_nobody_thought_of_is_an_invalid_request() -> None:
    """With our words; Authlib's may repeat those of the request."""
    server = object.__new__(oauth_server.OAuthServer)
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
        assert name in vars(oauth_server.OAuthServer)
    for ours in (
        grant_types.CodeRedemption,
        grant_types.Refresh,
        grant_types.DevicePolling,
        token_endpoints.Introspection,
        token_endpoints.Revocation,
        token_endpoints.DeviceAuthorization,
        grant_types.ProofKey,
    ):
        for name in vars(ours):
            if not name.startswith("_") and name not in ("server", "request"):
                assert hasattr(ours.__base__, name), f"{ours.__name__}.{name}"
