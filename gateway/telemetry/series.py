"""Counters, gauges and histograms that cost one dictionary look-up per count.

prometheus_client writes the exposition; counting through it would take a lock and a tuple of
strings per sample, several times per request. One event loop is the only writer here, so plain
numbers do, and a scrape reads them in between.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

Labels = tuple[str, ...]


class Counter(Collector):
    """A family of counters, by the values of its labels."""

    def __init__(self, name: str, help_text: str, labels: Sequence[str]) -> None:
        self.name = name
        self._help = help_text
        self._labels = tuple(labels)
        self.values: dict[Labels, float] = {}

    def start_at_zero(self, *labels: str) -> None:
        """Make the series exist, so that `rate()` sees its first count."""
        self.values.setdefault(labels, 0)

    def count(self, *labels: str, by: float = 1) -> None:
        """Add to one series."""
        self.values[labels] = self.values.get(labels, 0) + by

    def collect(self) -> Iterable[Metric]:
        """Give the family to the exposition."""
        family = CounterMetricFamily(self.name, self._help, labels=self._labels)
        for labels, value in list(self.values.items()):
            family.add_metric(labels, value)
        yield family


class Gauge(Collector):
    """A family of gauges whose values are read when somebody looks."""

    def __init__(
        self,
        name: str,
        help_text: str,
        labels: Sequence[str],
        read: Callable[[], Iterable[tuple[Labels, float]]],
    ) -> None:
        self.name = name
        self._help = help_text
        self._labels = tuple(labels)
        self._read = read

    def collect(self) -> Iterable[Metric]:
        """Give the family to the exposition."""
        family = GaugeMetricFamily(self.name, self._help, labels=self._labels)
        for labels, value in self._read():
            family.add_metric(labels, value)
        yield family


class Histogram(Collector):
    """A family of histograms of durations in seconds."""

    BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
    _BOUND_NAMES = (*map(str, BOUNDS), "+Inf")

    def __init__(self, name: str, help_text: str, label: str) -> None:
        self.name = name
        self._help = help_text
        self._label = label
        self._buckets: dict[str, list[int]] = {}
        self._sums: dict[str, float] = {}

    def start_at_zero(self, label: str) -> None:
        """Make the series exist."""
        # The sum first: a scrape, in a thread of its own, must find one for each label it sees.
        self._sums.setdefault(label, 0.0)
        self._buckets.setdefault(label, [0] * (len(self.BOUNDS) + 1))

    def observe(self, label: str, seconds: float) -> None:
        """Count one duration."""
        buckets = self._buckets.get(label)
        if buckets is None:
            self.start_at_zero(label)
            buckets = self._buckets[label]
        buckets[bisect_left(self.BOUNDS, seconds)] += 1
        self._sums[label] += seconds

    def collect(self) -> Iterable[Metric]:
        """Give the family to the exposition, with cumulative buckets."""
        family = HistogramMetricFamily(self.name, self._help, labels=[self._label])
        for label, buckets in list(self._buckets.items()):
            total = 0
            cumulative = []
            for bound, count in zip(self._BOUND_NAMES, list(buckets), strict=True):
                total += count
                cumulative.append((bound, float(total)))
            family.add_metric([label], cumulative, self._sums[label])
        yield family
