"""Answers that gateways share through a real Redis: right, or a miss."""

import asyncio
import json
import time

import pytest

from gateway.introspection.fleet.history import SharedAnswer
from gateway.introspection.fleet.sealing import Seal
from gateway.policy.interfaces import Revocation
from gateway.policy.token import Token
from gateway.policy.tokenformat import token_hash
from tests.introspection.conftest import ISSUER
from tests.introspection.fleet.conftest import Join, Member, until
from tests.parts.redis import SECRET, RedisServer

SOURCE = b"source of 32 bytes..............."
ALICE = Token(
    ISSUER,
    "app",
    "alice",
    "Alice",
    frozenset({"a", "b"}),
    ("one", "two"),
    time.time() + 3600.5,
    {"active": True, "nested": {"list": [1, 2.5, None, "ä"]}, "sub": "alice"},
)


def place_of(member: Member, token: str = "t", source: bytes = SOURCE) -> str:
    name = Seal(SECRET).name(source, token_hash(token))
    return f"{member.feed.prefix}:token:{name}"


async def share(member: Member, server: RedisServer, answer: SharedAnswer) -> str:
    """Write an answer about the token `t`, and give where it stands once it does."""
    stamp = member.answers.stamp()
    assert stamp is not None
    member.answers.write(SOURCE, "t", answer, stamp)
    place = place_of(member)
    with server.client() as client:
        await until(lambda: client.exists(place) == 1)
    return place


async def test_what_one_gateway_learnt_another_one_knows(join: Join, server: RedisServer):
    """To the last member, and for no longer."""
    here, there = await join("a"), await join("b")
    place = await share(here, server, SharedAnswer(ALICE, 50.0))
    found = await there.answers.read(SOURCE, "t")
    assert found.verdict == ALICE
    assert 40 < found.lifetime <= 50
    with server.client() as client:
        assert 40_000 < client.pttl(place) <= 50_000


async def test_nobody_is_known_by_another_token_or_source(join: Join, server: RedisServer):
    """Not asked of another server, nor with other credentials."""
    here = await join("a")
    await share(here, server, SharedAnswer(ALICE, 50.0))
    assert await here.answers.read(SOURCE, "u") is None
    assert await here.answers.read(SOURCE[:-1] + b"!", "t") is None


@pytest.mark.parametrize(
    "revocation",
    [
        Revocation(ISSUER, "token", token_hash("t").hex()),
        Revocation(ISSUER, "client", "app"),
        Revocation(ISSUER, "person", "alice"),
        Revocation.of_grant(ISSUER, "alice", "app"),
    ],
    ids=lambda one: one.kind,
)
async def test_what_was_revoked_since_is_known_no_more(
    join: Join, server: RedisServer, revocation: Revocation
):
    here, there = await join("a"), await join("b")
    await share(here, server, SharedAnswer(ALICE, 50.0))
    await here.stream.publish(Revocation(ISSUER, "client", "other"), "page")
    await there.heard(Revocation(ISSUER, "client", "other"))
    assert await there.answers.read(SOURCE, "t") is not None
    await here.stream.publish(revocation, "page")
    await there.heard(revocation)
    assert await there.answers.read(SOURCE, "t") is None


async def test_an_answer_that_a_revocation_overtook_is_never_used(join: Join, server: RedisServer):
    """Asked for before, written after: the stamp is that of the question."""
    here = await join("a")
    before = here.answers.stamp()
    revocation = Revocation(ISSUER, "client", "app")
    await here.stream.publish(revocation, "page")
    await here.heard(revocation)
    here.answers.write(SOURCE, "t", SharedAnswer(ALICE, 50.0), before)
    with server.client() as client:
        await until(lambda: client.exists(place_of(here)) == 1)
    assert await here.answers.read(SOURCE, "t") is None


async def test_a_replayed_answer_is_a_miss(join: Join, server: RedisServer):
    """Put back by who can write there, after the revocation: its stamp is too old."""
    here = await join("a")
    place = await share(here, server, SharedAnswer(ALICE, 50.0))
    with server.client() as client:
        kept = client.get(place)
        revocation = Revocation(ISSUER, "person", "alice")
        await here.stream.publish(revocation, "page")
        await here.heard(revocation)
        client.set(place, kept)
        assert await here.answers.read(SOURCE, "t") is None
        client.set(place_of(here, "u"), kept)
    assert await here.answers.read(SOURCE, "u") is None, "nor is it one about another token"


async def test_an_answer_of_a_redis_that_has_forgotten_is_a_miss(join: Join, server: RedisServer):
    """The stream begins anew with the same numbers: what was sealed in its last life is void."""
    here = await join("a")
    place = await share(here, server, SharedAnswer(ALICE, 50.0))
    with server.client() as client:
        kept = client.get(place)
        client.flushall()
        await until(lambda: here.gaps == 1 and here.feed.is_in_step)
        client.set(place, kept)
    assert await here.answers.read(SOURCE, "t") is None


