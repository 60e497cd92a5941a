"""The grants of the token endpoint: Authlib's course of each, on our records.

What this file guards: a code or a token is used at most once, by its own client, and only by a
request that succeeds. Authlib looks up, saves and deletes, which five requests at once pass all
together; here the last step before anything is handed out is a claim that one of them wins.
"""

import base64
import hashlib
import hmac
from typing import ClassVar

from authlib.oauth2.rfc6749 import (
    InvalidGrantError,
    InvalidRequestError,
    UnauthorizedClientError,
)
from authlib.oauth2.rfc6749.errors import AccessDeniedError
from authlib.oauth2.rfc6749.grants import (
    AuthorizationCodeGrant,
    ClientCredentialsGrant,
    RefreshTokenGrant,
)
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc8628 import (
    AuthorizationPendingError,
    DeviceCodeGrant,
    ExpiredTokenError,
    SlowDownError,
)

from gateway.authserver.metadata import AUTHENTICATION_METHODS, CONFIDENTIAL_METHODS
from gateway.authserver.oauth.oauth_server import (
    OAuthServer,
    RequestingClient,
    ReuseDetected,
    TokenRequest,
)
from gateway.authserver.records.devices import (
    DeviceCode,
    claim_device_code,
    find_device_code,
    note_poll,
)
from gateway.authserver.records.families import (
    AuthorizationCode,
    Family,
    claim_code,
    find_code,
    find_family,
    find_live_family,
)
from gateway.authserver.records.refresh import (
    RefreshToken,
    claim_refresh_token,
    find_refresh_token,
    retry_refresh_token,
)
from gateway.authserver.records.tokens import revoke_token
from gateway.policy.tokenformat import has_valid_checksum, token_hash


class ClientCredentials(ClientCredentialsGrant):
    """RFC 6749, section 4.4: a client in its own name, which only a confidential one has."""

    TOKEN_ENDPOINT_AUTH_METHODS = CONFIDENTIAL_METHODS


class RedeemedCode:
    """A code as Authlib asks it, on its way to become tokens."""

    def __init__(self, record: AuthorizationCode, client: RequestingClient) -> None:
        self.record = record
        self.client = client
        self.family: Family | None = None

    @property
    def code_challenge(self) -> str:
        """The challenge, always of the method S256."""
        return self.record.code_challenge

    def get_redirect_uri(self) -> str | None:
        """Give the redirect_uri of the authorization request."""
        return self.record.redirect_uri

    def get_scope(self) -> str:
        """Give the scope to grant."""
        assert self.family is not None  # noqa: S101 - authenticate_user comes first
        return self.client.get_scope_of(self.family)


class CodeRedemption(AuthorizationCodeGrant):
    """RFC 6749, section 4.1.3."""

    TOKEN_ENDPOINT_AUTH_METHODS = AUTHENTICATION_METHODS
    server: OAuthServer
    request: TokenRequest

    def query_authorization_code(self, code: str, client: RequestingClient) -> RedeemedCode | None:
        """Give the client's code while it can be redeemed; nothing is changed by looking."""
        if not has_valid_checksum(code, "ac"):
            return None
        record = find_code(self.server.connection, token_hash(code))
        if record is None or record.client_id != client.record.id:
            return None
        if record.used_at is not None:
            # An old code, from a log or a history, is not enough to take everything back: whoever
            # lacks the verifier could never have redeemed it.
            if self._has_verifier_of(record):
                raise ReuseDetected(record.family_id)
            return None
        # Authlib would let a redirect_uri pass that the authorization request did not have.
        if (
            record.expires_at <= self.server.now
            or self.request.payload.redirect_uri != record.redirect_uri
        ):
            return None
        return RedeemedCode(record, client)

    def _has_verifier_of(self, record: AuthorizationCode) -> bool:
        verifier = self.request.form.get("code_verifier", "")
        digest = hashlib.sha256(verifier.encode("utf-8", "replace")).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=")  # RFC 7636, section 4.6
        return hmac.compare_digest(challenge, record.code_challenge.encode("ascii"))

    def authenticate_user(self, code: RedeemedCode) -> Family:
        """Claim the code, now that everything about the request is right."""
        record, connection = code.record, self.server.connection
        if not claim_code(connection, record.hash, self.server.now):
            raise ReuseDetected(record.family_id)
        code.family = _require_live_family(self.server, record.family_id)
        return code.family

    def delete_authorization_code(self, code: RedeemedCode) -> None:
        """Keep the code: only one that is remembered as used can be found to be used again."""


class ProofKey(CodeChallenge):
    """RFC 7636 with S256 alone, for every client; Authlib's own falls back to `plain`."""

    DEFAULT_CODE_CHALLENGE_METHOD = "S256"
    SUPPORTED_CODE_CHALLENGE_METHOD: ClassVar = ["S256"]
    CODE_CHALLENGE_METHODS: ClassVar = {"S256": CodeChallenge.CODE_CHALLENGE_METHODS["S256"]}

    def get_authorization_code_challenge(self, code: RedeemedCode) -> str:
        """Give the challenge. Authlib takes a code without one for one that needs no verifier."""
        if not code.code_challenge:
            raise InvalidGrantError
        return code.code_challenge

    def get_authorization_code_challenge_method(self, _code: RedeemedCode) -> str:
        """Give the only one."""
        return "S256"


