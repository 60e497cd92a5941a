"""JWT access tokens, checked here (RFC 9068; RFC 8725 for what goes wrong with JWTs).

Rules: the configuration says who the issuer is, which algorithms there are and where keys are; a
token only names, by `kid`, one of those keys. Of its header nothing else is followed: `jku`, `x5u`,
`jwk` and `x5c` are as if they were not there. Nothing is believed before the signature holds.
"""

import base64
import binascii
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from gateway.introspection.json_web_keys import JsonWebKeys
from gateway.policy.rejection import Reason
from gateway.policy.strict_json import read_object
from gateway.policy.token import Inactive, Token
from gateway.settings import VerificationKey

TokenType = Literal["rfc9068", "any"]

LONGEST_TOKEN: Final = 16 * 1024
_LONGEST_KID: Final = 1024
_MOST_CANDIDATES: Final = 4
_PARTS: Final = 3
_SEGMENT: Final = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_ACCESS_TOKEN_TYPES: Final = frozenset({"at+jwt", "application/at+jwt"})
_PLAIN_TYPES: Final = frozenset({"jwt", "application/jwt"})
# OpenID Connect Core, section 2 and 3.3.2.11; Back-Channel Logout, section 2.4.
_CLAIMS_OF_OTHERS: Final = ("nonce", "at_hash", "c_hash", "s_hash", "events")
# How Keycloak says what its JWTs are, all of which have the header of a plain one.
_KINDS_OF_OTHERS: Final = frozenset({"id", "refresh", "offline", "logout"})


@dataclass(frozen=True, slots=True)
class JwtRules:
    """What tokens of an issuer must be; `leeway` is in seconds, for clocks that differ."""

    issuer: str
    audience: str
    algorithms: frozenset[str]
    token_type: TokenType = "rfc9068"  # noqa: S105 - the name of a form, not a secret
    leeway: float = 5.0


@dataclass(frozen=True, slots=True)
class SignedToken:
    """A JWT taken apart; nobody has vouched for any of it yet."""

    algorithm: str
    kid: str | None
    signing_input: bytes
    payload: bytes
    signature: bytes


class _Unusable(Exception):  # noqa: N818 - of the token, not a fault here
    """What is there says "no", of whatever kind."""


