"""Every metric of the gateway, in one place.

Labels come from closed sets that the configuration bounds: no client can make a new series. A
request without a route counts as `-`, an unknown method as `other`.
"""

import asyncio
from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from gateway.policy.decision import possible_token_reasons
from gateway.policy.forwarding import Forwarded
from gateway.policy.method import METHODS_WITHOUT_DESTINATION
from gateway.policy.rejection import TOKEN_REASONS, Reason
from gateway.policy.routes import Route
from gateway.telemetry.series import Counter, Family, Gauge, Histogram, Labels, Merge

NO_ROUTE = "-"

# Refusals that any request may meet before it has a route, and on any route after.
_REASONS_WITHOUT_ROUTE = (
    Reason.AMBIGUOUS_PATH,
    Reason.MALFORMED_REQUEST,
    Reason.UNSUPPORTED_CODING,
    Reason.HEADERS_TOO_LARGE,
    Reason.NO_ROUTE,
    Reason.METHOD_NOT_ALLOWED,
    Reason.REQUEST_TIMEOUT,
    Reason.INTERNAL_ERROR,
)
_REASONS_OF_EVERY_ROUTE = (
    Reason.MALFORMED_REQUEST,
    Reason.BODY_TOO_LARGE,
    Reason.EXPECTATION_FAILED,
    Reason.LOOP_DETECTED,
    Reason.REQUEST_TIMEOUT,
    Reason.UPSTREAM_UNAVAILABLE,
    Reason.UPSTREAM_INVALID,
    Reason.UPSTREAM_TIMEOUT,
    Reason.INTERNAL_ERROR,
)
_REASONS_OF_DESTINATIONS = (Reason.FOREIGN_DESTINATION, Reason.AMBIGUOUS_PATH)


class Metrics:
    """The families, their registry, and how they start."""

    def __init__(self, routes: Iterable[Route] = ()) -> None:
        self.requests = Counter(
            "gateway_requests_total", "Requests answered", ("route", "method", "status")
        )
        self.request_duration = Histogram(
            "gateway_request_duration_seconds",
            "Time from a request's head to the end of its answer, by upstream",
            "upstream",
        )
        self.token_rejections = Counter(
            "gateway_token_rejections_total",
            "Requests refused for what their token is or lacks",
            ("route", "reason"),
        )
        self.refusals = Counter(
            "gateway_refusals_total",
            "Requests refused for any other reason",
            ("route", "reason"),
        )
        self.introspections = Counter(
            "gateway_introspections_total",
            "Questions asked of an authorization server, by its answer",
            ("authorization_server", "result"),
        )
        self.introspection_duration = Histogram(
            "gateway_introspection_duration_seconds",
            "Time that an authorization server took to answer",
            "authorization_server",
        )
        self.introspection_errors = Counter(
            "gateway_introspection_errors_total",
            "Questions about tokens that an authorization server left open, by why",
            ("authorization_server", "kind"),
        )
        self.cache_lookups = Counter(
            "gateway_introspection_cache_lookups_total",
            "Look-ups in the cache of introspection answers",
            ("result",),
        )
        self.revocations = Counter(
            "gateway_revocations_total", "Revocations that this gateway heard of", ("source",)
        )
        self.feed_gaps = Counter(
            "gateway_revocation_feed_gaps_total",
            "Times that revocations on other hosts may have gone unheard and answers were dropped",
            (),
        )
        self.upstream_requests = Counter(
            "gateway_upstream_requests_total",
            "Attempts to have a request answered by an upstream, by how they ended",
            ("upstream", "server", "result"),
        )
        self.upstream_duration = Histogram(
            "gateway_upstream_duration_seconds",
            "Time until an upstream's answer began",
            "upstream",
        )
        self.connections_refused = Counter(
            "gateway_connections_refused_total",
            "Connections closed before anything was read from them",
            ("listener", "reason"),
        )
        self.tls_reloads = Counter(
            "gateway_tls_reloads_total",
            "Certificates that have changed on disk, by whether the new one could be used",
            ("listener", "result"),
        )
        self.tls_handshake_failures = Counter(
            "gateway_tls_handshake_failures_total",
            "Connections that ended before their TLS handshake did",
            ("listener",),
        )
        self.tokens_issued = Counter(
            "gateway_tokens_issued_total", "Access tokens issued", ("grant_type",)
        )
        self.sign_ins = Counter(
            "gateway_sign_ins_total",
            "Tries of people to sign in, by what became of them",
            ("result",),
        )
        self.worker_restarts = Counter(
            "gateway_worker_restarts_total", "Workers that ended unasked and were replaced", ()
        )
        self._settlers: list[Callable[[], None]] = []
        self._registry = CollectorRegistry(auto_describe=False)
        self.families: list[Family] = [
            family for family in vars(self).copy().values() if isinstance(family, Family)
        ]
        for family in self.families:
            self._registry.register(family)
        self._start(routes)

    def _start(self, routes: Iterable[Route]) -> None:
        for reason in _REASONS_WITHOUT_ROUTE:
            self.refusals.start_at_zero(NO_ROUTE, reason)
        for route in routes:
            for reason in possible_token_reasons(route):
                self.token_rejections.start_at_zero(route.name, reason)
            for reason in _REASONS_OF_EVERY_ROUTE:
                self.refusals.start_at_zero(route.name, reason)
            if route.admission is not None:
                for reason in route.admission.reasons:
                    self.refusals.start_at_zero(route.name, reason)
            if route.methods is None or route.methods - METHODS_WITHOUT_DESTINATION:
                for reason in _REASONS_OF_DESTINATIONS:
                    self.refusals.start_at_zero(route.name, reason)
        self.worker_restarts.start_at_zero()
        for result in ("hit", "negative_hit", "redis_hit", "miss", "coalesced", "stale"):
            self.cache_lookups.start_at_zero(result)

    def count_refusal(self, route: str, reason: Reason) -> None:
        """Count a refusal in the family that its reason belongs to."""
        family = self.token_rejections if reason in TOKEN_REASONS else self.refusals
        family.count(route, reason)

    def count_upstream(self, upstream: str, forwarded: Forwarded) -> None:
        """Count each attempt of a request at an upstream, and how long its answer took to begin."""
        for server, result in forwarded.failed_attempts:
            self.upstream_requests.count(upstream, server, result)
        self.upstream_requests.count(upstream, forwarded.server, forwarded.result)
        if forwarded.seconds_to_head:
            self.upstream_duration.observe(upstream, forwarded.seconds_to_head)

    def add_gauge(
        self,
        name: str,
        help_text: str,
        labels: tuple[str, ...],
        values: Callable[[], Iterable[tuple[Labels, float]]],
        merge: Merge = "sum",
    ) -> None:
        """Add a gauge that `values` is called for at each scrape.

        `merge` says what the gauges of several processes make together.
        """
        gauge = Gauge(name, help_text, labels, values, merge)
        self.families.append(gauge)
        self._registry.register(gauge)

    def on_scrape(self, settle: Callable[[], None]) -> None:
        """Have something called in the event loop before the metrics are read."""
        self._settlers.append(settle)

    def settle(self) -> None:
        """Count what has happened and is not counted yet; call it before `expose`."""
        for settle in self._settlers:
            settle()

    async def read(self) -> bytes:
        """Write what has happened until now, in a thread: many series take a while."""
        self.settle()
        return await asyncio.to_thread(self.expose)

    def expose(self) -> bytes:
        """Write all of it in Prometheus's text format."""
        return generate_latest(self._registry)
