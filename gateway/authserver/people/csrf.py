"""CSRF tokens: a form is answered only when it came from our own page, in this browser.

What this file guards: a token is bound to the browser (its key is the secret value of the cookie,
which changes at sign-in), to what the form is for, and to exactly what its page was about. So
nobody can be made to allow what they were not asked.
"""

import base64
import hashlib
import hmac
from enum import Enum


class Purpose(Enum):
    """What a form is for."""

    SIGN_IN = "sign-in"
    CONSENT = "consent"
    DEVICE_CODE = "device-code"
    DEVICE_CONSENT = "device-consent"
    ACCOUNT = "account"


def make_csrf_token(cookie_value: str, purpose: Purpose, subject: str) -> str:
    """Make the token of a page in that browser; `subject` is what the page is about."""
    message = b"\0".join(
        (purpose.value.encode("ascii"), hashlib.sha256(subject.encode("utf-8")).digest())
    )
    digest = hmac.digest(cookie_value.encode("utf-8"), message, "sha256")
    return base64.urlsafe_b64encode(digest).decode("ascii").rstrip("=")


def is_csrf_token(token: str | None, cookie_value: str, purpose: Purpose, subject: str) -> bool:
    """Say whether it is the token of such a page."""
    expected = make_csrf_token(cookie_value, purpose, subject).encode("ascii")
    # Bytes: compare_digest raises on text beyond ASCII.
    return hmac.compare_digest((token or "").encode("utf-8", "replace"), expected)
