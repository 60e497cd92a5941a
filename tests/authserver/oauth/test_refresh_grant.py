"""POST /oauth2/token: refresh tokens (RFC 6749, section 6; RFC 9700, section 4.14)."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
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
from gateway.policy.tokenformat import new_token, token_hash
from tests.authserver.conftest import ISSUER, Answer, Clock, Endpoints, Surroundings
from tests.authserver.people_fixtures import Person, read_all_before_any_claims, redeem, refresh

Query = Callable[..., list[tuple[Any, ...]]]
DAY = 24 * 3600


@pytest.fixture
async def first(endpoints: Endpoints, desk: NewSecret, alice: Person) -> Answer:
    """What the client `desk` got for its code."""
    return await redeem(endpoints, desk, alice.authorize("desk"))


@asynccontextmanager
async def another_server(
    options: AuthorizationServerOptions, surroundings: Surroundings, clock: Clock
) -> AsyncIterator[Endpoints]:
    """The server after a restart, perhaps with another configuration."""
    server = EmbeddedServer(options, surroundings.publish, surroundings.count_issued, clock=clock)
    async with TestClient(TestServer(server.application())) as client:
        yield Endpoints(client)
    await server.close()


async def is_alive(server: EmbeddedServer, answer: Answer) -> bool:
    """Says whether the guard takes the access token of an answer."""
    return isinstance(await server.introspect(str(answer.json["access_token"])), Token)


def count_usable(query: Query) -> int:
    """Counts refresh tokens that can be used, of families that live."""
    ((count,),) = query(
        "SELECT count(*) FROM refresh_tokens AS t JOIN families AS f ON f.id = t.family_id"
        " WHERE t.used_at IS NULL AND t.revoked_at IS NULL AND f.revoked_at IS NULL"
    )
    return int(count)


async def test_each_use_gives_a_new_refresh_token_and_the_old_access_token_lives_on(
    endpoints: Endpoints,
    desk: NewSecret,
    first: Answer,
    server: EmbeddedServer,
    surroundings: Surroundings,
    query: Query,
) -> None:
    second = await refresh(endpoints, desk, first.json["refresh_token"])
    third = await refresh(endpoints, desk, second.json["refresh_token"])

    assert (second.status, third.status) == (200, 200)
    assert len({str(one.json["refresh_token"]) for one in (first, second, third)}) == 3
    assert [await is_alive(server, one) for one in (first, second, third)] == [True] * 3
    assert third.json["scope"] == "orders:read orders:write"
    assert surroundings.issued == ["authorization_code", "refresh_token", "refresh_token"]
    assert surroundings.published == []
    assert count_usable(query) == 1


async def test_a_public_client_refreshes_by_its_name(
    endpoints: Endpoints, app: NewSecret, alice: Person
) -> None:
    first = await redeem(endpoints, app, alice.authorize("app"))
    assert (await refresh(endpoints, app, first.json["refresh_token"])).status == 200


async def test_narrowing_concerns_the_access_token_and_leaves_the_ceiling(
    endpoints: Endpoints, desk: NewSecret, first: Answer, server: EmbeddedServer
) -> None:
    narrow = await refresh(endpoints, desk, first.json["refresh_token"], scope="orders:read")
    said = await server.introspect(str(narrow.json["access_token"]))
    full = await refresh(endpoints, desk, narrow.json["refresh_token"])

    assert narrow.json["scope"] == "orders:read"
    assert isinstance(said, Token)
    assert said.scopes == {"orders:read"}
    assert full.json["scope"] == "orders:read orders:write"


@pytest.mark.parametrize(
    "scope",
    [
        "orders:read orders:write",
        "orders:write",
        "admin",
        " ",
        "orders:read  ",
        "orders:read\u00a0orders:read",
        '"',
    ],
)
async def test_nothing_widens_the_scope_and_trying_burns_nothing(
    endpoints: Endpoints, desk: NewSecret, alice: Person, query: Query, scope: str
) -> None:
    """Though the client itself could be allowed more."""
    first = await redeem(endpoints, desk, alice.authorize("desk", "orders:read"))

    answer = await refresh(endpoints, desk, first.json["refresh_token"], scope=scope)

    assert (answer.status, answer.json["error"]) == (400, "invalid_scope")
    assert query("SELECT used_at FROM refresh_tokens") == [(None,)]
    assert (await refresh(endpoints, desk, first.json["refresh_token"])).status == 200


async def test_scopes_that_are_not_declared_any_more_fall_away_and_cannot_be_asked_for(
    options: AuthorizationServerOptions,
    surroundings: Surroundings,
    clock: Clock,
    desk: NewSecret,
    first: Answer,
) -> None:
    fewer = replace(options, scopes={"orders:read": {"": "See"}})
    async with another_server(fewer, surroundings, clock) as endpoints:
        asked = await refresh(endpoints, desk, first.json["refresh_token"], scope="orders:write")
        silent = await refresh(endpoints, desk, first.json["refresh_token"])
    assert asked.json["error"] == "invalid_scope"
    assert silent.json["scope"] == "orders:read"

    none = replace(options, scopes={})
    async with another_server(none, surroundings, clock) as endpoints:
        empty = await refresh(endpoints, desk, silent.json["refresh_token"])
    assert empty.json["error"] == "invalid_scope"  # and not a token that can do nothing

    async with another_server(options, surroundings, clock) as endpoints:
        again = await refresh(endpoints, desk, silent.json["refresh_token"])
    assert again.json["scope"] == "orders:read orders:write"  # the ceiling was never lowered


async def test_scopes_that_the_client_lost_fall_away(
    endpoints: Endpoints, desk: NewSecret, first: Answer, query: Query
) -> None:
    query("UPDATE clients SET scopes = 'orders:read' WHERE id = 'desk'")
    token = first.json["refresh_token"]
    asked = await refresh(endpoints, desk, token, scope="orders:read orders:write")
    silent = await refresh(endpoints, desk, token)
    assert asked.json["error"] == "invalid_scope"
    assert silent.json["scope"] == "orders:read"


async def test_each_token_lives_its_lifetime_from_its_own_issue(
    endpoints: Endpoints, desk: NewSecret, first: Answer, clock: Clock, query: Query
) -> None:
    """Sliding expiry: who comes often enough stays."""
    latest = first
    for _ in range(3):
        clock.now += 30 * DAY - 1
        latest = await refresh(endpoints, desk, latest.json["refresh_token"])
        assert latest.status == 200
    ((expires_at,),) = query("SELECT expires_at FROM families")
    assert expires_at == int(clock.now) + 30 * DAY

    clock.now += 30 * DAY
    late = await refresh(endpoints, desk, latest.json["refresh_token"])
    assert (late.status, late.json["error"]) == (400, "invalid_grant")


async def test_expiry_is_no_reuse(
    endpoints: Endpoints, desk: NewSecret, first: Answer, clock: Clock, surroundings: Surroundings
) -> None:
    clock.now += 30 * DAY
    assert (await refresh(endpoints, desk, first.json["refresh_token"])).status == 400
    assert surroundings.published == []


async def test_a_lost_answer_is_forgiven_and_what_it_gave_is_taken_back(
    endpoints: Endpoints,
    desk: NewSecret,
    first: Answer,
    clock: Clock,
    server: EmbeddedServer,
    surroundings: Surroundings,
    query: Query,
) -> None:
    lost = await refresh(endpoints, desk, first.json["refresh_token"])
    clock.now += 30

    again = await refresh(endpoints, desk, first.json["refresh_token"])

    assert again.status == 200
    lost_hash = token_hash(str(lost.json["access_token"])).hex()
    assert surroundings.published == [Revocation(ISSUER, "token", lost_hash)]
    assert not await is_alive(server, lost)
    assert await is_alive(server, first)
    assert await is_alive(server, again)
    assert count_usable(query) == 1
    assert (await refresh(endpoints, desk, again.json["refresh_token"])).status == 200


async def test_the_lost_access_token_is_revoked_before_workers_hear_of_it(
    endpoints: Endpoints, desk: NewSecret, first: Answer, surroundings: Surroundings, query: Query
) -> None:
    lost = await refresh(endpoints, desk, first.json["refresh_token"])
    seen: list[object] = []
    statement = "SELECT revoked_at IS NOT NULL FROM access_tokens WHERE hash = ?"
    lost_hash = token_hash(str(lost.json["access_token"]))
    surroundings.on_publish = lambda _: seen.extend(query(statement, lost_hash))
    await refresh(endpoints, desk, first.json["refresh_token"])
    assert seen == [(True,)]


async def test_a_retry_that_not_every_worker_has_heard_of_is_an_outage(
    endpoints: Endpoints, desk: NewSecret, first: Answer, surroundings: Surroundings
) -> None:
    await refresh(endpoints, desk, first.json["refresh_token"])

    def fail(_: Revocation) -> None:
        raise RevocationNotAcknowledged((4711,))

    surroundings.on_publish = fail
    answer = await refresh(endpoints, desk, first.json["refresh_token"])
    assert (answer.status, answer.json["error"]) == (503, "temporarily_unavailable")
    assert surroundings.issued == ["authorization_code", "refresh_token"]


async def _use_past_the_grace(
    endpoints: Endpoints, desk: NewSecret, first: Answer, clock: Clock
) -> Answer:
    await refresh(endpoints, desk, first.json["refresh_token"])
    clock.now += 31
    return await refresh(endpoints, desk, first.json["refresh_token"])


async def _retry_twice(
    endpoints: Endpoints, desk: NewSecret, first: Answer, clock: Clock
) -> Answer:
    for _ in range(2):
        assert (await refresh(endpoints, desk, first.json["refresh_token"])).status == 200
    return await refresh(endpoints, desk, first.json["refresh_token"])


async def _retry_after_the_successor_was_used(
    endpoints: Endpoints, desk: NewSecret, first: Answer, clock: Clock
) -> Answer:
    second = await refresh(endpoints, desk, first.json["refresh_token"])
    assert (await refresh(endpoints, desk, second.json["refresh_token"])).status == 200
    return await refresh(endpoints, desk, first.json["refresh_token"])


async def _use_what_was_replaced(
    endpoints: Endpoints, desk: NewSecret, first: Answer, clock: Clock
) -> Answer:
    replaced = await refresh(endpoints, desk, first.json["refresh_token"])
    await refresh(endpoints, desk, first.json["refresh_token"])
    return await refresh(endpoints, desk, replaced.json["refresh_token"])


async def _use_long_after(
    endpoints: Endpoints, desk: NewSecret, first: Answer, clock: Clock
) -> Answer:
    latest = await refresh(endpoints, desk, first.json["refresh_token"])
    clock.now += 29 * DAY
    await refresh(endpoints, desk, latest.json["refresh_token"])
    clock.now += 2 * DAY  # the first one has expired meanwhile; the family has not
    return await refresh(endpoints, desk, first.json["refresh_token"])


@pytest.mark.parametrize(
    "misuse",
    [
        _use_past_the_grace,
        _retry_twice,
        _retry_after_the_successor_was_used,
        _use_what_was_replaced,
        _use_long_after,
    ],
)
async def test_reuse_revokes_the_family(  # noqa: PLR0917 - all that it has to look at
    endpoints: Endpoints,
    desk: NewSecret,
    first: Answer,
    clock: Clock,
    surroundings: Surroundings,
    alice: Person,
    query: Query,
    server: EmbeddedServer,
    misuse: Callable[..., Any],
) -> None:
    answer = await misuse(endpoints, desk, first, clock)

    assert (answer.status, answer.json["error"]) == (400, "invalid_grant")
    assert surroundings.published[-1] == Revocation(ISSUER, "grant", f"{alice.user.id} desk")
    assert query("SELECT revoked_at IS NOT NULL FROM families") == [(True,)]
    assert count_usable(query) == 0
    said = await server.introspect(str(first.json["access_token"]))
    assert said == Inactive(Reason.REVOKED_TOKEN)


async def test_after_reuse_no_token_of_the_family_gives_anything(
    endpoints: Endpoints, desk: NewSecret, first: Answer, clock: Clock, query: Query
) -> None:
    latest = await refresh(endpoints, desk, first.json["refresh_token"])
    clock.now += 31
    await refresh(endpoints, desk, first.json["refresh_token"])
    answer = await refresh(endpoints, desk, latest.json["refresh_token"])
    assert (answer.status, answer.json["error"]) == (400, "invalid_grant")
    assert query("SELECT count(*) FROM refresh_tokens") == [(2,)]


async def test_reuse_after_a_restart_is_still_found(
    endpoints: Endpoints,
    options: AuthorizationServerOptions,
    surroundings: Surroundings,
    clock: Clock,
    desk: NewSecret,
    first: Answer,
) -> None:
    await refresh(endpoints, desk, first.json["refresh_token"])
    clock.now += 31
    async with another_server(options, surroundings, clock) as restarted:
        answer = await refresh(restarted, desk, first.json["refresh_token"])
    assert answer.json["error"] == "invalid_grant"
    assert [one.kind for one in surroundings.published] == ["grant"]


@pytest.mark.parametrize("round_", range(3))
async def test_of_twenty_uses_at_once_at_most_two_succeed_and_nothing_of_it_is_left(
    endpoints: Endpoints,
    desk: NewSecret,
    first: Answer,
    server: EmbeddedServer,
    query: Query,
    round_: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The second is the retry that the grace allows; the third shows that two parties hold it."""
    read_all_before_any_claims(monkeypatch, "find_refresh_token")
    answers = await asyncio.gather(
        *(refresh(endpoints, desk, first.json["refresh_token"]) for _ in range(20))
    )

    won = [answer for answer in answers if answer.status == 200]
    assert {answer.status for answer in answers} == {200, 400}
    assert 1 <= len(won) <= 2
    assert count_usable(query) == 0
    assert not any([await is_alive(server, answer) for answer in won])
    assert query("SELECT count(*) FROM refresh_tokens") == [(1 + len(won),)]


