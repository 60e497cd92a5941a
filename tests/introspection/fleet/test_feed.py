"""Revocations between hosts, through a real Redis: in order, without a gap, or all is dropped."""

import asyncio

import pytest

from gateway.introspection.fleet.history import write_entry
from gateway.introspection.fleet.sealing import Seal
from gateway.policy.interfaces import Revocation, RevocationNotAcknowledged
from tests.introspection.conftest import ISSUER
from tests.introspection.fleet.conftest import Join, Member, until
from tests.parts.redis import SECRET, RedisServer


def of_client(name: object) -> Revocation:
    return Revocation(ISSUER, "client", str(name))


def stream_key(member: Member) -> str:
    return f"{member.feed.prefix}:revocations"


async def test_a_revocation_reaches_every_gateway_of_the_fleet(join: Join):
    here, there = await join("a"), await join("b")
    await here.stream.publish(of_client("app"), "endpoint")
    await there.heard(of_client("app"))
    await here.heard(of_client("app"))
    assert there.counted == ["endpoint"]
    assert here.counted == [], "its own host has counted it already"


async def test_revocations_of_all_hosts_have_one_order(join: Join):
    """Published side by side, none is lost, none comes twice, and everybody hears the same."""
    members = [await join(host) for host in "abc"]
    wanted = [of_client(number) for number in range(60)]
    await asyncio.gather(
        *(members[n % 3].stream.publish(one, "page") for n, one in enumerate(wanted))
    )
    for member in members:
        await until(lambda heard=member.memory.told: len(heard) >= 62)
    heard = [member.memory.told[2:] for member in members]
    assert heard[0] == heard[1] == heard[2]
    assert sorted(one.value for one in heard[0]) == sorted(one.value for one in wanted)
    assert all(member.feed.stamp.number == 61 for member in members)
    assert not any(member.gaps for member in members)


async def test_what_was_revoked_while_one_was_cut_off_is_heard_afterwards(
    join: Join, server: RedisServer
):
    """Its answers stay: it has heard every revocation, if late."""
    here, there = await join("a"), await join("b")
    with server.client() as client:
        await there.stop()
        for number in range(1500):
            # More than are read at once.
            await here.stream.publish(of_client(number), "page")
        there.memory.told.clear()
        await there.start()
        await there.heard(of_client(1499))
        assert client.xlen(stream_key(here)) == 1501
    assert there.memory.told == [of_client(number) for number in range(1500)]
    assert there.gaps == 0


async def test_a_redis_that_has_forgotten_makes_all_answers_dropped(
    join: Join, server: RedisServer
):
    """Killed and started without what it held: nobody knows what was revoked meanwhile."""
    here, there = await join("a"), await join("b")
    await here.stream.publish(of_client("app"), "page")
    await there.heard(of_client("app"))
    there.memory.told.clear()
    server.kill()
    await until(lambda: not there.feed.is_in_step)
    server.start()
    await until(lambda: there.feed.is_in_step)
    assert there.memory.told == ["distrust", "distrust"]
    assert there.gaps == 1
    await until(lambda: here.feed.is_in_step)
    await here.stream.publish(of_client("app2"), "page")
    await there.heard(of_client("app2"))


async def test_a_redis_that_lost_its_end_and_counted_on_is_noticed(join: Join, server: RedisServer):
    """A failover to a copy that lagged: the same numbers, other revocations under them."""
    here, there = await join("a"), await join("b")
    await here.stream.publish(of_client("app"), "page")
    await there.heard(of_client("app"))
    there.memory.told.clear()
    with server.client() as client:
        pipeline = client.pipeline()
        pipeline.delete(stream_key(here))
        for number, revocation in enumerate((None, of_client("lost"), of_client("next")), 1):
            sealed = write_entry(Seal(SECRET), number, revocation, "page", "c")
            pipeline.xadd(stream_key(here), {b"r": sealed}, id=f"{number}-0")
        pipeline.execute()
    await until(lambda: there.gaps == 1 and there.feed.is_in_step)
    assert there.memory.told == ["distrust", "distrust"]
    assert there.feed.stamp.number == 3


@pytest.mark.parametrize("what", ["garbage", "other number", "skipped number", "other secret"])
async def test_an_entry_that_cannot_be_vouched_for_makes_all_answers_dropped(
    join: Join, server: RedisServer, what: str
):
    """And none of it is taken for a revocation; the next real one is heard again."""
    here = await join("a")
    here.memory.told.clear()
    entry, name = {
        "garbage": (b"garbage", "2-0"),
        "other number": (write_entry(Seal(SECRET), 7, of_client("x"), "page", "c"), "2-0"),
        "skipped number": (write_entry(Seal(SECRET), 3, of_client("x"), "page", "c"), "3-0"),
        "other secret": (write_entry(Seal("o" * 32), 2, of_client("x"), "page", "c"), "2-0"),
    }[what]
    with server.client() as client:
        client.xadd(stream_key(here), {b"r": entry}, id=name)
    await until(lambda: here.gaps >= 1)
    await here.stream.publish(of_client("app"), "page")
    await until(lambda: here.feed.is_in_step)
    assert of_client("x") not in here.memory.told
    assert "distrust" in here.memory.told
    await here.stream.publish(of_client("app2"), "page")
    await here.heard(of_client("app2"))


async def test_a_stream_of_another_kind_makes_trouble_and_no_harm(join: Join, server: RedisServer):
    """Whoever can write there can stop the sharing, never more."""
    here = await join("a")
    with server.client() as client:
        client.delete(stream_key(here))
        client.set(stream_key(here), "a string")
    await until(lambda: not here.feed.is_in_step)
    with pytest.raises(RevocationNotAcknowledged, match="the gateways on other hosts"):
        await here.stream.publish(of_client("app"), "page")
    with server.client() as client:
        client.delete(stream_key(here))
    await until(lambda: here.feed.is_in_step)


async def test_a_revocation_that_redis_does_not_take_is_no_success(join: Join, server: RedisServer):
    """Within its time, whether Redis is gone or silent."""
    here = await join("a")
    server.pause()
    with pytest.raises(RevocationNotAcknowledged) as caught:
        await here.stream.publish(of_client("app"), "page", timeout=0.2)
    assert caught.value.is_fleet_silent
    server.resume()
    server.kill()
    with pytest.raises(RevocationNotAcknowledged):
        await here.stream.publish(of_client("app"), "page")


async def test_fleets_with_other_secrets_share_a_redis_and_nothing_else(join: Join):
    here, other = await join("a"), await join("b", "another secret, that is long enough")
    await here.stream.publish(of_client("app"), "page")
    await here.heard(of_client("app"))
    await other.stream.publish(of_client("other"), "page")
    await other.heard(of_client("other"))
    assert of_client("app") not in other.memory.told
    assert of_client("other") not in here.memory.told
    assert (here.gaps, other.gaps) == (0, 0)


async def test_what_stands_in_redis_names_no_secret_of_the_fleet(join: Join, server: RedisServer):
    here = await join("a")
    await here.stream.publish(of_client("app"), "page")
    with server.client() as client:
        for key in client.scan_iter("*"):
            assert key.startswith(b"gateway:")
            assert SECRET.encode() not in key + client.dump(key)
