"""What a client may be registered with: pure rules, which say what is wrong and the mend.

What this file guards: a redirect URI leads to nobody but the client. Codes travel to it, so it is
one exact address, over TLS or inside the person's own machine (RFC 9700, section 4.1; RFC 8252,
sections 7 and 8).
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import parse_qsl

from gateway.authserver.administration.opened import AdministrationError
from gateway.authserver.metadata import DEVICE_CODE_GRANT, GRANT_TYPES
from gateway.policy.addresses import parse_ip
from gateway.settings.addresses import parse_origin, split_url
from gateway.settings.findings import Problem, quoted

# Letters that mean the same in a form, in Basic credentials, in a header and in a shell, and no
# dash in front, where a command would read an option.
_CLIENT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_MAX_NAME = 100  # characters
_MAX_URI = 2000  # characters
_MAX_LIFETIME = 366 * 24 * 60 * 60  # seconds
# RFC 3986, section 2, in any order. What stands outside of it, a backslash above all, browsers
# mend in ways of their own, and the address becomes another one.
_URI = re.compile(r"(?:[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})*")
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*):(.*)")
# What answers bring (RFC 6749, sections 4.1.2 and 4.1.2.1; RFC 9207).
_RESERVED = frozenset({"code", "state", "iss", "error", "error_description", "error_uri"})
_SHORT_NAMES = {"device_code": DEVICE_CODE_GRANT}
# Those that a person stands behind: they come with refresh tokens.
_PERSONS_GRANTS = frozenset({"authorization_code", DEVICE_CODE_GRANT})


@dataclass(frozen=True, slots=True)
class Registration:
    """What an operator wants a client to be. Lifetimes are in seconds; None: the server's own.

    Without `grant_types`, redirect URIs mean `authorization_code`. `device_code` is short for its
    URN (RFC 8628, section 3.4). Grants that a person stands behind include `refresh_token`, unless
    `has_refresh_token` is False.
    """

    client_id: str
    grant_types: Collection[str] = ()
    scopes: Collection[str] = ()
    name: str = ""
    redirect_uris: Collection[str] = ()
    origins: Collection[str] = ()
    is_public: bool = False
    may_introspect: bool = False
    access_token_lifetime: int | None = None
    refresh_token_lifetime: int | None = None
    has_refresh_token: bool = True

    def complete_grant_types(self) -> frozenset[str]:
        """Give the grant types with what is implied. Raises AdministrationError."""
        named = self.grant_types or (("authorization_code",) if self.redirect_uris else ())
        grants = {_SHORT_NAMES.get(grant, grant) for grant in named}
        unknown = sorted(grants - set(GRANT_TYPES))
        if unknown:
            known = (*(set(GRANT_TYPES) - {DEVICE_CODE_GRANT}), *_SHORT_NAMES)
            raise AdministrationError(
                f"no such grant: {', '.join(unknown)}; there is {', '.join(sorted(known))}"
            )
        if not self.has_refresh_token:
            return frozenset(grants - {"refresh_token"})
        return frozenset(grants | ({"refresh_token"} if grants & _PERSONS_GRANTS else set()))

    def check(self) -> None:
        """Make sure that all of it is possible, and fits together. Raises AdministrationError."""
        if not _CLIENT_ID.fullmatch(self.client_id):
            raise AdministrationError(
                "a client id is 1 to 100 letters, digits, '.', '_' and '-', a letter or digit first"
            )
        _check_name(self.name)
        grants = self.complete_grant_types()
        self._check_grants(grants)
        if self.redirect_uris and "authorization_code" not in grants:
            raise AdministrationError(
                "a redirect URI is of no use without the grant authorization_code"
            )
        for uri in self.redirect_uris:
            check_redirect_uri(uri)
        for origin in self.origins:
            check_origin(origin)
        _check_lifetime(self.access_token_lifetime, at_least=1)
        _check_lifetime(self.refresh_token_lifetime, at_least=60)
        if self.refresh_token_lifetime is not None and "refresh_token" not in grants:
            raise AdministrationError(
                "this client gets no refresh tokens that could have lifetimes"
            )

    def _check_grants(self, grants: frozenset[str]) -> None:
        if not grants and not self.may_introspect:
            raise AdministrationError("a client needs a grant, or the right to introspect")
        if not grants and (self.scopes or self.origins):
            what = "scopes are" if self.scopes else "an origin is"
            raise AdministrationError(f"{what} of no use to a client without a grant")
        if "refresh_token" in grants and not grants & _PERSONS_GRANTS:
            raise AdministrationError(
                "refresh tokens come with authorization_code or device_code, not alone"
            )
        if "authorization_code" in grants and not self.redirect_uris:
            raise AdministrationError(
                "authorization_code needs a redirect URI: where people are sent back to"
            )
        if self.is_public and "client_credentials" in grants:
            raise AdministrationError(
                "a public client has no secret to prove itself by, so it cannot have "
                "client_credentials"
            )
        if self.is_public and self.may_introspect:
            raise AdministrationError(
                "a public client has no secret to prove itself by, so it may not introspect"
            )


def check_redirect_uri(uri: str) -> None:
    """Make sure that codes may be sent to this address. Raises AdministrationError."""
    shown = f"redirect URI {quoted(uri)}"
    if len(uri) > _MAX_URI:
        raise AdministrationError(f"{shown} is longer than {_MAX_URI} characters")
    if "*" in uri:
        raise AdministrationError(
            f"{shown} has a wildcard; register each address that people are sent to, exactly"
        )
    if not _URI.fullmatch(uri):
        raise AdministrationError(
            f"{shown} has a character that no URI has, such as a space, a backslash or a letter "
            "beyond ASCII; percent-encode it"
        )
    if "#" in uri:
        raise AdministrationError(
            f"{shown} has a fragment (RFC 6749, section 3.1.2); remove the # and all behind it"
        )
    _check_query(uri, shown)
    match = _SCHEME.fullmatch(uri)
    if match is None:
        raise AdministrationError(
            f"{shown} is not absolute; write it with its scheme in lower case, "
            "as in https://app.example/callback"
        )
    scheme, rest = match.groups()
    if scheme in ("https", "http"):
        _check_web_address(uri, shown)
    elif "." not in scheme:
        raise AdministrationError(
            f"{shown} has a scheme that leads to nobody's app; use https, or the app's own scheme "
            "with a dot in it, as in com.example.app:/callback (RFC 8252, section 7.1)"
        )
    elif "@" in rest.removeprefix("//").partition("/")[0].partition("?")[0]:
        raise AdministrationError(f"{shown} has user information; remove everything up to the @")
    elif not rest.strip("/"):
        raise AdministrationError(f"{shown} is a scheme alone; add a path, as in /callback")


def _check_query(uri: str, shown: str) -> None:
    names = {name for name, _ in parse_qsl(uri.partition("?")[2], keep_blank_values=True)}
    if reserved := sorted(_RESERVED & names):
        raise AdministrationError(
            f"{shown} has the parameter {reserved[0]}, which every answer brings; remove it"
        )


def _check_web_address(uri: str, shown: str) -> None:
    try:
        origin, _ = split_url(uri, ("https", "http"))
    except Problem as problem:
        raise AdministrationError(f"redirect URI: {problem}") from None
    address = parse_ip(origin.host)
    is_this_machine = origin.host == "localhost" or (address is not None and address.is_loopback)
    if origin.scheme == "http" and not is_this_machine:
        raise AdministrationError(
            f"{shown} is plain http, where everybody on the way reads the code; use https "
            "(http is for 127.0.0.1, [::1] and localhost)"
        )


def check_origin(text: str) -> None:
    """Make sure that this is an origin as browsers send it. Raises AdministrationError."""
    try:
        origin = parse_origin(text)
    except Problem as problem:
        raise AdministrationError(f"origin: {problem}") from None
    if str(origin) != text:
        raise AdministrationError(
            f"origin {quoted(text)} is not what a browser sends; write {origin}"
        )
    if not origin.is_secure:
        raise AdministrationError(
            f"origin {quoted(text)} is plain http, where everybody on the way reads tokens; "
            "use https"
        )


def _check_name(name: str) -> None:
    # Not printable, among others: what turns the direction of the text around it.
    if name != name.strip() or len(name) > _MAX_NAME or not name.isprintable():
        raise AdministrationError(
            f"a name is one line of at most {_MAX_NAME} characters, without spaces around it"
        )


def _check_lifetime(seconds: int | None, *, at_least: int) -> None:
    if seconds is not None and not at_least <= seconds <= _MAX_LIFETIME:
        shortest = "a second" if at_least == 1 else "a minute"
        raise AdministrationError(f"a lifetime is at least {shortest} and at most 366 days")
