"""A route that takes tokens of several servers: each is asked about its own, and believed."""

import dataclasses
import json
from pathlib import Path

import pytest

from tests.attacks.wire import ask, bearer
from tests.policy.test_choosing import jwt
from tests.proxy.stage import OK, KnownTokens, Stage, token

LOGIN, PARTNER = "https://login.example.com", "https://partner.example.com"
ROUTES = [
    {
        "name": "both",
        "match": {"path": "/both/**"},
        "authorization_server": ["corporate", "partner"],
        "require": {"scopes": ["orders:read"]},
    },
    {
        "name": "partner",
        "match": {"path": "/partner/**"},
        "authorization_server": "partner",
        "require": {},
    },
]
OF_LOGIN, OF_PARTNER, OF_NOBODY = (
    jwt({"iss": issuer}) for issuer in (LOGIN, PARTNER, "https://evil.example.com")
)


def checked_by(folder: Path, issuer: str) -> dict[str, object]:
    """A server whose JWTs are checked here."""
    keys = folder / "jwks.json"
    keys.write_text(
        '{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}'
    )
    return {"jwt": {"issuer": issuer, "audience": "orders", "jwks": str(keys)}}


ASKED = {
    "introspection": {"issuer": LOGIN, "url": f"{LOGIN}/i", "client_id": "g", "client_secret": "s"}
}


@pytest.fixture
async def partner(stage: Stage) -> KnownTokens:
    """The second server, which is asked about its JWTs alone; both know the same texts."""
    theirs = KnownTokens()
    good = token("orders:read")
    stage.tokens.answers = {OF_LOGIN: good, "opaque": good}
    theirs.answers = {OF_PARTNER: dataclasses.replace(good, issuer=PARTNER)}
    stage.introspectors = {"corporate": stage.tokens, "partner": theirs}
    servers = {"corporate": ASKED, "partner": checked_by(stage.folder, PARTNER)}
    await stage.open(routes=ROUTES, authorization_servers=servers)
    return theirs


async def passes(stage: Stage, name: str, path: bytes = b"/both/1") -> bool:
    client = await stage.client(ask(path, bearer(name.encode())))
    service = await stage.accept()
    await service.head()
    service.send(OK)
    status = (await client.answer()).status
    service.close()
    return status == 200


async def test_each_server_is_asked_about_its_own_tokens(
    stage: Stage, partner: KnownTokens
) -> None:
    for name in (OF_LOGIN, OF_PARTNER, "opaque"):
        assert await passes(stage, name)
    assert stage.tokens.asked == [OF_LOGIN, "opaque"]
    assert partner.asked == [OF_PARTNER]


async def test_what_one_route_has_learnt_of_a_token_another_one_knows(
    stage: Stage, partner: KnownTokens
) -> None:
    """One by itself or among others, it is the same server."""
    assert await passes(stage, OF_PARTNER)
    assert await passes(stage, OF_PARTNER, b"/partner/1")
    assert partner.asked == [OF_PARTNER]


@pytest.mark.parametrize("names", [["asks", "checks"], ["checks", "asks"]])
async def test_jwts_of_an_issuer_that_is_also_asked_are_checked_here(
    stage: Stage, names: list[str]
) -> None:
    """Whose opaque tokens alone it is asked about."""
    theirs = KnownTokens()
    stage.tokens.answers = {"opaque": token("orders:read")}
    theirs.answers = {OF_LOGIN: token("orders:read")}
    stage.introspectors = {"asks": stage.tokens, "checks": theirs}
    servers = {"asks": ASKED, "checks": checked_by(stage.folder, LOGIN)}
    route = {**ROUTES[0], "authorization_server": names}
    await stage.open(routes=[route], authorization_servers=servers)
    for name in (OF_LOGIN, "opaque"):
        assert await passes(stage, name)


async def test_the_metadata_name_all_issuers(stage: Stage, partner: KnownTokens) -> None:
    """RFC 9728, section 2."""
    document = await stage.ask(ask(b"/.well-known/oauth-protected-resource/both"))
    assert json.loads(document.body)["authorization_servers"] == [LOGIN, PARTNER]


async def test_a_jwt_of_nobody_here_is_refused_and_shown_to_nobody(
    stage: Stage, partner: KnownTokens
) -> None:
    refusal = await stage.ask(ask(b"/both/1", bearer(OF_NOBODY.encode())))
    assert (refusal.status, refusal.reason) == (401, "wrong_issuer")
    assert stage.tokens.asked == partner.asked == []


async def test_a_server_is_not_believed_about_tokens_of_another_one(
    stage: Stage, partner: KnownTokens
) -> None:
    """It vouches in the name of the other issuer, whose tokens the route takes, too."""
    stage.tokens.answers["opaque"] = dataclasses.replace(token("orders:read"), issuer=PARTNER)
    refusal = await stage.ask(ask(b"/both/1", bearer(b"opaque")))
    assert (refusal.status, refusal.reason) == (401, "wrong_issuer")
    again = await stage.ask(ask(b"/both/1", bearer(b"opaque")))
    assert again.reason == "wrong_issuer"
    await stage.close()
    assert stage.service.is_untouched
