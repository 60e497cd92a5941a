"""What can go wrong in the client role; every message is one line for a person, with the mend."""

from gateway.settings.findings import printable


class ClientError(Exception):
    """The command cannot do what it was asked to; the message says why and what to do."""


class ServerUnreachable(ClientError):  # noqa: N818 - says what is the case
    """A server did not answer, or answered what makes no sense."""


class NotFound(ClientError):  # noqa: N818 - as above
    """A server has no such page: it is perhaps not what it was taken for."""


class Refused(ClientError):  # noqa: N818 - as above
    """An authorization server said no, in OAuth's words (RFC 6749, sections 4.1.2.1 and 5.2).

    `code` is the error's name, `description` what the server says of it, perhaps empty.
    """

    def __init__(self, code: str, description: str = "") -> None:
        self.code = code
        self.description = description
        words = _WORDS.get(code, "the authorization server refuses")
        said = f": {printable(description)}" if description else ""
        super().__init__(f"{words} ({printable(code)}{said})")


class SignInLost(ClientError):  # noqa: N818 - as above
    """The sign-in does not hold any more: the person has to sign in again."""

    def __init__(self, issuer: str, why: str) -> None:
        super().__init__(f"{why}; sign in again: gateway login {printable(issuer)}")


_WORDS = {
    "access_denied": "access was denied",
    "expired_token": "the code has expired before it was confirmed; try again",
    "invalid_client": "the authorization server does not know this client, or not by this secret",
    "invalid_grant": "the authorization server does not accept this grant (any more)",
    "invalid_scope": "the authorization server does not give this scope to this client",
    "invalid_target": "the authorization server gives no tokens for this resource",
    "server_error": "the authorization server has failed; try again",
    "temporarily_unavailable": "the authorization server is busy; try again",
    "unauthorized_client": "this client may not sign in this way",
    "unsupported_grant_type": "the authorization server cannot sign in this way",
}
