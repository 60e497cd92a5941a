"""Counters, gauges and histograms that cost one dictionary look-up per count.

prometheus_client writes the exposition; counting through it would take a lock and a tuple of
strings per sample, several times per request. One event loop is the only writer here, so plain
numbers do, and a scrape reads them in between.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

Labels = tuple[str, ...]
Values = tuple[float, ...]
"""What one series holds: a number; of a histogram the count of each bucket, and the sum."""
Kind = Literal["counter", "gauge", "histogram"]
Merge = Literal["sum", "least", "most"]
"""What several processes' gauges make together; counters and histograms are added up."""

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_BOUND_NAMES = (*map(str, BOUNDS), "+Inf")


@dataclass(frozen=True, slots=True)
class Definition:
    """What a family is, apart from its numbers."""

    kind: Kind
    name: str
    help_text: str
    labels: Labels
    merge: Merge = "sum"


def as_metric(definition: Definition, series: Iterable[tuple[Labels, Values]]) -> Metric:
    """Give a family to the exposition; the buckets of a histogram become cumulative."""
    name, help_text, labels = definition.name, definition.help_text, definition.labels
    if definition.kind == "histogram":
        histogram = HistogramMetricFamily(name, help_text, labels=labels)
        for label_values, (*buckets, total) in series:
            count = 0.0
            cumulative = []
            for bound, one in zip(_BOUND_NAMES, buckets, strict=True):
                count += one
                cumulative.append((bound, count))
            histogram.add_metric(label_values, cumulative, total)
        return histogram
    make = CounterMetricFamily if definition.kind == "counter" else GaugeMetricFamily
    family = make(name, help_text, labels=labels)
    for label_values, (value,) in series:
        family.add_metric(label_values, value)
    return family


class Family(Collector):
    """A family of series, by the values of their labels."""

    def __init__(self, definition: Definition) -> None:
        self.definition = definition

    @property
    def name(self) -> str:
        """Its name in the exposition."""
        return self.definition.name

    def read(self) -> Iterable[tuple[Labels, Values]]:
        """Give what there is now; another thread may ask."""
        raise NotImplementedError

    def collect(self) -> Iterable[Metric]:
        """Give the family to the exposition."""
        yield as_metric(self.definition, self.read())


class Counter(Family):
    """A family of counters, by the values of its labels."""

    def __init__(self, name: str, help_text: str, labels: Sequence[str]) -> None:
        super().__init__(Definition("counter", name, help_text, tuple(labels)))
        self.values: dict[Labels, float] = {}

    def start_at_zero(self, *labels: str) -> None:
        """Make the series exist, so that `rate()` sees its first count."""
        self.values.setdefault(labels, 0)

    def count(self, *labels: str, by: float = 1) -> None:
        """Add to one series."""
        self.values[labels] = self.values.get(labels, 0) + by

    def read(self) -> Iterable[tuple[Labels, Values]]:
        """Give every series."""
        return [(labels, (value,)) for labels, value in list(self.values.items())]


class Gauge(Family):
    """A family of gauges whose values are read when somebody looks."""

    def __init__(
        self,
        name: str,
        help_text: str,
        labels: Sequence[str],
        read: Callable[[], Iterable[tuple[Labels, float]]],
        merge: Merge = "sum",
    ) -> None:
        super().__init__(Definition("gauge", name, help_text, tuple(labels), merge))
        self._read = read

    def read(self) -> Iterable[tuple[Labels, Values]]:
        """Give every series."""
        return [(labels, (value,)) for labels, value in self._read()]


class Histogram(Family):
    """A family of histograms of durations in seconds."""

    BOUNDS = BOUNDS

    def __init__(self, name: str, help_text: str, label: str) -> None:
        super().__init__(Definition("histogram", name, help_text, (label,)))
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

    def read(self) -> Iterable[tuple[Labels, Values]]:
        """Give every series."""
        return [
            ((label,), (*buckets, self._sums[label]))
            for label, buckets in list(self._buckets.items())
        ]


def add_up(one: Values | None, other: Values) -> Values:
    """Add what two processes counted in a series."""
    return other if one is None else tuple(a + b for a, b in zip(one, other, strict=True))


_MERGES: Mapping[Merge, Callable[[Iterable[float]], float]] = {
    "sum": sum,
    "least": min,
    "most": max,
}


def merge_gauge(merge: Merge, values: Iterable[float]) -> float:
    """Give what several processes' gauges make together."""
    return _MERGES[merge](values)
