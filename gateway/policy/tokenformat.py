"""The form of the embedded server's secrets: `gw_`, the kind, 256 random bits, a checksum.

The prefix lets scanners of source code and logs recognise a leaked token. The checksum is no
protection, it is thrift: a random string is refused without a look into the database.
"""

import hashlib
import secrets
import zlib
from typing import Literal

Kind = Literal["at", "rt", "ac", "dc", "cs"]
"""Access token, refresh token, authorization code, device code, client secret."""

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_RANDOM_LENGTH = 43  # the least number of base62 digits that hold 256 bits
_CHECKSUM_LENGTH = 6  # likewise for 32 bits
_PREFIX_LENGTH = len("gw_at_")
_LENGTH = _PREFIX_LENGTH + _RANDOM_LENGTH + _CHECKSUM_LENGTH


def new_token(kind: Kind) -> str:
    """Make a new secret of that kind, of 256 random bits."""
    body = f"gw_{kind}_{_base62(secrets.randbits(256), _RANDOM_LENGTH)}"
    return body + _checksum(body)


def has_valid_checksum(token: str, kind: Kind = "at") -> bool:
    """Say whether the token has the form of ours; it may still be unknown, expired or revoked."""
    if len(token) != _LENGTH or not token.startswith(f"gw_{kind}_") or not token.isascii():
        return False
    body, checksum = token[:-_CHECKSUM_LENGTH], token[-_CHECKSUM_LENGTH:]
    return _checksum(body) == checksum


def has_form_of_ours(token: str) -> bool:
    """Say whether a token begins as an access token of the embedded server does."""
    return token.startswith("gw_at_")


def token_hash(token: str) -> bytes:
    """Give the SHA-256 digest of a token: how it rests, and how revocations and caches name it.

    A plain hash is enough for a secret of 256 bits: there is nothing to guess.
    """
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode("ascii")), _CHECKSUM_LENGTH)


def _base62(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))
