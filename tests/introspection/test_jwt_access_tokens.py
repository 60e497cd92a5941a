"""JWT access tokens: what passes, and what attackers make of a JWT."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from gateway.introspection.json_web_keys import JsonWebKeys
from gateway.introspection.jwt_access_tokens import LONGEST_TOKEN, JwtIntrospector, JwtRules
from gateway.policy.decision import decide
from gateway.policy.rejection import Reason
from gateway.policy.routes import Route
from gateway.policy.token import Inactive, Token
from gateway.settings import VerificationKey, read_key_set

ISSUER = "https://partner.example.com"
NOW = 1_800_000_000.0
RSA = RSAKey.generate_key(2048)
EC = ECKey.generate_key("P-256")
EC384 = ECKey.generate_key("P-384")
ED = OKPKey.generate_key("Ed25519")
KEYS = {
    "RS256": ("rsa", RSA),
    "PS256": ("rsa", RSA),
    "ES256": ("ec", EC),
    "ES384": ("ec384", EC384),
    "EdDSA": ("ed", ED),
}
RULES = JwtRules(ISSUER, "orders-api", frozenset(KEYS))
CLAIMS = {
    "iss": ISSUER,
    "aud": "orders-api",
    "exp": NOW + 60,
    "iat": NOW,
    "sub": "anna",
    "client_id": "app",
    "scope": "orders:read orders:write",
}


def published(*keys: tuple[str | None, Key]) -> bytes:
    members = []
    for kid, key in keys:
        member = {**key.as_dict(private=False)}
        member.pop("kid", None)
        members.append(member if kid is None else {**member, "kid": kid})
    return json.dumps({"keys": members}).encode()


ALL = read_key_set(published(("rsa", RSA), ("ec", EC), ("ec384", EC384), ("ed", ED))).keys


def part(value: object) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def sign(header: object, payload: object, key: Key = EC, algorithm: str = "ES256") -> str:
    """Signs whatever it is given, by the rules or against them."""
    text = f"{part(header)}.{part(payload)}"
    signature = JWSRegistry.algorithms[algorithm].sign(text.encode(), key)
    return f"{text}.{part(signature)}"


def make(claims: Mapping[str, Any] | None = None, **header: object) -> str:
    without = [name for name, value in (claims or {}).items() if value is ...]
    merged = {**CLAIMS, **(claims or {})}
    for name in without:
        del merged[name]
    head = {"alg": "ES256", "kid": "ec", "typ": "at+jwt", **header}
    return sign({name: value for name, value in head.items() if value is not ...}, merged)


async def ask(
    token: str, rules: JwtRules = RULES, keys: tuple[VerificationKey, ...] = ALL
) -> Token | Inactive:
    async def load() -> tuple[VerificationKey, ...]:
        return keys

    kept = JsonWebKeys("partner", load, refresh=300, maximum_age=3600)
    return await JwtIntrospector(rules, kept, clock=lambda: NOW).introspect(token)


ANY = JwtRules(ISSUER, "orders-api", frozenset(KEYS), "any")


@pytest.mark.parametrize("algorithm", list(KEYS))
async def test_each_algorithm_of_the_defaults_is_checked(algorithm: str) -> None:
    kid, key = KEYS[algorithm]
    header = {"alg": algorithm, "kid": kid, "typ": "at+jwt"}
    token = sign(header, CLAIMS, key, algorithm)
    verdict = await ask(token)
    assert isinstance(verdict, Token)
    assert verdict.scopes == {"orders:read", "orders:write"}
    assert (verdict.issuer, verdict.subject, verdict.client_id) == (ISSUER, "anna", "app")
    assert (verdict.audience, verdict.claims["sub"]) == (("orders-api",), "anna")
    head, body, signature = token.split(".")
    assert await ask(f"{head}.{body}.{part(bytes(len(signature) * 3 // 4))}") == Inactive()
    other = part({**CLAIMS, "sub": "mallory"})
    assert await ask(f"{head}.{other}.{signature}") == Inactive()


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({"sub": "app"}, {"subject": None}),
        ({"sub": ...}, {"subject": None}),
        ({"client_id": ..., "azp": "desk"}, {"client_id": "desk", "subject": "anna"}),
        ({"preferred_username": "anna.k"}, {"username": "anna.k"}),
        ({"username": "a", "preferred_username": "b"}, {"username": "a"}),
        ({"aud": ["x", "orders-api"]}, {"audience": ("x", "orders-api")}),
        ({"scope": ..., "scp": ["a", "b"]}, {"scopes": {"a", "b"}}),
        ({"scope": ..., "scp": "a b"}, {"scopes": {"a", "b"}}),
        ({"scope": "", "scp": "admin"}, {"scopes": frozenset()}),
    ],
    ids=str,
)
async def test_claims_become_what_is_known_of_a_token(
    claims: dict[str, Any], expected: dict[str, Any]
) -> None:
    verdict = await ask(make(claims))
    assert isinstance(verdict, Token)
    assert {name: getattr(verdict, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"exp": NOW - 5}, Reason.EXPIRED_TOKEN),
        ({"exp": ...}, Reason.INACTIVE_TOKEN),
        ({"exp": "9999999999"}, Reason.INACTIVE_TOKEN),
        ({"exp": True}, Reason.INACTIVE_TOKEN),
        ({"exp": 2**60}, Reason.INACTIVE_TOKEN),
        ({"nbf": NOW + 6}, Reason.INACTIVE_TOKEN),
        ({"iat": NOW + 6}, Reason.INACTIVE_TOKEN),
        ({"iat": "now"}, Reason.INACTIVE_TOKEN),
        ({"aud": ...}, Reason.WRONG_AUDIENCE),
        ({"aud": "orders-api-2"}, Reason.WRONG_AUDIENCE),
        ({"aud": "x orders-api"}, Reason.WRONG_AUDIENCE),
        ({"aud": []}, Reason.WRONG_AUDIENCE),
        ({"aud": ["orders-api", 7]}, Reason.INACTIVE_TOKEN),
        ({"iss": ISSUER + "/"}, Reason.WRONG_ISSUER),
        ({"iss": [ISSUER]}, Reason.WRONG_ISSUER),
        ({"iss": ...}, Reason.WRONG_ISSUER),
        ({"scope": {"orders:read": 1}}, Reason.INACTIVE_TOKEN),
        ({"sub": 7}, Reason.INACTIVE_TOKEN),
        ({"cnf": {"jkt": "x"}}, Reason.INACTIVE_TOKEN),
        ({"nonce": "n"}, Reason.INACTIVE_TOKEN),
        ({"events": {}}, Reason.INACTIVE_TOKEN),
        ({"typ": "Refresh"}, Reason.INACTIVE_TOKEN),
    ],
    ids=str,
)
async def test_claims_that_do_not_hold_are_refused(claims: dict[str, Any], reason: Reason) -> None:
    assert await ask(make(claims)) == Inactive(reason)
    assert await ask(make(claims), ANY) == Inactive(reason)


@pytest.mark.parametrize(("past", "is_good"), [(4.5, True), (5.0, False)])
async def test_the_leeway_holds_for_each_later_judgement_alike(
    past: float, *, is_good: bool
) -> None:
    verdict = await ask(make({"exp": NOW - past}))
    assert isinstance(verdict, Token) is is_good
    if isinstance(verdict, Token):
        route = Route("r", None, "/", None, "u", "partner", ISSUER)
        assert decide(route, verdict, NOW) is None
        assert decide(route, verdict, NOW + 0.5) is not None


@pytest.mark.parametrize(
    ("kind", "strict", "loose"),
    [
        ("at+jwt", True, True),
        ("AT+JWT", True, True),
        ("application/at+jwt", True, True),
        ("JWT", False, True),
        (..., False, True),
        ("logout+jwt", False, False),
        ("dpop+jwt", False, False),
        (["at+jwt"], False, False),
    ],
    ids=str,
)
async def test_the_type_says_what_a_jwt_is_for(kind: object, *, strict: bool, loose: bool) -> None:
    token = make(typ=kind)
    assert isinstance(await ask(token), Token) is strict
    assert isinstance(await ask(token, ANY), Token) is loose


async def test_an_id_token_opens_nothing_even_where_any_type_is_taken() -> None:
    for claim in ("nonce", "at_hash", "c_hash"):
        assert await ask(make({claim: "x"}, typ="JWT"), ANY) == Inactive()
    assert await ask(make({"typ": "ID"}, typ="JWT"), ANY) == Inactive()


@pytest.mark.parametrize(
    "secret",
    [
        RSA.as_pem(private=False),
        EC.as_pem(private=False),
        json.dumps(EC.as_dict(private=False)).encode(),
        published(("ec", EC)),
        b"",
    ],
    ids=["rsa pem", "ec pem", "jwk", "jwks", "empty"],
)
async def test_a_public_key_is_never_a_shared_secret(secret: bytes) -> None:
    for kid in ("rsa", "ec"):
        text = f"{part({'alg': 'HS256', 'kid': kid, 'typ': 'at+jwt'})}.{part(CLAIMS)}"
        token = f"{text}.{part(hmac.digest(secret, text.encode(), hashlib.sha256))}"
        assert await ask(token) == Inactive()


@pytest.mark.parametrize("name", ["none", "None", "NONE", "", None, 7, ["ES256"], "es256", ...])
async def test_an_algorithm_that_is_not_asked_for_is_refused(name: object) -> None:
    for signature in ("", "AA", make().rpartition(".")[2]):
        head = {"kid": "ec", "typ": "at+jwt"} | ({} if name is ... else {"alg": name})
        assert await ask(f"{part(head)}.{part(CLAIMS)}.{signature}") == Inactive()


async def test_a_good_signature_of_an_algorithm_left_out_of_the_list_is_refused() -> None:
    rules = JwtRules(ISSUER, "orders-api", frozenset({"RS256"}))
    assert await ask(make(), rules) == Inactive()


async def test_an_algorithm_of_another_key_is_refused() -> None:
    """The key that is named says what it is for, not the token."""
    assert await ask(make(kid="rsa")) == Inactive()
    token = sign({"alg": "PS256", "kid": "one", "typ": "at+jwt"}, CLAIMS, RSA, "PS256")
    document = json.loads(published(("one", RSA)))
    assert isinstance(
        await ask(token, keys=read_key_set(json.dumps(document).encode()).keys), Token
    )
    document["keys"][0]["alg"] = "RS256"
    assert await ask(token, keys=read_key_set(json.dumps(document).encode()).keys) == Inactive()


@pytest.mark.parametrize(
    "kid",
    ["../../../dev/null", "ec' OR '1'='1", "e" * 10_000, "http://127.0.0.1/", "\x00", 7, ["ec"]],
    ids=lambda kid: str(kid)[:20],
)
async def test_a_kid_is_compared_and_nothing_else(kid: object) -> None:
    assert await ask(make(kid=kid)) == Inactive()


async def test_without_a_kid_the_keys_that_fit_are_tried() -> None:
    assert isinstance(await ask(make(kid=...)), Token)
    others = [(None, ECKey.generate_key("P-256")) for _ in range(4)]
    keys = read_key_set(published(*others, ("ec", EC))).keys
    assert await ask(make(kid=...), keys=keys) == Inactive(), "four at most"


async def test_nothing_in_a_header_is_followed() -> None:
    """No connection is made, and no key from the token is used."""
    connections = []
    listener = await asyncio.start_server(
        lambda _, writer: (connections.append(1), writer.close()), "127.0.0.1", 0
    )
    url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/keys"
    mallory = ECKey.generate_key("P-256")
    own = mallory.as_dict(private=False)
    for kid in ("ec", "mallory", ...):
        head = {"alg": "ES256", "kid": kid, "typ": "at+jwt", "jku": url, "x5u": url, "jwk": own}
        head = {
            name: value for name, value in {**head, "x5c": ["MIIB"]}.items() if value is not ...
        }
        assert await ask(sign(head, CLAIMS, mallory)) == Inactive()
        if kid == "ec":
            assert isinstance(await ask(sign(head, CLAIMS)), Token), "ignored, not refused"
    listener.close()
    assert connections == []


@pytest.mark.parametrize("crit", [[], ["exp"], ["b64"], "b64", None])
async def test_what_is_critical_is_not_understood(crit: object) -> None:
    assert await ask(make(crit=crit, b64=True)) == Inactive()


@pytest.mark.parametrize(
    "payload",
    [
        json.dumps(CLAIMS).replace('"aud"', '"aud": "orders-api", "aud"').encode(),
        json.dumps(CLAIMS).replace('"sub"', '"x": {"a": 1, "a": 2}, "sub"').encode(),
        json.dumps(CLAIMS | {"exp": float("inf")}).encode(),
        json.dumps(CLAIMS | {"x": float("nan")}).encode(),
        json.dumps(CLAIMS).replace(str(NOW + 60), "1" * 5000).encode(),
        json.dumps(CLAIMS).replace(str(NOW + 60), "1e999").encode(),
        b"[" * 10_000,
        json.dumps([CLAIMS]).encode(),
        b"\xff" + json.dumps(CLAIMS).encode(),
        json.dumps(CLAIMS).encode("utf-16"),
        b"7",
    ],
    ids=lambda payload: repr(payload[:12]),
)
async def test_json_that_is_read_in_more_than_one_way_is_refused(payload: bytes) -> None:
    assert await ask(sign({"alg": "ES256", "kid": "ec", "typ": "at+jwt"}, payload)) == Inactive()


async def test_a_header_with_a_name_twice_is_refused() -> None:
    head = b'{"alg": "none", "alg": "ES256", "kid": "ec", "typ": "at+jwt"}'
    assert await ask(sign(head, CLAIMS)) == Inactive()


async def test_another_spelling_of_a_token_is_refused() -> None:
    token = make()
    for other in (
        token + "=",
        token + "\n",
        " " + token,
        token.replace(".", "..", 1),
        token + ".",
        token + ".AA.AA",
        token[:-1] + chr(ord(token[-1]) + 1),
        "",
        ".",
        "..",
        "gw_at_x",
    ):
        assert await ask(other) == Inactive()


async def test_a_token_of_a_mebibyte_costs_nothing() -> None:
    assert await ask(make({"x": "x" * LONGEST_TOKEN})) == Inactive()
    assert await ask("a" * 2**20) == Inactive()
    assert await ask(f"{'.' * 2**20}") == Inactive()


@given(st.text() | st.from_regex(r"[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*"))
def test_no_text_makes_it_fail(text: str) -> None:
    assert asyncio.run(ask(text)) == Inactive()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(
    st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "jwk"]), json_values),
    st.dictionaries(st.sampled_from([*CLAIMS, "scp", "azp", "nbf", "cnf"]), json_values),
)
def test_no_claim_makes_it_fail(header: dict[str, Any], claims: dict[str, Any]) -> None:
    asyncio.run(ask(sign({**header, "alg": "ES256", "kid": "ec"}, {**CLAIMS, **claims}), ANY))


async def test_a_token_of_a_strange_issuer_is_signed_by_a_strange_key_first() -> None:
    """Nothing of what is not signed is told back."""
    mallory = ECKey.generate_key("P-256")
    token = sign({"alg": "ES256", "kid": "ec", "typ": "at+jwt"}, CLAIMS | {"iss": "x"}, mallory)
    assert await ask(token) == Inactive(Reason.INACTIVE_TOKEN)


async def test_what_the_library_itself_signs_passes() -> None:
    header = {"alg": "ES256", "kid": "ec", "typ": "at+jwt"}
    token = jws.serialize_compact(header, json.dumps(CLAIMS), EC, algorithms=["ES256"])
    assert isinstance(await ask(token), Token)
    assert time.time() < NOW, "or choose another time"
