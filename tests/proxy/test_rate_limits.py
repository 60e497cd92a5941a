"""Rate limits: who is counted when, what is refused, and what every answer tells of it.

The windows are as long as they can be, so that none ends within a test.
"""

import asyncio
import dataclasses
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from gateway.middleware.admission import AdmissionJudge
from tests.parts.redis import RedisServer
from tests.proxy.stage import OK, Peer, Seen, Stage, token
from tests.proxy.test_admission import BEHIND_PROXY, TOKEN, get, guarded, public

DAY = 24 * 3600
ORDERS = get(b"/orders/1", TOKEN)
PUBLIC = get(b"/public/1")


def limits(*pairs: str) -> dict[str, object]:
    """`client 3` becomes three requests a day for each client."""
    found = [pair.split() for pair in pairs]
    return {"rate_limits": [{"per": per, "limit": f"{amount}/24h"} for per, amount in found]}


def bearer(name: str) -> bytes:
    return get(b"/orders/1", b"Authorization: Bearer " + name.encode())


@asynccontextmanager
async def answering(stage: Stage) -> AsyncIterator[list[Seen]]:
    """Let the service answer whatever comes; gives what it sees."""
    seen: list[Seen] = []

    async def answer(peer: Peer) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                seen.append(Seen(await peer.reader.readuntil(b"\r\n\r\n")))
                peer.send(OK)

    async def serve() -> None:
        async with asyncio.TaskGroup() as group:
            while True:
                group.create_task(answer(await stage.service._new.get()))

    task = asyncio.create_task(serve())
    try:
        yield seen
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def statuses(stage: Stage, *requests: bytes) -> list[int]:
    return [(await stage.ask(request)).status for request in requests]


@pytest.mark.parametrize("per", ["address", "client", "person", "route"])
async def test_what_is_over_a_limit_is_429_and_never_reaches_the_service(
    stage: Stage, per: str
) -> None:
    await stage.open(routes=[guarded(**limits(f"{per} 3"))])
    async with answering(stage) as seen:
        assert await statuses(stage, *[ORDERS] * 3) == [200] * 3
        answer = await stage.ask(ORDERS)
    assert (answer.status, answer.reason) == (429, "rate_limited")
    assert 1 <= int(answer.fields["retry-after"]) <= DAY + 1
    assert answer.fields["ratelimit-policy"] == f'"{per}-24h";q=3;w={DAY}'
    assert answer.fields["ratelimit"] == f'"{per}-24h";r=0;t={answer.fields["retry-after"]}'
    assert answer.fields["cache-control"] == "no-store"
    assert "www-authenticate" not in answer.fields
    assert len(seen) == 3
    assert stage.series("gateway_refusals_total") == {
        'reason="rate_limited",route="orders"': 1.0,
    }
    entries = await stage.log()
    assert entries[-1]["reason"] == "rate_limited"
    assert entries[-1]["detail"] == f"{per}-24h: 3 in {DAY} s"


async def test_an_answer_tells_what_is_left(stage: Stage) -> None:
    await stage.open(routes=[guarded(**limits("address 9", "client 5")), public()])
    async with answering(stage):
        await stage.ask(ORDERS)
        answer = await stage.ask(ORDERS)
        plain = await stage.ask(PUBLIC)
    policy = f'"address-24h";q=9;w={DAY}, "client-24h";q=5;w={DAY}'
    assert answer.fields["ratelimit-policy"] == policy
    told = re.sub("t=[0-9]+", "t=T", answer.fields["ratelimit"])
    assert told == '"address-24h";r=7;t=T, "client-24h";r=3;t=T'
    assert not [name for name in plain.fields if name.startswith("ratelimit")]


async def test_a_refusal_tells_as_much_as_was_counted(stage: Stage) -> None:
    await stage.open(routes=[guarded(**limits("address 9", "client 5"))])
    answer = await stage.ask(get(b"/orders/1"))
    assert answer.reason == "missing_token"
    assert answer.fields["ratelimit-policy"].count("q=") == 2
    assert re.fullmatch('"address-24h";r=8;t=[0-9]+', answer.fields["ratelimit"])


