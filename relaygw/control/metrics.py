"""What Prometheus scrapes: the journal's counts of events, and the numbers of the status document."""

from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from relaygw.core.events import AUTHENTICATION

PREFIX = "relaygw"


def render(counts: Mapping[tuple[str, str], int], status: Mapping[str, Any]) -> bytes:
    """The metrics in the text format."""
    registry = CollectorRegistry()
    registry.register(_Numbers(counts, status))
    return generate_latest(registry)


class _Numbers(Collector):
    """The numbers of one moment."""

    def __init__(self, counts: Mapping[tuple[str, str], int], status: Mapping[str, Any]) -> None:
        self._counts = counts
        self._status = status

    def collect(self) -> Iterator[Metric]:
        events = CounterMetricFamily(
            f"{PREFIX}_events", "Events of the journal since start.", labels=("event", "detail")
        )
        found = CounterMetricFamily(
            f"{PREFIX}_authentication", "What checks of the sender found since start.", labels=("method", "result")
        )
        for (event, detail), number in sorted(self._counts.items()):
            if event == AUTHENTICATION:
                method, _, result = detail.partition("=")
                found.add_metric((method, result), number)
            else:
                events.add_metric((event, detail), number)
        yield events
        yield found
        info = GaugeMetricFamily(f"{PREFIX}_info", "The running version.", labels=("version", "hostname"))
        info.add_metric((str(self._status.get("version", "")), str(self._status.get("hostname", ""))), 1)
        yield info
        for name, value in _numbers(self._status, PREFIX):
            yield GaugeMetricFamily(name, f"{name.removeprefix(PREFIX + '_')} of relaygw status", value=value)


def _numbers(status: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, float]]:
    """Every number of the document, under the names that lead to it."""
    for key, value in status.items():
        name = f"{prefix}_{key}"
        if isinstance(value, Mapping):
            yield from _numbers(value, name)
        elif isinstance(value, int | float) and not isinstance(value, bool) and key != "pid":
            yield name, float(value)
