"""Passwords: Argon2id, in a pool of its own.

What this file guards: a try costs one verification whoever it is for, so that its time does not
tell who exists; and passwords, which cost memory and a core by design, take neither from anybody
else: at most two are hashed at once, few wait, and nobody else's work is in their pool.
"""

import asyncio
import base64
import logging
import secrets
import threading
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

_SHORTEST = 8  # characters
_LONGEST = 1024
_AT_ONCE = 2
_MAX_WAITING = 64

_logger = logging.getLogger(__name__)


class PasswordsBusy(Exception):  # noqa: N818 - a state, not a fault
    """Too many passwords wait to be checked."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the password is the right one; then perhaps its hash under newer parameters."""

    is_right: bool
    new_hash: str | None = field(default=None, repr=False)


def hash_password(password: str, hasher: PasswordHasher | None = None) -> str:
    """Hash a new password, which takes tens of milliseconds and 64 MiB.

    Raises:
        ValueError: it cannot be one; the text says why.
    """
    return (hasher or PasswordHasher()).hash(_check_new(password))


class Passwords:
    """Verifies passwords for one server.

    Args:
        hasher: with the parameters that hold today; the library's own by default (RFC 9106).
    """

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._nobody = _make_dummy(self._hasher)
        self._executor = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="passwords")
        self._places = threading.Semaphore(_AT_ONCE + _MAX_WAITING)

    async def verify(self, password_hash: str | None, password: str) -> Verdict:
        """Say whether it is the password of that hash; None: of nobody, at the same cost.

        Raises:
            PasswordsBusy: too many wait already.
        """
        if not self._places.acquire(blocking=False):
            raise PasswordsBusy
        # The thread gives the place back, not whoever asked: they may be gone while it still works.
        future = self._executor.submit(self._verify, password_hash, password)
        future.add_done_callback(lambda _: self._places.release())
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Wait for those under way; those that wait are not checked any more."""
        self._executor.shutdown(cancel_futures=True)

    def _verify(self, password_hash: str | None, password: str) -> Verdict:
        known = password_hash if password_hash is not None else self._nobody
        text = unicodedata.normalize("NFC", password)
        if len(text) > _LONGEST:
            # Nobody's password; what is hashed stays short, and the cost the same.
            known, text = self._nobody, ""
        try:
            self._hasher.verify(known, text)
        except VerifyMismatchError:
            return Verdict(is_right=False)
        except (InvalidHashError, VerificationError, UnicodeError) as error:
            _logger.error("a password could not be verified: %s", type(error).__name__)
            return Verdict(is_right=False)
        if known is self._nobody:
            return Verdict(is_right=False)
        if self._hasher.check_needs_rehash(known):
            return Verdict(is_right=True, new_hash=self._hasher.hash(text))
        return Verdict(is_right=True)


def _check_new(password: str) -> str:
    """Give the password as it is hashed: one form for what looks the same (NFC)."""
    text = unicodedata.normalize("NFC", password)
    if not _SHORTEST <= len(text) <= _LONGEST:
        raise ValueError(f"a password has {_SHORTEST} to {_LONGEST} characters")
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in text):
        # No form could send it.
        raise ValueError("a password has no control characters")
    return text


def _make_dummy(hasher: PasswordHasher) -> str:
    """Give a hash with the hasher's parameters that no password is known to have.

    A random digest does: verifying computes the whole hash before it compares.
    """
    salt, digest = (
        base64.b64encode(secrets.token_bytes(length)).decode("ascii").rstrip("=")
        for length in (hasher.salt_len, hasher.hash_len)
    )
    return (
        f"$argon2id$v=19$m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
        f"${salt}${digest}"
    )
