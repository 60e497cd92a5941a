"""What is remembered of introspection answers, and for how long."""

import math
import secrets
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.introspection.cache import IntrospectionCache, cache_key
from gateway.policy.interfaces import Revocation
from gateway.policy.rejection import Reason
from gateway.policy.token import Inactive
from gateway.policy.tokenformat import token_hash
from tests.introspection.conftest import ISSUER, Clock, never_shorter, token

LOCAL = b"local..."
OTHER = b"other..."


def keep(cache, text, verdict, prefix=LOCAL):
    return cache.land(cache.depart(cache_key(prefix, text)), verdict)


def get(cache, text, prefix=LOCAL):
    answer = cache.get(cache_key(prefix, text))
    return answer and answer.verdict


def revoke_token(cache, text):
    cache.revoke(Revocation(ISSUER, "token", token_hash(text).hex()))


def revoke_client(cache, client_id, issuer=ISSUER):
    cache.revoke(Revocation(issuer, "client", client_id))


def test_an_answer_is_remembered_for_its_lifetime_and_no_longer(cache, monotonic):
    keep(cache, "t", token())
    monotonic.now += 59.9
    assert get(cache, "t") == token()
    monotonic.now += 0.1
    assert get(cache, "t") is None
    assert cache.count_entries() == 0, "what is stale is given up"


def test_a_refusal_is_remembered_for_its_own_lifetime(cache, monotonic):
    keep(cache, "t", Inactive())
    monotonic.now += 4.9
    assert get(cache, "t") == Inactive()
    monotonic.now += 0.1
    assert get(cache, "t") is None


@given(left=st.integers(-9, 99), max_lifetime=st.integers(1, 99), passed=st.integers(0, 99))
def test_no_answer_outlives_its_token(left, max_lifetime, passed):
    """Whatever the lifetimes: it is remembered until the earlier of both, exactly."""
    monotonic, wall_clock = Clock(7.0), Clock(5000.0)
    cache = IntrospectionCache(
        max_lifetime=max_lifetime,
        negative_lifetime=5,
        max_entries=10,
        monotonic=monotonic,
        wall_clock=wall_clock,
        spread=never_shorter,
    )
    verdict = token(expires_at=wall_clock.now + left)
    assert keep(cache, "t", verdict).verdict == verdict
    monotonic.now += passed
    if passed >= left or passed >= max_lifetime:
        assert get(cache, "t") is None
    else:
        assert get(cache, "t") == verdict


def test_the_lifetime_goes_by_the_monotonic_clock(cache, monotonic, wall_clock):
    """Setting the machine's clock back does not make an answer live longer."""
    keep(cache, "t", token(expires_at=wall_clock.now + 30))
    wall_clock.now -= 10_000
    monotonic.now += 30
    assert get(cache, "t") is None


def test_a_token_that_never_expires_is_remembered_for_the_longest_lifetime(cache, monotonic):
    keep(cache, "t", token(expires_at=None))
    monotonic.now += 60
    assert get(cache, "t") is None


def test_random_tokens_cannot_push_good_ones_out(cache):
    """Refusals live in a bounded cache of their own."""
    for number in range(100):
        keep(cache, f"good{number}", token())
    for number in range(1000):
        keep(cache, f"random{number}", Inactive())
    assert all(get(cache, f"good{number}") for number in range(100))
    assert cache.count_entries() == 200


def test_refusals_are_bounded_also_where_good_tokens_may_be_many():
    cache = IntrospectionCache(max_lifetime=60, negative_lifetime=5, max_entries=10_000_000)
    for _ in range(10_500):
        cache.land(cache.depart(secrets.token_bytes(40)), Inactive())
    assert cache.count_entries() == 10_000


def test_of_too_many_good_tokens_the_longest_unused_goes(cache):
    for number in range(100):
        keep(cache, f"good{number}", token())
    assert get(cache, "good0")
    keep(cache, "one-more", token())
    assert get(cache, "good0")
    assert get(cache, "good1") is None


def test_the_same_token_at_two_servers_never_mixes(cache):
    """What one server vouches for, another may refuse."""
    keep(cache, "t", token("here"), LOCAL)
    assert get(cache, "t", OTHER) is None
    keep(cache, "t", Inactive(), OTHER)
    assert get(cache, "t", LOCAL) == token("here")
    assert get(cache, "t", OTHER) == Inactive()


def test_no_key_holds_a_token():
    """Tokens are named by their hash."""
    assert b"secret" not in cache_key(LOCAL, "secret-token")
    assert cache_key(LOCAL, "a") != cache_key(LOCAL, "b")


