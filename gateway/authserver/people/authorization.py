"""Authorization requests (RFC 6749, section 4.1.1): what a client asks, and whether it may.

Pure: parameters and a client in, a request or a refusal out. PKCE is RFC 7636, `resource` RFC 8707.

What this file guards: a browser is sent only to an address that the client has registered, on no
error to any other; and every answer that it is sent with names the issuer (RFC 9207).

Written plainly, without Authlib's AuthorizationCodeGrant: there PKCE is optional and `plain` its
default, for confidential clients at least; errors of the consent stage leave without `iss`;
duplicates are looked for in one place only; and a quotation mark in a parameter that it repeats in
an error's description raises ValueError.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from gateway.authserver.errors import RequestRefused
from gateway.authserver.form import Form
from gateway.authserver.options import AuthorizationServerOptions, Opening
from gateway.authserver.records.clients import Client
from gateway.authserver.records.grants import Grant
from gateway.authserver.resources import parse_resources
from gateway.policy.scopes import has_one, missing_scopes

_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")  # what a SHA-256 digest comes to, RFC 7636, 4.2
# RFC 8252, section 7.3: programs listen where the system lets them. An address, for a name could
# be made to mean another machine (section 8.3).
_LOOPBACK = re.compile(
    r"http://(?P<host>127\.0\.0\.1|\[::1\])(?::(?P<port>[1-9][0-9]{0,4}))?(?P<rest>[/?][^#]*)?"
)

_CSP_HOST = re.compile(r"[A-Za-z0-9.-]+(?::[0-9]+)?")


class UnknownClient(Exception):  # noqa: N818 - what is at fault is the request
    """No such client, or it is disabled: there is nobody to send the browser back to."""


class WrongRedirect(Exception):  # noqa: N818
    """The address to answer at is not one of the client's. Nothing is ever sent there."""

    def __init__(self, client_name: str) -> None:
        self.client_name = client_name
        super().__init__("redirect_uri is not registered")


@dataclass(frozen=True, slots=True)
class Answer:
    """Where the browser is sent with what; `state` as the request had it, None: it had none."""

    redirect_uri: str
    issuer: str
    state: str | None
    parameters: Mapping[str, str]

    def location(self) -> str:
        """Give the URL: the registered one's own query stays (RFC 6749, section 4.1.2)."""
        parameters = dict(self.parameters)
        if self.state is not None:
            parameters["state"] = self.state
        parameters["iss"] = self.issuer
        joint = "" if self.redirect_uri.endswith(("?", "&")) else "&"
        if "?" not in self.redirect_uri:
            joint = "?"
        return f"{self.redirect_uri}{joint}{urlencode(parameters)}"

    def __repr__(self) -> str:
        return "Answer()"  # it may hold a code


