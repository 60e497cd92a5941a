"""Which of several authorization servers a token is shown to: by its form, and by its issuer.

Rule: only servers of the configuration are ever chosen, and a token that tells whom it is from is
shown to nobody else. What it says is believed for nothing but that.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from gateway.policy.rejection import Reason
from gateway.policy.strict_json import read_object
from gateway.policy.tokenformat import has_form_of_ours

_LONGEST: Final = 16 * 1024
_JWS: Final = re.compile(r"[A-Za-z0-9_-]+\.([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class ServerChoice:
    """The servers of one route, by name.

    `embedded` issues tokens of a form of its own; `by_issuer` are those whose JWTs name them;
    `opaque` is the one that is asked about all other tokens. None where there is none.
    """

    embedded: str | None
    by_issuer: Mapping[str, str]
    opaque: str | None

    def choose(self, token: str) -> str | Reason:
        """Give the server that a token is shown to, or the reason why it is shown to none."""
        if self.embedded is not None and has_form_of_ours(token):
            return self.embedded
        issuer = stated_issuer(token)
        if issuer is not None:
            return self.by_issuer.get(issuer, Reason.WRONG_ISSUER)
        return self.opaque or Reason.INACTIVE_TOKEN


def stated_issuer(token: str) -> str | None:
    """Give the issuer that a JWT names, whether or not anybody vouches for it; None for others."""
    match = _JWS.fullmatch(token) if len(token) <= _LONGEST else None
    if match is None:
        return None
    payload = match[1]
    try:
        claims = read_object(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (ValueError, binascii.Error):
        return None
    issuer = claims.get("iss")
    return issuer if isinstance(issuer, str) else None