def test_a_new_answer_takes_the_place_of_the_old(cache):
    """Yes after no, and no after yes: never both."""
    keep(cache, "t", Inactive())
    keep(cache, "t", token())
    assert get(cache, "t") == token()
    assert cache.count_entries() == 1
    keep(cache, "t", Inactive(Reason.EXPIRED_TOKEN))
    assert get(cache, "t") == Inactive(Reason.EXPIRED_TOKEN)
    assert cache.count_entries() == 1


def test_what_is_remembered_says_the_same_as_the_answer(cache):
    """Its claims, too, though they are kept as text."""
    claims = {
        "active": True,
        "sub": "p",
        "exp": 2e9,
        "nested": {"list": [1, None, "ä"]},
        "n": 10**30,
    }
    verdict = replace(token("app"), claims=claims)
    kept = keep(cache, "t", verdict).verdict
    assert kept == verdict
    assert dict(kept.claims) == claims
    assert (kept.claims.get("sub"), kept.claims.get("n")) == ("p", 10**30)
    assert kept.claims.get("none") is None
    assert len(kept.claims) == 5


def test_what_tokens_have_in_common_is_kept_once(cache):
    scopes = [frozenset({"a", "b"}), frozenset({"b", "a"})]
    first, second = (
        keep(cache, str(number), replace(token(), scopes=one, audience=tuple("x"))).verdict
        for number, one in enumerate(scopes)
    )
    assert first.scopes is second.scopes
    assert first.audience is second.audience


@pytest.mark.parametrize("expires_at", [math.inf, 1e300])
def test_an_expiry_at_the_end_of_time_is_bounded_too(cache, monotonic, expires_at):
    keep(cache, "t", token(expires_at=expires_at))
    monotonic.now += 60
    assert get(cache, "t") is None


# --- Revocations ---


def test_a_revoked_token_is_refused_from_memory_at_once(cache):
    keep(cache, "t", token())
    keep(cache, "u", token())
    revoke_token(cache, "t")
    assert get(cache, "t") == Inactive(Reason.REVOKED_TOKEN)
    assert get(cache, "u") == token()


def test_a_revoked_client_takes_all_its_tokens_along_and_no_others(cache):
    keep(cache, "t1", token("app"))
    keep(cache, "t2", token("app"))
    keep(cache, "u", token("application"))
    keep(cache, "n", token(None))
    revoke_client(cache, "app")
    assert get(cache, "t1") is None
    assert get(cache, "t2") is None
    assert get(cache, "u")
    assert get(cache, "n")


def test_a_clients_revocation_by_one_issuer_leaves_anothers_clients_alone(cache):
    keep(cache, "t", token("app"))
    flight = cache.depart(cache_key(LOCAL, "v"))
    revoke_client(cache, "app", "https://another.example")
    assert get(cache, "t") == token("app")
    assert cache.land(flight, token("app")).verdict == token("app")


def test_a_revoked_token_is_forgotten_whatever_its_server_is_called(cache):
    """Two processes of a host may name the same server differently, and both hear of it."""
    keep(cache, "t", token(), OTHER)
    keep(cache, "u", token(), OTHER)
    flight = cache.depart(cache_key(OTHER, "t"))
    revoke_token(cache, "t")
    assert get(cache, "t", OTHER) == Inactive(Reason.REVOKED_TOKEN)
    assert get(cache, "u", OTHER) == token()
    assert cache.land(flight, token()).verdict == Inactive(Reason.REVOKED_TOKEN)


GRANT = Revocation.of_grant(ISSUER, "alice", "app")
CLIENT = Revocation(ISSUER, "client", "app")
PERSON = Revocation(ISSUER, "person", "alice")