@pytest.mark.parametrize("round_", range(5))
async def test_a_retry_and_the_use_of_the_successor_at_once_leave_at_most_one_token(
    endpoints: Endpoints,
    desk: NewSecret,
    first: Answer,
    query: Query,
    surroundings: Surroundings,
    round_: int,
) -> None:
    second = await refresh(endpoints, desk, first.json["refresh_token"])

    answers = await asyncio.gather(
        refresh(endpoints, desk, first.json["refresh_token"]),
        refresh(endpoints, desk, second.json["refresh_token"]),
    )

    assert sorted(answer.status for answer in answers) == [200, 400]
    assert count_usable(query) == 0
    assert surroundings.published[-1].kind == "grant"


async def test_a_fault_while_the_tokens_are_stored_burns_nothing(
    endpoints: Endpoints,
    desk: NewSecret,
    first: Answer,
    monkeypatch: pytest.MonkeyPatch,
    query: Query,
    surroundings: Surroundings,
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(oauth_server, "extend_family", fail)
        assert (await refresh(endpoints, desk, first.json["refresh_token"])).status == 500

    assert query("SELECT used_at FROM refresh_tokens") == [(None,)]
    assert query("SELECT count(*) FROM access_tokens") == [(1,)]
    assert (await refresh(endpoints, desk, first.json["refresh_token"])).status == 200
    assert surroundings.published == []


async def test_the_token_of_another_client_is_neither_used_nor_revoked(
    endpoints: Endpoints,
    desk: NewSecret,
    app: NewSecret,
    first: Answer,
    clock: Clock,
    surroundings: Surroundings,
    server: EmbeddedServer,
) -> None:
    assert (await refresh(endpoints, app, first.json["refresh_token"])).status == 400
    second = await refresh(endpoints, desk, first.json["refresh_token"])
    assert second.status == 200
    clock.now += 31  # nor is it reuse when somebody else tries the used one
    answer = await refresh(endpoints, app, first.json["refresh_token"])
    assert (answer.status, answer.json["error"]) == (400, "invalid_grant")
    assert surroundings.published == []
    assert await is_alive(server, second)


@pytest.mark.parametrize("what", ["client disabled", "client revoked", "grant", "person", "user"])
async def test_what_was_taken_back_cannot_be_refreshed(
    endpoints: Endpoints,
    administration: Administration,
    desk: NewSecret,
    first: Answer,
    alice: Person,
    query: Query,
    what: str,
) -> None:
    if what == "client disabled":
        administration.disable_client("desk")
        answer = await refresh(endpoints, desk, first.json["refresh_token"])
        assert answer.json["error"] == "invalid_client"
        administration.enable_client("desk")
    elif what == "client revoked":
        administration.revoke_client("desk")
    elif what == "grant":
        alice.take_back("desk")
    elif what == "person":
        query("UPDATE users SET epoch = epoch - 1")
    else:
        query("UPDATE users SET disabled_at = 1")

    answer = await refresh(endpoints, desk, first.json["refresh_token"])

    assert (answer.status, answer.json["error"]) == (400, "invalid_grant")
    assert query("SELECT used_at FROM refresh_tokens") == [(None,)]


async def test_the_audience_can_be_narrowed_and_not_widened(
    endpoints: Endpoints, desk: NewSecret, alice: Person, server: EmbeddedServer
) -> None:
    """RFC 8707, section 2.2."""
    one, two = "https://api.example", "https://shop.example/orders"
    code = alice.authorize("desk", audience=f"{one} {two}")
    first = await redeem(endpoints, desk, code)
    narrow = await refresh(endpoints, desk, first.json["refresh_token"], resource=two)
    wide = await refresh(
        endpoints, desk, narrow.json["refresh_token"], resource="https://shop.example/other"
    )
    full = await refresh(endpoints, desk, narrow.json["refresh_token"])

    audiences = []
    for answer in (first, narrow, full):
        said = await server.introspect(str(answer.json["access_token"]))
        assert isinstance(said, Token)
        audiences.append(said.audience)
    assert audiences == [(one, two), (two,), (one, two)]
    assert (wide.status, wide.json["error"]) == (400, "invalid_target")


async def test_what_is_no_refresh_token_is_refused(
    endpoints: Endpoints, desk: NewSecret, first: Answer
) -> None:
    for token in ("x", '"', "ü" * 55, new_token("rt"), str(first.json["access_token"])):
        answer = await refresh(endpoints, desk, token)
        assert (answer.status, answer.json["error"]) == (400, "invalid_grant")
    answer = await refresh(endpoints, desk, "")
    assert (answer.status, answer.json["error"]) == (400, "invalid_request")


async def test_a_client_that_lost_the_grant_cannot_refresh(
    endpoints: Endpoints, desk: NewSecret, first: Answer, query: Query
) -> None:
    query("UPDATE clients SET grant_types = 'authorization_code' WHERE id = 'desk'")
    answer = await refresh(endpoints, desk, first.json["refresh_token"])
    assert (answer.status, answer.json["error"]) == (400, "unauthorized_client")
