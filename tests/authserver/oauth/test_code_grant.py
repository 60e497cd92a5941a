"""POST /oauth2/token: authorization codes (RFC 6749, section 4.1.3; RFC 7636)."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from gateway.authserver.administration import Administration, NewSecret
from gateway.authserver.oauth import oauth_server
from gateway.authserver.options import AuthorizationServerOptions
from gateway.authserver.server import EmbeddedServer
from gateway.policy.interfaces import Revocation, RevocationNotAcknowledged
from gateway.policy.rejection import Reason
from gateway.policy.token import Inactive, Token
from gateway.policy.tokenformat import has_valid_checksum, new_token, token_hash
from tests.authserver.conftest import ISSUER, Clock, Endpoints, Surroundings
from tests.authserver.people_fixtures import (
    CALLBACK,
    CHALLENGE,
    VERIFIER,
    Person,
    ask,
    read_all_before_any_claims,
    redeem,
)

Query = Callable[..., list[tuple[Any, ...]]]
OTHER_VERIFIER = "x" * 43


async def test_a_code_becomes_an_access_token_and_a_refresh_token(
    endpoints: Endpoints, desk: NewSecret, alice: Person, surroundings: Surroundings
) -> None:
    answer = await redeem(endpoints, desk, alice.authorize("desk", "orders:read"))

    assert answer.status == 200
    assert answer.json.keys() == {
        "access_token",
        "token_type",
        "expires_in",
        "refresh_token",
        "scope",
    }
    assert answer.json["token_type"] == "Bearer"
    assert (answer.json["expires_in"], answer.json["scope"]) == (600, "orders:read")
    assert has_valid_checksum(str(answer.json["access_token"]), "at")
    assert has_valid_checksum(str(answer.json["refresh_token"]), "rt")
    assert answer.headers["Cache-Control"] == "no-store"
    assert surroundings.issued == ["authorization_code"]
    assert surroundings.published == []


async def test_a_public_client_says_only_its_name(
    endpoints: Endpoints, app: NewSecret, alice: Person
) -> None:
    assert (await redeem(endpoints, app, alice.authorize("app"))).status == 200


async def test_the_guard_learns_who_the_person_is(
    endpoints: Endpoints, server: EmbeddedServer, desk: NewSecret, alice: Person, api: NewSecret
) -> None:
    answer = await redeem(endpoints, desk, alice.authorize("desk"))

    said = await server.introspect(str(answer.json["access_token"]))
    assert isinstance(said, Token)
    assert (said.subject, said.username, said.client_id) == (alice.user.id, "alice", "desk")
    told = await endpoints.introspect(api, str(answer.json["access_token"]))
    assert (told.json["sub"], told.json["username"]) == (alice.user.id, "alice")
    assert told.json == said.claims


async def test_everything_rests_as_a_hash(
    endpoints: Endpoints, desk: NewSecret, alice: Person, query: Query
) -> None:
    code = alice.authorize("desk")
    answer = await redeem(endpoints, desk, code)

    at_rest = repr(
        [
            query(f"SELECT * FROM {table}")
            for table in ("authorization_codes", "refresh_tokens", "access_tokens", "families")
        ]
    )
    for secret in (code, answer.json["access_token"], answer.json["refresh_token"]):
        assert str(secret) not in at_rest
    assert query("SELECT hash FROM refresh_tokens") == [
        (token_hash(str(answer.json["refresh_token"])),)
    ]


async def test_a_client_without_the_refresh_grant_gets_no_refresh_token(
    endpoints: Endpoints, administration: Administration, alice: Person, query: Query
) -> None:
    plain = administration.add_client(
        "plain",
        grant_types=["authorization_code"],
        scopes=["orders:read"],
        redirect_uris=[CALLBACK],
        has_refresh_token=False,
    )
    answer = await redeem(endpoints, plain, alice.authorize("plain", "orders:read"))

    assert "refresh_token" not in answer.json
    assert query("SELECT * FROM refresh_tokens") == []


async def test_a_clients_own_lifetimes_are_kept(
    endpoints: Endpoints, administration: Administration, alice: Person, query: Query, clock: Clock
) -> None:
    short = administration.add_client(
        "short",
        scopes=["orders:read"],
        redirect_uris=[CALLBACK],
        access_token_lifetime=30,
        refresh_token_lifetime=90,
    )
    answer = await redeem(endpoints, short, alice.authorize("short", "orders:read"))

    now = int(clock.now)
    assert answer.json["expires_in"] == 30
    assert query("SELECT expires_at FROM access_tokens") == [(now + 30,)]
    assert query("SELECT expires_at FROM refresh_tokens") == [(now + 90,)]
    assert query("SELECT expires_at FROM families") == [(now + 90,)]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_verifier": OTHER_VERIFIER}, "invalid_grant"),
        ({"code_verifier": None}, "invalid_request"),
        ({"code_verifier": "short"}, "invalid_request"),
        ({"code_verifier": VERIFIER + "ü"}, "invalid_request"),
        ({"redirect_uri": None}, "invalid_grant"),
        ({"redirect_uri": CALLBACK + "/"}, "invalid_grant"),
        ({"redirect_uri": CALLBACK + "?a=b"}, "invalid_grant"),
        ({"redirect_uri": CALLBACK.upper()}, "invalid_grant"),
        ({"redirect_uri": 'https://"'}, "invalid_grant"),
        ({"resource": "https://evil.example/"}, "invalid_target"),
        ({"resource": "https://shop.example/a"}, "invalid_target"),
    ],
)
async def test_a_failed_redemption_does_not_burn_the_code(
    endpoints: Endpoints,
    desk: NewSecret,
    alice: Person,
    query: Query,
    surroundings: Surroundings,
    changes: dict[str, str | None],
    error: str,
) -> None:
    code = alice.authorize("desk")

    answer = await redeem(endpoints, desk, code, **changes)

    assert (answer.status, answer.json["error"]) == (400, error)
    assert query("SELECT * FROM access_tokens") == query("SELECT * FROM refresh_tokens") == []
    assert surroundings.issued == surroundings.published == []
    assert (await redeem(endpoints, desk, code)).status == 200


async def test_the_challenge_itself_is_no_verifier(
    endpoints: Endpoints, desk: NewSecret, alice: Person
) -> None:
    """It would be with the method `plain`, which Authlib falls back to by itself."""
    code = alice.authorize("desk", code_challenge=VERIFIER)
    answer = await redeem(endpoints, desk, code, code_verifier=VERIFIER)
    assert answer.json["error"] == "invalid_grant"


@pytest.mark.parametrize("verifier", [VERIFIER, None])
async def test_a_code_without_a_challenge_is_worth_nothing(
    endpoints: Endpoints, desk: NewSecret, alice: Person, verifier: str | None
) -> None:
    """Authlib would redeem it for whoever sends no verifier (RFC 9700, section 4.8)."""
    code = alice.authorize("desk", code_challenge="")
    answer = await redeem(endpoints, desk, code, code_verifier=verifier)
    assert (answer.status, answer.json["error"]) == (400, "invalid_grant")


async def test_a_redirect_uri_that_the_authorization_did_not_have_is_refused(
    endpoints: Endpoints, desk: NewSecret, alice: Person
) -> None:
    code = alice.authorize("desk", redirect_uri=None)
    assert (await redeem(endpoints, desk, code)).json["error"] == "invalid_grant"
    assert (await redeem(endpoints, desk, code, redirect_uri=None)).status == 200


async def test_what_is_no_code_is_refused(endpoints: Endpoints, desk: NewSecret) -> None:
    for code in ("x", '"', "gw_ac_", "ü" * 55, new_token("ac"), new_token("at")):
        answer = await redeem(endpoints, desk, code)
        assert (answer.status, answer.json["error"]) == (400, "invalid_grant")
    for missing in ("", None):
        answer = await redeem(endpoints, desk, "", code=missing)
        assert (answer.status, answer.json["error"]) == (400, "invalid_request")


async def test_the_code_of_another_client_is_neither_redeemed_nor_burnt(
    endpoints: Endpoints,
    desk: NewSecret,
    app: NewSecret,
    alice: Person,
    surroundings: Surroundings,
    server: EmbeddedServer,
) -> None:
    code = alice.authorize("desk")
    assert (await redeem(endpoints, app, code)).json["error"] == "invalid_grant"
    answer = await redeem(endpoints, desk, code)
    assert answer.status == 200
    # Nor is it reuse when somebody else tries it again.
    assert (await redeem(endpoints, app, code)).json["error"] == "invalid_grant"
    assert surroundings.published == []
    assert isinstance(await server.introspect(str(answer.json["access_token"])), Token)


async def test_a_code_lives_for_its_minute(
    endpoints: Endpoints, desk: NewSecret, alice: Person, clock: Clock
) -> None:
    late, in_time = alice.authorize("desk"), alice.authorize("desk")
    clock.now += 59
    assert (await redeem(endpoints, desk, in_time)).status == 200
    clock.now += 1
    assert (await redeem(endpoints, desk, late)).json["error"] == "invalid_grant"


async def test_a_code_that_is_used_again_revokes_what_it_gave(
    endpoints: Endpoints,
    desk: NewSecret,
    alice: Person,
    surroundings: Surroundings,
    server: EmbeddedServer,
    clock: Clock,
) -> None:
    code = alice.authorize("desk")
    token = str((await redeem(endpoints, desk, code)).json["access_token"])
    clock.now += 3600  # the code has expired long ago, and it is reuse all the same

    answer = await redeem(endpoints, desk, code)

    assert (answer.status, answer.json["error"]) == (400, "invalid_grant")
    assert surroundings.published == [Revocation(ISSUER, "grant", f"{alice.user.id} desk")]
    assert surroundings.sources == ["reuse"]
    assert await server.introspect(token) == Inactive(Reason.REVOKED_TOKEN)
    assert surroundings.issued == ["authorization_code"]


@pytest.mark.parametrize(
    "verifier", [OTHER_VERIFIER, None, "", "short", CHALLENGE, VERIFIER + "ü", "x" * 43_000]
)
async def test_a_used_code_without_its_verifier_revokes_nothing(
    endpoints: Endpoints,
    app: NewSecret,
    alice: Person,
    surroundings: Surroundings,
    server: EmbeddedServer,
    verifier: str | None,
) -> None:
    """A code stands in histories and logs; who found it there must not sign a person out."""
    code = alice.authorize("app")
    token = str((await redeem(endpoints, app, code)).json["access_token"])

    answer = await redeem(endpoints, app, code, code_verifier=verifier)

    assert answer.status == 400
    assert surroundings.published == []
    assert isinstance(await server.introspect(token), Token)
    # Nor does it hide the reuse of who has both.
    assert (await redeem(endpoints, app, code)).json["error"] == "invalid_grant"
    assert await server.introspect(token) == Inactive(Reason.REVOKED_TOKEN)


async def test_reuse_leaves_what_came_of_another_authorization(
    endpoints: Endpoints, desk: NewSecret, alice: Person, server: EmbeddedServer
) -> None:
    code = alice.authorize("desk")
    await redeem(endpoints, desk, code)
    other = await redeem(endpoints, desk, alice.authorize("desk"))
    await redeem(endpoints, desk, code)
    assert isinstance(await server.introspect(str(other.json["access_token"])), Token)


async def test_of_twenty_redemptions_at_once_one_succeeds_and_then_nothing_of_it_is_left(
    endpoints: Endpoints,
    desk: NewSecret,
    alice: Person,
    server: EmbeddedServer,
    surroundings: Surroundings,
    query: Query,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    code = alice.authorize("desk")

    read_all_before_any_claims(monkeypatch, "find_code")
    answers = await asyncio.gather(*(redeem(endpoints, desk, code) for _ in range(20)))

    assert sorted(answer.status for answer in answers) == [200] + [400] * 19
    (won,) = (answer for answer in answers if answer.status == 200)
    assert await server.introspect(str(won.json["access_token"])) == Inactive(Reason.REVOKED_TOKEN)
    assert query("SELECT count(*) FROM access_tokens") == [(1,)]
    assert query("SELECT count(*) FROM refresh_tokens") == [(1,)]
    assert surroundings.issued == ["authorization_code"]
    assert set(surroundings.published) == {Revocation(ISSUER, "grant", f"{alice.user.id} desk")}


async def test_the_revocation_for_reuse_is_committed_before_it_is_published(
    endpoints: Endpoints, desk: NewSecret, alice: Person, surroundings: Surroundings, query: Query
) -> None:
    code = alice.authorize("desk")
    await redeem(endpoints, desk, code)
    seen: list[object] = []
    surroundings.on_publish = lambda _: seen.extend(query("SELECT revoked_at FROM families"))
    await redeem(endpoints, desk, code)
    assert seen == [(alice.now,)]


async def test_reuse_that_not_every_worker_has_heard_of_is_an_outage(
    endpoints: Endpoints,
    desk: NewSecret,
    alice: Person,
    surroundings: Surroundings,
    server: EmbeddedServer,
) -> None:
    """And trying again, which finds the family revoked already, tells them again."""
    code = alice.authorize("desk")
    token = str((await redeem(endpoints, desk, code)).json["access_token"])

    def fail(_: Revocation) -> None:
        raise RevocationNotAcknowledged((4711,))

    surroundings.on_publish = fail
    answer = await redeem(endpoints, desk, code)
    assert (answer.status, answer.json["error"]) == (503, "temporarily_unavailable")
    assert await server.introspect(token) == Inactive(Reason.REVOKED_TOKEN)

    surroundings.on_publish = None
    assert (await redeem(endpoints, desk, code)).json["error"] == "invalid_grant"
    assert len(surroundings.published) == 2


async def test_reuse_after_a_restart_is_still_found(
    options: AuthorizationServerOptions,
    surroundings: Surroundings,
    clock: Clock,
    desk: NewSecret,
    alice: Person,
) -> None:
    code = alice.authorize("desk")
    statuses = []
    for _ in range(2):
        server = EmbeddedServer(
            options, surroundings.publish, surroundings.count_issued, clock=clock
        )
        async with TestClient(TestServer(server.application())) as client:
            statuses.append((await redeem(Endpoints(client), desk, code)).status)
        await server.close()
    assert statuses == [200, 400]
    assert [one.kind for one in surroundings.published] == ["grant"]


async def test_a_fault_while_the_tokens_are_stored_burns_nothing(
    endpoints: Endpoints,
    desk: NewSecret,
    alice: Person,
    monkeypatch: pytest.MonkeyPatch,
    query: Query,
) -> None:
    code = alice.authorize("desk")

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(oauth_server, "insert_refresh_token", fail)
        assert (await redeem(endpoints, desk, code)).status == 500

    assert query("SELECT used_at FROM authorization_codes") == [(None,)]
    assert query("SELECT * FROM access_tokens") == []
    assert (await redeem(endpoints, desk, code)).status == 200


@pytest.mark.parametrize("what", ["client disabled", "client revoked", "grant", "person"])
async def test_what_was_taken_back_since_the_authorization_gives_nothing(
    endpoints: Endpoints,
    administration: Administration,
    desk: NewSecret,
    alice: Person,
    what: str,
    query: Query,
) -> None:
    code = alice.authorize("desk")
    if what == "client disabled":
        administration.disable_client("desk")
        assert (await redeem(endpoints, desk, code)).json["error"] == "invalid_client"
        administration.enable_client("desk")
    elif what == "client revoked":
        administration.revoke_client("desk")
    elif what == "grant":
        alice.take_back("desk")
    else:
        query("UPDATE users SET epoch = epoch - 1")

    answer = await redeem(endpoints, desk, code)

    assert (answer.status, answer.json["error"]) == (400, "invalid_grant")
    assert query("SELECT * FROM access_tokens") == []


async def test_scopes_that_are_not_declared_any_more_are_not_granted(
    options: AuthorizationServerOptions,
    surroundings: Surroundings,
    clock: Clock,
    desk: NewSecret,
    alice: Person,
) -> None:
    codes = [alice.authorize("desk"), alice.authorize("desk", "orders:write")]
    fewer = replace(options, scopes={"orders:read": {"": "See"}})
    server = EmbeddedServer(fewer, surroundings.publish, surroundings.count_issued, clock=clock)
    async with TestClient(TestServer(server.application())) as client:
        some, none = [await redeem(Endpoints(client), desk, code) for code in codes]
    await server.close()
    assert some.json["scope"] == "orders:read"
    assert none.json["error"] == "invalid_scope"  # and not a token that can do nothing


async def test_a_client_without_the_grant_is_told_so(
    endpoints: Endpoints, shop: NewSecret, desk: NewSecret, alice: Person
) -> None:
    answer = await redeem(endpoints, shop, alice.authorize("desk"))
    assert (answer.status, answer.json["error"]) == (400, "unauthorized_client")


async def test_a_confidential_client_has_to_authenticate_and_a_public_one_must_not(
    endpoints: Endpoints, desk: NewSecret, app: NewSecret, alice: Person
) -> None:
    """With the same answer as to a client that does not exist."""
    form = {
        "grant_type": "authorization_code",
        "redirect_uri": CALLBACK,
        "code_verifier": VERIFIER,
    }
    codes = {name: alice.authorize(name) for name in ("desk", "app")}
    answers = [
        await endpoints.post("/oauth2/token", {**form, "code": codes[name], **more}, basic=basic)
        for name, more, basic in (
            ("desk", {"client_id": "desk"}, None),
            ("desk", {"client_id": "nobody"}, None),
            ("desk", {}, None),
            ("app", {"client_id": "app", "client_secret": desk.secret}, None),
            ("app", {}, ("app", str(desk.secret))),
        )
    ]
    assert {answer.status for answer in answers} == {401}
    assert len({answer.body for answer in answers}) == 1
    assert (await redeem(endpoints, desk, codes["desk"])).status == 200
    assert (await redeem(endpoints, app, codes["app"])).status == 200


@pytest.mark.parametrize("path", ["/oauth2/introspect", "/oauth2/token"])
async def test_a_public_client_has_nothing_in_its_own_name(
    endpoints: Endpoints, app: NewSecret, path: str
) -> None:
    answer = await ask(endpoints, app, path, grant_type="client_credentials", token="x")
    assert (answer.status, answer.json["error"]) == (401, "invalid_client")
