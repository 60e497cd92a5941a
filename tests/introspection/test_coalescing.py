"""One question for many callers."""

import asyncio
import gc

import pytest

from gateway.introspection.cache import IntrospectionCache
from gateway.introspection.coalescing import CachedIntrospector
from gateway.introspection.fleet.history import SharedAnswer, Stamp
from gateway.policy.interfaces import AuthorizationServerUnavailable, Revocation
from gateway.policy.rejection import Reason
from gateway.policy.token import Inactive
from gateway.policy.tokenformat import token_hash
from gateway.telemetry.metrics import Metrics
from tests.introspection.conftest import ISSUER, HeldServer, token


@pytest.fixture
def metrics():
    return Metrics()


@pytest.fixture
def server():
    return HeldServer()


@pytest.fixture
def asker(server, cache, metrics):
    return CachedIntrospector("local", server, cache, metrics, source=b"local...")


@pytest.fixture(autouse=True)
async def nothing_is_left_unsaid():
    """No task's exception is lost, and nothing else reaches the loop's handler."""
    said = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context))
    gc.freeze()  # what thousands of other tests hold is not looked through for each of these
    yield
    for _ in range(3):
        gc.collect()
        await asyncio.sleep(0)
    assert said == []


async def start(asker, text="t", times=1):
    """Starts callers and lets them come as far as the question."""
    callers = [asyncio.create_task(asker.ask(text)) for _ in range(times)]
    await settle()
    return callers


async def settle():
    for _ in range(5):
        await asyncio.sleep(0)


def lookups(metrics):
    return {labels[0]: count for labels, count in metrics.cache_lookups.values.items() if count}


def asked(metrics):
    return {labels: count for labels, count in metrics.introspections.values.items() if count}


async def test_five_hundred_callers_ask_one_question(asker, server, metrics):
    callers = await start(asker, times=500)
    assert server.questions == ["t"]
    server.answers[0].set_result(token())
    answers = await asyncio.gather(*callers)
    assert {id(answer) for answer in answers} == {id(answers[0])}
    assert answers[0].verdict == token()
    assert lookups(metrics) == {"miss": 1, "coalesced": 499}
    assert asked(metrics) == {("local", "active"): 1}


async def test_a_caller_that_goes_away_takes_nobodys_answer_along(asker, server):
    """Not even the first, who asked for all."""
    first, *others = await start(asker, times=5)
    first.cancel()
    others.pop().cancel()
    await settle()
    server.answers[0].set_result(token())
    assert [answer.verdict for answer in await asyncio.gather(*others)] == [token()] * 3
    assert first.cancelled()
    assert server.questions == ["t"]


async def test_an_answer_nobody_waits_for_is_remembered_all_the_same(asker, server):
    [caller] = await start(asker)
    caller.cancel()
    server.answers[0].set_result(token())
    await settle()
    assert asker.remembered("t").verdict == token()


async def test_an_outage_reaches_every_caller_and_is_not_remembered(asker, server, metrics, cache):
    callers = await start(asker, times=20)
    server.answers[0].set_exception(AuthorizationServerUnavailable("down"))
    found = await asyncio.gather(*callers, return_exceptions=True)
    assert {type(one) for one in found} == {AuthorizationServerUnavailable}
    assert asker.remembered("t") is None
    assert cache.count_entries() == 0
    assert asked(metrics) == {("local", "error"): 1}
    [again] = await start(asker)
    server.answers[1].set_result(token())
    assert (await again).verdict == token()


async def test_an_outage_that_nobody_waits_for_is_no_alarm(asker, server):
    """Its exception is taken note of; see the fixture."""
    [caller] = await start(asker)
    caller.cancel()
    await settle()
    server.answers[0].set_exception(AuthorizationServerUnavailable("down"))
    await settle()
    assert not asker._questions


@pytest.mark.parametrize("error", [RuntimeError("a fault in the gateway"), ValueError("odd")])
async def test_a_fault_counts_as_an_error_and_leaves_nothing_behind(
    asker, server, metrics, cache, error
):
    """Whatever is raised: the callers are refused, and the next one asks anew."""
    callers = await start(asker, times=2)
    server.answers[0].set_exception(error)
    assert await asyncio.gather(*callers, return_exceptions=True) == [error, error]
    assert asked(metrics) == {("local", "error"): 1}
    assert not cache._flights
    assert not asker._questions


async def test_a_question_is_shared_between_equals_only(cache, metrics):
    """The same token at another server, or another token, is another question."""
    servers = {name: HeldServer() for name in ("local", "other")}
    askers = {
        name: CachedIntrospector(name, server, cache, metrics, source=name.encode())
        for name, server in servers.items()
    }
    callers = [
        (await start(askers["local"], "t"))[0],
        (await start(askers["other"], "t"))[0],
        (await start(askers["local"], "u"))[0],
    ]
    assert servers["local"].questions == ["t", "u"]
    assert servers["other"].questions == ["t"]
    servers["local"].answers[0].set_result(token("here"))
    servers["other"].answers[0].set_result(Inactive())
    servers["local"].answers[1].set_result(token("there"))
    verdicts = [answer.verdict for answer in await asyncio.gather(*callers)]
    assert verdicts == [token("here"), Inactive(), token("there")]
    assert askers["other"].remembered("t").verdict == Inactive()