@pytest.mark.parametrize(
    ("revocation", "forgotten"),
    [
        (GRANT, {"alice of app"}),
        (CLIENT, {"alice of app", "bob of app", "app itself"}),
        (PERSON, {"alice of app", "alice of web"}),
        (Revocation(ISSUER, "person", "app"), set()),
        (Revocation(ISSUER, "client", "alice"), set()),
        (Revocation.of_grant(ISSUER, "app", "alice"), set()),
        (Revocation.of_grant(ISSUER, "None", "app"), set()),
        (Revocation(ISSUER, "person", "None"), set()),
    ],
    ids=lambda value: f"{value.kind} {value.value}" if isinstance(value, Revocation) else "",
)
def test_a_revocation_takes_what_it_names_and_nothing_else(cache, revocation, forgotten):
    """By the issuer with the subject, the client, or both: what is said of a token."""
    tokens = {
        "alice of app": token("app", subject="alice"),
        "bob of app": token("app", subject="bob"),
        "app itself": token("app"),
        "alice of web": token("web", subject="alice"),
        "web itself": token("web"),
        "alice elsewhere": token("app", subject="alice", issuer="https://another.example"),
        "nobody": token(None),
    }
    for text, verdict in tokens.items():
        keep(cache, text, verdict)
    flights = {text: cache.depart(cache_key(LOCAL, f"{text} asked")) for text in tokens}
    cache.revoke(revocation)
    assert {text for text in tokens if get(cache, text) is None} == forgotten
    asked_again = {text for text, flight in flights.items() if not cache.land(flight, tokens[text])}
    assert asked_again == forgotten


def test_looking_for_what_was_revoked_is_no_use_of_what_was_not(cache):
    """Of too many good tokens the longest unused still goes."""
    for number in range(100):
        keep(cache, f"good{number}", token())
    assert get(cache, "good0")
    revoke_client(cache, "another")
    keep(cache, "one-more", token())
    assert get(cache, "good0")
    assert get(cache, "good1") is None


def test_an_answer_that_its_tokens_revocation_overtook_is_neither_used_nor_kept(cache):
    """The question left before the revocation, the answer knows nothing of it."""
    flight = cache.depart(cache_key(LOCAL, "t"))
    revoke_token(cache, "t")
    assert cache.land(flight, token("app")).verdict == Inactive(Reason.REVOKED_TOKEN)
    assert get(cache, "t") == Inactive(Reason.REVOKED_TOKEN)


@pytest.mark.parametrize("revocation", [GRANT, CLIENT, PERSON], ids=lambda one: one.kind)
def test_an_answer_that_a_wide_revocation_overtook_is_asked_for_again(cache, revocation):
    """It is neither used nor kept, nor taken for a no: the token may have been issued since."""
    flight = cache.depart(cache_key(LOCAL, "t"))
    cache.revoke(revocation)
    assert cache.land(flight, token("app", subject="alice")) is None
    assert get(cache, "t") is None
    again = cache.depart(cache_key(LOCAL, "t"))
    verdict = token("app", subject="alice")
    assert cache.land(again, verdict).verdict == verdict


def test_a_no_is_taken_whatever_has_overtaken_it(cache):
    """Nobody becomes good by a revocation."""
    flight = cache.depart(cache_key(LOCAL, "t"))
    cache.revoke(CLIENT)
    assert cache.land(flight, Inactive()).verdict == Inactive()


def test_a_token_that_was_revoked_itself_stays_denied_whatever_else_was(cache):
    flight = cache.depart(cache_key(LOCAL, "t"))
    cache.revoke(CLIENT)
    revoke_token(cache, "t")
    assert cache.land(flight, token("app")).verdict == Inactive(Reason.REVOKED_TOKEN)


def test_only_flights_that_a_revocation_concerns_are_overtaken(cache):
    """Other tokens and other clients that are being asked about stay welcome."""
    other_token = cache.depart(cache_key(LOCAL, "u"))
    other_client = cache.depart(cache_key(LOCAL, "v"))
    revoke_token(cache, "t")
    revoke_client(cache, "app")
    assert cache.land(other_token, token("another")).verdict == token("another")
    assert cache.land(other_client, token(None)).verdict == token(None)


def test_a_question_that_leaves_after_the_revocation_is_believed(cache):
    """It sees what has been committed: a client that was added anew is a new client."""
    revoke_client(cache, "app")
    assert keep(cache, "t", token("app")).verdict == token("app")


def test_several_revocations_on_the_way_all_count(cache):
    """Two clients, two questions about one token: each is held against all of them."""
    flights = [cache.depart(cache_key(LOCAL, "t")) for _ in range(2)]
    revoke_client(cache, "one")
    revoke_client(cache, "two")
    for flight, client_id in zip(flights, ("one", "two"), strict=True):
        assert cache.land(flight, token(client_id)) is None


def test_questions_that_have_come_back_are_not_remembered(cache):
    """Neither those that landed nor those that failed, which may do so twice."""
    landed, failed = (cache.depart(cache_key(LOCAL, text)) for text in "ab")
    cache.land(landed, token())
    cache.abandon(failed)
    cache.abandon(failed)
    assert not cache._flights


