"""What /metrics says: in Prometheus's format, from zero, and in a bounded number of series."""

import math
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from gateway.policy.forwarding import Forwarded
from gateway.policy.rejection import TOKEN_REASONS, Reason
from gateway.policy.routes import Requirement, Route
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.series import Counter, Histogram

CONTRACT = {
    "gateway_requests_total": ("counter", {"route", "method", "status"}),
    "gateway_request_duration_seconds": ("histogram", {"upstream"}),
    "gateway_token_rejections_total": ("counter", {"route", "reason"}),
    "gateway_refusals_total": ("counter", {"route", "reason"}),
    "gateway_introspection_errors_total": ("counter", {"authorization_server", "kind"}),
    "gateway_introspections_total": ("counter", {"authorization_server", "result"}),
    "gateway_introspection_duration_seconds": ("histogram", {"authorization_server"}),
    "gateway_introspection_cache_lookups_total": ("counter", {"result"}),
    "gateway_revocations_total": ("counter", {"source"}),
    "gateway_revocation_feed_gaps_total": ("counter", set()),
    "gateway_sign_ins_total": ("counter", {"result"}),
    "gateway_upstream_requests_total": ("counter", {"upstream", "server", "result"}),
    "gateway_upstream_duration_seconds": ("histogram", {"upstream"}),
    "gateway_tokens_issued_total": ("counter", {"grant_type"}),
    "gateway_tls_reloads_total": ("counter", {"listener", "result"}),
    "gateway_tls_handshake_failures_total": ("counter", {"listener"}),
    "gateway_connections_refused_total": ("counter", {"listener", "reason"}),
    "gateway_worker_restarts_total": ("counter", set()),
}
ROUTES = [
    Route(
        "orders",
        None,
        "/orders/**",
        frozenset({"GET", "HEAD"}),
        "u",
        "local",
        frozenset({"https://i.example"}),
        requirement=Requirement(scopes=frozenset({"orders:read"})),
    ),
    Route("health", None, "/healthz", None, "u", requirement=None),
]


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Gives every sample as a scraper reads it: name and labels -> value."""
    found = {}
    for family in text_string_to_metric_families(metrics.expose().decode()):
        for sample in family.samples:
            key = sample.name, tuple(sorted(sample.labels.items()))
            assert key not in found, "no series stands there twice"
            found[key] = sample.value
    return found


def series(metrics: Metrics, name: str) -> dict[tuple[str, ...], float]:
    return {
        tuple(value for _, value in labels): value
        for (found, labels), value in samples(metrics).items()
        if found == name
    }


def test_the_families_are_those_of_the_contract():
    """By name, type and labels; `_total` stands once at a counter's end."""
    metrics = Metrics(ROUTES)
    for counter in (value for value in vars(metrics).values() if isinstance(value, Counter)):
        counter.count(*counter.definition.labels)
    for histogram in (value for value in vars(metrics).values() if isinstance(value, Histogram)):
        histogram.observe(*histogram.definition.labels, 0.1)
    found = {}
    for family in text_string_to_metric_families(metrics.expose().decode()):
        name = family.name + ("_total" if family.type == "counter" else "")
        assert family.documentation
        for sample in family.samples:
            assert "_total_total" not in sample.name
            assert family.type == "histogram" or sample.name == name
        found[name] = family.type, set(family.samples[-1].labels) - {"le"}
    assert found == CONTRACT


def test_the_reasons_that_a_route_can_yield_start_at_zero_and_no_others():
    """So that `rate()` sees the first of them; written out here."""
    metrics = Metrics(ROUTES)
    assert series(metrics, "gateway_token_rejections_total") == dict.fromkeys(
        [
            (reason, "orders")
            for reason in (
                "missing_token", "malformed_token", "multiple_tokens", "inactive_token",
                "expired_token", "revoked_token", "wrong_issuer", "insufficient_scope",
                "authorization_server_unavailable",
            )
        ],
        0,
    )  # fmt: skip
    on_every_route = [
        "malformed_request", "body_too_large", "expectation_failed", "request_timeout",
        "upstream_unavailable", "upstream_invalid", "upstream_timeout", "internal_error",
        "loop_detected",
    ]  # fmt: skip
    before_a_route = [
        "ambiguous_path", "malformed_request", "unsupported_coding", "headers_too_large",
        "no_route", "method_not_allowed", "request_timeout", "internal_error",
    ]  # fmt: skip
    assert series(metrics, "gateway_refusals_total") == dict.fromkeys(
        [(reason, route) for reason in on_every_route for route in ("orders", "health")]
        + [(reason, "health") for reason in ("foreign_destination", "ambiguous_path")]
        + [(reason, "-") for reason in before_a_route],
        0,
    )
    assert series(metrics, "gateway_introspection_cache_lookups_total") == dict.fromkeys(
        [
            (result,)
            for result in ("hit", "negative_hit", "redis_hit", "miss", "coalesced", "stale")
        ],
        0,
    )


