"""The endpoints beside the token endpoint: introspection, revocation, device authorization."""

from authlib.oauth2.rfc6749 import InvalidScopeError, UnauthorizedClientError
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7662 import IntrospectionEndpoint
from authlib.oauth2.rfc8628 import DeviceAuthorizationEndpoint

from gateway.authserver.errors import Problem, RequestRefused
from gateway.authserver.metadata import (
    AUTHENTICATION_METHODS,
    CONFIDENTIAL_METHODS,
    DEVICE_CODE_GRANT,
    VERIFICATION_PATH,
)
from gateway.authserver.oauth.oauth_server import OAuthServer, RequestingClient, TokenRequest
from gateway.authserver.records.devices import (
    DEVICE_CODE_LIFETIME,
    POLLING_INTERVAL,
    begin_device_request,
)
from gateway.authserver.records.families import Family, find_family, revoke_family
from gateway.authserver.records.refresh import find_refresh_token
from gateway.authserver.records.tokens import AccessToken, find_token, revoke_token
from gateway.authserver.resources import parse_resources
from gateway.policy.tokenformat import has_valid_checksum, token_hash


class KnownToken:
    """An access token as Authlib asks it."""

    def __init__(self, record: AccessToken, now: float) -> None:
        self.record = record
        self._now = now

    def check_client(self, client: RequestingClient) -> bool:
        """Say whether it is the client's."""
        return self.record.client_id == client.record.id

    def is_expired(self) -> bool:
        """Say whether its time is over."""
        return self.record.expires_at <= self._now

    def is_revoked(self) -> bool:
        """Say whether it was taken back, alone or with what it hangs on."""
        return self.record.is_revoked


class KnownFamily:
    """A refresh token as Authlib asks it, to revoke it with all its kin."""

    def __init__(self, record: Family) -> None:
        self.record = record

    def check_client(self, client: RequestingClient) -> bool:
        """Say whether it is the client's."""
        return self.record.client_id == client.record.id


class Introspection(IntrospectionEndpoint):
    """RFC 7662: what is known about any access token of this server, for clients that may ask.

    A refresh token is answered like an unknown one: who asks is a resource server, and must never
    accept it (section 4).
    """

    CLIENT_AUTH_METHODS = CONFIDENTIAL_METHODS
    server: OAuthServer

    def authenticate_endpoint_client(self, request: TokenRequest) -> RequestingClient:
        """Give the client, if it may introspect."""
        client: RequestingClient = super().authenticate_endpoint_client(request)
        if not client.record.may_introspect:
            raise RequestRefused(Problem.MAY_NOT_INTROSPECT)
        return client

    def check_params(self, request: TokenRequest, _client: RequestingClient) -> None:
        """Make sure that there is a token; any type hint is as good as none."""
        _check_token_parameter(request)

    def check_permission(
        self, _token: KnownToken, client: RequestingClient, _request: TokenRequest
    ) -> bool:
        """Say whether the client may be told about this token."""
        return client.record.may_introspect

    def query_token(self, token_string: str, _token_type_hint: str | None) -> KnownToken | None:
        """Give the token, however dead."""
        return _find_access_token(self.server, token_string)

    def introspect_token(self, token: KnownToken) -> dict[str, object]:
        """Describe an active token."""
        return token.record.describe(self.server.options.issuer)


class Revocation(RevocationEndpoint):
    """RFC 7009: a client takes back a token of its own; with a refresh token, all of its family.

    One that is revoked already is revoked again: after a 503 the client tries again, and then 200
    has to mean that every worker knows. An access token goes alone (section 2.1 leaves that open):
    who wants the rest gone names the refresh token.
    """

    CLIENT_AUTH_METHODS = AUTHENTICATION_METHODS
    server: OAuthServer

    def check_params(self, request: TokenRequest, _client: RequestingClient) -> None:
        """Make sure that there is a token; any type hint is as good as none (section 2.1)."""
        _check_token_parameter(request)

    def query_token(
        self, token_string: str, _token_type_hint: str | None
    ) -> KnownToken | KnownFamily | None:
        """Give what is to be revoked."""
        if has_valid_checksum(token_string, "rt"):
            found = find_refresh_token(self.server.connection, token_hash(token_string))
            family = find_family(self.server.connection, found.family_id) if found else None
            return KnownFamily(family) if family is not None else None
        return _find_access_token(self.server, token_string)

    def revoke_token(self, token: KnownToken | KnownFamily, _request: TokenRequest) -> None:
        """Revoke it."""
        server = self.server
        if isinstance(token, KnownToken):
            revoke_token(server.connection, token.record.hash, server.now)
            server.note_token_revocation(token.record.hash)
        else:
            revoke_family(server.connection, token.record.id, server.now)
            server.note_family_revocation(token.record)


class DeviceAuthorization(DeviceAuthorizationEndpoint):
    """RFC 8628, section 3.1."""

    CLIENT_AUTH_METHODS = AUTHENTICATION_METHODS
    server: OAuthServer

    def create_endpoint_response(self, request: TokenRequest) -> tuple[int, object, object]:
        """Begin a request that a person is to answer.

        In place of Authlib's, which asks neither for the client's grant nor for its scopes.
        """
        client: RequestingClient = self.authenticate_client(request)
        if not client.check_grant_type(DEVICE_CODE_GRANT):
            raise UnauthorizedClientError
        scope = client.get_allowed_scope(request.payload.scope)
        if scope is None:
            raise InvalidScopeError
        codes = begin_device_request(
            self.server.connection,
            client.record,
            scope=scope,
            audience=parse_resources(request.resources, self.server.options),
            now=self.server.now,
        )
        verification_uri = self.server.options.issuer + VERIFICATION_PATH
        members = {
            "device_code": codes.device_code,
            "user_code": codes.user_code,
            "verification_uri": verification_uri,
            "verification_uri_complete": f"{verification_uri}?user_code={codes.user_code}",
            "expires_in": DEVICE_CODE_LIFETIME,
            "interval": POLLING_INTERVAL,
        }
        return 200, members, ()


def _find_access_token(server: OAuthServer, token: str) -> KnownToken | None:
    if not has_valid_checksum(token):
        return None
    record = find_token(server.connection, token_hash(token))
    return KnownToken(record, server.now) if record is not None else None


def _check_token_parameter(request: TokenRequest) -> None:
    if "token" not in request.form:
        raise RequestRefused(Problem.MISSING_TOKEN)