WIDE = [
    Revocation.of_grant(ISSUER, "alice", "app"),
    Revocation(ISSUER, "client", "app"),
    Revocation(ISSUER, "person", "alice"),
]


async def test_a_tokens_revocation_overtakes_the_answer_for_every_caller(asker, server, cache):
    """Those who wait, and those who join after the revocation; and nothing of it is remembered."""
    before = await start(asker, times=3)
    cache.revoke(Revocation(ISSUER, "token", token_hash("t").hex()))
    after = await start(asker, times=3)
    server.answers[0].set_result(token("app"))
    verdicts = {answer.verdict for answer in await asyncio.gather(*before, *after)}
    assert verdicts == {Inactive(Reason.REVOKED_TOKEN)}
    assert asker.remembered("t").verdict == Inactive(Reason.REVOKED_TOKEN)
    assert server.questions == ["t"]


@pytest.mark.parametrize("revocation", WIDE, ids=lambda one: one.kind)
@pytest.mark.parametrize("second", [token("app", subject="alice"), Inactive()], ids=["yes", "no"])
async def test_what_a_wide_revocation_overtook_is_asked_again_for_all(
    asker, server, cache, metrics, revocation, second
):
    """And the second answer is everybody's: another token of the same person may be good."""
    before = await start(asker, times=3)
    cache.revoke(revocation)
    after = await start(asker, times=3)
    server.answers[0].set_result(token("app", subject="alice"))
    await settle()
    assert server.questions == ["t", "t"]
    assert asker.remembered("t") is None
    server.answers[1].set_result(second)
    answers = await asyncio.gather(*before, *after)
    assert [answer.verdict for answer in answers] == [second] * 6
    assert sum(asked(metrics).values()) == 2


async def test_who_is_overtaken_every_time_is_told_that_nobody_can_say(asker, server, cache):
    """Bounded, and closed: neither asked for ever, nor let in, nor called invalid."""
    callers = await start(asker, times=2)
    for number in range(3):
        assert len(server.questions) == number + 1
        cache.revoke(WIDE[number])
        server.answers[number].set_result(token("app", subject="alice"))
        await settle()
    found = await asyncio.gather(*callers, return_exceptions=True)
    assert {type(one) for one in found} == {AuthorizationServerUnavailable}
    assert len(server.questions) == 3
    assert asker.remembered("t") is None
    assert not cache._flights


async def test_a_call_in_flight_is_not_joined_once_it_has_its_answer(server, metrics):
    """Between the answer and its delivery a revocation may come: who asks then, asks anew."""
    cache = IntrospectionCache(max_lifetime=60, negative_lifetime=1e-9, max_entries=10)
    asker = CachedIntrospector("local", server, cache, metrics, source=b"local...")
    go_on = asyncio.get_running_loop().create_future()

    async def revoke_and_ask():
        await go_on
        cache.revoke(Revocation(ISSUER, "client", "app"))
        return await asker.ask("t")

    [early] = await start(asker)
    late = asyncio.create_task(revoke_and_ask())
    await settle()
    # In one turn of the loop: the question ends, then the revocation comes, then the caller.
    server.answers[0].set_result(token("app"))
    go_on.set_result(None)
    await settle()
    assert (await early).verdict == token("app"), "it began before the revocation"
    assert len(server.questions) == 2
    server.answers[1].set_result(Inactive())
    assert (await late).verdict == Inactive()
    assert not asker._questions


async def test_remembered_counts_what_it_finds(asker, server, metrics):
    assert asker.remembered("t") is None
    for text, verdict in (("t", token()), ("u", Inactive())):
        [caller] = await start(asker, text)
        server.answers[-1].set_result(verdict)
        await caller
        assert asker.remembered(text).verdict == verdict
    assert lookups(metrics) == {"miss": 2, "hit": 1, "negative_hit": 1}
    assert asked(metrics) == {("local", "active"): 1, ("local", "inactive"): 1}


async def test_a_token_in_use_is_asked_about_before_its_answer_has_aged(
    asker, server, metrics, monotonic
):
    """Once, and nobody waits for it: the old answer goes on until the new one is there."""
    [caller] = await start(asker)
    server.answers[0].set_result(token())
    await caller
    monotonic.now += 55
    for _ in range(3):
        assert asker.remembered("t").verdict == token()
        await settle()
    assert server.questions == ["t", "t"]
    server.answers[1].set_result(token(expires_at=2e9))
    await settle()
    monotonic.now += 55
    assert asker.remembered("t").verdict == token(expires_at=2e9)
    assert lookups(metrics) == {"miss": 1, "hit": 4}


async def test_an_outage_while_asking_ahead_takes_nothing_away(asker, server, monotonic):
    [caller] = await start(asker)
    server.answers[0].set_result(token())
    await caller
    monotonic.now += 55
    asker.remembered("t")
    await settle()
    server.answers[1].set_exception(AuthorizationServerUnavailable("down"))
    await settle()
    assert asker.remembered("t").verdict == token()
    await settle()
    assert len(server.questions) == 2, "it is not asked again before the answer has aged"


