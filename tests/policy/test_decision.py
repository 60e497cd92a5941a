"""The verdict, held against the demands read one by one."""

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.decision import decide, possible_token_reasons
from gateway.policy.rejection import TOKEN_REASONS, Reason
from gateway.policy.routes import Requirement, Route
from gateway.policy.token import Token

NOW = 1_000_000.0
ISSUER, SECOND = "https://issuer.example", "https://second.example"
SCOPES = ["a", "b", "c"]

TOKEN = Token(
    issuer=ISSUER,
    client_id="app",
    subject=None,
    username=None,
    scopes=frozenset(),
    audience=(),
    expires_at=None,
    claims={},
)


def guarded(**requirement) -> Route:
    issuers = frozenset({ISSUER, SECOND})
    return Route("r", None, "/", None, "u", "a, b", issuers, requirement=Requirement(**requirement))


values = st.sampled_from([True, False, 1, 0, 2, "1", "True", "acme", ""])
claim_values = (
    values
    | st.sampled_from([1.0, 0.0, None, math.nan, {"a": 1}])
    | st.lists(values | st.sampled_from([1.0, None, ["acme"]]), max_size=3)
)
tokens = st.builds(
    Token,
    issuer=st.sampled_from([ISSUER, ISSUER, SECOND, "https://other.example", ""]),
    client_id=st.just("app"),
    subject=st.none(),
    username=st.none(),
    scopes=st.frozensets(st.sampled_from(SCOPES)),
    audience=st.lists(st.sampled_from(["x", "y"]), max_size=2).map(tuple),
    expires_at=st.none() | st.sampled_from([NOW - 1, NOW, NOW + 1, math.nan, math.inf]),
    claims=st.dictionaries(st.sampled_from(["tenant", "role"]), claim_values),
)
routes = st.builds(
    guarded,
    scopes=st.frozensets(st.sampled_from(SCOPES), max_size=2),
    any_scope=st.frozensets(st.sampled_from(SCOPES), max_size=2),
    audience=st.none() | st.sampled_from(["x", "z"]),
    claims=st.lists(
        st.tuples(st.sampled_from(["tenant", "role"]), st.lists(values, max_size=2).map(tuple)),
        max_size=2,
    ).map(tuple),
)


def same(found: object, wanted: object) -> bool:
    """Types compare strictly: True is not 1, and neither is 1.0."""
    return type(found) is type(wanted) and found == wanted


def naive_reasons(route: Route, token: Token) -> list[Reason]:
    """Gives every demand that is not met, in the order of the contract's table."""
    demands = route.requirement
    missing = []
    if token.expires_at is not None and not token.expires_at > NOW:
        missing.append(Reason.EXPIRED_TOKEN)
    if token.issuer not in (ISSUER, SECOND):
        missing.append(Reason.WRONG_ISSUER)
    if demands.audience is not None and demands.audience not in token.audience:
        missing.append(Reason.WRONG_AUDIENCE)
    all_of_them = all(scope in token.scopes for scope in demands.scopes)
    one_of_them = not demands.any_scope or any(one in token.scopes for one in demands.any_scope)
    if not (all_of_them and one_of_them):
        missing.append(Reason.INSUFFICIENT_SCOPE)
    for name, allowed in demands.claims:
        found = token.claims.get(name)
        members = found if isinstance(found, list) else [found]
        if not any(same(member, wanted) for member in members for wanted in allowed):
            missing.append(Reason.CLAIM_MISMATCH)
            break
    return missing


@given(route=routes, token=tokens)
def test_a_token_opens_a_route_exactly_when_it_meets_every_demand(route, token):
    """Allowed when nothing is missing; otherwise refused for the first thing that is."""
    expected = naive_reasons(route, token)
    rejection = decide(route, token, NOW)
    assert (rejection and rejection.reason) == (expected[0] if expected else None)


@given(route=routes, token=tokens)
def test_only_reasons_that_the_route_can_yield_are_given(route, token):
    """What a decision refuses for is among the series that the metrics start at zero."""
    rejection = decide(route, token, NOW)
    assert rejection is None or rejection.reason in possible_token_reasons(route)


@given(route=routes, token=tokens, age=st.floats(min_value=0, max_value=1e12) | st.just(math.inf))
def test_an_expired_token_opens_nothing(route, token, age):
    """Whatever the route demands, from the very second of its expiry."""
    expired = dataclasses.replace(token, expires_at=NOW - age)
    assert decide(route, expired, NOW).reason is Reason.EXPIRED_TOKEN


