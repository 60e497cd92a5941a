"""POST /oauth2/revoke (RFC 7009): commit, then publish, then answer."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from gateway.authserver.administration import Administration, NewSecret
from gateway.authserver.server import EmbeddedServer
from gateway.policy.interfaces import Revocation, RevocationNotAcknowledged
from gateway.policy.rejection import Reason
from gateway.policy.token import Inactive
from gateway.policy.tokenformat import new_token, token_hash
from tests.authserver.conftest import ISSUER, Answer, Clock, Endpoints, Surroundings
from tests.authserver.people_fixtures import Person, ask, redeem, refresh

Query = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def token(administration: Administration, shop: NewSecret) -> str:
    """A live token of the client `shop`."""
    assert shop.client.id == "shop"
    return administration.issue_token("shop").token


async def test_a_client_takes_back_its_token(
    endpoints: Endpoints,
    shop: NewSecret,
    token: str,
    surroundings: Surroundings,
    server: EmbeddedServer,
) -> None:
    answer = await endpoints.revoke(shop, token)

    assert (answer.status, answer.json) == (200, {})
    assert surroundings.published == [Revocation(ISSUER, "token", token_hash(token).hex())]
    assert surroundings.sources == ["endpoint"]
    assert await server.introspect(token) == Inactive(Reason.REVOKED_TOKEN)


async def test_the_revocation_is_committed_before_it_is_published(
    endpoints: Endpoints,
    shop: NewSecret,
    token: str,
    surroundings: Surroundings,
    query: Query,
    clock: Clock,
) -> None:
    """A worker that is told forgets, and asks the database again at once."""
    seen: list[object] = []
    surroundings.on_publish = lambda _: seen.extend(query("SELECT revoked_at FROM access_tokens"))

    await endpoints.revoke(shop, token)

    assert seen == [(int(clock.now),)]


async def test_nothing_is_answered_before_every_worker_has_acknowledged(
    endpoints: Endpoints, shop: NewSecret, token: str, surroundings: Surroundings
) -> None:
    is_publishing, may_return = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        is_publishing.set()
        await may_return.wait()

    surroundings.on_publish = lambda _: hold()
    revocation = asyncio.create_task(endpoints.revoke(shop, token))
    await asyncio.wait_for(is_publishing.wait(), 10)

    # The connection has had every chance to answer: another whole request goes by meanwhile.
    await endpoints.issue(shop)
    assert not revocation.done()

    may_return.set()
    assert (await revocation).status == 200


@pytest.mark.parametrize(
    "failure", [RevocationNotAcknowledged((4711,)), PermissionError(13, "4711", "/state/workers")]
)
async def test_a_worker_that_stays_silent_makes_it_an_outage_and_the_token_is_revoked(
    endpoints: Endpoints,
    shop: NewSecret,
    token: str,
    surroundings: Surroundings,
    server: EmbeddedServer,
    failure: Exception,
) -> None:
    def fail(_: Revocation) -> None:
        raise failure

    surroundings.on_publish = fail
    answer = await endpoints.revoke(shop, token)

    assert (answer.status, answer.json["error"]) == (503, "temporarily_unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    assert b"4711" not in answer.body
    assert await server.introspect(token) == Inactive(Reason.REVOKED_TOKEN)


async def test_trying_again_publishes_again(
    endpoints: Endpoints,
    shop: NewSecret,
    token: str,
    surroundings: Surroundings,
    query: Query,
    clock: Clock,
) -> None:
    """After a 503 the client tries again, and then 200 must mean that every worker knows."""
    first = int(clock.now)
    await endpoints.revoke(shop, token)
    clock.now += 5
    assert (await endpoints.revoke(shop, token)).status == 200

    assert len(surroundings.published) == 2
    assert query("SELECT revoked_at FROM access_tokens") == [(first,)]


async def test_an_unknown_token_is_gone_already(
    endpoints: Endpoints, shop: NewSecret, surroundings: Surroundings
) -> None:
    """RFC 7009, section 2.2."""
    for token in (new_token("at"), "nonsense", "ü", shop.secret):
        answer = await endpoints.revoke(shop, token)
        assert (answer.status, answer.json) == (200, {})
    assert surroundings.published == []


async def test_nobody_takes_back_the_token_of_another(
    endpoints: Endpoints,
    administration: Administration,
    token: str,
    api: NewSecret,
    surroundings: Surroundings,
    server: EmbeddedServer,
) -> None:
    other = administration.add_client("other", grant_types=["client_credentials"])
    for client in (other, api):
        answer = await endpoints.revoke(client, token)
        assert (answer.status, answer.json["error"]) == (400, "invalid_grant")

    assert surroundings.published == []
    assert not isinstance(await server.introspect(token), Inactive)


async def test_a_stranger_takes_back_nothing(
    endpoints: Endpoints, token: str, surroundings: Surroundings, server: EmbeddedServer
) -> None:
    for basic in (None, ("shop", "wrong")):
        answer = await endpoints.post("/oauth2/revoke", {"token": token}, basic=basic)
        assert answer.status == 401
    assert surroundings.published == []
    assert not isinstance(await server.introspect(token), Inactive)


@pytest.mark.parametrize("hint", ["access_token", "refresh_token", "nonsense"])
async def test_a_type_hint_changes_nothing_even_when_it_is_unknown(
    endpoints: Endpoints, shop: NewSecret, token: str, surroundings: Surroundings, hint: str
) -> None:
    """RFC 7009, section 2.1: an invalid hint is ignored."""
    assert (await endpoints.revoke(shop, token, token_type_hint=hint)).status == 200
    assert len(surroundings.published) == 1


async def test_the_token_has_to_be_there(endpoints: Endpoints, shop: NewSecret) -> None:
    answer = await endpoints.post("/oauth2/revoke", {}, basic=shop)
    assert (answer.status, answer.json["error"]) == (400, "invalid_request")


@pytest.fixture(params=["desk", "app"])
def client(request: pytest.FixtureRequest) -> NewSecret:
    """A confidential client, and a public one."""
    return request.getfixturevalue(request.param)


async def revoke(endpoints: Endpoints, client: NewSecret, token: object, **form: str) -> Answer:
    return await ask(endpoints, client, "/oauth2/revoke", token=str(token), **form)


@pytest.mark.parametrize("hint", [{}, {"token_type_hint": "access_token"}])
async def test_a_refresh_token_takes_its_family_with_it(
    endpoints: Endpoints,
    client: NewSecret,
    alice: Person,
    surroundings: Surroundings,
    server: EmbeddedServer,
    hint: dict[str, str],
) -> None:
    """RFC 7009, section 2.1."""
    first = await redeem(endpoints, client, alice.authorize(client.client.id))
    second = await refresh(endpoints, client, first.json["refresh_token"])

    answer = await revoke(endpoints, client, second.json["refresh_token"], **hint)

    assert (answer.status, answer.json) == (200, {})
    what = f"{alice.user.id} {client.client.id}"
    assert surroundings.published == [Revocation(ISSUER, "grant", what)]
    for given in (first, second):
        said = await server.introspect(str(given.json["access_token"]))
        assert said == Inactive(Reason.REVOKED_TOKEN)
    assert (await refresh(endpoints, client, second.json["refresh_token"])).status == 400


async def test_a_used_refresh_token_takes_its_family_with_it_too(
    endpoints: Endpoints, desk: NewSecret, alice: Person, clock: Clock
) -> None:
    first = await redeem(endpoints, desk, alice.authorize("desk"))
    second = await refresh(endpoints, desk, first.json["refresh_token"])
    clock.now += 3600
    assert (await revoke(endpoints, desk, first.json["refresh_token"])).status == 200
    assert (await refresh(endpoints, desk, second.json["refresh_token"])).status == 400


async def test_an_access_token_goes_alone(
    endpoints: Endpoints,
    client: NewSecret,
    alice: Person,
    surroundings: Surroundings,
    server: EmbeddedServer,
) -> None:
    first = await redeem(endpoints, client, alice.authorize(client.client.id))
    token = str(first.json["access_token"])

    assert (await revoke(endpoints, client, token)).status == 200

    assert surroundings.published == [Revocation(ISSUER, "token", token_hash(token).hex())]
    assert await server.introspect(token) == Inactive(Reason.REVOKED_TOKEN)
    assert (await refresh(endpoints, client, first.json["refresh_token"])).status == 200


async def test_nobody_takes_back_the_family_of_another(
    endpoints: Endpoints, desk: NewSecret, app: NewSecret, alice: Person, surroundings: Surroundings
) -> None:
    first = await redeem(endpoints, desk, alice.authorize("desk"))
    for name in ("access_token", "refresh_token"):
        answer = await revoke(endpoints, app, first.json[name])
        assert (answer.status, answer.json["error"]) == (400, "invalid_grant")
    assert surroundings.published == []
    assert (await refresh(endpoints, desk, first.json["refresh_token"])).status == 200


async def test_a_family_that_not_every_worker_has_heard_of_is_an_outage_and_revoked(
    endpoints: Endpoints, desk: NewSecret, alice: Person, surroundings: Surroundings
) -> None:
    first = await redeem(endpoints, desk, alice.authorize("desk"))

    def fail(_: Revocation) -> None:
        raise RevocationNotAcknowledged((4711,))

    surroundings.on_publish = fail
    assert (await revoke(endpoints, desk, first.json["refresh_token"])).status == 503
    surroundings.on_publish = None
    assert (await refresh(endpoints, desk, first.json["refresh_token"])).status == 400
    assert (await revoke(endpoints, desk, first.json["refresh_token"])).status == 200
    assert len(surroundings.published) == 2


async def test_an_unknown_refresh_token_is_gone_already(
    endpoints: Endpoints, desk: NewSecret, surroundings: Surroundings
) -> None:
    assert (await revoke(endpoints, desk, new_token("rt"))).status == 200
    assert surroundings.published == []
