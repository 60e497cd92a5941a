"""What each page says. The pages hold no logic: whoever answers a request fills one of these.

Every form is a POST to the page's `form_action` with the hidden field `csrf`, and `action` where a
form can mean more than one thing; what else it sends is told at each page. Names of clients and
people are shown as they come: escaped, wrapped, and isolated from the direction of the text around.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from gateway.authserver.options import Opening, Words

_ON_THIS_DEVICE: Final = re.compile(
    r"(localhost|127(\.[0-9]{1,3}){3}|\[::1\])(:[0-9]+)?|[^:]+:", re.ASCII
)


class SignInProblem(Enum):
    """Why the sign-in form is shown again."""

    WRONG = "wrong"  # an unknown name and a wrong password read the same
    THROTTLED = "throttled"
    BUSY = "busy"  # too many passwords are being checked at this moment
    STALE = "stale"  # the form was too old, or not from this page


class DeviceCodeProblem(Enum):
    """Why the form for the device's code is shown again."""

    UNKNOWN = "unknown"  # never given out, expired and used read the same
    THROTTLED = "throttled"
    STALE = "stale"


class ErrorKind(Enum):
    """What went wrong, as a person sees it."""

    UNKNOWN_CLIENT = "unknown_client"  # also: disabled
    WRONG_REDIRECT = "wrong_redirect"  # the client asks to be answered at an address not its own
    BAD_REQUEST = "bad_request"  # the client's request cannot be understood
    STALE = "stale"  # a form without its csrf value, or a request already answered or too old
    NOT_FOUND = "not_found"
    THROTTLED = "throttled"
    NOT_ACKNOWLEDGED = "not_acknowledged"  # revoked in the database, but a worker stays silent
    UNAVAILABLE = "unavailable"  # the database does not answer, or too much to do
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class ScopeLine:
    """A scope and its description by language; without one the scope's own name is shown."""

    name: str
    words: Words


@dataclass(frozen=True, slots=True)
class SignInPage:
    """Sends `action=sign-in`, `username`, `password`, `csrf`.

    `client_name` is whom it is for; empty for the account page. `username` is what was typed
    before. `retry_after` is in seconds, for THROTTLED; 0: not told.
    """

    form_action: str
    csrf: str
    client_name: str = ""
    username: str = ""
    problem: SignInProblem | None = None
    retry_after: int = 0


@dataclass(frozen=True, slots=True)
class ConsentPage:
    """Sends `action=allow`, `action=deny` or `action=switch-account`, and `csrf`.

    `redirect_host` is the host that the answer goes to, with its port if it has one, or the scheme
    of a program on the person's device, with its colon (RFC 8252, section 7.1); `openings` are the
    gateway's routes that the scopes open.
    """

    form_action: str
    csrf: str
    username: str
    client_name: str
    redirect_host: str
    scopes: Sequence[ScopeLine]
    openings: Sequence[Opening] = ()

    @property
    def is_redirect_local(self) -> bool:
        """Say whether the answer stays on the person's own device (RFC 8252, section 7)."""
        return _ON_THIS_DEVICE.fullmatch(self.redirect_host) is not None


@dataclass(frozen=True, slots=True)
class DeviceCodePage:
    """Sends `user_code`, `csrf`. `user_code` is what was typed before."""

    form_action: str
    csrf: str
    username: str
    user_code: str = ""
    problem: DeviceCodeProblem | None = None
    retry_after: int = 0


@dataclass(frozen=True, slots=True)
class DeviceConfirmPage:
    """Sends `user_code` (hidden), `action=allow`, `deny` or `switch-account`, and `csrf`.

    `user_code` is the code as the device shows it, `XXXX-XXXX`: the person compares (RFC 8628,
    section 5.4).
    """

    form_action: str
    csrf: str
    username: str
    user_code: str
    client_name: str
    scopes: Sequence[ScopeLine]
    openings: Sequence[Opening] = ()


@dataclass(frozen=True, slots=True)
class DeviceDonePage:
    """The device's request is decided; there is nothing left to send."""

    is_allowed: bool
    client_name: str


@dataclass(frozen=True, slots=True)
class ConnectedApp:
    """One client with access to the account; `since` is in Unix seconds."""

    client_id: str
    client_name: str
    scopes: Sequence[ScopeLine]
    since: int


@dataclass(frozen=True, slots=True)
class AccountPage:
    """Sends `action=revoke`, `client_id`, `csrf`; and `csrf` alone to `sign_out_action`.

    `revoked` is the name of the client whose access was just taken back, empty for none.
    """

    form_action: str
    sign_out_action: str
    csrf: str
    username: str
    apps: Sequence[ConnectedApp] = ()
    revoked: str = ""


@dataclass(frozen=True, slots=True)
class SignedOutPage:
    """Nothing to send; links to `sign_in_url`."""

    sign_in_url: str = "/account"


@dataclass(frozen=True, slots=True)
class ErrorPage:
    """What went wrong.

    `error` is the OAuth error code and `description` the server's own constant words for
    developers, in English: never anything of the request. `client_name` is a registered client's,
    when it is known; `retry_url`, a path of this server, where it makes sense to try again.
    """

    kind: ErrorKind
    error: str = ""
    description: str = ""
    client_name: str = ""
    retry_url: str = ""


Page = (
    SignInPage
    | ConsentPage
    | DeviceCodePage
    | DeviceConfirmPage
    | DeviceDonePage
    | AccountPage
    | SignedOutPage
    | ErrorPage
)