class RequestRejected(Exception):  # noqa: N818
    """The request is refused, and its client is told (RFC 6749, section 4.1.2.1)."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        super().__init__(answer.parameters["error"])


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """A request that may be asked of a person.

    `redirect_uri` is where the answer goes; `named_redirect_uri` what the request said, None:
    nothing. `scope` and `audience` are as they rest.
    """

    client: Client
    issuer: str
    redirect_uri: str
    named_redirect_uri: str | None
    state: str | None
    scope: str
    audience: str
    code_challenge: str

    def answer(self, **parameters: str) -> Answer:
        """Give the answer with those parameters."""
        return Answer(self.redirect_uri, self.issuer, self.state, parameters)

    def is_settled_by(self, grant: Grant | None) -> bool:
        """Say whether the person need not be asked, because of what they have allowed before.

        Only where it is certain that the client is who it says (RFC 8252, section 8.6): it has a
        secret, or its answer goes to an https address of its own. Any program of the machine can
        listen on a loopback port, or claim a scheme, and would get a code without a word.
        """
        if grant is None or not set(self.scope.split()) <= set(grant.scope.split()):
            return False
        return not self.client.is_public or self.redirect_uri.startswith("https://")


def read_authorization_request(
    form: Form, client: Client | None, options: AuthorizationServerOptions
) -> AuthorizationRequest:
    """Validate what a client asks for; `client` is the one that `client_id` names, if any.

    Raises:
        UnknownClient, WrongRedirect: it is for the person to read; the client is not told.
        RequestRejected: the client is told.
    """
    if client is None or client.disabled_at is not None:
        raise UnknownClient
    named = form.get("redirect_uri")
    redirect_uri = _find_redirect(named, client)
    state = form.get("state")

    def reject(error: str, description: str) -> RequestRejected:
        parameters = {"error": error, "error_description": description}
        return RequestRejected(Answer(redirect_uri, options.issuer, state, parameters))

    fault = _find_fault(form, client)
    if fault is not None:
        raise reject(*fault)
    scope = _find_scope(form.get("scope"), client, options)
    if scope is None:
        raise reject("invalid_scope", "The scope is malformed, or not for this client.")
    try:
        audience = parse_resources(form.resources, options)
    except RequestRefused as refused:
        raise reject(refused.problem.error, refused.problem.description) from None
    return AuthorizationRequest(
        client=client,
        issuer=options.issuer,
        redirect_uri=redirect_uri,
        named_redirect_uri=named,
        state=state,
        scope=scope,
        audience=audience,
        code_challenge=form["code_challenge"],
    )


def is_registered(redirect_uri: str, client: Client) -> bool:
    """Say whether the address is one of the client's: the same string (RFC 9700, section 2.1).

    Only the port of a loopback address may differ (RFC 8252, section 7.3).
    """
    if "#" in redirect_uri:  # RFC 6749, section 3.1.2, whatever was registered
        return False
    if redirect_uri in client.redirect_uris:
        return True
    asked = _LOOPBACK.fullmatch(redirect_uri)
    if asked is None or int(asked["port"] or 80) > 65535:
        return False
    return any(
        known is not None and (known["host"], known["rest"]) == (asked["host"], asked["rest"])
        for known in map(_LOOPBACK.fullmatch, client.redirect_uris)
    )


def form_targets(redirect_uri: str) -> str:
    """Give the CSP source that lets a form's answer go on to that address.

    Chromium holds `form-action` against every redirect that follows a form. Behind an https
    address there may be another one, so all of https is let through; it is no secret-keeper here.
    """
    parts = urlsplit(redirect_uri)
    if parts.scheme == "https":
        return "https:"
    if parts.scheme == "http":
        # CSP's grammar has no IPv6 addresses, and not a word of ours may end its list.
        return f"http://{parts.netloc}" if _CSP_HOST.fullmatch(parts.netloc) else "http:"
    return f"{parts.scheme}:"


def describe_redirect(redirect_uri: str) -> str:
    """Give what a person reads of the address: host and port, or the scheme of an application."""
    parts = urlsplit(redirect_uri)
    return parts.netloc if parts.scheme in ("http", "https") else f"{parts.scheme}:"


def find_openings(scope: str, options: AuthorizationServerOptions) -> list[Opening]:
    """Give the gateway's routes that these scopes open; not those that any token opens."""
    scopes = frozenset(scope.split())
    return [opening for opening in options.openings if _is_opened(opening, scopes)]


def _is_opened(opening: Opening, scopes: frozenset[str]) -> bool:
    any_scope, has_wildcards = opening.any_scope, opening.has_wildcards
    if not opening.scopes and not any_scope:
        return False
    return not missing_scopes(opening.scopes, scopes, has_wildcards=has_wildcards) and (
        not any_scope or has_one(any_scope, scopes, has_wildcards=has_wildcards)
    )


def _find_redirect(named: str | None, client: Client) -> str:
    if named is not None:
        if not is_registered(named, client):
            raise WrongRedirect(client.display_name)
        return named
    if len(client.redirect_uris) != 1:  # RFC 6749, section 3.1.2.3
        raise WrongRedirect(client.display_name)
    return next(iter(client.redirect_uris))


def _find_fault(form: Form, client: Client) -> tuple[str, str] | None:
    """Give the error code and the words of what is wrong, in the order that tells most."""
    if "request" in form:
        return "request_not_supported", "Send the parameters themselves, not a request object."
    if "request_uri" in form:
        return "request_uri_not_supported", "Send the parameters themselves, not a request_uri."
    if "response_type" not in form:
        return "invalid_request", "The parameter response_type is missing."
    if form["response_type"] != "code":
        return "unsupported_response_type", "The only response_type here is code."
    if form.get("response_mode", "query") != "query":
        return "invalid_request", "The only response_mode here is query."
    if "authorization_code" not in client.grant_types:
        return "unauthorized_client", "The client may not use the authorization code grant."
    if "code_challenge" not in form:
        return "invalid_request", "The parameter code_challenge is missing: PKCE is required."
    if form.get("code_challenge_method") != "S256":
        return "invalid_request", "The only code_challenge_method here is S256."
    if _CHALLENGE.fullmatch(form["code_challenge"]) is None:
        return "invalid_request", "The code_challenge is not one that S256 gives."
    return None


def _find_scope(
    requested: str | None, client: Client, options: AuthorizationServerOptions
) -> str | None:
    """Give the scope as it rests; None when it may not be asked for."""
    # A scope that was taken out of the configuration no longer exists, whoever has it registered.
    allowed = client.scopes & options.scopes.keys()
    if requested is None:
        if client.scopes and not allowed:
            return None
        return " ".join(sorted(allowed))
    scopes = set(requested.split(" "))  # RFC 6749, section 3.3: the space, alone
    return " ".join(sorted(scopes)) if scopes <= allowed else None
