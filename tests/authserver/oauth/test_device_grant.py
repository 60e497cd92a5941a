"""Device authorization (RFC 8628): the endpoint, the person's answer, and the polling."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from gateway.authserver.administration import Administration, NewSecret
from gateway.authserver.options import AuthorizationServerOptions
from gateway.authserver.records import devices
from gateway.authserver.records.clients import find_client
from gateway.authserver.records.devices import begin_device_request, find_device_request
from gateway.authserver.server import EmbeddedServer
from gateway.policy.interfaces import Revocation
from gateway.policy.rejection import Reason
from gateway.policy.token import Inactive, Token
from gateway.policy.tokenformat import has_valid_checksum, new_token
from tests.authserver.conftest import ISSUER, Answer, Clock, Endpoints, Surroundings
from tests.authserver.people_fixtures import (
    DEVICE_GRANT,
    Person,
    ask,
    read_all_before_any_claims,
    refresh,
)

Query = Callable[..., list[tuple[Any, ...]]]
PATH = "/oauth2/device_authorization"


async def begin(endpoints: Endpoints, client: NewSecret, **form: str) -> Answer:
    return await ask(endpoints, client, PATH, **form)


async def poll(endpoints: Endpoints, client: NewSecret, begun: Answer) -> Answer:
    code = str(begun.json["device_code"])
    return await ask(endpoints, client, grant_type=DEVICE_GRANT, device_code=code)


async def test_a_device_is_told_where_a_person_answers(
    endpoints: Endpoints, app: NewSecret, query: Query, clock: Clock
) -> None:
    answer = await begin(endpoints, app, scope="orders:read")

    user_code = str(answer.json["user_code"])
    assert answer.status == 200
    assert answer.json.keys() == {
        "device_code",
        "user_code",
        "verification_uri",
        "verification_uri_complete",
        "expires_in",
        "interval",
    }
    assert has_valid_checksum(str(answer.json["device_code"]), "dc")
    assert len(user_code) == 9
    assert user_code[4] == "-"
    assert set(user_code) <= set("BCDFGHJKLMNPQRSTVWXZ-")
    assert answer.json["verification_uri"] == f"{ISSUER}/oauth2/device"
    assert (
        answer.json["verification_uri_complete"] == f"{ISSUER}/oauth2/device?user_code={user_code}"
    )
    assert (answer.json["expires_in"], answer.json["interval"]) == (600, 5)
    assert answer.headers["Cache-Control"] == "no-store"
    assert query("SELECT client_id, scope, audience, expires_at FROM device_codes") == [
        ("app", "orders:read", "", int(clock.now) + 600)
    ]
    assert user_code not in repr(query("SELECT * FROM device_codes"))


async def test_the_person_says_yes_and_the_device_gets_its_tokens(
    endpoints: Endpoints,
    app: NewSecret,
    alice: Person,
    clock: Clock,
    server: EmbeddedServer,
    surroundings: Surroundings,
) -> None:
    begun = await begin(endpoints, app, scope="orders:read", resource="https://api.example")
    pending = await poll(endpoints, app, begun)
    assert (pending.status, pending.json["error"]) == (400, "authorization_pending")
    assert alice.approve(str(begun.json["user_code"]))
    clock.now += 5

    answer = await poll(endpoints, app, begun)

    assert answer.status == 200
    assert answer.json["scope"] == "orders:read"
    said = await server.introspect(str(answer.json["access_token"]))
    assert isinstance(said, Token)
    assert (said.subject, said.client_id) == (alice.user.id, "app")
    assert said.audience == ("https://api.example",)
    assert surroundings.issued == [DEVICE_GRANT]
    assert (await refresh(endpoints, app, answer.json["refresh_token"])).status == 200


async def test_the_person_says_no(endpoints: Endpoints, app: NewSecret, alice: Person) -> None:
    begun = await begin(endpoints, app)
    assert alice.deny(str(begun.json["user_code"]))
    answer = await poll(endpoints, app, begun)
    assert (answer.status, answer.json["error"]) == (400, "access_denied")


async def test_who_asks_too_often_has_to_slow_down_more_each_time(
    endpoints: Endpoints, app: NewSecret, clock: Clock, query: Query
) -> None:
    begun = await begin(endpoints, app)
    errors = []
    for pause in (0, 5, 4, 9, 15, 14):
        clock.now += pause
        errors.append((await poll(endpoints, app, begun)).json["error"])
    pending, slow = "authorization_pending", "slow_down"
    assert errors == [pending, pending, slow, slow, pending, slow]
    assert query('SELECT "interval" FROM device_codes') == [(20,)]


async def test_an_answer_is_not_held_back_from_who_asks_too_often(
    endpoints: Endpoints, app: NewSecret, alice: Person
) -> None:
    begun = await begin(endpoints, app)
    await poll(endpoints, app, begun)
    alice.approve(str(begun.json["user_code"]))
    assert (await poll(endpoints, app, begun)).status == 200


async def test_a_device_code_lives_ten_minutes(
    endpoints: Endpoints, app: NewSecret, alice: Person, clock: Clock
) -> None:
    begun, approved = await begin(endpoints, app), await begin(endpoints, app)
    clock.now += 599
    alice.approve(str(approved.json["user_code"]))
    clock.now += 1
    for late in (begun, approved):
        answer = await poll(endpoints, app, late)
        assert (answer.status, answer.json["error"]) == (400, "expired_token")


async def test_a_request_is_decided_once_and_in_time(
    endpoints: Endpoints, app: NewSecret, alice: Person, clock: Clock
) -> None:
    begun = await begin(endpoints, app)
    user_code = str(begun.json["user_code"])
    with alice.database.transaction() as connection:
        request = find_device_request(connection, user_code, clock.now)
        assert request is not None
        assert (request.client_id, request.scope) == ("app", "orders:read orders:write")
        clock.now += 600
        assert find_device_request(connection, user_code, clock.now) is None
        assert not devices.approve_device(connection, request, "family", clock.now)
        assert not devices.deny_device(connection, request, clock.now)
        clock.now -= 1
        assert devices.deny_device(connection, request, clock.now)
        assert not devices.approve_device(connection, request, "family", clock.now)
        assert not devices.deny_device(connection, request, clock.now)
        assert find_device_request(connection, user_code, clock.now) is None
    assert (await poll(endpoints, app, begun)).json["error"] == "access_denied"


@pytest.mark.parametrize("what", ["revoked", "disabled"])
async def test_a_client_that_was_revoked_since_it_asked_gets_nothing(
    endpoints: Endpoints, administration: Administration, app: NewSecret, alice: Person, what: str
) -> None:
    approved, pending = await begin(endpoints, app), await begin(endpoints, app)
    alice.approve(str(approved.json["user_code"]))
    if what == "revoked":
        administration.revoke_client("app")
    else:
        administration.disable_client("app")
        assert (await begin(endpoints, app)).json["error"] == "invalid_client"
        assert (await poll(endpoints, app, approved)).json["error"] == "invalid_client"
        administration.enable_client("app")
    with alice.database.transaction() as connection:
        assert find_device_request(connection, str(pending.json["user_code"]), alice.now) is None
    for begun in (approved, pending):
        answer = await poll(endpoints, app, begun)
        assert (answer.status, answer.json["error"]) == (400, "invalid_grant")


async def test_a_disabled_clients_request_shows_to_nobody(
    endpoints: Endpoints, app: NewSecret, alice: Person, query: Query
) -> None:
    begun = await begin(endpoints, app)
    query("UPDATE clients SET disabled_at = 1")
    with alice.database.transaction() as connection:
        assert find_device_request(connection, str(begun.json["user_code"]), alice.now) is None


@pytest.mark.parametrize("typed", ["{code}", "{lower}", " {lower} ", "{letters}", "{spaced}"])
async def test_a_person_may_type_the_code_in_any_way(
    endpoints: Endpoints, app: NewSecret, alice: Person, typed: str
) -> None:
    """RFC 8628, section 6.1."""
    code = str((await begin(endpoints, app)).json["user_code"])
    text = typed.format(
        code=code,
        lower=code.lower(),
        letters=code.replace("-", ""),
        spaced=" ".join(code.replace("-", "")),
    )
    assert devices.normalize_user_code(text) == code
    with alice.database.transaction() as connection:
        assert find_device_request(connection, text, alice.now) is not None


def test_a_user_code_that_is_none_is_none_of_ours(alice: Person) -> None:
    with alice.database.transaction() as connection:
        for text in ("", "AEIOU", "BCDF", "BCDFGHJKL", '"', "\0", "\udcff", "ü", "x" * 100_000):
            assert find_device_request(connection, text, alice.now) is None


async def test_a_user_code_that_is_taken_is_drawn_again(
    alice: Person, app: NewSecret, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes = iter(["BBBB-BBBB", "BBBB-BBBB", "CCCC-CCCC"])
    monkeypatch.setattr(devices, "_new_user_code", lambda: next(codes))
    drawn = []
    with alice.database.transaction() as connection:
        client = find_client(connection, "app")
        assert client is not None
        for _ in range(2):
            new = begin_device_request(connection, client, scope="", audience="", now=alice.now)
            drawn.append(new.user_code)
    assert drawn == ["BBBB-BBBB", "CCCC-CCCC"]


async def test_the_code_of_another_client_is_neither_used_nor_slowed_down(
    endpoints: Endpoints, app: NewSecret, desk: NewSecret, alice: Person, query: Query
) -> None:
    query("UPDATE clients SET epoch = 1")  # so that nothing but the name tells them apart
    begun = await begin(endpoints, app)
    for _ in range(2):
        answer = await poll(endpoints, desk, begun)
        assert (answer.status, answer.json["error"]) == (400, "invalid_grant")
    assert query("SELECT polled_at FROM device_codes") == [(None,)]
    alice.approve(str(begun.json["user_code"]))
    assert (await poll(endpoints, desk, begun)).json["error"] == "invalid_grant"
    assert (await poll(endpoints, app, begun)).status == 200


async def test_of_twenty_polls_at_once_one_succeeds_and_then_nothing_of_it_is_left(
    endpoints: Endpoints,
    app: NewSecret,
    alice: Person,
    server: EmbeddedServer,
    surroundings: Surroundings,
    query: Query,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """To use a device code again is reuse as well: two parties hold it."""
    begun = await begin(endpoints, app)
    alice.approve(str(begun.json["user_code"]))

    read_all_before_any_claims(monkeypatch, "find_device_code")
    answers = await asyncio.gather(*(poll(endpoints, app, begun) for _ in range(20)))

    assert sorted(answer.status for answer in answers) == [200] + [400] * 19
    (won,) = (answer for answer in answers if answer.status == 200)
    assert {answer.json["error"] for answer in answers if answer is not won} == {"invalid_grant"}
    assert await server.introspect(str(won.json["access_token"])) == Inactive(Reason.REVOKED_TOKEN)
    assert query("SELECT count(*) FROM access_tokens") == [(1,)]
    assert set(surroundings.published) == {Revocation(ISSUER, "grant", f"{alice.user.id} app")}


async def test_a_device_code_that_is_used_again_revokes_what_it_gave(
    endpoints: Endpoints,
    app: NewSecret,
    alice: Person,
    server: EmbeddedServer,
    surroundings: Surroundings,
    clock: Clock,
) -> None:
    begun = await begin(endpoints, app)
    alice.approve(str(begun.json["user_code"]))
    given = (await poll(endpoints, app, begun)).json
    clock.now += 3600  # the code has expired long ago, and it is reuse all the same

    answer = await poll(endpoints, app, begun)

    assert (answer.status, answer.json["error"]) == (400, "invalid_grant")
    assert surroundings.published == [Revocation(ISSUER, "grant", f"{alice.user.id} app")]
    assert surroundings.sources == ["reuse"]
    said = await server.introspect(str(given["access_token"]))
    assert said == Inactive(Reason.REVOKED_TOKEN)
    assert (await refresh(endpoints, app, given["refresh_token"])).json["error"] == "invalid_grant"


async def test_a_failed_poll_does_not_burn_the_code(
    endpoints: Endpoints, app: NewSecret, alice: Person
) -> None:
    begun = await begin(endpoints, app)
    alice.approve(str(begun.json["user_code"]))
    refused = await ask(
        endpoints,
        app,
        grant_type=DEVICE_GRANT,
        device_code=str(begun.json["device_code"]),
        resource="https://evil.example/",
    )
    assert refused.json["error"] == "invalid_target"
    assert (await poll(endpoints, app, begun)).status == 200


async def test_a_grant_that_was_taken_back_before_the_poll_gives_nothing(
    endpoints: Endpoints, app: NewSecret, alice: Person
) -> None:
    begun = await begin(endpoints, app)
    alice.approve(str(begun.json["user_code"]))
    alice.take_back("app")
    assert (await poll(endpoints, app, begun)).json["error"] == "invalid_grant"


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"scope": "admin"}, "invalid_scope"),
        ({"scope": " "}, "invalid_scope"),
        ({"resource": "https://evil.example"}, "invalid_target"),
    ],
)
async def test_a_device_asks_for_nothing_that_its_client_may_not_have(
    endpoints: Endpoints, app: NewSecret, query: Query, form: dict[str, str], error: str
) -> None:
    answer = await begin(endpoints, app, **form)
    assert (answer.status, answer.json["error"]) == (400, error)
    assert query("SELECT * FROM device_codes") == []


async def test_the_grant_is_asked_for_at_both_endpoints(
    endpoints: Endpoints, shop: NewSecret
) -> None:
    for answer in (
        await begin(endpoints, shop),
        await ask(endpoints, shop, grant_type=DEVICE_GRANT, device_code=new_token("dc")),
    ):
        assert (answer.status, answer.json["error"]) == (400, "unauthorized_client")


async def test_what_is_no_device_code_is_refused(endpoints: Endpoints, app: NewSecret) -> None:
    for code in ("x", '"', "ü" * 55, new_token("dc"), new_token("at")):
        answer = await ask(endpoints, app, grant_type=DEVICE_GRANT, device_code=code)
        assert (answer.status, answer.json["error"]) == (400, "invalid_grant")
    missing = await ask(endpoints, app, grant_type=DEVICE_GRANT)
    assert (missing.status, missing.json["error"]) == (400, "invalid_request")


async def test_an_address_asks_a_hundred_times_in_ten_minutes_and_then_nothing_is_stored(
    endpoints: Endpoints, app: NewSecret, query: Query
) -> None:
    """A public client's name is no secret, and each request leaves a row."""
    for _ in range(100):
        assert (await begin(endpoints, app)).status == 200

    answer = await begin(endpoints, app)

    assert (answer.status, answer.json["error"]) == (429, "temporarily_unavailable")
    assert 0 < int(answer.headers["Retry-After"]) <= 600
    assert query("SELECT count(*) FROM device_codes") == [(100,)]


async def test_whoever_comes_by_a_trusted_proxy_is_counted_by_their_own_address(
    options: AuthorizationServerOptions,
    surroundings: Surroundings,
    clock: Clock,
    app: NewSecret,
) -> None:
    proxied = replace(options, trusted_proxies=(ip_network("127.0.0.0/8"),))
    server = EmbeddedServer(proxied, surroundings.publish, surroundings.count_issued, clock=clock)
    async with TestClient(TestServer(server.application())) as client:
        statuses = [
            (
                await Endpoints(client).post(
                    PATH, {"client_id": "app"}, headers={"X-Forwarded-For": address}
                )
            ).status
            for address in (*["192.0.2.1"] * 101, "192.0.2.2")
        ]
    await server.close()
    assert statuses == [200] * 100 + [429, 200]


async def test_a_stranger_begins_nothing(endpoints: Endpoints, desk: NewSecret) -> None:
    for form in ({}, {"client_id": "desk"}, {"client_id": "nobody"}):
        answer = await endpoints.post(PATH, form)
        assert (answer.status, answer.json["error"]) == (401, "invalid_client")
