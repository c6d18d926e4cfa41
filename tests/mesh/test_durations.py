"""The histogram of calls shows what prometheus_client's own would show."""

import random

from prometheus_client import CollectorRegistry, Histogram, generate_latest

from mesh.durations import Durations
from mesh.metrics import LATENCY_BUCKETS

LABELS = ["rpc_method", "rpc_response_status_code"]


def lines_of(registry: CollectorRegistry) -> list[str]:
    """What is scraped, without the times at which series began, which nobody asks for here."""
    return [line for line in generate_latest(registry).decode().splitlines() if "_created" not in line]


def test_it_is_scraped_as_the_stock_histogram_is(rng: random.Random) -> None:
    ours, stock = CollectorRegistry(), CollectorRegistry()
    durations = Durations("calls_seconds", "How long.", LABELS, LATENCY_BUCKETS, ours)
    histogram = Histogram("calls_seconds", "How long.", LABELS, buckets=LATENCY_BUCKETS, registry=stock)

    for seconds in [*LATENCY_BUCKETS, 0.0, 99.0, *(rng.lognormvariate(-5, 3) for _ in range(500))]:
        labels = ("a/b", rng.choice(["OK", "NOT_FOUND"]))
        durations.labels(*labels).observe(seconds)
        histogram.labels(*labels).observe(seconds)

    assert sorted(lines_of(ours)) == sorted(lines_of(stock))


def test_what_was_never_called_is_shown_as_known() -> None:
    registry = CollectorRegistry()
    Durations("calls_seconds", "How long.", LABELS, LATENCY_BUCKETS, registry)

    assert lines_of(registry) == ["# HELP calls_seconds How long.", "# TYPE calls_seconds histogram"]
