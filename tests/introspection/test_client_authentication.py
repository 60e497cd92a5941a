"""How the gateway says who it is, read as an authorization server reads it."""

import base64
import time

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc import jwk, jwt

from gateway.introspection.client_authentication import (
    bearer_token,
    client_secret_basic,
    client_secret_post,
    private_key_jwt,
)
from gateway.settings import load_signing_key

ISSUER = "https://login.example.com"


def test_the_secret_in_the_head_is_form_encoded_first():
    credentials = client_secret_basic("a:b", "c d%")()
    scheme, encoded = credentials.headers["Authorization"].split()
    assert (scheme, base64.b64decode(encoded)) == ("Basic", b"a%3Ab:c+d%25")
    assert credentials.form == {}


def test_the_secret_in_the_form_stands_beside_the_client():
    credentials = client_secret_post("a:b", "c d%")()
    assert credentials.form == {"client_id": "a:b", "client_secret": "c d%"}
    assert credentials.headers == {}


def test_a_token_of_the_gateway_goes_as_a_bearer_token():
    credentials = bearer_token("abc")()
    assert (credentials.headers, credentials.form) == ({"Authorization": "Bearer abc"}, {})


@pytest.mark.parametrize(
    "make",
    [
        lambda: rsa.generate_private_key(65537, 2048),
        lambda: ec.generate_private_key(ec.SECP256R1()),
        lambda: ec.generate_private_key(ec.SECP384R1()),
    ],
    ids=["RS256", "ES256", "ES384"],
)
def test_an_assertion_is_signed_for_the_issuer_for_a_minute_and_for_once(make, tmp_path):
    """RFC 7523, section 3; the server finds the key by its thumbprint."""
    pem = make().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "key.pem").write_bytes(pem)
    key = load_signing_key(tmp_path / "key.pem")
    authenticate = private_key_jwt("guard", key, ISSUER)
    seen = set()
    for _ in range(2):
        form = authenticate().form
        assert form["client_id"] == "guard"
        assert form["client_assertion_type"] == (
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        )
        public = jwk.import_key(jwk.import_key(pem, key.key_type).as_dict(private=False))
        assertion = jwt.decode(form["client_assertion"], public, algorithms=[key.algorithm])
        assert assertion.header["kid"] == public.thumbprint()
        claims = assertion.claims
        assert (claims["iss"], claims["sub"], claims["aud"]) == ("guard", "guard", ISSUER)
        assert claims["exp"] - claims["iat"] == 60
        assert abs(claims["iat"] - time.time()) < 30
        seen.add(claims["jti"])
    assert len(seen) == 2
