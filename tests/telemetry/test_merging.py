"""Several processes' metrics as one, in which no counter ever goes down."""

import json

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from gateway.telemetry.merging import ChangeReader, MergedMetrics
from gateway.telemetry.metrics import Metrics


class Process:
    """A process that counts, and tells as it does over the wire."""

    def __init__(self, merged: MergedMetrics, identity: int) -> None:
        self.merged = merged
        self.identity = identity
        self.metrics = Metrics()
        self.up = 1.0
        self.metrics.add_gauge("gateway_up", "Up", ("s",), lambda: [(("a",), self.up)], "least")
        self.metrics.add_gauge("gateway_n", "Number", (), lambda: [((), self.up)])
        self.metrics.add_gauge("gateway_top", "Top", (), lambda: [((), self.up)], "most")
        self.reader = ChangeReader(self.metrics)

    def tell(self) -> dict[str, object]:
        changes = json.loads(json.dumps(self.reader.take()))
        self.merged.update(self.identity, changes)
        return changes


async def samples(merged: MergedMetrics) -> dict[tuple[str, tuple[str, ...]], float]:
    text = (await merged.read()).decode()
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def count(process: Process, by: int = 1) -> None:
    for _ in range(by):
        process.metrics.requests.count("r", "GET", "200")
        process.metrics.upstream_duration.observe("u", 0.3)


REQUESTS = ("gateway_requests_total", ("GET", "r", "200"))


async def test_counters_and_histograms_are_added_up() -> None:
    merged = MergedMetrics()
    one, two = Process(merged, 1), Process(merged, 2)
    count(one, 2)
    count(two, 3)
    one.tell()
    two.tell()
    found = await samples(merged)
    assert found[REQUESTS] == 5
    assert found["gateway_upstream_duration_seconds_count", ("u",)] == 5
    assert found["gateway_upstream_duration_seconds_sum", ("u",)] == 1.5
    assert found["gateway_upstream_duration_seconds_bucket", ("0.25", "u")] == 0
    assert found["gateway_upstream_duration_seconds_bucket", ("0.5", "u")] == 5


async def test_gauges_make_together_what_they_say() -> None:
    merged = MergedMetrics()
    one, two = Process(merged, 1), Process(merged, 2)
    one.up, two.up = 0.0, 3.0
    one.tell()
    two.tell()
    found = await samples(merged)
    assert found["gateway_up", ("a",)] == 0
    assert found["gateway_n", ()] == 3
    assert found["gateway_top", ()] == 3


async def test_what_a_process_counted_stays_when_it_is_gone_and_its_gauges_go() -> None:
    merged = MergedMetrics()
    one, two = Process(merged, 1), Process(merged, 2)
    count(one, 2)
    count(two, 3)
    one.tell()
    two.tell()
    merged.retire(1)
    found = await samples(merged)
    assert found[REQUESTS] == 5
    assert found["gateway_n", ()] == 1
    again = Process(merged, 3)
    count(again)
    again.tell()
    assert (await samples(merged))[REQUESTS] == 6
    assert (await samples(merged))["gateway_upstream_duration_seconds_count", ("u",)] == 6


async def test_series_that_start_at_zero_are_there() -> None:
    merged = MergedMetrics()
    Process(merged, 1).tell()
    found = await samples(merged)
    assert found["gateway_refusals_total", ("no_route", "-")] == 0
    assert found["gateway_worker_restarts_total", ()] == 0


def test_only_what_has_changed_is_told() -> None:
    process = Process(MergedMetrics(), 1)
    first = process.tell()
    assert first["definitions"]
    assert process.tell() == {"definitions": [], "series": {}}
    count(process)
    assert set(process.tell()["series"]) == {
        "gateway_requests_total",
        "gateway_upstream_duration_seconds",
    }
    process.up = 0.0
    assert set(process.tell()["series"]) == {"gateway_up", "gateway_n", "gateway_top"}


async def test_a_gauges_series_that_is_no_more_is_gone() -> None:
    merged = MergedMetrics()
    metrics, values = Metrics(), [(("a",), 1.0), (("b",), 1.0)]
    metrics.add_gauge("gateway_open", "Open", ("s",), lambda: values)
    reader = ChangeReader(metrics)
    merged.update(1, reader.take())
    values.pop()
    merged.update(1, reader.take())
    found = await samples(merged)
    assert ("gateway_open", ("a",)) in found
    assert ("gateway_open", ("b",)) not in found


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("count"), st.integers(0, 2)),
            st.tuples(st.just("tell"), st.integers(0, 2)),
            st.tuples(st.just("die"), st.integers(0, 2)),
        ),
        max_size=30,
    )
)
def test_no_counter_goes_down_whatever_happens(events: list[tuple[str, int]]) -> None:
    merged = MergedMetrics()
    identities = iter(range(1000))
    processes = [Process(merged, next(identities)) for _ in range(3)]
    before = 0.0
    for event, number in events:
        if event == "count":
            count(processes[number])
        elif event == "tell":
            processes[number].tell()
        else:
            merged.retire(processes[number].identity)
            processes[number] = Process(merged, next(identities))
        families = {metric.name: metric for metric in merged.collect()}
        requests = families.get("gateway_requests")
        total = sum(sample.value for sample in requests.samples) if requests else 0.0
        assert total >= before
        before = total


def test_whoever_reads_while_a_process_goes_sees_its_counts_once() -> None:
    """A scrape runs in a thread of its own: it may begin before, and end after."""
    merged = MergedMetrics()
    for identity in range(3):
        process = Process(merged, identity)
        count(process, 10)
        process.tell()
    scrape = merged.collect()
    next(scrape)
    for identity in range(3):
        merged.retire(identity)
    [durations] = (one for one in scrape if one.name == "gateway_upstream_duration_seconds")
    [total] = (one.value for one in durations.samples if one.name.endswith("_count"))
    assert total == 30
