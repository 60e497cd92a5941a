"""POST /oauth2/introspect (RFC 7662)."""

from collections.abc import Callable

import pytest

from gateway.authserver.administration import Administration, NewSecret
from gateway.authserver.oauth import token_endpoints
from gateway.policy.tokenformat import new_token
from tests.authserver.conftest import ISSUER, Clock, Endpoints
from tests.authserver.people_fixtures import Person, redeem


async def test_an_active_token_is_described(
    endpoints: Endpoints,
    administration: Administration,
    shop: NewSecret,
    api: NewSecret,
    clock: Clock,
) -> None:
    issued = administration.issue_token("shop", scopes=["orders:read"])

    answer = await endpoints.introspect(api, issued.token)

    assert answer.status == 200
    assert answer.json == {
        "active": True,
        "scope": "orders:read",
        "client_id": "shop",
        "token_type": "Bearer",
        "iat": int(clock.now),
        "exp": int(clock.now) + 600,
        "iss": ISSUER,
    }
    assert answer.headers["Cache-Control"] == "no-store"


async def test_the_audience_is_a_text_or_a_list(
    endpoints: Endpoints, administration: Administration, shop: NewSecret, api: NewSecret
) -> None:
    one = administration.issue_token("shop", audience=["https://a.example"])
    two = administration.issue_token("shop", audience=["https://b.example", "https://a.example"])

    assert (await endpoints.introspect(api, one.token)).json["aud"] == "https://a.example"
    assert (await endpoints.introspect(api, two.token)).json["aud"] == [
        "https://a.example",
        "https://b.example",
    ]


async def test_every_token_that_is_not_active_is_answered_byte_for_byte_alike(
    endpoints: Endpoints,
    administration: Administration,
    shop: NewSecret,
    api: NewSecret,
    clock: Clock,
    desk: NewSecret,
    alice: Person,
    query: Callable[..., object],
) -> None:
    administration.add_client("gone", grant_types=["client_credentials"])
    administration.add_client("off", grant_types=["client_credentials"])
    expired = administration.issue_token("shop", lifetime=1).token
    revoked = administration.issue_token("shop", lifetime=3600).token
    orphan = administration.issue_token("gone", lifetime=3600).token
    disabled = administration.issue_token("off", lifetime=3600).token
    administration.revoke_token(revoked)
    administration.remove_client("gone")
    administration.disable_client("off")
    administration.enable_client("off")
    family = (await redeem(endpoints, desk, alice.authorize("desk"))).json
    query("UPDATE families SET revoked_at = 1")
    living = (await redeem(endpoints, desk, alice.authorize("desk"))).json
    clock.now += 2
    dead = {
        "expired": expired,
        "revoked": revoked,
        "of a removed client": orphan,
        "of a client that was disabled": disabled,
        "of a revoked family": str(family["access_token"]),
        "a refresh token": str(living["refresh_token"]),  # RFC 7662, section 4
        "a code": alice.authorize("desk"),
        "unknown": new_token("at"),
        "of another server": "eyJhbGciOiJub25lIn0.e30.",
        "a client secret": shop.secret,
        "with a broken checksum": new_token("at")[:-1] + "_",
        "long": "x" * 60_000,
        "odd": "\"'<>\\ü%\u202e",
    }

    answers = {name: await endpoints.introspect(api, token) for name, token in dead.items()}

    assert {answer.status for answer in answers.values()} == {200}
    assert {answer.body for answer in answers.values()} == {b'{"active": false}\n'}
    headers = {
        name: {key: value for key, value in answer.headers.items() if key != "Date"}
        for name, answer in answers.items()
    }
    assert len({tuple(sorted(items.items())) for items in headers.values()}) == 1


async def test_only_clients_that_may_introspect_are_told_anything(
    endpoints: Endpoints, administration: Administration, shop: NewSecret
) -> None:
    """Not even about a token of their own; a live one and an unknown one are refused alike."""
    live = await endpoints.introspect(shop, administration.issue_token("shop").token)
    unknown = await endpoints.introspect(shop, new_token("at"))

    assert (live.status, live.json["error"]) == (403, "unauthorized_client")
    assert live.body == unknown.body


async def test_a_stranger_is_told_nothing(
    endpoints: Endpoints, administration: Administration, shop: NewSecret
) -> None:
    token = administration.issue_token("shop").token
    for basic in (None, ("shop", "wrong"), ("nobody", "wrong")):
        answer = await endpoints.post("/oauth2/introspect", {"token": token}, basic=basic)
        assert (answer.status, answer.json["error"]) == (401, "invalid_client")


async def test_a_type_hint_changes_nothing_even_when_it_is_unknown(
    endpoints: Endpoints, administration: Administration, shop: NewSecret, api: NewSecret
) -> None:
    token = administration.issue_token("shop").token
    for hint in ("access_token", "refresh_token", "nonsense"):
        answer = await endpoints.introspect(api, token, token_type_hint=hint)
        assert answer.json["active"] is True


async def test_the_token_has_to_be_there(endpoints: Endpoints, api: NewSecret) -> None:
    for form in ({}, {"token": ""}):
        answer = await endpoints.post("/oauth2/introspect", form, basic=api)
        assert (answer.status, answer.json["error"]) == (400, "invalid_request")


async def test_what_has_not_the_form_of_a_token_costs_no_look_up(
    endpoints: Endpoints, api: NewSecret, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(token_endpoints, "find_token")
    answer = await endpoints.introspect(api, "eyJhbGciOiJub25lIn0.e30.")
    assert answer.json == {"active": False}
