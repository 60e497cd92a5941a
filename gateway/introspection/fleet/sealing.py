"""Seals: what in Redis comes from a gateway that knows the fleet's secret, and was not moved."""

import hashlib
import hmac

_LENGTH = hashlib.sha256().digest_size


class Seal:
    """Names and authenticates what is stored (HMAC-SHA256, RFC 2104), by keys from one secret."""

    def __init__(self, secret: str) -> None:
        self._naming_key = _derive(secret, b"gateway: names")
        self._sealing_key = _derive(secret, b"gateway: seals")

    def name(self, *parts: bytes) -> str:
        """Give a name that tells nothing of its parts, and that nobody else can find."""
        return hmac.digest(self._naming_key, _join(parts), "sha256").hex()

    def close(self, place: bytes, content: bytes) -> bytes:
        """Seal a content for the place that it is to stand at, and no other."""
        return self._mac(place, content) + content

    def open(self, place: bytes, sealed: bytes) -> bytes | None:
        """Give the content; None when it was not sealed, not for this place, or was changed."""
        mac, content = sealed[:_LENGTH], sealed[_LENGTH:]
        return content if hmac.compare_digest(mac, self._mac(place, content)) else None

    def _mac(self, place: bytes, content: bytes) -> bytes:
        return hmac.digest(self._sealing_key, _join((place, content)), "sha256")


def _derive(secret: str, purpose: bytes) -> bytes:
    return hmac.digest(secret.encode(), purpose, "sha256")


def _join(parts: tuple[bytes, ...]) -> bytes:
    # With their lengths: no two lists of parts make the same bytes.
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)