async def test_an_address_is_counted_before_anybody_is_asked_about_a_token(stage: Stage) -> None:
    await stage.open(routes=[guarded(**limits("address 2"))])
    guesses = [bearer(f"guess{number}") for number in range(5)]
    assert await statuses(stage, *guesses) == [401, 401, 429, 429, 429]
    assert stage.tokens.asked == ["guess0", "guess1"]


@pytest.mark.parametrize("per", ["client", "person", "route"])
async def test_what_does_not_open_the_route_takes_nothing_of_others(stage: Stage, per: str) -> None:
    await stage.open(routes=[guarded(**limits(f"{per} 1"))])
    refused = [get(b"/orders/1"), bearer("inactive"), bearer("powerless")] * 2
    async with answering(stage):
        assert await statuses(stage, *refused) == [401, 401, 403] * 2
        assert await statuses(stage, ORDERS, ORDERS) == [200, 429]


async def test_who_has_used_up_a_limit_takes_nothing_of_what_all_share(stage: Stage) -> None:
    await stage.open(routes=[guarded(**limits("route 3", "client 2"))])
    stage.tokens.answers["other"] = dataclasses.replace(token("orders:read"), client_id="other")
    async with answering(stage):
        assert await statuses(stage, *[ORDERS] * 5) == [200, 200, 429, 429, 429]
        assert await statuses(stage, bearer("other"), bearer("other")) == [200, 429]


@pytest.mark.parametrize(("per", "expected"), [("client", [200, 429, 200]), ("person", [200] * 3)])
async def test_clients_and_people_are_counted_apart(
    stage: Stage, per: str, expected: list[int]
) -> None:
    """`machine` is of the same client as `reader`, and of no person."""
    await stage.open(routes=[guarded(**limits(f"{per} 1"))])
    stage.tokens.answers["other"] = dataclasses.replace(
        token("orders:read", subject="77aa"), client_id="other"
    )
    async with answering(stage):
        asked = (bearer("reader"), bearer("machine"), bearer("other"))
        assert await statuses(stage, *asked) == expected
        assert await statuses(stage, *asked) == [429] * 3


async def test_a_new_token_is_no_new_client(stage: Stage) -> None:
    await stage.open(routes=[guarded(**limits("client 2"))])
    names = [f"token{number}" for number in range(4)]
    stage.tokens.answers |= {name: token("orders:read", number=name) for name in names}
    async with answering(stage):
        assert await statuses(stage, *map(bearer, names)) == [200, 200, 429, 429]


async def test_an_address_is_what_a_trusted_proxy_says_and_a_64_of_ipv6(stage: Stage) -> None:
    await stage.open(routes=[public(**limits("address 1"))], **BEHIND_PROXY)
    lines = [b"192.0.2.1", b"6.6.6.6, 192.0.2.1", b"192.0.2.2", b"2001:db8::1", b"2001:db8::2"]
    requests = [get(b"/public/1", b"X-Forwarded-For: " + line) for line in lines]
    async with answering(stage):
        assert await statuses(stage, *requests) == [200, 429, 200, 200, 429]


async def test_a_stranger_is_not_another_one_by_saying_so(stage: Stage) -> None:
    await stage.open(routes=[public(**limits("address 1"))])
    requests = [get(b"/public/1", b"X-Forwarded-For: 192.0.2.%d" % number) for number in range(2)]
    async with answering(stage):
        assert await statuses(stage, *requests) == [200, 429]


async def test_a_limit_over_all_routes_is_used_up_on_all_of_them(stage: Stage) -> None:
    stock = guarded(name="stock", match={"path": "/stock"}, **limits("client 9"))
    await stage.open(routes=[guarded(), stock, public()], **limits("client 3"))
    in_stock = get(b"/stock", TOKEN)
    async with answering(stage):
        assert await statuses(stage, ORDERS, in_stock, ORDERS) == [200, 200, 200]
        assert await statuses(stage, ORDERS, in_stock) == [429, 429]
        answer = await stage.ask(PUBLIC)
    assert answer.status == 200  # it knows no client
    assert "ratelimit" not in answer.fields


