"""Proof Key for Code Exchange (RFC 7636), by S256: the only method that keeps the verifier home."""

import base64
import hashlib
import secrets
from typing import Final

METHOD: Final = "S256"


def make_verifier() -> str:
    """Give a new verifier: 256 random bits in 43 characters (section 4.1)."""
    return secrets.token_urlsafe(32)


def challenge_of(verifier: str) -> str:
    """Give the challenge that a verifier answers (section 4.2)."""
    digest = hashlib.sha256(verifier.encode("ascii")).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")
