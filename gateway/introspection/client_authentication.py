"""How the gateway says who it is when it asks about a token (RFC 7662, section 2.1)."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from secrets import token_urlsafe
from urllib.parse import quote_plus

import aiohttp

from gateway.settings import SigningKey

_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_ASSERTION_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Credentials:
    """What goes along with one question: fields of its head, and of its form."""

    headers: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, str] = field(default_factory=dict)


Authenticate = Callable[[], Credentials]
"""Gives the credentials for one question."""


def client_secret_basic(client_id: str, client_secret: str) -> Authenticate:
    """Send the secret in the Authorization header (RFC 6749, section 2.3.1)."""
    # Both parts are form-encoded first.
    basic = aiohttp.encode_basic_auth(quote_plus(client_id), quote_plus(client_secret))
    credentials = Credentials({"Authorization": basic})
    return lambda: credentials


def client_secret_post(client_id: str, client_secret: str) -> Authenticate:
    """Send the secret in the form (RFC 6749, section 2.3.1)."""
    form = {"client_id": client_id, "client_secret": client_secret}
    credentials = Credentials(form=form)
    return lambda: credentials


def bearer_token(token: str) -> Authenticate:
    """Send an access token of the gateway's own (RFC 6750, section 2.1)."""
    credentials = Credentials({"Authorization": f"Bearer {token}"})
    return lambda: credentials


def private_key_jwt(client_id: str, key: SigningKey, issuer: str) -> Authenticate:
    """Sign an assertion for each question (RFC 7523, section 3), good for a minute and once.

    The issuer is its audience. The server knows the key by its thumbprint (RFC 7638).
    """
    # Imported here: a gateway that has a secret needs no signatures.
    from joserfc import jwk, jwt

    signer = jwk.import_key(key.pem, key.key_type)
    algorithm = key.algorithm
    header = {"alg": algorithm, "kid": signer.thumbprint()}

    def sign() -> Credentials:
        now = int(time.time())
        claims = {
            "iss": client_id,
            "sub": client_id,
            "aud": issuer,
            "jti": token_urlsafe(24),
            "iat": now,
            "exp": now + _ASSERTION_SECONDS,
        }
        assertion = jwt.encode(header, claims, signer, algorithms=[algorithm])
        return Credentials(
            form={
                "client_id": client_id,
                "client_assertion_type": _ASSERTION_TYPE,
                "client_assertion": assertion,
            }
        )

    return sign
