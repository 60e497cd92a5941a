"""Public keys that signatures of tokens are checked with, out of a JSON Web Key Set (RFC 7517).

Rules: only asymmetric keys, so that nothing public can ever be taken for a shared secret; each key
is for the algorithms of its own type and curve alone. A key that cannot be used is left out, and
takes no other one along.
"""

import base64
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from gateway.policy.strict_json import read_object
from gateway.settings.findings import Problem, quoted

if TYPE_CHECKING:
    from joserfc.jwk import Key

SIGNATURE_ALGORITHMS: Final = (
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
)
_RSA: Final = tuple(name for name in SIGNATURE_ALGORITHMS if name[:2] in ("RS", "PS"))
_OF_CURVE: Final = {"P-256": ("ES256",), "P-384": ("ES384",), "P-521": ("ES512",)}
_PUBLIC_MEMBERS: Final = {"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x")}
_LEAST_BITS: Final = 2048
_MOST_BITS: Final = 8192  # a check takes the square of it
_LARGEST_EXPONENT: Final = 2**32
_MOST_KEYS: Final = 100
_LARGEST_FILE: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A public key, its `kid` where it has one, and the algorithms that it is for."""

    kid: str | None
    algorithms: frozenset[str]
    key: "Key"


@dataclass(frozen=True, slots=True)
class KeySet:
    """The keys that can be used; `left_out` says of each other one why it cannot."""

    keys: tuple[VerificationKey, ...]
    left_out: tuple[str, ...]


class NoKeySet(ValueError):  # noqa: N818 - what the document is, not a fault here
    """The document is no JSON Web Key Set."""


def read_key_set(data: bytes) -> KeySet:
    """Read a JSON Web Key Set. Raises NoKeySet."""
    try:
        members = read_object(data).get("keys")
    except ValueError:
        raise NoKeySet("it is no JSON object") from None
    if not isinstance(members, list):
        raise NoKeySet("it has no list of keys")
    if len(members) > _MOST_KEYS:
        raise NoKeySet(f"it has more than {_MOST_KEYS} keys")
    keys: list[VerificationKey] = []
    left_out: list[str] = []
    for number, member in enumerate(members, 1):
        found = _read_key(member)
        if isinstance(found, str):
            left_out.append(f"key {number} {found}")
        else:
            keys.append(found)
    return KeySet(tuple(keys), tuple(left_out))


def load_key_set(path: Path, algorithms: Collection[str]) -> KeySet:
    """Read a file with at least one key for the algorithms. Raises Problem."""
    shown = quoted(str(path))
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST_FILE + 1)
    except OSError as error:
        what = f"the key set {shown} cannot be read ({(error.strerror or 'error').lower()})"
        raise Problem(
            "unreadable-key-set", what, "write the path of a file that is there"
        ) from None
    mend = "write it as an issuer's jwks_uri gives it"
    if len(data) > _LARGEST_FILE:
        what = f"{shown} is larger than {_LARGEST_FILE} bytes"
        raise Problem("invalid-key-set", what, mend)
    try:
        found = read_key_set(data)
    except NoKeySet as error:
        what = f"{shown} is no JSON Web Key Set, {error}"
        raise Problem("invalid-key-set", what, mend) from None
    if not any(key.algorithms & set(algorithms) for key in found.keys):
        why = f": {found.left_out[0]}" if found.left_out else ""
        what = f"no key in {shown} can be used{why}"
        raise Problem("invalid-key-set", what, "add a public key for one of the algorithms")
    return found


def _read_key(member: object) -> VerificationKey | str:
    """Give one key, or what keeps it from being used. Nothing of it is ever quoted."""
    if not isinstance(member, dict):
        return "is no object"
    kid, use, operations = member.get("kid"), member.get("use"), member.get("key_ops")
    if not (kid is None or isinstance(kid, str)):
        return "has a kid that is no text"
    if use not in (None, "sig"):
        return "is not for signatures"
    if operations is not None and not (isinstance(operations, list) and "verify" in operations):
        return "is not for checking signatures"
    key_type = member.get("kty")
    names = _PUBLIC_MEMBERS.get(key_type) if isinstance(key_type, str) else None
    if names is None:
        return "is of a type that is not known here"
    public: dict[str, str | list[str]] = {"kty": cast("str", key_type)}
    for name in names:
        value = member.get(name)
        if not isinstance(value, str):
            return f"has no {name}"
        public[name] = value
    return _import_key(public, kid, member.get("alg"))


def _import_key(
    public: dict[str, str | list[str]], kid: str | None, stated: object
) -> VerificationKey | str:
    # Imported here: a gateway that checks no signatures does not load them.
    from joserfc import jwk

    if public["kty"] == "RSA":
        weakness = _find_weakness(str(public["n"]), str(public["e"]))
        if weakness is not None:
            return weakness
        algorithms: tuple[str, ...] = _RSA
    elif public["kty"] == "EC":
        algorithms = _OF_CURVE.get(str(public["crv"]), ())
    else:
        algorithms = ("EdDSA",) if public["crv"] == "Ed25519" else ()
    if stated is not None:
        algorithms = tuple(name for name in algorithms if name == stated)
    if not algorithms:
        return "is for no algorithm that is known here"
    try:
        key = jwk.import_key(dict(public))
        _ = key.public_key  # the numbers are looked at here
    except Exception:  # noqa: BLE001 - whatever a library makes of a broken key
        return "is broken"
    return VerificationKey(kid, frozenset(algorithms), key)


def _find_weakness(modulus: str, exponent: str) -> str | None:
    """Say what is wrong with the size of an RSA key's numbers; None when nothing is."""
    try:
        n, e = (
            int.from_bytes(
                base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True), "big"
            )
            for text in (modulus, exponent)
        )
    except ValueError:
        return "is broken"
    size = n.bit_length()
    if not _LEAST_BITS <= size <= _MOST_BITS:
        return f"has {size} bits; {_LEAST_BITS} to {_MOST_BITS} are used"
    return None if e <= _LARGEST_EXPONENT else "has too large an exponent"
