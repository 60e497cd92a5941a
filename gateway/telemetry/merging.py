"""The metrics of several processes, as one.

Each process tells what has changed since it last told; whoever exposes them keeps the latest of
each. Rule: no counter ever goes down. What a process counted stays when the process is gone, and a
new one begins beside it, at zero.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import astuple
from typing import Any, TypedDict

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from gateway.telemetry.metrics import Metrics
from gateway.telemetry.series import (
    Definition,
    Family,
    Labels,
    Values,
    add_up,
    as_metric,
    merge_gauge,
)

Series = dict[Labels, Values]


class Changes(TypedDict):
    """What one process tells, ready to be written as JSON."""

    definitions: list[list[Any]]
    """Families that were not told of before."""
    series: dict[str, list[tuple[Labels, Values]]]
    """By family: of counters and histograms the series that have changed, of gauges all if any."""


class ChangeReader:
    """Reads what has changed in a process's metrics since the last time."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._told: dict[str, Series] = {}

    def take(self) -> Changes:
        """Give what is new. Any thread may call it, one at a time."""
        definitions = []
        series = {}
        for family in self._metrics.families:
            if family.name not in self._told:
                definitions.append(list(astuple(family.definition)))
            changed = self._changed(family)
            if changed:
                series[family.name] = changed
        return {"definitions": definitions, "series": series}

    def _changed(self, family: Family) -> list[tuple[Labels, Values]]:
        told = self._told.setdefault(family.name, {})
        if family.definition.kind == "gauge":
            now = dict(family.read())
            if now == told:
                return []
            self._told[family.name] = now
            return list(now.items())
        changed = [(labels, value) for labels, value in family.read() if told.get(labels) != value]
        told.update(changed)
        return changed


class MergedMetrics(Collector):
    """What all processes have told, together."""

    def __init__(self) -> None:
        self._definitions: dict[str, Definition] = {}
        # Replaced whole when a process goes, so that whoever is reading sees before or after.
        self._state: tuple[dict[str, Series], dict[int, dict[str, Series]]] = ({}, {})
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def update(self, process: int, changes: Mapping[str, Any]) -> None:
        """Take what a process told, as it came out of JSON."""
        for kind, name, help_text, labels, merge in changes["definitions"]:
            definition = Definition(kind, name, help_text, tuple(labels), merge)
            self._definitions.setdefault(name, definition)
        past, living = self._state
        if process not in living:
            living = {**living, process: {}}
            self._state = past, living
        own = living[process]
        for name, told in changes["series"].items():
            series = {tuple(labels): tuple(values) for labels, values in told}
            if self._definitions[name].kind == "gauge":
                own[name] = series
            else:
                own.setdefault(name, {}).update(series)

    def retire(self, process: int) -> None:
        """Keep what a process that is gone has counted; its gauges go with it."""
        past, living = self._state
        gone = living.get(process, {})
        kept = {name: dict(series) for name, series in past.items()}
        for name, series in gone.items():
            if self._definitions[name].kind != "gauge":
                into = kept.setdefault(name, {})
                for labels, values in series.items():
                    into[labels] = add_up(into.get(labels), values)
        self._state = kept, {key: value for key, value in living.items() if key != process}

    def collect(self) -> Iterable[Metric]:
        """Give every family to the exposition."""
        past, living = self._state
        for name, definition in list(self._definitions.items()):
            parts = [process.get(name, {}) for process in living.values()]
            if definition.kind == "gauge":
                yield as_metric(definition, _merge_gauges(definition, parts).items())
            else:
                yield as_metric(definition, _add_series([past.get(name, {}), *parts]).items())

    async def read(self) -> bytes:
        """Write all of it in Prometheus's text format; in a thread, for it may take a while."""
        return await asyncio.to_thread(generate_latest, self._registry)


def _add_series(parts: Iterable[Series]) -> Series:
    total: Series = {}
    for part in parts:
        for labels, values in list(part.items()):
            total[labels] = add_up(total.get(labels), values)
    return total


def _merge_gauges(definition: Definition, parts: Iterable[Series]) -> Series:
    found: dict[Labels, list[float]] = defaultdict(list)
    for part in parts:
        for labels, (value,) in list(part.items()):
            found[labels].append(value)
    return {labels: (merge_gauge(definition.merge, values),) for labels, values in found.items()}