class PresentedToken:
    """A refresh token as Authlib asks it."""

    def __init__(self, record: RefreshToken, family: Family, client: RequestingClient) -> None:
        self.record = record
        self.family = family
        self.client = client

    def check_client(self, client: RequestingClient) -> bool:
        """Say whether it is the client's."""
        return self.family.client_id == client.record.id

    def get_scope(self) -> str:
        """Give the most that may be granted."""
        return self.client.get_scope_of(self.family)


class Refresh(RefreshTokenGrant):
    """RFC 6749, section 6, with a new refresh token at each use (RFC 9700, section 4.14.2)."""

    TOKEN_ENDPOINT_AUTH_METHODS = AUTHENTICATION_METHODS
    INCLUDE_NEW_REFRESH_TOKEN = True
    server: OAuthServer
    request: TokenRequest

    def authenticate_refresh_token(self, refresh_token: str) -> PresentedToken | None:
        """Give the client's token while it can be used; nothing is changed by looking."""
        if not has_valid_checksum(refresh_token, "rt"):
            return None
        client: RequestingClient = self.request.client
        record = find_refresh_token(self.server.connection, token_hash(refresh_token))
        family = find_family(self.server.connection, record.family_id) if record else None
        if record is None or family is None or family.client_id != client.record.id:
            return None
        if record.is_spent and not record.can_be_retried(self.server.now):
            raise ReuseDetected(family.id)
        if record.expires_at <= self.server.now:
            return None
        return PresentedToken(record, family, client)

    def authenticate_user(self, token: PresentedToken) -> Family:
        """Give the family, in whose name Authlib then issues."""
        return _require_live_family(self.server, token.family.id)

    def save_token(self, token: dict[str, object]) -> None:
        """Claim the refresh token for its successor, then store that."""
        presented: PresentedToken = self.request.refresh_token
        connection, now = self.server.connection, self.server.now
        spent = presented.record.hash
        successor = token_hash(str(token["refresh_token"]))
        if not claim_refresh_token(connection, spent, successor, now):
            replaced = retry_refresh_token(connection, spent, successor, now)
            if replaced is None:
                raise ReuseDetected(presented.family.id)
            revoke_token(connection, replaced.access_token_hash, now)
            self.server.note_token_revocation(replaced.access_token_hash)
        super().save_token(token)

    def revoke_old_credential(self, _token: PresentedToken) -> None:
        """Do nothing: the claim has done it."""


class ApprovedDevice:
    """A device code as Authlib asks it, once a person has approved it."""

    def __init__(self, family: Family, client: RequestingClient) -> None:
        self.family = family
        self.client = client

    def get_scope(self) -> str:
        """Give the scope to grant."""
        return self.client.get_scope_of(self.family)


class DevicePolling(DeviceCodeGrant):
    """RFC 8628, sections 3.4 and 3.5."""

    TOKEN_ENDPOINT_AUTH_METHODS = AUTHENTICATION_METHODS
    server: OAuthServer
    request: TokenRequest

    def validate_token_request(self) -> None:
        """Let only the client's own code pass, approved, and claim it.

        In place of Authlib's, which answers `invalid_request` and `unauthorized_client` where
        RFC 6749, section 5.2, has `invalid_grant`.
        """
        client: RequestingClient = self.authenticate_token_endpoint_client()
        self.request.client = client
        if not client.check_grant_type(self.GRANT_TYPE):
            raise UnauthorizedClientError
        device_code = self.request.form.get("device_code")
        if device_code is None:
            raise InvalidRequestError
        record = self._find_code(device_code, client)
        self.request.user = self._claim(record)
        self.request.credential = ApprovedDevice(self.request.user, client)

    def _find_code(self, device_code: str, client: RequestingClient) -> DeviceCode:
        record = None
        if has_valid_checksum(device_code, "dc"):
            record = find_device_code(self.server.connection, token_hash(device_code))
        if (
            record is None
            or record.client_id != client.record.id
            or record.client_epoch != client.record.epoch
        ):
            raise InvalidGrantError
        return record

    def _claim(self, record: DeviceCode) -> Family:
        """Give the family of the approval; who has not got one yet is told why."""
        connection, now = self.server.connection, self.server.now
        if record.family_id is not None and record.used_at is not None:
            raise ReuseDetected(record.family_id)
        if record.expires_at <= now:
            raise ExpiredTokenError
        if record.denied_at is not None:
            raise AccessDeniedError
        if record.family_id is None:
            raise (
                SlowDownError
                if note_poll(connection, record.hash, now)
                else (AuthorizationPendingError)
            )
        if not claim_device_code(connection, record.hash, now):
            raise ReuseDetected(record.family_id)
        return _require_live_family(self.server, record.family_id)


def _require_live_family(server: OAuthServer, family_id: str) -> Family:
    family = find_live_family(server.connection, family_id)
    if family is None:
        raise InvalidGrantError
    return family