def test_an_expiry_that_is_no_number_has_passed():
    assert (
        decide(guarded(), dataclasses.replace(TOKEN, expires_at=math.nan), NOW).reason
        is Reason.EXPIRED_TOKEN
    )


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (1, True), (1, 1.0), (1, "1"), (True, 1), (True, "true"), (True, 1.0), (0, False),
        ("1", 1), ("acme", ["ACME"]), ("acme", {"acme": 1}), ("acme", None), ("acme", [["acme"]]),
        ("", None), (False, None), (False, []),
    ],
)  # fmt: skip
def test_a_claim_of_another_type_never_holds(wanted, found):
    token = dataclasses.replace(TOKEN, claims={"claim": found})
    route = guarded(claims=(("claim", (wanted,)),))
    assert decide(route, token, NOW).reason is Reason.CLAIM_MISMATCH


@pytest.mark.parametrize(
    ("wanted", "found"),
    [((1,), 1), ((True,), True), (("a", "b"), "b"), (("a",), ["x", "a"]), ((2, "2"), [2])],
)
def test_a_claim_holds_when_one_value_is_the_same(wanted, found):
    token = dataclasses.replace(TOKEN, claims={"claim": found})
    assert decide(guarded(claims=(("claim", wanted),)), token, NOW) is None


def test_a_claim_without_allowed_values_never_holds():
    token = dataclasses.replace(TOKEN, claims={"claim": None})
    assert decide(guarded(claims=(("claim", ()),)), token, NOW).reason is Reason.CLAIM_MISMATCH


def test_a_missing_scope_is_named_beside_all_that_are_required():
    """The challenge lists what the route requires, the body what is missing."""
    route = guarded(scopes=frozenset({"a", "b"}), any_scope=frozenset({"c", "d"}))
    weak = decide(route, dataclasses.replace(TOKEN, scopes=frozenset({"a"})), NOW)
    assert (weak.required, weak.missing) == (("a", "b", "c", "d"), ("b",))
    assert weak.any_of == ("c", "d")
    weaker = decide(route, dataclasses.replace(TOKEN, scopes=frozenset({"a", "d"})), NOW)
    assert (weaker.missing, weaker.any_of) == (("b",), ())


def test_a_public_route_demands_nothing():
    public = Route("r", None, "/", None, "u", requirement=None)
    assert decide(public, dataclasses.replace(TOKEN, expires_at=0.0), NOW) is None


_ALWAYS = {
    "missing_token", "malformed_token", "multiple_tokens", "inactive_token", "expired_token",
    "revoked_token", "wrong_issuer", "authorization_server_unavailable",
}  # fmt: skip


@pytest.mark.parametrize(
    ("requirement", "more"),
    [
        ({}, set()),
        ({"scopes": frozenset({"a"})}, {"insufficient_scope"}),
        ({"any_scope": frozenset({"a"})}, {"insufficient_scope"}),
        ({"audience": "x"}, {"wrong_audience"}),
        ({"claims": (("tenant", ("acme",)),)}, {"claim_mismatch"}),
        (
            {"scopes": frozenset({"a"}), "audience": "x", "claims": (("t", (1,)),)},
            {"insufficient_scope", "wrong_audience", "claim_mismatch"},
        ),
    ],
)
def test_a_route_can_yield_the_reasons_of_its_own_demands_and_no_others(requirement, more):
    assert possible_token_reasons(guarded(**requirement)) == _ALWAYS | more


def test_a_public_route_can_yield_no_reason_about_tokens():
    assert possible_token_reasons(Route("r", None, "/", None, "u", requirement=None)) == set()


def test_each_reason_about_tokens_can_be_yielded_by_some_route():
    every = guarded(scopes=frozenset({"a"}), audience="x", claims=(("t", (1,)),))
    assert possible_token_reasons(every) == TOKEN_REASONS


@pytest.mark.parametrize("has_wildcards", [True, False])
def test_wildcards_of_a_token_count_where_the_route_says_so(has_wildcards):
    """And what is missing is named as it is."""
    route = guarded(
        scopes=frozenset({"orders:read", "stock:read"}),
        any_scope=frozenset({"admin:all", "desk:all"}),
        has_wildcards=has_wildcards,
    )

    def judge(*scopes):
        return decide(route, dataclasses.replace(TOKEN, scopes=frozenset(scopes)), NOW)

    assert judge("orders:read", "stock:read", "desk:all") is None
    rejection = judge("*:read", "desk:*")
    assert (rejection is None) is has_wildcards
    rejection = judge("orders:*", "desk:*")
    assert rejection.reason is Reason.INSUFFICIENT_SCOPE
    assert rejection.required == ("admin:all", "desk:all", "orders:read", "stock:read")
    if has_wildcards:
        assert (rejection.missing, rejection.any_of) == (("stock:read",), ())
    else:
        assert rejection.missing == ("orders:read", "stock:read")
        assert rejection.any_of == ("admin:all", "desk:all")
