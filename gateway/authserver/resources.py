"""Resource indicators (RFC 8707): for which services a client wants its token."""

import re
from collections.abc import Collection

from gateway.authserver.errors import Problem, RequestRefused
from gateway.authserver.options import AuthorizationServerOptions

# An absolute URI without a fragment, in the characters of RFC 3986. No space is among them, so
# several can rest in one text.
_URI = re.compile(
    r"[A-Za-z][A-Za-z0-9+.-]*:(?:[A-Za-z0-9\-._~:/?\[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})+"
)
_ORIGIN = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?]*")
_MAX_LENGTH = 2000  # characters of all together: they are in each answer about the token


def parse_resources(values: Collection[str], options: AuthorizationServerOptions) -> str:
    """Give the audience of the resources that were asked for, as it rests; none gives "".

    Raises:
        RequestRefused: one of them is no absolute URI, or nothing that this server issues tokens
            for.
    """
    audience = " ".join(sorted(set(values)))
    if len(audience) > _MAX_LENGTH or not all(_is_known(value, options) for value in values):
        raise RequestRefused(Problem.INVALID_TARGET)
    return audience


def _is_known(value: str, options: AuthorizationServerOptions) -> bool:
    if not _URI.fullmatch(value):
        return False
    if value in options.audiences:
        return True
    # Compared as a whole and letter by letter: with user information in front of the host it is
    # no origin of ours, and a host in capitals is another audience to whoever reads the token.
    origin = _ORIGIN.match(value)
    return origin is not None and origin[0] in options.resource_origins