async def test_a_refusal_while_asking_ahead_holds_at_once(asker, server, monotonic):
    [caller] = await start(asker)
    server.answers[0].set_result(token())
    await caller
    monotonic.now += 55
    asker.remembered("t")
    await settle()
    server.answers[1].set_result(Inactive())
    await settle()
    assert asker.remembered("t").verdict == Inactive()


async def test_an_aged_answer_is_taken_while_nobody_can_be_asked(
    lenient_cache, server, metrics, monotonic
):
    """The server is asked first, each time; when it can say again, that counts."""
    asker = CachedIntrospector("local", server, lenient_cache, metrics, source=b"local...")
    [caller] = await start(asker)
    server.answers[0].set_result(token())
    await caller
    monotonic.now += 61
    callers = await start(asker, times=3)
    server.answers[1].set_exception(AuthorizationServerUnavailable("down"))
    assert [answer.verdict for answer in await asyncio.gather(*callers)] == [token()] * 3
    assert lookups(metrics) == {"miss": 2, "coalesced": 2, "stale": 1}
    assert asked(metrics) == {("local", "active"): 1, ("local", "error"): 1}
    [caller] = await start(asker)
    server.answers[2].set_result(Inactive())
    assert (await caller).verdict == Inactive()
    [caller] = await start(asker, "other")
    server.answers[3].set_exception(AuthorizationServerUnavailable("down"))
    with pytest.raises(AuthorizationServerUnavailable):
        await caller
    monotonic.now += 61
    [caller] = await start(asker)
    server.answers[4].set_exception(AuthorizationServerUnavailable("down"))
    with pytest.raises(AuthorizationServerUnavailable):
        await caller


class Shelf:
    """What other gateways have learnt, without a Redis: the test fills it."""

    def __init__(self):
        self.found = {}
        self.read_tokens = []
        self.written = []

    def stamp(self):
        return Stamp(1, "a")

    async def read(self, source, text):
        self.read_tokens.append(text)
        await asyncio.sleep(0)
        return self.found.get((source, text))

    def write(self, source, text, answer, stamp):
        self.written.append((source, text, answer, stamp))


@pytest.fixture
def shelf():
    return Shelf()


@pytest.fixture
def sharing_asker(server, cache, metrics, shelf):
    return CachedIntrospector("local", server, cache, metrics, source=b"local...", shared=shelf)


async def test_what_others_have_learnt_is_not_asked_about(sharing_asker, server, metrics, shelf):
    """And then it is in memory, for as long as it may be."""
    shelf.found[b"local...", "t"] = SharedAnswer(token(), 30.0)
    [caller] = await start(sharing_asker)
    assert (await caller).verdict == token()
    assert server.questions == []
    assert sharing_asker.remembered("t").verdict == token()
    assert shelf.read_tokens == ["t"]
    assert shelf.written == []
    assert lookups(metrics) == {"redis_hit": 1, "hit": 1}


async def test_what_the_server_says_is_shared_if_it_is_a_token(sharing_asker, server, shelf):
    """For as long as it is remembered here; a refusal is not."""
    callers = await start(sharing_asker) + await start(sharing_asker, "bad")
    server.answers[0].set_result(token())
    server.answers[1].set_result(Inactive())
    await asyncio.gather(*callers)
    [(source, text, answer, stamp)] = shelf.written
    assert (source, text, stamp) == (b"local...", "t", Stamp(1, "a"))
    assert (answer.verdict, answer.lifetime) == (token(), pytest.approx(60))


async def test_a_revocation_while_others_are_looked_up_holds(sharing_asker, server, cache, shelf):
    """What they knew is not used; the server is asked instead."""
    shelf.found[b"local...", "t"] = SharedAnswer(token(), 30.0)
    caller = asyncio.create_task(sharing_asker.ask("t"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert shelf.read_tokens == ["t"]
    cache.revoke(Revocation(ISSUER, "client", "app"))
    await settle()
    assert server.questions == ["t"]
    server.answers[0].set_result(Inactive())
    assert (await caller).verdict == Inactive()


async def test_asking_ahead_takes_what_another_gateway_has_asked_ahead(
    sharing_asker, server, monotonic, shelf
):
    """If it lives clearly longer than what is known here; else the server is asked."""
    [caller] = await start(sharing_asker)
    server.answers[0].set_result(token())
    await caller
    monotonic.now += 55
    shelf.found[b"local...", "t"] = SharedAnswer(token(), 5.0)
    sharing_asker.remembered("t")
    await settle()
    assert server.questions == ["t", "t"]
    server.answers[1].set_result(token())
    await settle()
    monotonic.now += 55
    shelf.found[b"local...", "t"] = SharedAnswer(token(), 59.0)
    sharing_asker.remembered("t")
    await settle()
    assert len(server.questions) == 2
    monotonic.now += 50
    assert sharing_asker.remembered("t").verdict == token()
