"""Private keys that the gateway signs with, and which algorithm goes with each.

Rule: nothing of a key's file is ever quoted.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gateway.settings.certificates import UnusablePair, read_key
from gateway.settings.findings import Problem, quoted

_LEAST_BITS = 2048


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key in PEM form, and how it signs (RFC 7518, section 3.1)."""

    pem: bytes
    key_type: Literal["RSA", "EC"]
    algorithm: str


def load_signing_key(path: Path) -> SigningKey:
    """Read a key that can sign. Raises UnusablePair."""
    # Imported here: they take 12 MiB, and few gateways sign.
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    pem = read_key(path)
    shown = quoted(str(path))
    try:
        key = load_pem_private_key(pem, None)
    except TypeError:
        mend = "store it without passphrase, readable by the gateway's user alone"
        problem = Problem("encrypted-key", f"the key in {shown} is encrypted", mend)
        raise UnusablePair("key", problem) from None
    except ValueError:
        problem = Problem("invalid-key", f"the key in {shown} is broken", "make a new one")
        raise UnusablePair("key", problem) from None
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= _LEAST_BITS:
        return SigningKey(pem, "RSA", "RS256")
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name == "secp256r1":
        return SigningKey(pem, "EC", "ES256")
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name == "secp384r1":
        return SigningKey(pem, "EC", "ES384")
    what = f"the gateway cannot sign with the key in {shown}"
    mend = "make one for ES256: openssl ecparam -name prime256v1 -genkey -noout"
    raise UnusablePair("key", Problem("invalid-key", what, mend))