class JwtIntrospector:
    """Says who a JWT is by its signature and its claims."""

    def __init__(
        self,
        rules: JwtRules,
        keys: JsonWebKeys,
        *,
        close: Callable[[], Awaitable[None]] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._rules = rules
        self._keys = keys
        self._close = close
        self._clock = clock

    async def introspect(self, token: str) -> Token | Inactive:
        """Check a token. Raises AuthorizationServerUnavailable when the keys cannot be had."""
        signed = take_apart(token, self._rules)
        if signed is None:
            return Inactive()
        known = await self._keys.current()
        candidates = find_candidates(known.keys, signed)
        # A bad signature by a key that is named is no reason to fetch; one that names none may be
        # by a key that is new.
        if not _is_signed(signed, candidates):
            if candidates and signed.kid is not None:
                return Inactive()
            newer = await self._keys.newer(known)
            if newer is known or not _is_signed(signed, find_candidates(newer.keys, signed)):
                return Inactive()
        return read_claims(signed.payload, self._rules, self._clock())

    async def close(self) -> None:
        """Fetch no more keys, and close the connections."""
        await self._keys.close()
        if self._close is not None:
            await self._close()


def take_apart(token: str, rules: JwtRules) -> SignedToken | None:
    """Take a compact JWS apart (RFC 7515, section 7.1); None when it is none that could be good.

    That includes encrypted tokens, `crit` (nothing is understood that could be critical), and types
    and algorithms that are not asked for.
    """
    if len(token) > LONGEST_TOKEN:
        return None
    segments = token.split(".", _PARTS)
    if len(segments) != _PARTS:
        return None
    try:
        decoded, payload, signature = map(_decode, segments)
        header = read_object(decoded)
    except ValueError:
        return None
    algorithm, kid, kind = header.get("alg"), header.get("kid"), header.get("typ")
    # RFC 7797's b64 only ever comes with crit (section 6).
    if not isinstance(algorithm, str) or algorithm not in rules.algorithms or "crit" in header:
        return None
    if not (kid is None or (isinstance(kid, str) and len(kid) <= _LONGEST_KID)):
        return None
    if not _is_of_type(kind, rules.token_type):
        return None
    signing_input = f"{segments[0]}.{segments[1]}".encode("ascii")
    return SignedToken(algorithm, kid, signing_input, payload, signature)


def _decode(segment: str) -> bytes:
    """Decode base64url without padding, in its one spelling. Raises ValueError."""
    if _SEGMENT.fullmatch(segment) is None:
        raise ValueError("not base64url")
    try:
        data = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except binascii.Error:
        raise ValueError("not base64url") from None
    # Bits that are left over could make many tokens of one.
    if base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii") != segment:
        raise ValueError("another spelling")
    return data


def _is_of_type(kind: object, wanted: TokenType) -> bool:
    if kind is None:
        return wanted == "any"
    if not isinstance(kind, str):
        return False
    name = kind.lower()
    return name in _ACCESS_TOKEN_TYPES or (wanted == "any" and name in _PLAIN_TYPES)


def find_candidates(
    keys: tuple[VerificationKey, ...], signed: SignedToken
) -> tuple[VerificationKey, ...]:
    """Give the keys that may have signed it: those of its `kid`; without one, a few that fit."""
    fitting = (
        key
        for key in keys
        if signed.algorithm in key.algorithms and (signed.kid is None or signed.kid == key.kid)
    )
    return tuple(fitting)[:_MOST_CANDIDATES]


def _is_signed(signed: SignedToken, candidates: tuple[VerificationKey, ...]) -> bool:
    # Imported here: a gateway that checks no signatures does not load it.
    from joserfc.jws import JWSRegistry

    algorithm = JWSRegistry.algorithms[signed.algorithm]
    for candidate in candidates:
        algorithm.check_key(candidate.key)
        if algorithm.verify(signed.signing_input, signed.signature, candidate.key):
            return True
    return False


def read_claims(payload: bytes, rules: JwtRules, now: float) -> Token | Inactive:
    """Hold the claims of a signed token against the rules (RFC 9068, section 4)."""
    try:
        claims = read_object(payload)
        return _judge_claims(claims, rules, now)
    except (ValueError, _Unusable):
        return Inactive()


def _judge_claims(claims: dict[str, object], rules: JwtRules, now: float) -> Token | Inactive:
    if claims.get("iss") != rules.issuer:
        return Inactive(Reason.WRONG_ISSUER)
    audience = _texts(claims, "aud")
    if rules.audience not in audience:
        return Inactive(Reason.WRONG_AUDIENCE)
    expires_at = _time(claims, "exp")
    if expires_at is None:
        return Inactive()
    # The same sum as the verdict carries: what is judged anew later is judged alike.
    expires_at += rules.leeway
    if not expires_at > now:
        return Inactive(Reason.EXPIRED_TOKEN)
    for name in ("nbf", "iat"):
        begins_at = _time(claims, name)
        if begins_at is not None and begins_at - rules.leeway > now:
            return Inactive()
    if not _is_an_access_token(claims):
        return Inactive()
    client_id = _text(claims, "client_id") or _text(claims, "azp")
    subject = _text(claims, "sub")
    scopes = _texts(claims, "scope" if "scope" in claims else "scp")
    username = _text(claims, "username") or _text(claims, "preferred_username")
    return Token(
        issuer=rules.issuer,
        client_id=client_id,
        # A token that a client has for itself names it as the subject: a client is no person.
        subject=None if subject == client_id else subject,
        username=username,
        scopes=frozenset(word for text in scopes for word in text.split(" ") if word),
        audience=tuple(audience),
        expires_at=expires_at,
        claims=claims,
    )


def _is_an_access_token(claims: Mapping[str, object]) -> bool:
    """Say whether nothing tells of another kind: of an ID token, a logout token, a refresh token.

    One that is bound to its sender's key (`cnf`, RFC 7800) is no bearer token either: nothing here
    would see the proof.
    """
    kind = claims.get("typ")
    is_of_others = isinstance(kind, str) and kind.lower() in _KINDS_OF_OTHERS
    return (
        not is_of_others
        and "cnf" not in claims
        and not any(name in claims for name in _CLAIMS_OF_OTHERS)
    )


def _text(claims: Mapping[str, object], name: str) -> str | None:
    value = claims.get(name)
    if value is None or isinstance(value, str):
        return value
    raise _Unusable


def _time(claims: Mapping[str, object], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 2**53:
        return float(value)
    raise _Unusable


def _texts(claims: Mapping[str, object], name: str) -> list[str]:
    value = claims.get(name)
    if value is None:
        return []
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and all(isinstance(member, str) for member in value):
        return value
    raise _Unusable
