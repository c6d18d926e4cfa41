"""A histogram of durations that costs next to nothing to write: it is written on every call."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Final

from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector, CollectorRegistry
from prometheus_client.utils import floatToGoString


class Duration:
    """Durations under one set of label values."""

    __slots__ = ("_bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        """How many fell into each bucket, not cumulated; the last is what is above all bounds."""
        self.total = 0.0
        """Seconds."""

    def observe(self, seconds: float) -> None:
        """Counts one."""
        self.counts[bisect_left(self._bounds, seconds)] += 1
        self.total += seconds


class Durations(Collector):
    """What `prometheus_client.Histogram` shows, written by the thread of the event loop alone.

    The stock one takes two locks and walks its buckets. Here a scrape, which runs in another thread, may see
    a call that is counted and not yet added to the sum; the next one sees it whole.

    Args:
        name: Of the metric.
        documentation: What Prometheus tells about it.
        labels: Names of its labels.
        bounds: Upper bounds of the buckets, in seconds, rising.
        registry: Where it is scraped.
    """

    def __init__(
        self, name: str, documentation: str, labels: Sequence[str], bounds: Sequence[float], registry: CollectorRegistry
    ) -> None:
        self._name = name
        self._documentation = documentation
        self._labels = labels
        self._bounds = bounds
        self._upper: Final = [*map(floatToGoString, bounds), "+Inf"]
        self._children: dict[tuple[str, ...], Duration] = {}
        registry.register(self)

    def labels(self, *values: str) -> Duration:
        """The durations under these values, in the order of the labels' names."""
        child = self._children.get(values)
        if child is None:
            child = self._children[values] = Duration(self._bounds)
        return child

    def describe(self) -> Iterator[HistogramMetricFamily]:
        """Its name and kind, which a registry wants to know before there are values (prometheus_client.Collector)."""
        yield HistogramMetricFamily(self._name, self._documentation, labels=self._labels)

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """Its values (prometheus_client.Collector)."""
        family = HistogramMetricFamily(self._name, self._documentation, labels=self._labels)
        for values, child in list(self._children.items()):
            buckets = zip(self._upper, accumulate(child.counts), strict=True)
            family.add_metric(values, buckets=[(bound, count) for bound, count in buckets], sum_value=child.total)
        yield family