async def test_routes_have_counts_of_their_own(stage: Stage) -> None:
    stock = guarded(name="stock", match={"path": "/stock"}, **limits("client 1"))
    await stage.open(routes=[guarded(**limits("client 1")), stock])
    async with answering(stage):
        assert await statuses(stage, ORDERS, get(b"/stock", TOKEN)) == [200, 200]
        assert await statuses(stage, ORDERS, get(b"/stock", TOKEN)) == [429, 429]


async def test_the_destination_of_a_move_is_counted_where_it_leads(stage: Stage) -> None:
    vault = public(name="vault", match={"path": "/public/vault/**"}, **limits("address 1"))
    await stage.open(routes=[public(), vault], **limits("address 5"))
    move = get(b"/public/a", b"Destination: /public/vault/a", method=b"MOVE")
    within = get(b"/public/a", b"Destination: /public/b", method=b"MOVE")
    async with answering(stage):
        assert await statuses(stage, move, move) == [200, 429]
        # And what two routes have in common once: that was the third request of five.
        assert await statuses(stage, within, within, within, within) == [200, 200, 200, 429]


async def test_a_client_out_of_the_networks_takes_nothing(stage: Stage) -> None:
    route = public(networks=["192.0.2.0/24"], **limits("route 1"))
    await stage.open(routes=[route], **BEHIND_PROXY)
    outside = get(b"/public/1", b"X-Forwarded-For: 6.6.6.6")
    inside = get(b"/public/1", b"X-Forwarded-For: 192.0.2.1")
    async with answering(stage):
        assert await statuses(stage, outside, outside, inside, inside) == [403, 403, 200, 429]


async def test_routes_without_any_of_it_take_the_short_way(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They cost no more than before: one look at an attribute."""
    await stage.open(routes=[guarded(), public(**limits("address 5"))])
    monkeypatch.delattr(AdmissionJudge, "judge")
    async with answering(stage):
        assert await statuses(stage, ORDERS) == [200]


async def test_a_page_that_may_read_refusals_may_read_this_one(stage: Stage) -> None:
    cors = {"origins": ["https://app.example.com"]}
    await stage.open(routes=[public(cors=cors, **limits("address 1"))])
    request = get(b"/public/1", b"Origin: https://app.example.com")
    async with answering(stage):
        first, second = await stage.ask(request), await stage.ask(request)
    for answer, status in ((first, 200), (second, 429)):
        assert answer.status == status
        assert answer.fields["access-control-allow-origin"] == "https://app.example.com"
        assert "ratelimit" in answer.fields


async def test_metrics_start_at_zero_where_there_are_limits(stage: Stage) -> None:
    await stage.open(routes=[guarded(), public(**limits("address 5"))])
    text = stage.gateway.metrics.expose().decode()
    assert 'gateway_refusals_total{reason="rate_limited",route="public"} 0.0' in text
    assert text.count('reason="rate_limited"') == 1


async def test_gateways_that_share_a_redis_count_together(stage: Stage) -> None:
    """A gateway that starts anew goes on where the others are; Redis learns no address."""
    with RedisServer() as redis:
        changes = {"routes": [guarded(**limits("address 5"))], "redis": redis.section()}
        await stage.open(**changes)
        await stage.settled_series("gateway_redis_connected", {"": 1})
        async with answering(stage):
            assert await statuses(stage, *[ORDERS] * 3) == [200] * 3
        await stage.stop()
        await stage.open(**changes)
        async with answering(stage):
            assert await statuses(stage, *[ORDERS] * 3) == [200, 200, 429]
        with redis.client() as client:
            keys = b" ".join(client.scan_iter("*"))
        assert b":rate" in keys
        assert b"127.0.0.1" not in keys
        await stage.close()


async def test_limits_hold_while_redis_does_not_answer(stage: Stage) -> None:
    """Then each gateway counts by itself, and no request waits for long."""
    with RedisServer() as redis:
        await stage.open(routes=[guarded(**limits("address 2"))], redis=redis.section())
        await stage.settled_series("gateway_redis_connected", {"": 1})
        redis.kill()
        await stage.settled_series("gateway_redis_connected", {})
        stage.expected_errors = [
            "redis does not tell of revocations on other hosts: Connection closed by server."
        ]
        async with answering(stage):
            assert await statuses(stage, *[ORDERS] * 3) == [200, 200, 429]
        await stage.close()