@pytest.mark.parametrize("reason", Reason)
def test_a_refusal_is_counted_in_the_family_of_its_reason(reason):
    """Once, and not in the other."""
    metrics = Metrics()
    metrics.count_refusal("r", reason)
    families = ["gateway_token_rejections_total", "gateway_refusals_total"]
    if reason not in TOKEN_REASONS:
        families.reverse()
    assert series(metrics, families[0])[reason, "r"] == 1
    assert (reason, "r") not in series(metrics, families[1])


def test_each_attempt_at_an_upstream_is_counted_with_its_server():
    """An answer that never began has no duration."""
    metrics = Metrics()
    first = (("10.0.0.1:80", "unavailable"),)
    metrics.count_upstream(
        "u",
        Forwarded(
            result="answered", server="10.0.0.2:80", failed_attempts=first, seconds_to_head=0.2
        ),
    )
    metrics.count_upstream("u", Forwarded(result="full"))
    found = series(metrics, "gateway_upstream_requests_total")
    assert found == {
        ("unavailable", "10.0.0.1:80", "u"): 1,
        ("answered", "10.0.0.2:80", "u"): 1,
        ("full", "-", "u"): 1,
    }
    assert series(metrics, "gateway_upstream_duration_seconds_count") == {("u",): 1}


def test_a_gauge_is_read_when_somebody_looks():
    values = {("a", "up"): 1.0}
    metrics = Metrics()
    metrics.add_gauge("gateway_things", "Things", ("name", "state"), values.items)
    assert series(metrics, "gateway_things") == {("a", "up"): 1}
    values["b", "down"] = 2.5
    assert series(metrics, "gateway_things") == {("a", "up"): 1, ("b", "down"): 2.5}


@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=5),
        st.integers(1, 100),
        max_size=5,
    )
)
def test_odd_label_values_come_back_as_they_were(counts):
    """Quotes, backslashes and line feeds are escaped."""
    metrics = Metrics()
    for label, count in counts.items():
        metrics.revocations.count(label, by=count)
    assert series(metrics, "gateway_revocations_total") == {
        (label,): count for label, count in counts.items()
    }


@given(st.lists(st.floats(0, 100), max_size=20))
def test_a_histogram_adds_up(durations):
    """Buckets are cumulative, the last has them all, and the sum is the sum."""
    metrics = Metrics()
    for seconds in durations:
        metrics.request_duration.observe("u", seconds)
    found = {
        dict(labels).get("le", name.rpartition("_")[2]): value
        for (name, labels), value in samples(metrics).items()
        if name.startswith("gateway_request_duration_seconds")
    }
    if not durations:
        assert found == {}
        return
    assert found.pop("sum") == pytest.approx(sum(durations))
    assert found.pop("count") == found["+Inf"] == len(durations)
    for bound, value in found.items():
        assert value == sum(seconds <= float(bound) for seconds in durations)
    assert [float(bound) for bound in found] == sorted({*Histogram.BOUNDS, math.inf})


def test_starting_at_zero_takes_nothing_back():
    metrics = Metrics()
    metrics.requests.count("r", "GET", "200")
    metrics.requests.start_at_zero("r", "GET", "200")
    metrics.upstream_duration.observe("u", 1.0)
    metrics.upstream_duration.start_at_zero("u")
    assert series(metrics, "gateway_requests_total") == {("GET", "r", "200"): 1}
    assert series(metrics, "gateway_upstream_duration_seconds_count") == {("u",): 1}


class GrowingDict(dict):
    """A dictionary that gains a member whenever somebody has read one: as from another thread."""

    def __init__(self, grow):
        super().__init__()
        self._grow = grow

    def __getitem__(self, key):
        value = super().__getitem__(key)
        self._grow()
        return value


def test_a_scrape_bears_that_series_come_into_being():
    """It runs in a thread of its own; what is new meanwhile is there the next time."""
    metrics = Metrics()
    numbers = iter(range(100))
    metrics.upstream_duration._sums = GrowingDict(
        lambda: metrics.upstream_duration.start_at_zero(f"new{next(numbers)}")
    )
    metrics.upstream_duration.start_at_zero("u")
    metrics.upstream_duration.start_at_zero("v")
    assert set(series(metrics, "gateway_upstream_duration_seconds_sum")) == {("u",), ("v",)}
    assert len(series(metrics, "gateway_upstream_duration_seconds_sum")) == 4


def test_a_scrape_never_meets_half_a_histogram(monkeypatch):
    """Whichever dictionary has grown already when a scrape comes in between."""
    metrics = Metrics()
    seen = []

    class Watched(dict):
        def setdefault(self, key, value):
            found = super().setdefault(key, value)
            thread = threading.Thread(target=lambda: seen.append(metrics.expose()))
            thread.start()
            thread.join()
            return found

    metrics.upstream_duration._sums = Watched()
    metrics.upstream_duration._buckets = Watched()
    metrics.upstream_duration.observe("u", 0.5)
    assert len(seen) == 2
    assert series(metrics, "gateway_upstream_duration_seconds_count") == {("u",): 1}