def test_lifetimes_differ_so_that_not_all_are_asked_about_at_once(monotonic, wall_clock):
    """By a tenth at most; a token's own expiry is kept to the second."""
    spreads = iter([0.0, 0.5, 1.0, 1.0])
    cache = IntrospectionCache(
        max_lifetime=60,
        negative_lifetime=5,
        max_entries=10,
        monotonic=monotonic,
        wall_clock=wall_clock,
        spread=lambda: next(spreads),
    )
    lifetimes = [cache.time_left(keep(cache, name, token())) for name in "abc"]
    assert lifetimes == pytest.approx([60, 57, 54])
    ending = keep(cache, "d", token(expires_at=wall_clock.now + 20))
    assert cache.time_left(ending) == pytest.approx(20)


def test_the_first_use_in_the_last_tenth_is_a_reason_to_ask_anew_and_no_other_one(cache, monotonic):
    keep(cache, "t", token())
    monotonic.now += 53.9
    assert not cache.get(cache_key(LOCAL, "t")).is_due
    monotonic.now += 0.1
    answer = cache.get(cache_key(LOCAL, "t"))
    assert answer.is_due
    answer.is_due = False
    assert not cache.get(cache_key(LOCAL, "t")).is_due


def test_an_answer_that_ends_with_its_token_is_not_asked_anew(cache, monotonic, wall_clock):
    keep(cache, "t", token(expires_at=wall_clock.now + 58))
    monotonic.now += 57.9
    assert not cache.get(cache_key(LOCAL, "t")).is_due


def test_what_another_gateway_learnt_lives_no_longer_than_there(cache):
    assert cache.time_left(
        cache.land(cache.depart(cache_key(LOCAL, "t")), token(), 7.0)
    ) == pytest.approx(7)
    assert cache.time_left(
        cache.land(cache.depart(cache_key(LOCAL, "u")), token(), 1e9)
    ) == pytest.approx(60), "nor longer than here"
    assert cache.land(cache.depart(cache_key(LOCAL, "v")), token(), -1.0)
    assert get(cache, "v") is None


def stale(cache, text):
    answer = cache.get_stale(cache_key(LOCAL, text))
    return answer and answer.verdict


def test_an_aged_answer_is_kept_for_an_outage_as_long_as_configured(lenient_cache, monotonic):
    keep(lenient_cache, "t", token())
    monotonic.now += 60
    assert get(lenient_cache, "t") is None
    assert stale(lenient_cache, "t") == token()
    monotonic.now += 29.9
    assert get(lenient_cache, "t") is None
    assert stale(lenient_cache, "t") == token()
    monotonic.now += 0.1
    assert stale(lenient_cache, "t") is None
    assert get(lenient_cache, "t") is None
    assert lenient_cache.count_entries() == 0


def test_no_aged_answer_is_kept_unless_configured(cache, monotonic):
    keep(cache, "t", token())
    monotonic.now += 60
    assert stale(cache, "t") is None


def test_an_aged_refusal_is_not_kept(lenient_cache, monotonic):
    keep(lenient_cache, "t", Inactive())
    monotonic.now += 5
    assert get(lenient_cache, "t") is None
    assert stale(lenient_cache, "t") is None
    assert lenient_cache.count_entries() == 0


@pytest.mark.parametrize(
    "revoke",
    [
        lambda cache: revoke_token(cache, "t"),
        lambda cache: revoke_client(cache, "app"),
        lambda cache: cache.distrust(),
    ],
    ids=["token", "client", "unheard"],
)
def test_no_aged_answer_outlives_a_revocation(lenient_cache, monotonic, revoke):
    """Whether it comes before or after the answer has aged."""
    keep(lenient_cache, "t", token())
    revoke(lenient_cache)
    monotonic.now += 61
    assert stale(lenient_cache, "t") is None
    keep(lenient_cache, "t", token())
    monotonic.now += 61
    revoke(lenient_cache)
    assert stale(lenient_cache, "t") is None


def test_what_may_have_gone_unheard_empties_the_memory_and_holds_for_those_on_their_way(cache):
    """Refusals stay: no revocation makes a token good."""
    keep(cache, "t", token())
    keep(cache, "bad", Inactive())
    flight = cache.depart(cache_key(LOCAL, "u"))
    cache.distrust()
    assert get(cache, "t") is None
    assert get(cache, "bad") == Inactive()
    assert cache.land(flight, token()) is None, "it has to be asked again"
    assert keep(cache, "u", token()).verdict == token()
