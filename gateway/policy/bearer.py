"""The bearer token of a request (RFC 6750, section 2.1)."""

import re
from collections.abc import Sequence

from gateway.policy.rejection import Reason

# b64token of RFC 6750. The length is bounded, padding too: nobody issues a token of over 16 KiB.
_BEARER = re.compile(r"[Bb][Ee][Aa][Rr][Ee][Rr] +([A-Za-z0-9._~+/-]{1,16384}={0,16}) *")
_SCHEME = re.compile(r"[Bb][Ee][Aa][Rr][Ee][Rr](?![^ \t])")


def read_bearer(authorization: Sequence[str]) -> str | Reason:
    """Give the token that the values of the Authorization header carry, or why there is none.

    An Authorization header of another scheme counts as no token at all.
    """
    if len(authorization) != 1:
        return Reason.MULTIPLE_TOKENS if authorization else Reason.MISSING_TOKEN
    match = _BEARER.fullmatch(authorization[0])
    if match is not None:
        return match[1]
    return Reason.MALFORMED_TOKEN if _SCHEME.match(authorization[0]) else Reason.MISSING_TOKEN