def resealed(change):
    """An answer as a gateway would have written it, but for one thing."""

    def forge(member: Member, sealed: bytes) -> bytes:
        place = place_of(member).encode()
        content = json.loads(Seal(SECRET).open(place, sealed))
        change(content)
        return Seal(SECRET).close(place, json.dumps(content).encode())

    return forge


@pytest.mark.parametrize(
    "forge",
    [
        lambda member, sealed: b"",
        lambda member, sealed: b"garbage",
        lambda member, sealed: sealed[:-1],
        lambda member, sealed: sealed[:40] + bytes([sealed[40] ^ 1]) + sealed[41:],
        lambda member, sealed: Seal("o" * 32).close(place_of(member).encode(), sealed[32:]),
        lambda member, sealed: b"\x00" * (1 << 20),
        resealed(lambda content: content[3].update(rank=1)),
        resealed(lambda content: content[3].pop("scopes")),
        resealed(lambda content: content.append(1)),
        resealed(lambda content: content.__setitem__(3, None)),
    ],
    ids=[
        "nothing", "garbage", "cut", "changed", "other secret", "huge",
        "other version", "older version", "longer", "no token",
    ],
)  # fmt: skip
async def test_what_no_gateway_of_this_version_wrote_is_a_miss(
    join: Join, server: RedisServer, forge
):
    """Never an exception, never an answer."""
    here = await join("a")
    place = await share(here, server, SharedAnswer(ALICE, 50.0))
    with server.client() as client:
        client.set(place, forge(here, client.get(place)))
    assert await here.answers.read(SOURCE, "t") is None


async def test_a_value_of_another_type_is_a_miss(join: Join, server: RedisServer):
    here = await join("a")
    with server.client() as client:
        client.lpush(place_of(here), "x")
    assert await here.answers.read(SOURCE, "t") is None
    assert here.answers.is_up


async def test_an_answer_that_is_long_is_not_shared(join: Join, server: RedisServer):
    here = await join("a")
    large = Token(ISSUER, "app", None, None, frozenset(), (), None, {"text": "x" * 65_536})
    here.answers.write(SOURCE, "large", SharedAnswer(large, 50.0), here.answers.stamp())
    await share(here, server, SharedAnswer(ALICE, 50.0))
    with server.client() as client:
        assert not client.exists(place_of(here, "large"))


async def test_a_silent_redis_costs_its_time_once_and_then_none(join: Join, server: RedisServer):
    """It is asked again only when it has answered a probe."""
    here = await join("a", timeout=0.2)
    await share(here, server, SharedAnswer(ALICE, 50.0))
    server.pause()
    assert await here.answers.read(SOURCE, "t") is None
    await until(lambda: not here.answers.is_up)
    reading = asyncio.ensure_future(here.answers.read(SOURCE, "t"))
    await asyncio.sleep(0)
    assert reading.done(), "nothing was waited for"
    server.resume()
    await until(lambda: here.answers.is_up and here.feed.is_in_step)
    assert (await here.answers.read(SOURCE, "t")).verdict == ALICE


async def test_nothing_is_shared_while_revocations_go_unheard(join: Join, server: RedisServer):
    """A gateway that does not follow the feed can vouch for no answer, its own included."""
    here = await join("a")
    await share(here, server, SharedAnswer(ALICE, 50.0))
    here.feed.is_in_step = False
    assert here.answers.stamp() is None
    assert await here.answers.read(SOURCE, "t") is None


async def test_an_answer_is_a_miss_when_the_feed_breaks_off_while_it_is_read(
    join: Join, server: RedisServer
):
    here = await join("a")
    await share(here, server, SharedAnswer(ALICE, 50.0))
    reading = asyncio.ensure_future(here.answers.read(SOURCE, "t"))
    await asyncio.sleep(0)
    assert not reading.done()
    here.feed.is_in_step = False
    assert await reading is None


async def test_no_more_is_read_than_may_be_an_answer(join: Join, server: RedisServer):
    """Whatever somebody has put there."""
    here = await join("a")
    with server.client() as client:
        client.set(place_of(here), b"x" * (8 << 20))
        before = client.info("stats")["total_net_output_bytes"]
        assert await here.answers.read(SOURCE, "t") is None
        assert client.info("stats")["total_net_output_bytes"] - before < 1 << 20


async def test_many_questions_are_asked_in_one_go(join: Join, server: RedisServer):
    """Those that come while Redis is busy; each gets its own answer."""
    here = await join("a")
    await share(here, server, SharedAnswer(ALICE, 50.0))
    with server.client() as client:
        reads = client.info("stats")["total_reads_processed"]
        found = await asyncio.gather(
            *(here.answers.read(SOURCE, "t" if n % 2 else f"u{n}") for n in range(300))
        )
        reads = client.info("stats")["total_reads_processed"] - reads
    assert [one is not None for one in found] == [bool(n % 2) for n in range(300)]
    assert reads < 30
